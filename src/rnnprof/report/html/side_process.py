"""Work in a forked process beside this one: a report's files are drawn on two processors."""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
import warnings
from collections.abc import Callable
from typing import IO, Any, Final, Generic, TypeVar

T = TypeVar("T")

FAILED: Final = 1


class SideProcess(Generic[T]):
    """One call in a forked process, if there is a second processor.

    The child sees this process's objects as they are at its start.  If there is no child, or if it
    fails, the result is made here, so that an error is raised as without a child.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._answer: IO[bytes] | None = None
        self._pid = 0
        if _can_fork():
            self._start()

    def result(self) -> T:
        """What the call returns; waits for the child.

        Raises:
            Exception: as the call does.
        """
        if self._answer is None:
            return self._make()
        _, status = os.waitpid(self._pid, 0)
        with self._answer as answer:
            answer.seek(0)
            content = answer.read()
        if status != 0:
            return self._make()
        made: T = pickle.loads(content)  # noqa: S301  of our own child
        return made

    def _start(self) -> None:
        try:
            answer = tempfile.TemporaryFile()  # noqa: SIM115  closed in result()
        except OSError:
            return
        try:
            with warnings.catch_warnings():
                # threads of a numerical library, which are idle here
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except OSError:
            answer.close()
            return
        if self._pid == 0:
            _answer_and_exit(self._make, answer)
        self._answer = answer


def _can_fork() -> bool:
    """Whether a second processor is there, and no other thread of Python that a fork would cut."""
    return hasattr(os, "fork") and _processors() > 1 and threading.active_count() == 1


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _answer_and_exit(make: Callable[[], Any], answer: IO[bytes]) -> None:
    status = FAILED
    try:
        pickle.dump(make(), answer)
        answer.flush()
        status = 0
    finally:
        os._exit(status)
