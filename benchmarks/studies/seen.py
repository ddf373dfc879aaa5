"""The data that the rules of thumb are judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.points.measurement import Measurement
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.points import Point
from rnnprof.study.trainability import ToTarget, Trainability

NEAR_BEST: Final = 0.05
"""A throughput within this share of the best counts as nearly the best."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The data of both runs."""

    points: Mapping[Point, Measurement]
    frontier: Sequence[Certificate]
    study: Trainability
    limit_bytes: int

    @property
    def timed(self) -> list[Measurement]:
        """Points with a throughput."""
        return [m for m in self.points.values() if m.time_steps_per_s]

    def at_steps(self, time_steps: int) -> list[Measurement]:
        """The timed points at one T, by batch."""
        return sorted(
            (m for m in self.timed if m.point.time_steps == time_steps), key=lambda m: m.point.batch
        )

    def at_batch(self, batch: int) -> list[Measurement]:
        """The timed points at one B, by T."""
        return sorted(
            (m for m in self.timed if m.point.batch == batch), key=lambda m: m.point.time_steps
        )

    @property
    def lengths(self) -> list[int]:
        """Every timed T, in order."""
        return sorted({m.point.time_steps for m in self.timed})

    @property
    def targets(self) -> dict[int, list[ToTarget]]:
        """Trainings to the target loss by T, each list by batch."""
        groups: dict[int, list[ToTarget]] = {}
        for each in self.study.to_target:
            groups.setdefault(each.point.time_steps, []).append(each)
        return groups


def rate(measurement: Measurement) -> float:
    """Time steps per second."""
    return measurement.time_steps_per_s or 0.0


def saturation(at: Sequence[Measurement]) -> Measurement:
    """The smallest batch within 5% of the best rate."""
    best = max(map(rate, at))
    return next(m for m in at if rate(m) >= (1 - NEAR_BEST) * best)
