"""The worker's end of the answer pipe: one JSON object a line, never on stdout."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from rnnprof import protocol


@dataclass(frozen=True, slots=True)
class Channel:
    """One task in, answers out."""

    socket: socket.socket

    def receive(self) -> protocol.Task | None:
        """The task, or None when the parent closed its end instead."""
        with self.socket.makefile("rb") as lines:
            line = lines.readline()
        if not line:
            return None
        message = protocol.from_line(line)
        assert isinstance(message, protocol.Task)
        return message

    def send(self, message: protocol.Message) -> None:
        """Write one line whole."""
        self.socket.sendall(protocol.to_line(message))
