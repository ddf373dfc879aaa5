"""The worker's end of the answer pipe: one JSON object per line, never on stdout."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from rnnprof import protocol


@dataclass(frozen=True, slots=True)
class Channel:
    """Receives one task and sends the answers."""

    socket: socket.socket

    def receive(self) -> protocol.Task | None:
        """Return the task, or None if the parent closed its end first."""
        with self.socket.makefile("rb") as lines:
            line = lines.readline()
        if not line:
            return None
        message = protocol.from_line(line)
        assert isinstance(message, protocol.Task)
        return message

    def send(self, message: protocol.Message) -> None:
        """Send one message as one line."""
        self.socket.sendall(protocol.to_line(message))
