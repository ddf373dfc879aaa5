"""Combine the observations of a point into one measurement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final, TypeVar

from rnnprof.breakdown.bounds import DeviceRates, Work, least_traffic_bytes, verdict
from rnnprof.breakdown.flops import step_flops
from rnnprof.points.implied import dominating_oom
from rnnprof.points.known import KnownPeaks
from rnnprof.points.measurement import Measurement
from rnnprof.points.noise import judge
from rnnprof.points.reasons import BatchNotUsed, ImpliedBy, PlaceholderUnused
from rnnprof.points.script_facts import script_fields
from rnnprof.points.seen import largest, named_batch, unused_batches, unused_length
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Calibration, Fit, Memory, Observation, Timing
from rnnprof.runfile.points import GOOD_OUTCOMES, Outcome, Point, Role
from rnnprof.runfile.records import Run
from rnnprof.stats.statistics import median_interval
from rnnprof.workload import ScriptSource, Workload

MIN_PROCESSES: Final = 3
"""With fewer processes nothing can be said about the spread between them."""

MAX_CRASHES: Final = 2
"""A point that crashed this often is not run again."""

MAX_NOISY: Final = 2
"""A noisy timing is repeated once, then kept and marked."""

O = TypeVar("O", bound=Observation)  # noqa: E741


def fold_run(run: Run) -> dict[Point, Measurement]:
    """Every observed or implied point of the run, by time steps and then by batch."""
    seen = by_point(run.observations)
    ooms = [point for point, group in seen.items() if _fit_outcome(group) is Outcome.OOM]
    workload, rates = run.header.workload, rates_of(run.observations)
    is_fast = any(request.settings.fast for request in run.requests)
    known = KnownPeaks.of(run.observations) if is_fast else None
    folded = {}
    for point in run.points():
        if _last(Fit, seen.get(point, ())):
            folded[point] = fold(point, seen[point], workload, rates)
            if known is not None and not _last(Memory, seen[point]):
                folded[point] = _without_memory(folded[point], known)
        elif (cause := dominating_oom(point, ooms)) is not None:
            folded[point] = Measurement(point, Outcome.IMPLIED_OOM, reason=ImpliedBy(cause))
    return _without_unused(folded, seen, workload.script)


def _without_unused(
    folded: dict[Point, Measurement],
    seen: Mapping[Point, Sequence[Observation]],
    script: ScriptSource | None,
) -> dict[Point, Measurement]:
    """The measurements, without the throughput of points whose step does not use their B or T."""
    fits = [fit for point in folded if (fit := _last(Fit, seen.get(point, ()))) is not None]
    unused = _unused(fits, script)
    return {
        point: _without_throughput(measurement, unused.get(point))
        for point, measurement in folded.items()
    }


def _unused(fits: Sequence[Fit], script: ScriptSource | None) -> dict[Point, tuple[Reason, Reason]]:
    """For each point whose step does not use its B or T the reason, and the warning."""
    by_length: dict[int, list[Fit]] = defaultdict(list)
    for fit in fits:
        by_length[fit.time_steps].append(fit)
    found: dict[Point, tuple[Reason, Reason]] = {}
    if script is not None and "time_steps" in script.placeholders:
        lengths = {time_steps: unused_length(fits, time_steps) for time_steps in by_length}
        found = {fit.point: (why, why) for fit in fits if (why := lengths[fit.time_steps])}
    for time_steps, group in by_length.items():
        for batch, why in unused_batches(group).items():
            reason = why if script is None else named_batch(why, group)
            is_named = isinstance(reason, PlaceholderUnused)
            found[Point(batch, time_steps)] = reason, reason if is_named else BatchNotUsed(reason)
    return found


def _without_throughput(
    measurement: Measurement, unused: tuple[Reason, Reason] | None
) -> Measurement:
    if unused is None:
        return measurement
    reason, warning = unused
    return replace(
        measurement,
        unused=reason,
        sequences_per_s=None,
        time_steps_per_s=None,
        warnings=(warning, *measurement.warnings),
    )


def _without_memory(measurement: Measurement, known: KnownPeaks) -> Measurement:
    """The measurement, with the reason why it has no memory breakdown."""
    peak = known.at(measurement.point)
    if peak is None or measurement.outcome is not Outcome.MEASURED:
        return measurement
    return replace(measurement, breakdown_reason=peak.reason())


def by_point(observations: Sequence[Observation]) -> dict[Point, list[Observation]]:
    """The grid's observations by point, in order of time."""
    groups: dict[Point, list[Observation]] = defaultdict(list)
    for observation in observations:
        if observation.role is Role.GRID:
            groups[observation.point].append(observation)
    return dict(groups)


def rates_of(observations: Sequence[Observation]) -> DeviceRates | None:
    """The device's rates from the last calibration that was not noisy, or else from the last."""
    known = [
        observation
        for observation in observations
        if isinstance(observation, Calibration)
        and observation.what == "rates"
        and observation.outcome is Outcome.MEASURED
        and observation.figures
    ]
    clean = [calibration for calibration in known if judge(calibration.conditions) is None]
    chosen = clean or known
    return DeviceRates.of(chosen[-1]) if chosen else None


def fold(
    point: Point,
    observations: Sequence[Observation],
    workload: Workload | None = None,
    rates: DeviceRates | None = None,
) -> Measurement:
    """One point's measurement; a failed timing pass takes precedence over the fit pass.

    Args:
        observations: of this point, with at least one fit pass.
        workload: what was trained, to count the operations of its step.
        rates: of the device, to judge what bounds the step.
    """
    fit, memory = _last(Fit, observations), _last(Memory, observations)
    timings = timings_of(observations)
    broken = next((timing for timing in timings if timing.outcome is not Outcome.MEASURED), None)
    ending = fit if fit is None or fit.outcome is not Outcome.MEASURED else broken or fit
    assert ending is not None, "a point without a fit pass has no measurement"
    timing = _timing_fields(timings) if ending.outcome is Outcome.MEASURED else {}
    return Measurement(
        point=point,
        outcome=ending.outcome,
        phase=ending.failure.phase if ending.failure else None,
        reason=ending.reason,
        warnings=_warnings(observations),
        log_tail=_printed(ending),
        **_memory_fields(fit, memory),
        **script_fields(fit),
        **timing,
        **(_speed_fields(timing, _work(point, memory, workload, rates), rates) if timing else {}),
    )


def timings_of(observations: Sequence[Observation]) -> list[Timing]:
    """The timing pass that counts for each process: one without noise, or else the last."""
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
    """The passes that a point still needs: ``fit``, ``timing:<process index>`` or ``memory``."""
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


def _needs_run(passes: Sequence[Observation]) -> bool:
    """Whether a pass was never run, or crashed or was noisy only once, perhaps by chance."""
    if not passes:
        return True
    if passes[-1].outcome is Outcome.CRASHED:
        return sum(o.outcome is Outcome.CRASHED for o in passes) < MAX_CRASHES
    return _is_noisy(passes[-1]) and sum(map(_is_noisy, passes)) < MAX_NOISY


def _is_noisy(observation: Observation) -> bool:
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
    """How far the machine's speed drifted; None if no anchor was timed twice.

    An extended run has several anchors: the largest drift counts.
    """
    found = []
    anchors = {o.point for o in run.observations if o.role is Role.ANCHOR}
    for point in sorted(anchors):
        medians = tuple(
            median(o.samples_s)
            for o in run.observations
            if isinstance(o, Timing) and o.point == point and o.samples_s and not _is_noisy(o)
        )
        if len(medians) >= 2:
            found.append(Drift(point, medians))
    return max(found, key=lambda drift: drift.ratio, default=None)


def _fit_outcome(observations: Sequence[Observation]) -> Outcome | None:
    fit = _last(Fit, observations)
    return None if fit is None else fit.outcome


def _last(kind: type[O], observations: Sequence[Observation]) -> O | None:
    return next((o for o in reversed(observations) if isinstance(o, kind)), None)


def _printed(ending: Observation) -> str | None:
    """What the process printed at last; None for an answer, as out of memory is one."""
    if ending.outcome in GOOD_OUTCOMES or ending.failure is None:
        return None
    return ending.failure.log_tail


def _warnings(observations: Sequence[Observation]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for o in observations for text in o.warnings))


def _memory_fields(fit: Fit | None, memory: Memory | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if memory is not None:
        fields |= {
            "peak_allocated_bytes": memory.peak_allocated_bytes,
            "peak_reserved_bytes": memory.peak_reserved_bytes,
            "breakdown": memory.breakdown,
            "breakdown_reason": memory.breakdown_reason or memory.reason,
            "implementation": memory.implementation,
        }
    if fit is not None:
        fields |= {
            "peak_process_bytes": fit.peak_process_bytes,
            "peak_charged_bytes": fit.peak_charged_bytes,
            "retries": fit.retries,
        }
        if (most := largest(fit.seen)) is not None:
            fields |= {"seen_batch": most.batch, "seen_time_steps": most.time_steps}
        # on CUDA the charged bytes are the reserved ones, and the fit pass is the plain training
        if fit.peak_allocated_bytes is not None and fit.peak_charged_bytes is not None:
            fields["peak_reserved_bytes"] = fit.peak_charged_bytes
    return fields


def _work(
    point: Point, memory: Memory | None, workload: Workload | None, rates: DeviceRates | None
) -> Work:
    """The work of one step: by formula, or for a factory as the memory pass counted it."""
    if memory is not None and memory.flops_per_step is not None:
        return Work(memory.flops_per_step, None)
    if workload is None:
        return Work(None, None, "the workload is unknown")
    flops, reason = step_flops(workload, point.batch, point.time_steps)
    if memory is not None and memory.flops_reason:
        reason = memory.flops_reason
    cache_bytes = rates.cache_bytes if rates else None
    traffic = least_traffic_bytes(workload, point.batch, point.time_steps, cache_bytes)
    return Work(flops, traffic, reason)


def _speed_fields(timing: dict[str, Any], work: Work, rates: DeviceRates | None) -> dict[str, Any]:
    """Operations per second, their share of a matrix product's rate, and what bounds the step."""
    step_s = timing["step_time_s"]
    flop_per_s = None if work.flops is None else work.flops / step_s
    matmul_flop_per_s = rates.matmul_flop_per_s if rates else None
    judged = verdict(step_s, work, rates, timing["block_wait_s"])
    share = flop_per_s / matmul_flop_per_s if flop_per_s and matmul_flop_per_s else None
    if share is not None and share > 1:  # the product was slower than the device's best
        share = None
    return {
        "flops_per_step": work.flops,
        "flop_per_s": flop_per_s,
        "matmul_share_ratio": share,
        "bound": judged.bound,
        "bound_reason": judged.reason,
    }


def _timing_fields(timings: Sequence[Timing]) -> dict[str, Any]:
    timed = [timing for timing in timings if timing.samples_s]
    if not timed:
        return {}
    judged = [judge(timing.conditions) for timing in timed]
    clean = [timing for timing, noise in zip(timed, judged, strict=True) if noise is None]
    if len(clean) >= MIN_PROCESSES:
        timed, judged = clean, []
    ordered = [sorted(timing.samples_s) for timing in timed]
    medians = [median(samples) for samples in ordered]
    step_s = median(medians)
    sequences = timed[0].sequences_per_step or timed[0].batch
    noisy = [text for text in judged if text]
    return {
        "step_time_s": step_s,
        "step_time_within_ci_s": median_interval(ordered[0]) if len(timed) == 1 else None,
        "step_time_ci_s": (min(medians), max(medians)) if len(medians) >= MIN_PROCESSES else None,
        "converged": all(timing.converged for timing in timed),
        "sequences_per_s": sequences / step_s,
        "time_steps_per_s": sequences * timed[0].time_steps / step_s,
        "host_enqueue_s": _median_known([timing.host_enqueue_s for timing in timed]),
        "block_wait_s": _median_known([timing.block_wait_s for timing in timed]),
        "phase_times_s": _phase_medians(timed[0]),
        "noisy": noisy[0] if noisy else None,
    }


def _median_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _phase_medians(timing: Timing) -> dict[str, float]:
    return {name: median(samples) for name, samples in timing.phase_samples_s.items() if samples}
