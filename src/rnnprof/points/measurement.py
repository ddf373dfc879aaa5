"""What is known about a point after its observations are combined."""

from __future__ import annotations

from dataclasses import dataclass, field

from rnnprof.reasons import Reason
from rnnprof.runfile.observations import (
    Breakdown,
)
from rnnprof.runfile.points import Outcome, Point


@dataclass(frozen=True, slots=True)
class Measurement:
    """The combined observations of a point.

    Attributes:
        outcome: how the point ended.
        phase: the phase in which a point that is not ``measured`` ended.
        step_time_s: median over the samples, or over the processes' medians.
        step_time_within_ci_s: 95% interval of the median within the process; None with fewer than
            6 samples, or with several processes.
        step_time_ci_s: the range of the medians of 3 or more processes; else None.
        converged: whether every timing pass reached the requested precision.
        time_steps_per_s: trained time steps per second, with all micro-batches of gradient
            accumulation.
        flop_per_s, matmul_share_ratio: the step's floating-point operations per second, and their
            share of a matrix product's rate on the same device and dtype.
        bound: ``launch``, ``memory`` or ``compute``; None if none of them explains half of the
            step, or where unknown; *bound_reason* has the figures.
        peak_allocated_bytes: peak of the bytes that the allocator allocated.
        peak_process_bytes: peak of the process: on CUDA from NVML, with the context; on the CPU
            from the operating system.
        retries: of the caching allocator under the limit, after step 2.
        seen_batch, seen_time_steps: of the largest call of a recurrent layer; None where unknown.
        start_s, held_bytes, held_weight_bytes, step_end, events_per_step: of a script, as its fit
            pass has them.
        unused: why a step does not use the requested batch, so that it has no throughput.
        noisy: what made the timing noisy, or None.
        reason, breakdown_reason, warnings: text where an observation recorded it.
        log_tail: the last lines that the process of a point printed that failed, crashed or timed
            out.
    """

    point: Point
    outcome: Outcome
    phase: str | None = None
    reason: Reason | str | None = None
    step_time_s: float | None = None
    step_time_within_ci_s: tuple[float, float] | None = None
    step_time_ci_s: tuple[float, float] | None = None
    converged: bool | None = None
    sequences_per_s: float | None = None
    time_steps_per_s: float | None = None
    host_enqueue_s: float | None = None
    block_wait_s: float | None = None
    phase_times_s: dict[str, float] = field(default_factory=dict)
    flops_per_step: int | None = None
    flop_per_s: float | None = None
    matmul_share_ratio: float | None = None
    bound: str | None = None
    bound_reason: Reason | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    peak_process_bytes: int | None = None
    peak_charged_bytes: int | None = None
    retries: int | None = None
    breakdown: Breakdown | None = None
    breakdown_reason: Reason | str | None = None
    implementation: str | None = None
    seen_batch: int | None = None
    seen_time_steps: int | None = None
    start_s: float | None = None
    held_bytes: int | None = None
    held_weight_bytes: int | None = None
    step_end: str | None = None
    events_per_step: int | None = None
    unused: Reason | None = None
    noisy: Reason | None = None
    warnings: tuple[Reason | str, ...] = ()
    log_tail: str | None = None
