"""The parent's end of one template process: start it, hear its messages, know how it ended."""

from __future__ import annotations

import errno
import math
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from rnnprof import protocol
from rnnprof.device import orphans
from rnnprof.errors import WorkerStartError
from rnnprof.runfile.codec import DecodeError
from rnnprof.simulate.description import GPU_VARIABLE, LIBRARY_VARIABLE, GpuDescription

START_TIMEOUT_S: Final = 120.0
"""Importing torch from a cold disk was seen to take half a minute."""

END_GRACE_S: Final = 2.0
"""A template that is told to end kills its workers first, and waits until they are gone."""

EXIT_S: Final = 1.0
"""After the end of the control socket the process itself ends within this time."""

STDERR_TAIL_BYTES: Final = 16 << 10

TEMPLATE_ENVIRONMENT: Final = {
    # an import that checks for CUDA must not initialise it before the fork
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # equal hash seeds give all templates the same memory use, so the largest batch is reproducible
    "PYTHONHASHSEED": "0",
}

Dispatch = Callable[[protocol.Message], None]


@dataclass(frozen=True, slots=True)
class TemplateEnd:
    """How a template ended.

    Attributes:
        signal: what killed it; None if it exited or was ended by its parent.
        fault: what was wrong with it when its parent ended it.
        last_line: the last line that it printed.
    """

    signal: int | None = None
    exit_code: int | None = None
    fault: str | None = None
    last_line: str | None = None

    def __str__(self) -> str:
        """In a few words that follow "the worker template"."""
        return self.how + (f" ({self.last_line})" if self.last_line else "")

    @property
    def how(self) -> str:
        """As a few words, without the last line that it printed."""
        if self.fault is not None:
            return self.fault
        if self.signal is not None:
            return f"was killed by {signal_text(self.signal)}"
        return f"ended with exit code {self.exit_code}"


class TemplateEndedError(Exception):
    """The template has ended, and with it every process that it started."""

    def __init__(self, end: TemplateEnd) -> None:
        super().__init__(str(end))
        self.end = end


@dataclass(slots=True)
class TemplateProcess:
    """A template from its start to its end; its buffer ends with it.

    Attributes:
        token: stands in the environment of all that it starts.
        is_ready: it has finished its imports and watches the control socket.
    """

    process: subprocess.Popen[bytes]
    python: str
    control: socket.socket
    stderr: IO[bytes]
    token: str
    is_ready: bool = False
    _buffer: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(cls, python: str, folder: Path | None, gpu: GpuDescription | None) -> TemplateProcess:
        """Start a template.

        Raises:
            WorkerStartError: the system refuses a process or a descriptor.
            NoDeviceError: this machine cannot simulate a GPU; the message says what to do.
        """
        token = orphans.new_token()
        environment = orphans.with_token(worker_environment(), token)
        if gpu is not None:
            environment |= simulation_environment(gpu)
        try:
            return cls._spawn(python, folder, environment, token)
        except OSError as error:
            raise WorkerStartError(f"the worker could not start: {refusal(error)}") from None

    @classmethod
    def _spawn(
        cls, python: str, folder: Path | None, environment: dict[str, str], token: str
    ) -> TemplateProcess:
        ours, theirs = socket.socketpair()
        stderr: IO[bytes] | None = None
        try:
            stderr = _unnamed_file()
            # PR_SET_PDEATHSIG follows the thread that started the child, not the process; 0 turns
            # it off, and the template still ends when the control socket closes
            is_main = threading.current_thread() is threading.main_thread()
            tied_to = str(os.getpid()) if is_main else "0"
            process = subprocess.Popen(
                [python, "-P", "-m", "rnnprof.worker", str(theirs.fileno()), tied_to],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                cwd=folder,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            if stderr is not None:
                stderr.close()
            raise
        finally:
            theirs.close()
        return cls(process, python, ours, stderr, token)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self.process.pid

    def await_ready(self) -> protocol.Ready:
        """Wait until it has imported torch.

        Raises:
            WorkerStartError: it exits, or is not ready in time: another would do the same.
            TemplateEndedError: it was killed.
        """
        heard: list[protocol.Message] = []
        try:
            self.await_until(lambda: bool(heard), START_TIMEOUT_S, heard.append)
        except TemplateEndedError as error:
            if error.end.signal is not None:
                raise
            raise WorkerStartError(self._cannot_start(error.end)) from None
        if not isinstance(heard[0], protocol.Ready):
            end = self.end("sent another message than that it is ready")
            raise WorkerStartError(self._cannot_start(end))
        self.is_ready = True
        return heard[0]

    def _cannot_start(self, end: TemplateEnd) -> str:
        said = end.last_line or "it printed nothing"
        what = said if end.fault is None else f"it {end.fault}: {said}"
        return (
            f"the worker could not start: {what}. "
            f"Check that `{self.python} -c 'import torch'` works"
        )

    def request_fork(self, worker: int, answers: socket.socket, log: int) -> None:
        """Ask for a worker that answers on *answers* and prints to *log*.

        Raises:
            TemplateEndedError: it has ended.
        """
        line = protocol.to_line(protocol.Fork(worker))
        try:
            socket.send_fds(self.control, [line], [answers.fileno(), log])
        except OSError:
            raise TemplateEndedError(self.end()) from None

    def await_until(
        self, is_done: Callable[[], bool], timeout_s: float, dispatch: Dispatch
    ) -> None:
        """Hand on its messages until *is_done*.

        Raises:
            TemplateEndedError: it has ended, or is silent for *timeout_s* and was ended.
        """
        if not self.listen(is_done, timeout_s, dispatch):
            end = self.end(f"did not answer within {timeout_s:.0f} s")
            raise TemplateEndedError(end)

    def listen(self, is_done: Callable[[], bool], timeout_s: float, dispatch: Dispatch) -> bool:
        """Hand on its messages until *is_done*; False if *timeout_s* passes first.

        Raises:
            TemplateEndedError: it has ended.
        """
        until_s = time.monotonic() + timeout_s
        while not is_done():
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            waiting = select.poll()
            waiting.register(self.control, select.POLLIN)
            if not waiting.poll(math.ceil(left_s * 1000)):
                return False  # whatever the clock says: it can stand still or go back
            self.control.settimeout(left_s)
            self.hear(dispatch)
        return True

    def hear(self, dispatch: Dispatch) -> bool:
        """Read once from the control socket, and hand on every complete message.

        Returns:
            True: there may be more to read.

        Raises:
            TemplateEndedError: it has ended, or sent what is no message and was ended.
        """
        try:
            data = self.control.recv(65536)
        except (TimeoutError, BlockingIOError):
            return True
        except ConnectionResetError:
            data = b""
        if not data:
            raise TemplateEndedError(self.end())
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            try:
                message = protocol.from_line(bytes(line))
            except DecodeError as error:
                raise TemplateEndedError(self.end(f"sent an invalid message: {error}")) from None
            dispatch(message)
        return True

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def end(self, fault: str | None = None) -> TemplateEnd:
        """End it with all that it started, and tell how it had ended before."""
        if fault is None:
            try:
                self.process.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                fault = "closed its control socket"
        self._sweep()
        code = self.process.returncode
        last_line = self._last_line()
        self.stderr.close()
        if fault is not None:
            return TemplateEnd(fault=fault, last_line=last_line)
        if code < 0:
            return TemplateEnd(signal=-code, last_line=last_line)
        return TemplateEnd(exit_code=code, last_line=last_line)

    def close(self) -> None:
        """Ask it to end; end it and all that it started if it does not."""
        self.control.close()
        with suppress(subprocess.TimeoutExpired):
            # during its imports it has no workers, and does not notice a closed socket
            self.process.wait(END_GRACE_S if self.is_ready else 0)
        self._sweep()
        self.stderr.close()

    def _sweep(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        orphans.end_marked(self.token)

    def _last_line(self) -> str | None:
        with suppress(OSError):
            size = self.stderr.seek(0, os.SEEK_END)
            self.stderr.seek(max(0, size - STDERR_TAIL_BYTES))
            lines = self.stderr.read().decode(errors="replace").strip().splitlines()
            return lines[-1].strip() if lines else None
        return None


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


def refusal(error: OSError) -> str:
    """What the system refused, in its own words, and what to do about it."""
    advice = {
        errno.EMFILE: "raise the limit of open files, `ulimit -n`",
        errno.ENFILE: "close other programs: the machine has no file descriptor left",
        errno.EAGAIN: "raise the limit of processes, `ulimit -u` or the container's, or close some",
        errno.ENOMEM: "free some memory",
    }.get(error.errno or 0, "correct this")
    said = error.strerror or str(error)
    where = f" ({error.filename})" if error.filename else ""
    return f"{said}{where}: {advice}, then give the same command again"


def signal_text(number: int) -> str:
    """A signal by number and name."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _unnamed_file() -> IO[bytes]:
    """A file for what the template prints; a pipe that nobody reads would stop it when full."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            return os.fdopen(os.memfd_create("rnnprof-template-stderr"), "w+b")
    return tempfile.TemporaryFile()
