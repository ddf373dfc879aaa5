"""Work in a forked process beside this one: a report's files are drawn on two processors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pickle import UnpicklingError
from typing import Any, Final, Generic, TypeVar

STOPS: Final = (signal.SIGINT, signal.SIGTERM)

T = TypeVar("T")


class SideProcess(Generic[T]):
    """One call in a forked process; here, if there is no second processor.

    The child sees this process's objects as they are at its start.  What it cannot make or send is
    made here again, so that an error is raised as without a child.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._answer: Connection | None = None
        if _can_fork():
            self._start()

    def result(self) -> T:
        """What the call returns; waits for the child.

        Raises:
            Exception: as the call does.
        """
        if self._answer is None:
            return self._make()
        with self._answer as answer:
            try:
                made: T = answer.recv()
            except (EOFError, OSError, UnpicklingError):
                return self._make()  # the child ended before its answer, or within it
        return made

    def _start(self) -> None:
        """Fork; where the system refuses it (no process, no open file), all is made here."""
        context = multiprocessing.get_context("fork")  # the call is no object that can be sent
        with suppress(OSError):
            answer, sending = context.Pipe(duplex=False)
            with sending, warnings.catch_warnings(), _deaf():
                # threads of a numerical library, which are idle here
                warnings.simplefilter("ignore", DeprecationWarning)
                process = context.Process(target=_send, args=(self._make, sending), daemon=True)
                try:
                    process.start()
                except OSError:
                    answer.close()
                    raise
            self._answer = answer


@contextmanager
def _deaf() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM: a child inherits this, until it no longer prints tracebacks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _can_fork() -> bool:
    """Whether a second processor is there, and no other thread of Python that a fork would cut."""
    return hasattr(os, "fork") and _processors() > 1 and threading.active_count() == 1


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _send(make: Callable[[], Any], sending: Connection) -> None:
    for number in STOPS:  # the parent tells of them
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    with suppress(Exception):  # the parent makes it again, and raises
        sending.send(make())
