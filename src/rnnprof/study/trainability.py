"""Reach, noise scale and time to a target loss, from a run's gradient and training passes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from rnnprof.runfile.observations import Gradient, Learning
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.runfile.study import Study
from rnnprof.study.noise_scale import Draw, NoiseScale, noise_scale
from rnnprof.study.reach import REACH_RATIO, Reach, reach_of

MIN_SEEDS: Final = 3
"""Fewer training runs show no spread: the time of one depends on its seed."""


@dataclass(frozen=True, slots=True)
class ReachAt:
    """The reach at one T, after a number of training steps.

    Attributes:
        inputs: the tensor that the reach refers to: ``input`` or ``embedding``.
        reach: None where *reason* says why it could not be measured.
        clipped_ratio: share of the training steps whose gradient was clipped; None where unknown.
    """

    time_steps: int
    train_steps: int
    inputs: str | None
    reach: Reach | None
    clipped_ratio: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class NoiseAt:
    """The noise scale at one T, after a number of training steps.

    Attributes:
        scale: None where it was not measured.
        reason: why it was not measured.
    """

    time_steps: int
    train_steps: int
    small_batch: int | None
    big_batch: int | None
    scale: NoiseScale | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ToTarget:
    """The training runs at one point, one for each seed.

    Attributes:
        seeds: number of training runs.
        reached: how many of them reached the target.
        train_steps, sequences, train_s: medians over all seeds until the target; None if so few
            reached it that the median is unknown.
        spread_s: the shortest and longest time of those that reached it; None without any.
        at_start: whether the target was met before any training.
        learning_rate: None if a factory decides it.
    """

    point: Point
    target_loss: float
    seeds: int
    reached: int
    train_steps: float | None
    sequences: float | None
    train_s: float | None
    spread_s: tuple[float, float] | None
    at_start: bool
    learning_rate: float | None


@dataclass(frozen=True, slots=True)
class Trainability:
    """All results of a run's studies, by T (and B) and by training steps."""

    study: Study | None
    reach: tuple[ReachAt, ...] = ()
    noise: tuple[NoiseAt, ...] = ()
    to_target: tuple[ToTarget, ...] = ()

    def noise_at(self, time_steps: int) -> NoiseAt | None:
        """The noise scale at a T after the most training steps; None if none is known."""
        known = [each for each in self.noise if each.time_steps == time_steps and _is_found(each)]
        return max(known, key=lambda each: each.train_steps, default=None)


def _is_found(each: NoiseAt) -> bool:
    return each.scale is not None and each.scale.sequences is not None


def trainability_of(run: Run) -> Trainability:
    """Combine a run's passes; the newer of two equal passes counts, and only the last target."""
    studies = [r.settings.study for r in run.requests if r.settings.study is not None]
    study = studies[-1] if studies else None
    gradients: dict[tuple[int, int], Gradient] = {}
    trainings: dict[Point, dict[int, Learning]] = defaultdict(dict)
    target: float | None = None
    for each in run.observations:
        if each.outcome is not Outcome.MEASURED:
            continue
        if isinstance(each, Gradient):
            gradients[each.time_steps, each.train_steps] = each
        elif isinstance(each, Learning):
            if each.target_loss != target:
                trainings.clear()
            target = each.target_loss
            trainings[each.point][each.seed] = each
    ordered = [gradients[key] for key in sorted(gradients)]
    threshold = study.reach_ratio if study else REACH_RATIO
    return Trainability(
        study,
        tuple(_reach_at(each, threshold) for each in ordered),
        tuple(_noise_at(each) for each in ordered if each.train_steps > 0),
        tuple(
            _to_target(point, list(trainings[point].values()))
            for point in sorted(trainings, key=lambda point: (point.time_steps, point.batch))
        ),
    )


def _reach_at(each: Gradient, threshold: float) -> ReachAt:
    clipped = None
    if each.clipped_steps is not None and each.train_steps:
        clipped = each.clipped_steps / each.train_steps
    found = None
    if each.lag_norms:
        draws = [[math.nan if n is None else n for n in norms] for norms in each.lag_norms]
        found = reach_of(draws, threshold)
    return ReachAt(
        each.time_steps, each.train_steps, each.inputs, found, clipped, each.reach_reason
    )


def _noise_at(each: Gradient) -> NoiseAt:
    scale = None
    if each.small_squared and each.small_batch is not None and each.big_batch is not None:
        draws = [
            Draw(math.nan if small is None else small, math.nan if big is None else big)
            for small, big in zip(each.small_squared, each.big_squared, strict=True)
        ]
        scale = noise_scale(draws, each.small_batch, each.big_batch)
    return NoiseAt(
        each.time_steps,
        each.train_steps,
        each.small_batch,
        each.big_batch,
        scale,
        each.noise_reason,
    )


def _to_target(point: Point, trainings: Sequence[Learning]) -> ToTarget:
    reached = [each for each in trainings if each.reached]
    seconds = [each.train_s for each in reached]
    return ToTarget(
        point,
        trainings[-1].target_loss or 0.0,
        len(trainings),
        len(reached),
        _median_of_all([float(each.train_steps) for each in reached], len(trainings)),
        _median_of_all([float(each.sequences) for each in reached], len(trainings)),
        _median_of_all(seconds, len(trainings)),
        (min(seconds), max(seconds)) if seconds else None,
        any(each.train_steps == 0 for each in reached),
        trainings[-1].learning_rate,
    )


def _median_of_all(reached: Sequence[float], count: int) -> float | None:
    """The median over *count* runs, where those that did not reach the target count as infinite."""
    middle = median([*reached, *[math.inf] * (count - len(reached))])
    return middle if math.isfinite(middle) else None
