"""What a job of a script is expected to take, from the check of the script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rnnprof.engine.order import Order
from rnnprof.engine.sweep import MIN_POINTS_FOR_ANCHOR
from rnnprof.points.fold import by_point, missing_passes
from rnnprof.points.reasons import StartTakes
from rnnprof.points.starts import before_s, fixed_bytes, start_s, train_step_s
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome
from rnnprof.runfile.records import Run

FIRST_PROBES: Final = 4
"""Probes of a search after the check, at the first T ..."""

FURTHER_PROBES: Final = 3
"""... and at each further one."""

MEMORY_STEPS: Final = 4
"""Training steps of a memory pass, which is slower than training."""


def expected_cost(order: Order, run: Run, fits: Sequence[Fit]) -> StartTakes | None:
    """What starts of a script take, with the whole job's time if a pass of the check ended well.

    Args:
        run: what the file holds, with the check.
        fits: the passes of the check.
    """
    each_s = start_s(fits)
    if each_s is None:
        return None
    passed = next((fit for fit in fits if fit.outcome is Outcome.MEASURED), None)
    if passed is None or (step_s := train_step_s(passed)) is None:
        return StartTakes(each_s)
    per_size_s = step_s / (passed.batch * passed.time_steps)
    if order.command == "profile":
        starts, training_s = _of_sweep(order, run, per_size_s)
    elif order.command == "max-batch":
        starts, training_s = _of_search(order, run, passed, per_size_s)
    else:
        return StartTakes(each_s)
    total_s = starts * (each_s + before_s(passed)) + training_s
    return StartTakes(each_s, starts, total_s) if starts else None


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


def _of_search(order: Order, run: Run, passed: Fit, per_size_s: float) -> tuple[int, float]:
    """Starts of the probes that the search still needs, and the seconds of their training.

    Each is taken to train at the largest batch, as the bytes of the check predict it.
    """
    proven = {certificate.time_steps for certificate in run.certificates}
    left = [time_steps for time_steps in order.grid.time_steps if time_steps not in proven]
    if not left:
        return 0, 0.0
    starts = (
        FIRST_PROBES + (len(left) - 1) * FURTHER_PROBES + len(left) * (order.settings.confirm - 1)
    )
    size = _largest_size(passed, order.settings.at_most * max(left))
    return starts, starts * order.settings.confirm_steps * per_size_s * size


def _largest_size(passed: Fit, most: int) -> float:
    """B*T of the largest batch, by the bytes of one pass."""
    size, fixed = passed.batch * passed.time_steps, fixed_bytes(passed) or 0
    peak = passed.peak_charged_bytes or 0
    if peak <= fixed:
        return float(size)
    return min(float(most), max(float(size), size * (passed.limit_bytes - fixed) / (peak - fixed)))
