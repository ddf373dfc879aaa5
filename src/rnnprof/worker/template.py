"""The template: imports torch once, touches no device, and forks a worker in milliseconds.

It runs no parallel region: a child forked after one has a thread pool without threads.  When the
parent ends, for whatever reason, the control socket reports end of file: the template then kills
every worker with all that it started, and exits.

It is a child subreaper: what a worker leaves behind becomes its child, whatever session it is in,
and is ended as soon as no worker runs.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, NoReturn

from rnnprof import protocol
from rnnprof.device import orphans
from rnnprof.simulate.loading import load_if_requested
from rnnprof.worker.channel import Channel, moved_up

PRELOADED: Final = (
    "torch",
    "torch.profiler",
    "torch.autograd.profiler",
    "torch._dynamo",  # the first step of an optimizer imports it: over a second
    "rnnprof.worker.passes.serve",
)

PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>

LOGGED_FRAMES: Final = 3
"""Of an exception that ends a worker before its answer."""


def run_template(control_fd: int, parent_pid: int, handlers: Mapping[int, Any]) -> None:
    """Import the modules, report ready, and fork on request until the parent ends.

    Args:
        handlers: of the signals that a worker handles and its template ignores.
    """
    if parent_pid:
        tie_to_parent(parent_pid)
    control = socket.socket(fileno=control_fd)
    began_s = time.perf_counter()
    load_if_requested(os.environ)
    for name in PRELOADED:
        import_module(name)
    orphans.adopt_orphans()
    _flush_streams()  # else each worker would print what is left in the buffers
    gc.collect()
    gc.freeze()  # the collector of a child then leaves these pages shared
    # from here on the end of the control socket reports the parent's death; this process must then
    # live long enough to kill the workers' process groups
    set_death_signal(0)
    torch_version = sys.modules["torch"].__version__
    template = Template(control, handlers)
    template.tell(protocol.Ready(torch_version, max(0.0, time.perf_counter() - began_s)))
    template.serve()


def tie_to_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies; exit if it is dead already."""
    set_death_signal(signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def set_death_signal(number: int) -> None:
    """Set the signal to send when the thread that started this process ends; 0 for none."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)


@dataclass(slots=True)
class Template:
    """The loop between the control socket and the children."""

    control: socket.socket
    handlers: Mapping[int, Any]
    workers: dict[int, int] = field(default_factory=dict)
    buffer: bytes = b""
    descriptors: list[int] = field(default_factory=list)

    def serve(self) -> None:
        """Fork on request and report deaths until the control socket closes."""
        wake_read, wake_write = os.pipe()
        for descriptor in (wake_read, wake_write):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.control, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self.control:
                        self._hear()
                    else:
                        os.read(wake_read, 4096)
                        self._reap()

    def tell(self, message: protocol.Message) -> None:
        """Send a message to the parent; end if it is gone."""
        try:
            self.control.sendall(protocol.to_line(message))
        except OSError:
            self._end()

    def _hear(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, 65536, 16)
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            self._end()
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # a program that a worker starts gets none
        self.descriptors += descriptors
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            message = protocol.from_line(line)
            assert isinstance(message, protocol.Fork)
            self._fork(message.worker)

    def _fork(self, worker: int) -> None:
        passed, self.descriptors = self.descriptors[:2], self.descriptors[2:]
        try:
            if len(passed) < 2:  # the kernel drops a descriptor that this process has no room for
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            pid = os.fork()
        except OSError as error:
            message: protocol.Message = protocol.ForkFailed(worker, error.errno or 0)
        else:
            if pid == 0:
                self._become_worker(*passed)
            self.workers[pid] = worker
            message = protocol.Forked(worker, pid)
        for descriptor in passed:
            os.close(descriptor)
        self.tell(message)

    def _become_worker(self, answers: int, log: int) -> NoReturn:
        code = 1
        try:
            template_pid = os.getppid()
            os.setsid()
            tie_to_parent(template_pid)
            signal.set_wakeup_fd(-1)
            for number, handler in {signal.SIGCHLD: signal.SIG_DFL, **self.handlers}.items():
                signal.signal(number, handler)
            self.control.close()
            _redirect_standard_streams(log)
            channel = Channel(socket.socket(fileno=moved_up(answers)))
            sys.modules["rnnprof.worker.passes.serve"].serve(channel)
            code = 0
        except BaseException as error:  # no answer was sent: the log is all that tells why
            _flush_streams()
            _log_error(error)
        finally:
            _flush_streams()
            os._exit(code)

    def _reap(self) -> None:
        """Report the workers that have ended, once what they started has ended too."""
        ended = []
        while (pid := _ended_child()) is not None:
            if pid in self.workers:
                _kill_group(pid)  # while the worker is not reaped, no other process has its number
            _, status = os.waitpid(pid, 0)
            if pid in self.workers:
                ended.append(_exited(self.workers.pop(pid), status))
        if ended and not self.workers:
            orphans.end_descendants()
        for message in ended:
            self.tell(message)

    def _end(self) -> NoReturn:
        for pid in self.workers:
            _kill_group(pid)
        orphans.end_descendants()
        os._exit(0)


def _redirect_standard_streams(log: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    # what was printed before a crash must be in the log
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _log_error(error: BaseException) -> None:
    """Write the end of the traceback to the log: what was printed before still fits in its tail."""
    try:
        text = "".join(traceback.format_exception(error, limit=-LOGGED_FRAMES, chain=False))
    except Exception:  # the user's code has replaced what this needs
        text = f"{type(error).__name__}\n"
    with suppress(OSError):
        os.write(2, text.encode(errors="replace"))


def _flush_streams() -> None:
    """Empty the buffers of Python's streams, also of those that were replaced, and of C's."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with suppress(Exception):
            stream.flush()  # type: ignore[union-attr]
    with suppress(Exception):
        ctypes.CDLL(None).fflush(None)


def _ended_child() -> int | None:
    """A child that has ended and is not reaped yet; None if there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _exited(worker: int, status: int) -> protocol.Exited:
    if os.WIFSIGNALED(status):
        return protocol.Exited(worker, None, os.WTERMSIG(status))
    return protocol.Exited(worker, os.WEXITSTATUS(status), None)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
