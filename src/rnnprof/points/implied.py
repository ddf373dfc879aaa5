"""Points that need not be run, because a smaller one was out of memory."""

from __future__ import annotations

from collections.abc import Iterable

from rnnprof.runfile.points import Point


def dominating_oom(point: Point, ooms: Iterable[Point]) -> Point | None:
    """The smallest out-of-memory point with no larger batch and no more time steps; else None."""
    below = [
        oom
        for oom in ooms
        if oom != point and oom.batch <= point.batch and oom.time_steps <= point.time_steps
    ]
    return min(below, key=lambda oom: (oom.batch * oom.time_steps, oom), default=None)
