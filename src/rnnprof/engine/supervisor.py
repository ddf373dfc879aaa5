"""The parent's view of workers: start the template, give each task a fresh worker, see how it ends.

The parent does not import torch.  Whatever kills a worker costs one attempt, not the run.
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
"""Importing torch from a cold disk was seen to take half a minute."""

TERM_GRACE_S: Final = 2.0
EXIT_GRACE_S: Final = 5.0
LOG_TAIL_LINES: Final = 20
LOG_TAIL_BYTES: Final = 16 << 10

TEMPLATE_ENVIRONMENT: Final = {
    # an import that checks for CUDA must not initialise it before the fork
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # equal hash seeds give all templates the same memory use, so the largest batch is reproducible
    "PYTHONHASHSEED": "0",
}

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a task ended.

    Attributes:
        worker: number of the worker that ran it.
        findings: what the worker found, also before it failed.
        evidence: what was seen of its end; None if it passed.
        wall_s: from the request to the answer.
        bad_factory: the user's factory does not follow the protocol.
    """

    worker: int
    findings: dict[str, object]
    evidence: Evidence | None
    wall_s: float
    bad_factory: bool = False


@dataclass(slots=True)
class _Worker:
    """A running worker and what it has sent so far."""

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
        """Read what is available on the answer socket; False at its end."""
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
            self.nonsense = "it sent a message after its answer"
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
        """Whether there is nothing more to wait for."""
        return self.exited is not None or self.nonsense is not None


class Supervisor:
    """Starts the template on first use and gives each task a fresh worker.

    Use it as a context manager: on exit it ends every process that it started.

    Args:
        clock: monotonic, in seconds.
        python: the workers' interpreter; it must have the same rnnprof.
        folder: working directory of the workers; None for the current one.
        gpu: a GPU to simulate in every worker; None for the devices that are present.
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
            WorkerStartError: with the last line that it printed.
            NoDeviceError: this machine cannot simulate a GPU; the message says what to do.
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
            # PR_SET_PDEATHSIG follows the thread that started the child, not the process; 0 turns
            # it off, and the template still ends when the control socket closes
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
        """Give *task* to a fresh worker and wait until it ends."""
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
                # during its imports it has no workers, and does not notice a closed socket
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
        """The template's next message; None if it ended or the timeout passed."""
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
        """Read from the worker until it ends; False if the deadline passed first."""
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
            # the template has ended, and the kernel kills the worker with it, but not the worker's
            # own child processes
            _kill_group(worker.pid, signal.SIGKILL)
            worker.exited = protocol.Exited(worker.number, None, signal.SIGKILL)
            return False
        return True

    def _retire(self, worker: _Worker) -> None:
        """Send TERM, then KILL, to the process group of a worker that has not ended."""
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
                # we ended it, so its exit status says nothing about the task
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
    """What is known about the end of a task; None if the task passed."""
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
    """Read what is left in the answer socket and the log after the worker's end."""
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
    """This process's environment, with absolute import paths that are valid in any folder."""
    environment = {**os.environ, **TEMPLATE_ENVIRONMENT}
    if path := environment.get("PYTHONPATH"):
        folders = [str(Path(folder).resolve()) for folder in path.split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    return environment


def simulation_environment(gpu: GpuDescription) -> dict[str, str]:
    """The variables that make a template load the simulated GPU before torch.

    The simulation library is built on first use.

    Raises:
        NoDeviceError: torch is not a CUDA build, or there is no compiler.
    """
    from rnnprof.simulate.library import build

    files = os.pathsep.join(map(str, build().files))
    return {GPU_VARIABLE: gpu.as_text(), LIBRARY_VARIABLE: files}


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before
