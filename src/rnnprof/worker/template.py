"""The template: imports torch once, touches no device, and forks a worker in milliseconds.

It runs no parallel region: a child forked after one has a thread pool without threads.  When the
parent ends, for whatever reason, the control socket reports end of file: the template then kills
every worker's process group and exits.
"""

from __future__ import annotations

import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final, NoReturn

from rnnprof import protocol
from rnnprof.simulate.loading import load_if_requested
from rnnprof.worker.channel import Channel

PRELOADED: Final = (
    "torch",
    "torch.profiler",
    "torch.autograd.profiler",
    "torch._dynamo",  # the first step of an optimizer imports it: over a second
    "rnnprof.worker.passes.serve",
)

PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>


def run_template(control_fd: int, parent_pid: int) -> None:
    """Import the modules, report ready, and fork on request until the parent ends."""
    if parent_pid:
        tie_to_parent(parent_pid)
    control = socket.socket(fileno=control_fd)
    began_s = time.perf_counter()
    load_if_requested(os.environ)
    for name in PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()  # the collector of a child then leaves these pages shared
    # from here on the end of the control socket reports the parent's death; this process must then
    # live long enough to kill the workers' process groups
    set_death_signal(0)
    torch_version = sys.modules["torch"].__version__
    control.sendall(protocol.to_line(protocol.Ready(torch_version, time.perf_counter() - began_s)))
    Template(control).serve()


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

    def _hear(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self.control, 65536, 16)
        if not data:
            self._end()
        self.descriptors += descriptors
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            message = protocol.from_line(line)
            assert isinstance(message, protocol.Fork)
            self._fork(message.worker)

    def _fork(self, worker: int) -> None:
        answers, log, *self.descriptors = self.descriptors
        pid = os.fork()
        if pid == 0:
            self._become_worker(answers, log)
        os.close(answers)
        os.close(log)
        self.workers[pid] = worker
        self.control.sendall(protocol.to_line(protocol.Forked(worker, pid)))

    def _become_worker(self, answers: int, log: int) -> NoReturn:
        code = 1
        try:
            template_pid = os.getppid()
            os.setsid()
            tie_to_parent(template_pid)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            _redirect_standard_streams(log)
            channel = Channel(socket.socket(fileno=answers))
            sys.modules["rnnprof.worker.passes.serve"].serve(channel)
            code = 0
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self.workers.pop(pid, None)
            if worker is not None:
                _kill_group(pid)  # what the worker itself started
                self.control.sendall(protocol.to_line(_exited(worker, status)))

    def _end(self) -> NoReturn:
        for pid in self.workers:
            _kill_group(pid)
        os._exit(0)


def _redirect_standard_streams(log: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)


def _exited(worker: int, status: int) -> protocol.Exited:
    if os.WIFSIGNALED(status):
        return protocol.Exited(worker, None, os.WTERMSIG(status))
    return protocol.Exited(worker, os.WEXITSTATUS(status), None)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
