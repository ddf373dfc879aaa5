"""A disposable thread for steps that may run out of memory: the caller's thread stays usable.

If oneDNN gets no memory for code that it compiles, the error stays set in that thread: from then on
it compiles nothing there, for any shape, however much memory is free ("could not create a
primitive").  Other threads are not affected, so the thread is discarded after every error.
"""

from __future__ import annotations

import contextvars
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from rnnprof.worker.backends.cpu import start_threads


class DisposableThread:
    """One disposable thread at a time, with its thread pools started."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def ready(self) -> None:
        """Start the thread if there is none; to be called before a limit is set."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="rnnprof-step")
            self._pool.submit(start_threads).result()

    def run(self, work: Callable[[], None]) -> None:
        """Run *work* in the thread as if it were called here: same context, errors and Ctrl-C."""
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
        """Discard the thread."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _wait(future: Future[None], thread: list[int]) -> None:
    """Wait for the end; pass an interrupt of this thread on, and wait for its effect."""
    try:
        future.result()
    except KeyboardInterrupt:
        if not future.done() and thread:
            interrupt = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread[0]), interrupt)
            future.exception()
        raise
