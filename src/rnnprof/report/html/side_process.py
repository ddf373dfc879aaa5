"""Work in a forked process beside this one: a report's files are drawn on two processors."""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

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
            except EOFError:  # the child ended without an answer
                return self._make()
        return made

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")  # the call is no object that can be sent
        answer, sending = context.Pipe(duplex=False)
        with sending, warnings.catch_warnings(), suppress(OSError):
            # threads of a numerical library, which are idle here
            warnings.simplefilter("ignore", DeprecationWarning)
            context.Process(target=_send, args=(self._make, sending), daemon=True).start()
            self._answer = answer


def _can_fork() -> bool:
    """Whether a second processor is there, and no other thread of Python that a fork would cut."""
    return hasattr(os, "fork") and _processors() > 1 and threading.active_count() == 1


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _send(make: Callable[[], Any], sending: Connection) -> None:
    with suppress(Exception):  # the parent makes it again, and raises
        sending.send(make())
