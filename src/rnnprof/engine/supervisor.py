"""Workers as seen from the parent: start the template, ask a fresh worker, judge how it ended.

The parent holds no torch.  Whatever kills a worker costs one attempt, not the run.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from rnnprof import protocol
from rnnprof.device import cgroup
from rnnprof.errors import WorkerStartError
from rnnprof.outcomes import Evidence
from rnnprof.runfile.codec import DecodeError
from rnnprof.simulate.description import GPU_VARIABLE, LIBRARY_VARIABLE, GpuDescription

START_TIMEOUT_S: Final = 120.0
"""Importing torch from a cold disk has been seen to take half a minute."""

TERM_GRACE_S: Final = 2.0
EXIT_GRACE_S: Final = 5.0
LOG_TAIL_LINES: Final = 20
LOG_TAIL_BYTES: Final = 16 << 10

TEMPLATE_ENVIRONMENT: Final = {
    # an import that asks whether CUDA is there must not start it before the fork
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # two templates whose dictionaries lie alike take the same memory: the edge holds still
    "PYTHONHASHSEED": "0",
}

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a task ended.

    Attributes:
        worker: number of the worker that did it.
        findings: what the worker found, also by the time it failed.
        evidence: None when it came through; else what was seen of its end.
        bad_factory: the user's factory does not keep to the protocol.
        wall_s: from the asking to the answer.
    """

    worker: int
    findings: dict[str, object]
    evidence: Evidence | None
    wall_s: float
    bad_factory: bool = False


@dataclass(slots=True)
class _Worker:
    """A worker under way and what it has said so far."""

    number: int
    answers: socket.socket
    log: int
    pid: int | None = None
    exited: protocol.Exited | None = None
    phase: str | None = None
    answer: protocol.Done | protocol.Raised | None = None
    nonsense: str | None = None
    buffer: bytearray = field(default_factory=bytearray)
    log_bytes: bytearray = field(default_factory=bytearray)

    def hear(self) -> bool:
        """Read what has come on the answer socket; False at its end."""
        data = self.answers.recv(1 << 16)
        self.buffer += data
        while (end := self.buffer.find(b"\n")) >= 0 and self.nonsense is None:
            line = bytes(self.buffer[:end])
            del self.buffer[: end + 1]
            self._take(line)
        if len(self.buffer) > protocol.MAX_LINE_BYTES:
            self.nonsense = f"a line of more than {protocol.MAX_LINE_BYTES} bytes"
            self.buffer.clear()
        return bool(data)

    def _take(self, line: bytes) -> None:
        if self.answer is not None:
            self.nonsense = "it went on after its answer"
            return
        try:
            message = protocol.from_line(line)
        except DecodeError as error:
            self.nonsense = str(error)
            return
        if isinstance(message, protocol.PhaseEntered):
            self.phase = message.phase
        elif isinstance(message, (protocol.Done, protocol.Raised)):
            self.answer = message
        else:
            self.nonsense = f"a {type(message).__name__} message"

    def hear_log(self) -> bool:
        """Keep the tail of what the worker printed; False at its end."""
        data = os.read(self.log, 1 << 16)
        self.log_bytes += data
        del self.log_bytes[:-LOG_TAIL_BYTES]
        return bool(data)

    def log_tail(self) -> str:
        """The last lines that the worker printed."""
        text = self.log_bytes.decode(errors="replace").replace("\0", "")
        lines = [line for line in text.splitlines() if not line.startswith("USDT:")]
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def is_over(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self.exited is not None or self.nonsense is not None


class Supervisor:
    """Starts the template on first use and gives each task a fresh worker.

    Use it as a context manager: leaving it ends every process that it started.

    Args:
        python: the interpreter of the workers; it has this very rnnprof.
        folder: where they run; None for the present one.
        gpu: a GPU that is described and that every worker is to see as its own.
    """

    def __init__(
        self,
        clock: Clock = time.monotonic,
        *,
        python: str = sys.executable,
        folder: Path | None = None,
        gpu: GpuDescription | None = None,
    ) -> None:
        self._clock = clock
        self._gpu = gpu
        self._python = python
        self._folder = folder
        self._template: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._buffer = b""
        self._is_ready = False
        self._count = 0
        self._current: _Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> protocol.Ready:
        """Start the template and wait until it can fork.

        Raises:
            WorkerStartError: with the last lines that it printed.
            NoDeviceError: a simulated GPU cannot be had here, and what to do about it.
        """
        environment = worker_environment()
        if self._gpu is not None:
            environment |= simulation_environment(self._gpu)
        ours, theirs = socket.socketpair()
        command = [
            self._python,
            "-P",
            "-m",
            "rnnprof.worker",
            str(theirs.fileno()),
            str(os.getpid()),
        ]
        if threading.current_thread() is not threading.main_thread():
            # the kernel ties "die with the parent" to the thread that started the child; the end
            # of the control socket ends the template in any case
            command[-1] = "0"
        self._template = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=self._folder,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._control = ours
        message = self._await_template(START_TIMEOUT_S)
        if not isinstance(message, protocol.Ready):
            raise WorkerStartError(self._start_failure())
        self._is_ready = True
        return message

    def ask(self, task: protocol.Task, deadline_s: float) -> Answer:
        """Give *task* to a fresh worker and wait for its end."""
        if self._template is None or self._template.poll() is not None:
            self.close()
            self.start()
        began_s = self._clock()
        kills_before = cgroup.oom_kills()
        worker = self._current = self._fork()
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                worker.answers.sendall(protocol.to_line(task))
            timed_out = not self._listen(worker, began_s + deadline_s)
            self._retire(worker)
        finally:
            self._discard(worker)
        kills = _difference(cgroup.oom_kills(), kills_before)
        evidence = _evidence(worker, timed_out, deadline_s, kills)
        findings = dict(worker.answer.findings) if worker.answer else {}
        bad_factory = isinstance(worker.answer, protocol.Raised) and worker.answer.bad_factory
        wall_s = self._clock() - began_s
        return Answer(worker.number, findings, evidence, wall_s, bad_factory)

    def close(self) -> None:
        """End the current worker and the template, with everything that they started."""
        if self._current is not None:
            self._discard(self._current)
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._template is not None:
            try:
                # while it still imports it has forked nothing, and does not hear that we are gone
                self._template.wait(TERM_GRACE_S if self._is_ready else 0)
            except subprocess.TimeoutExpired:
                self._template.kill()
                self._template.wait()
            if self._template.stderr:
                self._template.stderr.close()
            self._template = None
            self._is_ready = False

    def _fork(self) -> _Worker:
        assert self._control is not None
        ours, theirs = socket.socketpair()
        log_read, log_write = os.pipe()
        self._count += 1
        worker = _Worker(self._count, ours, log_read)
        line = protocol.to_line(protocol.Fork(worker.number))
        try:
            socket.send_fds(self._control, [line], [theirs.fileno(), log_write])
        except (BrokenPipeError, ConnectionResetError):
            raise WorkerStartError(self._start_failure()) from None
        finally:
            theirs.close()
            os.close(log_write)
        message = self._await_template(START_TIMEOUT_S)
        if not isinstance(message, protocol.Forked):
            raise WorkerStartError(self._start_failure())
        worker.pid = message.pid
        return worker

    def _await_template(self, timeout_s: float) -> protocol.Message | None:
        """The template's next message; None when it is gone or silent."""
        assert self._control is not None
        self._control.settimeout(timeout_s)
        while b"\n" not in self._buffer:
            try:
                data = self._control.recv(65536)
            except (TimeoutError, ConnectionResetError):
                return None
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return protocol.from_line(line)

    def _listen(self, worker: _Worker, deadline_s: float) -> bool:
        """Hear the worker until it is over; False when the deadline passed first."""
        assert self._control is not None
        with selectors.DefaultSelector() as selector:
            selector.register(worker.answers, selectors.EVENT_READ, worker.hear)
            selector.register(worker.log, selectors.EVENT_READ, worker.hear_log)
            selector.register(self._control, selectors.EVENT_READ, lambda: self._hear_exit(worker))
            while not worker.is_over():
                left_s = deadline_s - self._clock()
                if left_s <= 0:
                    return False
                for key, _ in selector.select(left_s):
                    if not key.data():
                        selector.unregister(key.fileobj)
            _drain(selector, self._control)
        return True

    def _hear_exit(self, worker: _Worker) -> bool:
        message = self._await_template(EXIT_GRACE_S)
        if isinstance(message, protocol.Exited) and message.worker == worker.number:
            worker.exited = message
        elif message is None:
            # the template itself is gone, and the kernel kills the worker with it, but not what
            # the worker has started
            _kill_group(worker.pid, signal.SIGKILL)
            worker.exited = protocol.Exited(worker.number, None, signal.SIGKILL)
            return False
        return True

    def _retire(self, worker: _Worker) -> None:
        """TERM, then KILL to the whole process group of a worker that has not ended."""
        if worker.exited is not None:
            return
        for number, grace_s in ((signal.SIGTERM, TERM_GRACE_S), (signal.SIGKILL, EXIT_GRACE_S)):
            _kill_group(worker.pid, number)
            if self._await_exit(worker, grace_s):
                return

    def _await_exit(self, worker: _Worker, timeout_s: float) -> bool:
        until_s = self._clock() + timeout_s
        while worker.exited is None and (left_s := until_s - self._clock()) > 0:
            message = self._await_template(left_s)
            if isinstance(message, protocol.Exited) and message.worker == worker.number:
                # its own end is ours: how it died says nothing of the task
                worker.exited = message
            elif message is None:
                break
        return worker.exited is not None

    def _discard(self, worker: _Worker) -> None:
        if worker.exited is None:
            _kill_group(worker.pid, signal.SIGKILL)
        worker.answers.close()
        with suppress(OSError):
            os.close(worker.log)
        worker.log = -1
        self._current = None

    def _start_failure(self) -> str:
        assert self._template is not None
        with suppress(subprocess.TimeoutExpired):
            self._template.wait(1.0)
        self._template.kill()
        stderr = self._template.stderr
        printed = stderr.read().decode(errors="replace") if stderr else ""
        last = printed.strip().splitlines()[-1:] or ["it printed nothing"]
        return (
            f"the worker could not start: {last[0]}. "
            f"Check that `{sys.executable} -c 'import torch'` works"
        )


def _evidence(
    worker: _Worker, timed_out: bool, deadline_s: float, cgroup_oom_kills: int | None
) -> Evidence | None:
    """What is known of the end; None when the task came through."""
    if isinstance(worker.answer, protocol.Done) and worker.nonsense is None:
        return None
    evidence = Evidence(
        phase=worker.phase,
        timed_out=timed_out,
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
    if worker.exited is not None and not timed_out:
        return replace(evidence, signal=worker.exited.signal, exit_code=worker.exited.exit_code)
    return evidence


def _drain(selector: selectors.BaseSelector, control: socket.socket) -> None:
    """Take what still stands in the answer socket and the log after the worker's end."""
    while True:
        ready = [key for key, _ in selector.select(0) if key.fileobj is not control]
        if not ready:
            return
        for key in ready:
            if not key.data():
                selector.unregister(key.fileobj)


def _kill_group(pid: int | None, number: int) -> None:
    if pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def worker_environment() -> dict[str, str]:
    """This process's, with its relative import path made to hold in another folder too."""
    environment = {**os.environ, **TEMPLATE_ENVIRONMENT}
    if path := environment.get("PYTHONPATH"):
        folders = [str(Path(folder).resolve()) for folder in path.split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    return environment


def simulation_environment(gpu: GpuDescription) -> dict[str, str]:
    """What tells a template to load the simulated GPU before torch; built on first use.

    Raises:
        NoDeviceError: torch is no CUDA build, or there is no compiler.
    """
    from rnnprof.simulate.library import build

    files = os.pathsep.join(map(str, build().files))
    return {GPU_VARIABLE: gpu.as_text(), LIBRARY_VARIABLE: files}


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before
