"""Ctrl-C and SIGTERM: each ends the command with its exit code, without a traceback."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_S: Final = 0.01
"""A stop that Python could not raise is raised again after this time."""


class Terminated(BaseException):
    """SIGTERM was received: unwind, end the workers, leave a valid run."""


def hear_interrupts() -> None:
    """Raise ``KeyboardInterrupt`` on Ctrl-C, which the entry point has left to the system."""
    sys.unraisablehook = _raise_again
    signal.signal(signal.SIGALRM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def hear_sigterm() -> None:
    """Unwind on SIGTERM as on Ctrl-C: the workers end, the run file is valid."""
    signal.signal(signal.SIGTERM, _terminate)


def ignore() -> None:
    """From here on the answer is written and only Python's own end is left.

    Ctrl-C would print a traceback there; SIGTERM ends the process, as it does before a command
    listens to it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


def end_children() -> None:
    """End the side processes that a report has started: this process does not wait for them."""
    if "multiprocessing" in sys.modules:
        import multiprocessing

        for child in multiprocessing.active_children():
            child.kill()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _terminate(_number: int, _frame: object) -> None:
    raise Terminated


def _raise_again(unraisable: UnraisableHookArgs) -> None:
    """Python drops what is raised while an object is deleted; a stop there must not be lost."""
    if issubclass(unraisable.exc_type, (KeyboardInterrupt, Terminated)):
        handler = _terminate if issubclass(unraisable.exc_type, Terminated) else _interrupt
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)
