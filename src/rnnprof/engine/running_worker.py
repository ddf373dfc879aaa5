"""A running worker, as its parent sees it: what it has sent and printed, and how it ended."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from rnnprof import protocol
from rnnprof.engine.template_process import TemplateEnd
from rnnprof.outcomes import Evidence
from rnnprof.runfile.codec import DecodeError

LOG_TAIL_LINES: Final = 20
LOG_TAIL_BYTES: Final = 16 << 10

READ_BYTES: Final = 1 << 16

DRAIN_READS: Final = 64
"""Reads of what an ended worker left: 4 MiB, more than a pipe or a socket holds.

Bounded, since a process that outlived the worker could write without an end."""


@dataclass(slots=True)
class RunningWorker:
    """A worker from the request to fork it until it has ended.

    Attributes:
        answers: the parent's end of its answer socket.
        log: the parent's end of the pipe that it prints to.
        refused: the error number with which the template could not fork it.
        exited: how it ended.
        lost: how its template ended while the worker ran, and with it the worker.
        timed_out: it was ended at its deadline.
        phase: the last one that it entered.
        nonsense: what was wrong with what it sent.
        is_closed: nothing more can be read from it.
        is_shared: it may take another task after this one.
        resting: what it holds after its task, if it waits for the next one.
        earlier_tasks: that it had run before this one.
    """

    number: int
    answers: socket.socket
    log: int
    pid: int | None = None
    refused: int | None = None
    exited: protocol.Exited | None = None
    lost: TemplateEnd | None = None
    timed_out: bool = False
    phase: str | None = None
    answer: protocol.Done | protocol.Raised | None = None
    nonsense: str | None = None
    is_closed: bool = False
    is_shared: bool = False
    resting: protocol.Resting | None = None
    earlier_tasks: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    log_bytes: bytearray = field(default_factory=bytearray)

    def take(self, message: protocol.Message) -> None:
        """A message of the template: for another worker, or a second time, it is dropped."""
        if getattr(message, "worker", None) != self.number:
            return
        if isinstance(message, protocol.Forked) and self.pid is None:
            self.pid = message.pid
        elif isinstance(message, protocol.ForkFailed) and self.pid is None:
            self.refused = message.error_number
        elif isinstance(message, protocol.Exited) and self.exited is None:
            self.exited = message

    def is_forked(self) -> bool:
        """Whether the template has answered the request."""
        return self.pid is not None or self.refused is not None

    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.exited is not None or self.nonsense is not None or self.is_resting()

    def is_resting(self) -> bool:
        """Whether it has let go of its task and waits for the next one."""
        return self.resting is not None

    def begin(self, task: protocol.Task) -> None:
        """It is given a task, perhaps not its first: what is known of an earlier one is dropped."""
        self.earlier_tasks += self.is_resting()
        self.is_shared = task.is_shared
        self.resting = self.answer = self.phase = None
        self.log_bytes.clear()

    def hear(self) -> bool:
        """Read what is available on the answer socket; False at its end."""
        try:
            data = self.answers.recv(READ_BYTES)
        except (TimeoutError, BlockingIOError):
            return True
        except ConnectionResetError:  # it ended before it had read its task
            data = b""
        self.buffer += data
        while (end := self.buffer.find(b"\n")) >= 0 and self.nonsense is None:
            line = bytes(self.buffer[:end])
            del self.buffer[: end + 1]
            self._take_line(line)
        if len(self.buffer) > protocol.MAX_LINE_BYTES:
            self.nonsense = f"a line of more than {protocol.MAX_LINE_BYTES} bytes"
            self.buffer.clear()
        self.is_closed |= not data
        return bool(data)

    def note_silence(self) -> None:
        """Take note that it runs on although it can answer no more."""
        if self.is_closed and self.answer is None and self.nonsense is None:
            self.nonsense = "the worker closed its socket, or another program replaced it"

    def _take_line(self, line: bytes) -> None:
        if self.answer is not None and not (self.is_shared and self.resting is None):
            self.nonsense = "it sent a message after its answer"
            return
        try:
            message = protocol.from_line(line)
        except DecodeError as error:
            self.nonsense = str(error)
            return
        if self.answer is not None and isinstance(message, protocol.Resting):
            self.resting = message
        elif self.answer is not None:
            self.nonsense = "it sent a message after its answer"
        elif isinstance(message, protocol.PhaseEntered):
            self.phase = message.phase
        elif isinstance(message, (protocol.Done, protocol.Raised)):
            self.answer = message
        else:
            self.nonsense = f"a {type(message).__name__} message"

    def hear_log(self) -> bool:
        """Keep the tail of what the worker printed; False at its end."""
        data = os.read(self.log, READ_BYTES)
        self.log_bytes += data
        del self.log_bytes[:-LOG_TAIL_BYTES]
        return bool(data)

    def drain(self) -> None:
        """Read what an ended worker left; of one that timed out only what it printed."""
        _drain(self.log, self.hear_log)
        if not self.timed_out:
            _drain(self.answers.fileno(), self.hear)

    def log_tail(self) -> str:
        """The last lines that the worker printed."""
        text = self.log_bytes.decode(errors="replace").replace("\0", "")
        lines = [line for line in text.splitlines() if not line.startswith("USDT:")]
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def has_outcome(self) -> bool:
        """Whether it answered, or its own end is known; else it was lost with its template."""
        answered = self.answer is not None
        return answered or self.is_over() or self.timed_out

    def kill_group(self, number: int) -> None:
        """Send a signal to the worker and the processes of its group."""
        if self.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def discard(self) -> None:
        """Kill what is still alive of it, and close both ends."""
        if self.exited is None and self.lost is None:
            self.kill_group(signal.SIGKILL)
        self.answers.close()
        if self.log >= 0:
            os.close(self.log)
        self.log = -1


def evidence_of(
    worker: RunningWorker, deadline_s: float, cgroup_oom_kills: int | None
) -> Evidence | None:
    """What is known about the end of a task; None if the task passed."""
    if isinstance(worker.answer, protocol.Done) and worker.nonsense is None:
        return None
    evidence = Evidence(
        phase=worker.phase,
        timed_out=worker.timed_out,
        deadline_s=deadline_s,
        nonsense=worker.nonsense,
        cgroup_oom_kills=cgroup_oom_kills,
        log_tail=worker.log_tail(),
    )
    if isinstance(worker.answer, protocol.Raised):
        raised = worker.answer
        return replace(
            evidence,
            timed_out=False,
            phase=raised.phase,
            error_type=raised.error_type,
            message=raised.message,
            charged_bytes=raised.charged_bytes,
            limit_bytes=raised.limit_bytes,
        )
    if worker.timed_out:
        return evidence
    if worker.exited is not None:
        return replace(evidence, signal=worker.exited.signal, exit_code=worker.exited.exit_code)
    if worker.lost is not None and not worker.has_outcome():
        return replace(evidence, signal=worker.lost.signal, template_end=str(worker.lost))
    return evidence


def _drain(descriptor: int, read: Callable[[], bool]) -> None:
    for _ in range(DRAIN_READS):
        poll = select.poll()  # select() itself cannot watch a descriptor above 1023
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(0) or not read():
            return
