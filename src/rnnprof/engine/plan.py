"""The order of the points, their expected cost, and the deadline of each."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from rnnprof.runfile.points import Point

FIRST_DEADLINE_S: Final = 300.0
"""Deadline of the first pass: on a slow machine a step of the largest point is well below 1 min."""

MIN_DEADLINE_S: Final = 60.0

DEADLINE_FACTOR: Final = 20.0
"""A pass that takes 20 times as long as earlier rates predict hangs; it is not slow."""


def shuffled(points: Iterable[Point], seed: int) -> list[Point]:
    """The points in random order, so that drift of the machine is not mistaken for size."""
    order = sorted(points)
    random.Random(seed).shuffle(order)
    return order


def anchor_of(points: Sequence[Point]) -> Point:
    """The point measured first, midway and last: large enough to time well, small enough to fit.

    Its size B*T is the lower quartile of the grid.
    """
    by_size = sorted(points, key=lambda point: (point.batch * point.time_steps, point.time_steps))
    return by_size[(len(by_size) - 1) // 4]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one pass: its size B*T and its wall time, without the start of a script."""

    size: int
    wall_s: float


def deadline_s(point: Point, costs: Sequence[Cost], start_s: float = 0.0) -> float:
    """Seconds after which a pass at *point* is ended, scaled from the slowest rate seen.

    Args:
        start_s: what a script's start has taken; it does not grow with the point.
    """
    return _training_deadline_s(point, costs) + DEADLINE_FACTOR * start_s


def _training_deadline_s(point: Point, costs: Sequence[Cost]) -> float:
    if not costs:
        return FIRST_DEADLINE_S
    slowest = max(cost.wall_s / cost.size for cost in costs)
    largest_wall = max(cost.wall_s for cost in costs)
    scaled = slowest * point.batch * point.time_steps
    # the rate of a tiny point is mostly overhead: bound it by growth from the largest point seen
    by_growth = largest_wall * max(1.0, point.batch * point.time_steps / max(c.size for c in costs))
    return max(MIN_DEADLINE_S, DEADLINE_FACTOR * min(scaled, by_growth))


def remaining_s(
    left: Sequence[Point], done: Sequence[tuple[Point, float]], sizes: Sequence[Point]
) -> float | None:
    """Seconds that the points *left* will take, from those *done*; None before the first.

    A point's weight is a constant for its start-up and timing budget, plus its relative size.
    """
    typical = median(point.batch * point.time_steps for point in sizes)

    def weight(point: Point) -> float:
        return 1.0 + point.batch * point.time_steps / typical

    done_weight = sum(weight(point) for point, _ in done)
    if done_weight == 0:
        return None
    return sum(wall for _, wall in done) / done_weight * sum(weight(point) for point in left)
