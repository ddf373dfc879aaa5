"""Observations to measurements: what a point's attempts say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, TypeVar

from rnnprof.analysis.disturbance import judge
from rnnprof.analysis.plan import dominating_oom
from rnnprof.analysis.statistics import median_interval
from rnnprof.records import (
    Fit,
    Measurement,
    Memory,
    Observation,
    Outcome,
    Point,
    Role,
    Run,
    Timing,
)

MIN_PROCESSES: Final = 3
"""Below three processes nothing can be said about the spread between them."""

MAX_CRASHES: Final = 2
"""A point that crashed twice is set aside: the third time would not go better."""

CROWDED_OUT: Final = "MachineShortError"
"""What a worker raises when others have taken the memory that the limit promised."""

MAX_DISTURBED: Final = 2
"""A timing that was disturbed is repeated once, then kept with its flag."""

O = TypeVar("O", bound=Observation)  # noqa: E741


def fold_run(run: Run) -> dict[Point, Measurement]:
    """Every point of the run that was observed or is implied, by steps and then by batch."""
    seen = by_point(run.observations)
    ooms = [point for point, group in seen.items() if _fit_outcome(group) is Outcome.OOM]
    folded = {}
    for point in run.points():
        if _last(Fit, seen.get(point, ())):
            folded[point] = fold(point, seen[point])
        elif (cause := dominating_oom(point, ooms)) is not None:
            reason = f"{cause} was out of memory"
            folded[point] = Measurement(point, Outcome.IMPLIED_OOM, reason=reason)
    return folded


def by_point(observations: Sequence[Observation]) -> dict[Point, list[Observation]]:
    """The grid's observations, by point, in order of time."""
    groups: dict[Point, list[Observation]] = defaultdict(list)
    for observation in observations:
        if observation.role is Role.GRID:
            groups[observation.point].append(observation)
    return dict(groups)


def fold(point: Point, observations: Sequence[Observation]) -> Measurement:
    """One point's measurement; a timing pass that did not come through overrules the fit."""
    fit, memory = _last(Fit, observations), _last(Memory, observations)
    timings = timings_of(observations)
    broken = next((timing for timing in timings if timing.outcome is not Outcome.MEASURED), None)
    ending = fit if fit is None or fit.outcome is not Outcome.MEASURED else broken or fit
    assert ending is not None, "a point is folded from its fit pass on"
    return Measurement(
        point=point,
        outcome=ending.outcome,
        phase=ending.failure.phase if ending.failure else None,
        reason=ending.reason,
        warnings=_warnings(observations),
        **_memory_fields(fit, memory),
        **(_timing_fields(timings) if ending.outcome is Outcome.MEASURED else {}),
    )


def timings_of(observations: Sequence[Observation]) -> list[Timing]:
    """The timing pass that counts for each process: an undisturbed one, or else the last."""
    by_process: dict[int, Timing] = {}
    for timing in observations:
        if isinstance(timing, Timing):
            kept = by_process.get(timing.process_index)
            if kept is None or not _is_better(kept, timing):
                by_process[timing.process_index] = timing
    return list(by_process.values())


def _is_better(kept: Timing, newer: Timing) -> bool:
    kept_clean = kept.outcome is Outcome.MEASURED and judge(kept.conditions) is None
    newer_clean = newer.outcome is Outcome.MEASURED and judge(newer.conditions) is None
    return kept_clean and not newer_clean


def missing_passes(observations: Sequence[Observation], processes: int) -> list[str]:
    """Which passes a point still needs: of fit, memory and ``timing:<process index>``."""
    fits = [observation for observation in observations if isinstance(observation, Fit)]
    if _needs_run(fits):
        return ["fit"]
    if fits[-1].outcome is not Outcome.MEASURED:
        return []
    needed = []
    for index in range(processes):
        passes = [o for o in observations if isinstance(o, Timing) and o.process_index == index]
        needed += [f"timing:{index}"] if _needs_run(passes) else []
    memories = [observation for observation in observations if isinstance(observation, Memory)]
    return needed + (["memory"] if _needs_run(memories) else [])


def was_crowded_out(observation: Observation) -> bool:
    """Whether the machine, not the point, stood in the way: another day it may go through."""
    return observation.failure is not None and observation.failure.error_type == CROWDED_OUT


def _needs_run(passes: Sequence[Observation]) -> bool:
    """Whether a pass was never run, or crashed or was disturbed once: that may be bad luck."""
    if not passes:
        return True
    if passes[-1].outcome is Outcome.CRASHED:
        return sum(o.outcome is Outcome.CRASHED for o in passes) < MAX_CRASHES
    return _is_disturbed(passes[-1]) and sum(map(_is_disturbed, passes)) < MAX_DISTURBED


def _is_disturbed(observation: Observation) -> bool:
    return isinstance(observation, Timing) and judge(observation.conditions) is not None


@dataclass(frozen=True, slots=True)
class Drift:
    """The anchor's medians over the run, in order of time."""

    point: Point
    medians_s: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The largest median over the smallest, less 1: 0.02 is a drift of 2%."""
        return max(self.medians_s) / min(self.medians_s) - 1


def anchor_drift(run: Run) -> Drift | None:
    """How far the machine's speed drifted; None where the anchor was timed less than twice."""
    anchors = {o.point for o in run.observations if o.role is Role.ANCHOR}
    for point in sorted(anchors):
        medians = tuple(
            median(o.samples_s)
            for o in run.observations
            if isinstance(o, Timing) and o.point == point and o.samples_s and not _is_disturbed(o)
        )
        if len(medians) >= 2:
            return Drift(point, medians)
    return None


def _fit_outcome(observations: Sequence[Observation]) -> Outcome | None:
    fit = _last(Fit, observations)
    return None if fit is None else fit.outcome


def _last(kind: type[O], observations: Sequence[Observation]) -> O | None:
    return next((o for o in reversed(observations) if isinstance(o, kind)), None)


def _warnings(observations: Sequence[Observation]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for o in observations for text in o.warnings))


def _memory_fields(fit: Fit | None, memory: Memory | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if fit is not None:
        fields["peak_process_bytes"] = fit.peak_process_bytes
        fields["peak_counted_bytes"] = fit.peak_counted_bytes
    if memory is not None:
        fields |= {
            "peak_allocated_bytes": memory.peak_allocated_bytes,
            "peak_reserved_bytes": memory.peak_reserved_bytes,
            "census": memory.census,
            "census_reason": memory.census_reason or memory.reason,
            "implementation": memory.implementation,
        }
    return fields


def _timing_fields(timings: Sequence[Timing]) -> dict[str, Any]:
    timed = [timing for timing in timings if timing.samples_s]
    if not timed:
        return {}
    medians = [median(timing.samples_s) for timing in timed]
    step_s = median(medians)
    sequences = timed[0].sequences_per_step or timed[0].batch
    disturbed = [text for timing in timed if (text := judge(timing.conditions))]
    return {
        "step_time_s": step_s,
        "step_time_within_ci_s": median_interval(timed[0].samples_s) if len(timed) == 1 else None,
        "step_time_ci_s": (min(medians), max(medians)) if len(medians) >= MIN_PROCESSES else None,
        "converged": all(timing.converged for timing in timed),
        "sequences_per_s": sequences / step_s,
        "time_steps_per_s": sequences * timed[0].steps / step_s,
        "phase_times_s": _phase_medians(timed[0]),
        "disturbed": disturbed[0] if disturbed else None,
    }


def _phase_medians(timing: Timing) -> dict[str, float]:
    return {name: median(samples) for name, samples in timing.phase_samples_s.items() if samples}
