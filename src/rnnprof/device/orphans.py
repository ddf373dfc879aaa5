"""Find and end the processes that a user's code leaves behind, on Linux.

A process that leaves its session, and whose parent has ended, has no tie to the worker that started
it.  Two marks are left.  The template is a child subreaper: orphans of its workers become its own
children.  And a random token stands in the template's environment, which all that it starts
inherits: so they are found after the template has ended as well.

Elsewhere, and where /proc is not readable, nothing is found and nothing is ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK_VARIABLE: Final = "_RNNPROF_TEMPLATES"
"""Holds the token of each template above a process: a profiled script may profile another."""

PR_SET_CHILD_SUBREAPER: Final = 36  # <linux/prctl.h>

SWEEP_S: Final = 1.0
"""Bound of one sweep: two of them, and a template's own end, fit in a second or two of Ctrl-C."""

ROUND_S: Final = 0.002
"""Pause after a round of SIGKILL, in which the kernel ends the processes."""

STOP_ROUNDS: Final = 50
"""Rounds of SIGSTOP before SIGKILL: a stopped process starts no other while the rest are found.

A process that forks faster than it is found is then killed a round at a time."""

MARKED_EMPTY_SCANS: Final = 3
"""A process that goes on in a new one can be missed by a scan of all processes."""

PROC: Final = Path("/proc")


def new_token() -> str:
    """A token of constant length: the size of the environment changes a process's memory."""
    return uuid.uuid4().hex


def with_token(environment: Mapping[str, str], token: str) -> dict[str, str]:
    """*environment* with the token after those of the templates above."""
    above = environment.get(MARK_VARIABLE)
    return {**environment, MARK_VARIABLE: f"{above}:{token}" if above else token}


def adopt_orphans() -> None:
    """Let this process become the parent of its descendants whose parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(within_s: float = SWEEP_S) -> bool:
    """End and reap every process below this one; False if some are left after *within_s*."""
    own = os.getpid()

    def find() -> Iterator[int]:
        if _reap_children():
            yield from _descendants(own)

    return _end_all(find, lambda pid: _is_below(pid, own), within_s, empty_scans=1)


def end_marked(token: str, within_s: float = SWEEP_S) -> bool:
    """End every process that inherited *token*; False if some are left after *within_s*."""
    mark = token.encode()

    def is_marked(pid: int) -> bool:
        return mark in _environment(pid)

    def find() -> Iterator[int]:
        # the youngest first: what goes on in ever new processes has moved on by the end of a scan
        return filter(is_marked, sorted(_all_pids(), reverse=True))

    return _end_all(find, is_marked, within_s, MARKED_EMPTY_SCANS)


def _end_all(
    find: Callable[[], Iterator[int]],
    belongs: Callable[[int], bool],
    within_s: float,
    empty_scans: int,
) -> bool:
    """Stop what is found, then kill it, until *empty_scans* in a row find nothing."""
    until_s = time.monotonic() + within_s
    stopped: set[int] = set()
    slept_s = 0.0  # a clock can stand still
    rounds = empty = 0
    while empty < empty_scans:
        is_late = time.monotonic() > until_s or slept_s > within_s
        may_stop = rounds < STOP_ROUNDS and not is_late
        found, new = _signal_found(find(), belongs, stopped if may_stop else None)
        if is_late:
            return not found
        if found and not new:
            for pid in found:
                _send(pid, signal.SIGKILL, belongs)
            time.sleep(ROUND_S)
            slept_s += ROUND_S
        stopped |= new
        rounds += 1
        empty = 0 if found else empty + 1
    return True


def _signal_found(
    found: Iterator[int], belongs: Callable[[int], bool], stopped: set[int] | None
) -> tuple[set[int], set[int]]:
    """Stop each process, at once, that is not among *stopped*; kill each where that is None.

    Returns:
        All that were found, and those that were stopped.
    """
    seen, new = set[int](), set[int]()
    for pid in found:
        seen.add(pid)
        if stopped is None:
            _send(pid, signal.SIGKILL, belongs)
        elif pid not in stopped:
            _send(pid, signal.SIGSTOP, belongs)
            new.add(pid)
    return seen, new


def _send(pid: int, number: int, belongs: Callable[[int], bool]) -> None:
    """Send a signal, unless the process has ended and its number belongs to another now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, AttributeError):  # an old kernel, a sandbox, no descriptor left
        handle = None
    with suppress(ProcessLookupError, PermissionError):
        if not belongs(pid):
            pass
        elif handle is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    if handle is not None:
        os.close(handle)


def _reap_children() -> bool:
    """Reap the children that have ended; whether any are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _descendants(pid: int) -> Iterator[int]:
    """The living processes below *pid*."""
    seen: set[int] = set()
    todo = _children(pid)
    while todo:
        child = todo.pop()
        if child not in seen and _stat(child)[0] not in "ZX":
            seen.add(child)
            yield child
            todo += _children(child)


def _children(pid: int) -> list[int]:
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
    except OSError:  # it has ended
        return []
    try:
        return [int(word) for each in threads for word in (each / "children").read_text().split()]
    except OSError:  # it has ended, or this kernel does not list children
        return [each for each in _all_pids() if _stat(each)[1] == pid]


def _is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        pid = _stat(pid)[1]
        if pid == ancestor:
            return True
    return False


def _stat(pid: int) -> tuple[str, int]:
    """State and parent of a process; ("X", 0) if it has ended."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return "X", 0
    state, parent, *_ = text.rpartition(")")[2].split()
    return state, int(parent)


def _environment(pid: int) -> bytes:
    """The environment that a process began with; empty if it has ended or is another user's."""
    try:
        return (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""


def _all_pids() -> list[int]:
    try:
        return [int(each.name) for each in PROC.iterdir() if each.name.isdigit()]
    except OSError:
        return []
