"""Goodput (throughput times statistical efficiency), and the length of chunks.

Larger batches run faster, but each sequence contributes less progress: at batch B it contributes
``(noise + M) / (noise + B)`` of a sequence at the smallest measured batch, M, where *noise* is the
noise scale (Qiao et al., Pollux, OSDI 2021, section 3).  Only measured points are judged.
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
"""As for throughput: a smaller batch that loses less than this is as good."""


@dataclass(frozen=True, slots=True)
class GoodputPoint:
    """A point with its goodput.

    Attributes:
        sequences_per_s: measured throughput.
        efficiency: progress per sequence, relative to the smallest batch at this T.
        goodput_per_s: throughput times efficiency: sequences per second of the smallest batch with
            the same progress.
    """

    point: Point
    sequences_per_s: float
    efficiency: float
    goodput_per_s: float


@dataclass(frozen=True, slots=True)
class Goodput:
    """The batch to train with at one T by goodput, where the noise scale is known.

    Attributes:
        batch: the smallest within 5% of the best goodput.
        range: the smallest and largest of the batches chosen at the ends of the noise scale's
            interval.
        points: every judged batch, ascending.
        noise: the noise scale.
        reasons: the figures behind the choice.
    """

    time_steps: int
    batch: int
    range: tuple[int, int]
    points: tuple[GoodputPoint, ...]
    noise: NoiseAt
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The length of chunks for truncated back-propagation.

    Attributes:
        time_steps: time steps of a chunk; None where unknown.
        batch: the batch with the best throughput at this length.
        chunks: number of chunks in a sequence of the requested length; the last may be shorter.
        reasons: the figures behind the choice, or why there is none.
    """

    time_steps: int | None
    batch: int | None
    chunks: int | None
    reasons: tuple[Reason, ...]


def goodput_at(
    time_steps: int, usable: Iterable[Measurement], found: Trainability
) -> Goodput | None:
    """Judge the measured batches at a T; None if no noise scale is known there.

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
    assert scale.interval is not None  # a noise scale always has an interval
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
    """Sequences per gradient; more than the batch if micro-batches are accumulated."""
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
    """The measured T for chunks of sequences of *length*: the fastest that keeps *reach*.

    Args:
        length: time steps of a whole sequence.
        reach: time steps that the gradient must reach back.
        usable: points that fit with headroom and do not thrash.
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
    """The reach by T, after the largest number of training steps."""
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
