"""How far a run can be trusted, and why."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rnnprof.points.fold import Drift
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.report.model import RunReport, throughput
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import GOOD_OUTCOMES, Outcome, Point

DRIFT_RATIO: Final = 0.05
"""A drift of the anchor above it moves comparisons more than the timing's own precision does."""


class Trust(enum.StrEnum):
    """How far a run can be trusted."""

    VALID = "VALID"
    NOISY = "NOISY"
    UNFINISHED = "UNFINISHED"


@dataclass(frozen=True, slots=True)
class NothingRequested(Reason):
    """The run has no request."""


@dataclass(frozen=True, slots=True)
class NotEnded(Reason):
    """The last invocation did not come to its end."""


@dataclass(frozen=True, slots=True)
class NotReached(Reason):
    """Points that were requested and not run."""

    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class EndedBadly(Reason):
    """Points that have no answer: crashed, failed or timed out."""

    points: tuple[Point, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LargestUnknown(Reason):
    """The largest batch at a T is not known."""

    time_steps: int
    why: Reason | None


@dataclass(frozen=True, slots=True)
class TimedNoisy(Reason):
    """Points whose time is noisy, though it was repeated once.

    Attributes:
        first: one of them, and *noise*: what made it so.
    """

    points: tuple[Point, ...]
    first: Point
    noise: Reason


@dataclass(frozen=True, slots=True)
class SpeedDrifted(Reason):
    """The machine's speed drifted between timings of the anchor point."""

    point: Point
    ratio: float


@dataclass(frozen=True, slots=True)
class AllAnswered(Reason):
    """Every point has its answer."""

    points: int


@dataclass(frozen=True, slots=True)
class AllLargestKnown(Reason):
    """The largest batch is known at every T."""

    lengths: int


@dataclass(frozen=True, slots=True)
class NoneNoisy(Reason):
    """No timing that counts was noisy."""


@dataclass(frozen=True, slots=True)
class DriftedLittle(Reason):
    """The anchor point's drift, within what is allowed."""

    point: Point
    ratio: float


@dataclass(frozen=True, slots=True)
class Loose(Reason):
    """Times that did not settle within the precision requested."""

    loose: int
    timed: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a run and what it rests on."""

    verdict: Trust
    reasons: tuple[Reason, ...]


def judge_run(report: RunReport) -> Judgement:
    """UNFINISHED where a measurement is missing, NOISY where times cannot be relied on."""
    missing, noisy, loose = tuple(_missing(report)), tuple(_noisy(report)), tuple(_loose(report))
    if missing:
        return Judgement(Trust.UNFINISHED, missing + noisy + loose)
    if noisy:
        return Judgement(Trust.NOISY, noisy + loose)
    return Judgement(Trust.VALID, (*_sound(report), *loose))


def large_drift(drift: Drift | None) -> SpeedDrifted | None:
    """The drift where it is so large that times of different points hardly compare."""
    if drift is None or drift.ratio <= DRIFT_RATIO:
        return None
    return SpeedDrifted(drift.point, drift.ratio)


def _missing(report: RunReport) -> Iterator[Reason]:
    if not report.run.requests:
        yield NothingRequested()
    elif not report.run.is_finished:
        yield NotEnded()
    absent = tuple(point for point in report.points if point not in report.measurements)
    if absent:
        yield NotReached(absent)
    for outcome in (o for o in Outcome if o not in GOOD_OUTCOMES):
        points = tuple(m.point for m in report.measurements.values() if m.outcome is outcome)
        if points:
            yield EndedBadly(points, outcome)
    for proof in report.frontier:
        if proof.status is EdgeStatus.INDETERMINATE:
            yield LargestUnknown(proof.time_steps, proof.reason)


def _noisy(report: RunReport) -> Iterator[Reason]:
    noisy = [(m.point, m.noisy) for m in _timed(report) if m.noisy]
    if noisy:
        yield TimedNoisy(tuple(point for point, _ in noisy), *noisy[0])
    drifted = large_drift(report.drift)
    if drifted is not None:
        yield drifted


def _sound(report: RunReport) -> Iterator[Reason]:
    if report.measurements:
        yield AllAnswered(len(report.measurements))
    if report.frontier:
        yield AllLargestKnown(len(report.frontier))
    if _timed(report):
        yield NoneNoisy()
    if report.drift is not None:
        yield DriftedLittle(report.drift.point, report.drift.ratio)


def _loose(report: RunReport) -> Iterator[Reason]:
    timed = _timed(report)
    loose = sum(m.converged is False for m in timed)
    if loose:
        yield Loose(loose, len(timed))


def _timed(report: RunReport) -> list[Measurement]:
    return [m for _, m in sorted(report.measurements.items()) if throughput(m) is not None]
