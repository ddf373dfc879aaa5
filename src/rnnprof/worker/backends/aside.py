"""A thread to run steps in that may run out of memory, so that the caller's own stays whole.

When oneDNN is refused memory for code that it compiles, the error stays set in that thread: from
then on it compiles nothing there, for no shape, whatever memory is free ("could not create a
primitive").  Other threads are not touched by it, so the thread is given up after every error.
"""

from __future__ import annotations

import contextvars
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from rnnprof.worker.backends.cpu import start_threads


class Aside:
    """One thread at a time, with its pools started."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def ready(self) -> None:
        """Start the thread, before a limit is in force, where there is none."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="rnnprof-step")
            self._pool.submit(start_threads).result()

    def run(self, work: Callable[[], None]) -> None:
        """Run *work* there as if it were called here: its context, errors and Ctrl-C included."""
        self.ready()
        assert self._pool is not None
        context, has_gradients = contextvars.copy_context(), torch.is_grad_enabled()
        thread: list[int] = []

        def body() -> None:
            thread.append(threading.get_ident())
            with torch.set_grad_enabled(has_gradients):
                context.run(work)

        future = self._pool.submit(body)
        try:
            _wait(future, thread)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the thread up."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _wait(future: Future[None], thread: list[int]) -> None:
    """Wait for the end; an interrupt of this thread is handed on, and waited for as well."""
    try:
        future.result()
    except KeyboardInterrupt:
        if not future.done() and thread:
            interrupt = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread[0]), interrupt)
            future.exception()
        raise
