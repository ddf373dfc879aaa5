"""What a job of a script is expected to take, from the first passes of the script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rnnprof.engine.order import Order
from rnnprof.engine.sweep import MIN_POINTS_FOR_ANCHOR
from rnnprof.points.fold import by_point, missing_passes
from rnnprof.points.reasons import ProbesLeft, StartTakes
from rnnprof.points.starts import before_s, fixed_bytes, start_s, train_step_s
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome
from rnnprof.runfile.records import Run, Settings

FIRST_PROBES: Final = 4
"""Probes of a search after the check, at the first T ..."""

FURTHER_PROBES: Final = 3
"""... and at each further one."""

MEMORY_STEPS: Final = 4
"""Training steps of a memory pass, which is slower than training."""


def expected_cost(order: Order, run: Run, fits: Sequence[Fit]) -> StartTakes | None:
    """What starts of a script take; for a sweep with the most that all of it takes.

    What a search takes is known only from its first probe (:func:`left_after`): the check trains
    with a batch far below the largest, where a training step is mostly overhead.

    Args:
        run: what the file holds, with the check.
        fits: the passes of the check.
    """
    each_s = start_s(fits)
    if each_s is None:
        return None
    passed = next((fit for fit in fits if fit.outcome is Outcome.MEASURED), None)
    if order.command != "profile" or passed is None or (step_s := train_step_s(passed)) is None:
        return StartTakes(each_s)
    per_size_s = step_s / (passed.batch * passed.time_steps)
    starts, training_s = _of_sweep(order, run, per_size_s)
    total_s = starts * (each_s + before_s(passed)) + training_s
    return StartTakes(each_s, starts, total_s) if starts else None


def left_after(first: Fit, settings: Settings, lengths: int) -> ProbesLeft | None:
    """What a search still takes after its first probe; None where that says too little.

    Each further probe is taken to train at the largest batch, as the bytes of the first one
    predict it: near it, at any T, a training step takes about as long.

    Args:
        lengths: T that have no proof so far, with the one of *first*.
    """
    step_s = train_step_s(first)
    if first.outcome is not Outcome.MEASURED or first.start_s is None or step_s is None:
        return None
    starts = FIRST_PROBES - 1 + (lengths - 1) * FURTHER_PROBES + lengths * (settings.confirm - 1)
    trained_s = settings.confirm_steps * step_s * _growth(first)
    return ProbesLeft(starts, starts * (before_s(first) + first.start_s + trained_s))


def _of_sweep(order: Order, run: Run, per_size_s: float) -> tuple[int, float]:
    """Starts of the passes that the grid still lacks, and the seconds of their training."""
    seen, settings = by_point(run.observations), order.settings
    starts, training_s = 0, 0.0
    points = order.grid.points()
    for point in points:
        names = missing_passes(seen.get(point, ()), settings.processes)
        if names == ["fit"]:  # those after it are not named yet
            names += [*(f"timing:{index}" for index in range(settings.processes)), "memory"]
        timings = sum(name.startswith("timing") for name in names)
        both = 1 if timings and "memory" in names else 0
        starts += len(names) - both
        size_s = per_size_s * point.batch * point.time_steps
        training_s += (len(names) - timings) * MEMORY_STEPS * size_s
        training_s += timings * max(settings.point_seconds, 3 * size_s)
    if starts and settings.processes and len(points) >= MIN_POINTS_FOR_ANCHOR:
        starts, training_s = starts + 2, training_s + 2 * settings.point_seconds
    return starts, training_s


def _growth(fit: Fit) -> float:
    """The largest batch over that of a pass, by its bytes; 1 where they say nothing."""
    fixed, peak = fixed_bytes(fit) or 0, fit.peak_charged_bytes or 0
    return max(1.0, (fit.limit_bytes - fixed) / (peak - fixed)) if peak > fixed else 1.0
