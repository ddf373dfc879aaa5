"""The worker's end of the answer pipe: one JSON object per line, never on stdout."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import sys
from dataclasses import dataclass, field
from typing import Final

from rnnprof import protocol

CLOSED: Final = "the code closed descriptors that it did not open: no answer can be sent"
COPY: Final = (
    "a process that the code forked went on as if it were the worker: end it with os._exit()"
)


HIGHEST: Final = 4000
"""Number of the channel's descriptor where the system allows it: programs that close all
descriptors seldom go as far."""


def moved_up(descriptor: int) -> int:
    """The same open file under a high number; the old number is closed."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = HIGHEST if soft == resource.RLIM_INFINITY else min(HIGHEST, soft - 1)
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, least)
    except OSError:  # it is in use
        return descriptor
    os.close(descriptor)
    return moved


@dataclass(frozen=True, slots=True)
class Channel:
    """Receives one task and sends the answers.

    Attributes:
        owner: the process that answers.
    """

    socket: socket.socket
    owner: int = field(default_factory=os.getpid)

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
        """Send one message as one line.

        A copy that the user's code has forked sends nothing, and ends where it would answer.

        Raises:
            OSError: the socket is closed; the log then has one line that tells why.
        """
        if os.getpid() != self.owner:
            self._end_copy(message)
            return
        try:
            self.socket.sendall(protocol.to_line(message))
        except OSError as error:
            if error.errno != errno.EPIPE:  # else the parent has ended
                error.add_note(CLOSED)
            raise

    def _end_copy(self, message: protocol.Message) -> None:
        if not isinstance(message, protocol.PhaseEntered):
            print(COPY, file=sys.__stderr__, flush=True)
            os._exit(1)
