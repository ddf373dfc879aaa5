"""Sentences of how far a run can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rnnprof.report.trust import (
    AllAnswered,
    AllLargestKnown,
    DriftedLittle,
    EndedBadly,
    LargestUnknown,
    Loose,
    NoneNoisy,
    NotEnded,
    NothingRequested,
    NotReached,
    SpeedDrifted,
    TimedNoisy,
)
from rnnprof.report.words.dispatch import say
from rnnprof.report.words.phrases import because, counted
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import format_ratio

NAMED_POINTS: Final = 4
"""More points than these are counted, not named."""


@say.register
def _(_: NothingRequested) -> str:
    return "nothing was requested"


@say.register
def _(_: NotEnded) -> str:
    return "the last invocation was stopped before its end"


@say.register
def _(reason: NotReached) -> str:
    return f"{_counted(reason.points)} not reached"


@say.register
def _(reason: EndedBadly) -> str:
    ended = "timed out" if reason.outcome is Outcome.TIMEOUT else reason.outcome.value
    return f"{_counted(reason.points)} {ended}"


@say.register
def _(reason: LargestUnknown) -> str:
    return f"the largest batch at T={reason.time_steps} is not known{because(reason.why)}"


@say.register
def _(reason: TimedNoisy) -> str:
    return (
        f"{_counted(reason.points)} timed while noisy, though repeated once ({reason.first}: "
        f"{say(reason.noise)})"
    )


@say.register
def _(reason: SpeedDrifted) -> str:
    return (
        f"the machine's speed drifted by {format_ratio(reason.ratio)} between timings of the "
        f"anchor {reason.point}: compare times across points with care; memory does not depend on "
        "it"
    )


@say.register
def _(reason: AllAnswered) -> str:
    return (
        f"all {reason.points} points have an answer"
        if reason.points > 1
        else "the point has an answer"
    )


@say.register
def _(reason: AllLargestKnown) -> str:
    return f"the largest batch is known at {reason.lengths} of {reason.lengths} T"


@say.register
def _(_: NoneNoisy) -> str:
    return "no timing that counts was noisy"


@say.register
def _(reason: DriftedLittle) -> str:
    return f"the anchor {reason.point} drifted by {format_ratio(reason.ratio)}"


@say.register
def _(reason: Loose) -> str:
    return (
        f"{reason.loose} of {reason.timed} times did not settle within the precision requested: "
        "their intervals are shown"
    )


def _counted(points: Sequence[Point]) -> str:
    """``2 points (B=8 T=16, B=16 T=16)``; of many the number alone."""
    head = counted(len(points), "point")
    if len(points) > NAMED_POINTS:
        return head
    return f"{head} ({', '.join(map(str, sorted(points)))})"
