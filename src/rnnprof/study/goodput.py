"""Goodput: throughput times what a sequence is worth at a batch; and how long a chunk should be.

Larger batches run faster and teach less per sequence: at batch B a sequence is worth
``(noise + M) / (noise + B)`` of one at the smallest batch measured, M, where *noise* is the noise
scale (Qiao et al., Pollux, OSDI 2021, section 3).  Only what was measured is judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.runfile.points import Point
from rnnprof.study.noise_scale import efficiency
from rnnprof.study.reasons import (
    BestOfReach,
    FasterButShort,
    NothingTimed,
    ReachEnough,
    ReachTooShort,
    ReachUnknown,
    RestsOnNoise,
    Worth,
)
from rnnprof.study.trainability import NoiseAt, Trainability

NEAR_BEST_RATIO: Final = 0.05
"""As for throughput: a smaller batch that gives up less than this is as good."""


@dataclass(frozen=True, slots=True)
class GoodputPoint:
    """A point by what its steps are worth.

    Attributes:
        sequences_per_s: as measured.
        efficiency: what a sequence is worth, against the smallest batch at this T.
        goodput_per_s: sequences of the smallest batch that would teach as much, per second.
    """

    point: Point
    sequences_per_s: float
    efficiency: float
    goodput_per_s: float


@dataclass(frozen=True, slots=True)
class Goodput:
    """The batch to train with at one T, where the noise scale is known.

    Attributes:
        batch: the smallest within 5% of the best goodput.
        range: the smallest and the largest batch advised at the ends of the noise scale's interval.
        points: every batch that was judged, ascending.
        noise: what it rests on.
        reasons: what it rests on.
    """

    time_steps: int
    batch: int
    range: tuple[int, int]
    points: tuple[GoodputPoint, ...]
    noise: NoiseAt
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """How long to cut a sequence for truncated back-propagation.

    Attributes:
        steps: time steps of a chunk; None where it cannot be told.
        batch: at which it ran best.
        chunks: that a sequence of the length asked for makes; the last one may be shorter.
        reasons: what it rests on, or why there is none.
    """

    time_steps: int | None
    batch: int | None
    chunks: int | None
    reasons: tuple[Reason, ...]


def goodput_at(
    time_steps: int, usable: Iterable[Measurement], found: Trainability
) -> Goodput | None:
    """Judge the measured batches at a T; None where no noise scale is known there.

    Args:
        usable: points that fit with headroom and do not thrash.
    """
    noise = found.noise_at(time_steps)
    timed = sorted(
        (m for m in usable if m.point.time_steps == time_steps and m.time_steps_per_s),
        key=lambda m: m.point.batch,
    )
    if noise is None or noise.scale is None or noise.scale.sequences is None or not timed:
        return None
    scale = noise.scale
    assert scale.sequences is not None
    assert scale.interval is not None  # what has a middle has ends
    points = _points(timed, scale.sequences)
    chosen = _chosen(points)
    batches = [_chosen(_points(timed, end)).point.batch for end in scale.interval]
    spread = (min(batches), max(batches))
    reasons = (_worth(chosen, points), _rests_on(noise, spread))
    return Goodput(time_steps, chosen.point.batch, spread, points, noise, reasons)


def _points(timed: Sequence[Measurement], noise: float) -> tuple[GoodputPoint, ...]:
    least = _sequences_per_step(timed[0])
    found = []
    for each in timed:
        rate = (each.time_steps_per_s or 0.0) / each.point.time_steps
        share = 1.0 if math.isinf(noise) else efficiency(noise, _sequences_per_step(each), least)
        found.append(GoodputPoint(each.point, rate, share, rate * share))
    return tuple(found)


def _sequences_per_step(measurement: Measurement) -> int:
    """That a gradient is of; where micro-batches are accumulated, more than the batch."""
    if measurement.sequences_per_s is None or measurement.step_time_s is None:
        return measurement.point.batch
    return round(measurement.sequences_per_s * measurement.step_time_s)


def _chosen(points: Sequence[GoodputPoint]) -> GoodputPoint:
    best = max(point.goodput_per_s for point in points)
    return next(p for p in points if p.goodput_per_s >= (1 - NEAR_BEST_RATIO) * best)


def _worth(chosen: GoodputPoint, points: Sequence[GoodputPoint]) -> Worth:
    fastest = max(points, key=lambda point: point.sequences_per_s)
    worth = Worth(chosen.sequences_per_s, chosen.efficiency, points[0].point.batch)
    if fastest.point == chosen.point:
        return worth
    return replace(
        worth,
        fastest_batch=fastest.point.batch,
        times=fastest.sequences_per_s / chosen.sequences_per_s,
        fastest_ratio=fastest.efficiency,
    )


def _rests_on(noise: NoiseAt, spread: tuple[int, int]) -> RestsOnNoise:
    scale = noise.scale
    assert scale is not None
    assert scale.sequences is not None
    assert scale.interval is not None
    return RestsOnNoise(noise.train_steps, scale.sequences, scale.interval, spread)


def chunk_for(length: int, reach: int, usable: Iterable[Measurement], found: Trainability) -> Chunk:
    """The T to cut sequences of *length* into, of those measured, that keeps *reach*.

    Of the T whose gradient reaches so far back, the one with the most time steps/s.
    """
    timed = [m for m in usable if m.time_steps_per_s and m.point.time_steps <= length]
    if not timed:
        return Chunk(None, None, None, (NothingTimed(length),))
    reached = _reached(found)
    known = [m for m in timed if m.point.time_steps in reached]
    if not known:
        time_steps = tuple(sorted({m.point.time_steps for m in timed}))
        return Chunk(None, None, None, (ReachUnknown(time_steps),))
    enough = [m for m in known if reached[m.point.time_steps] >= reach]
    if not enough:
        furthest = max(known, key=lambda m: reached[m.point.time_steps]).point.time_steps
        short = ReachTooShort(reach, reached[furthest], furthest)
        return Chunk(None, None, None, (short,))
    best = max(enough, key=lambda m: m.time_steps_per_s or 0.0)
    return Chunk(
        best.point.time_steps,
        best.point.batch,
        math.ceil(length / best.point.time_steps),
        _chunk_reasons(best, known, reached, reach),
    )


def _reached(found: Trainability) -> dict[int, int]:
    """By T, the reach after the most training steps that was found."""
    latest: dict[int, tuple[int, int]] = {}
    for each in found.reach:
        if each.reach is not None and each.reach.reach is not None:
            latest[each.time_steps] = max(
                latest.get(each.time_steps, (-1, 0)), (each.train_steps, each.reach.reach)
            )
    return {time_steps: reach for time_steps, (_, reach) in latest.items()}


def _chunk_reasons(
    best: Measurement, known: Sequence[Measurement], reached: dict[int, int], reach: int
) -> tuple[Reason, ...]:
    time_steps = best.point.time_steps
    reasons: list[Reason] = [
        ReachEnough(time_steps, reached[time_steps], reach),
        BestOfReach(best.time_steps_per_s or 0.0, best.point.batch),
    ]
    faster = [
        m
        for m in known
        if (m.time_steps_per_s or 0.0) > (best.time_steps_per_s or 0.0)
        and reached[m.point.time_steps] < reach
    ]
    if faster:
        top = max(faster, key=lambda m: m.time_steps_per_s or 0.0)
        short = reached[top.point.time_steps]
        reasons.append(FasterButShort(top.point, top.time_steps_per_s or 0.0, short))
    return tuple(reasons)
