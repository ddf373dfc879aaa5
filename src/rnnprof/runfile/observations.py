"""What a worker saw in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from rnnprof.ranges import Bytes, Count, Duration, Real, Seconds, Whole
from rnnprof.runfile.points import Outcome, Point, Role


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not end as ``measured``.

    Attributes:
        phase: where it stood: build, data, forward, backward, optimizer, other or baseline.
        message: the error's own words.
        requested_bytes: the allocation that did not fit, where the error names it.
        log_tail: the last lines that the worker printed.
    """

    phase: str | None = None
    error_type: str | None = None
    message: str | None = None
    requested_bytes: Bytes | None = None
    signal: Whole | None = None
    exit_code: Whole | None = None
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class DeviceConditions:
    """A GPU at one instant, as NVML tells it.

    Attributes:
        max_sm_clock_mhz: the highest that the GPU would run its multiprocessors at.
        event_reasons: why the clocks are not higher, by NVML's own names; empty for no reason.
        used_bytes: device memory that is in use, by whomever.
        own_bytes: of it, by this process; None where NVML hides it, as in most containers.
        unknown: for each field that is None, why.
    """

    sm_clock_mhz: Whole | None = None
    max_sm_clock_mhz: Whole | None = None
    memory_clock_mhz: Whole | None = None
    temperature_c: Whole | None = None
    power_w: Real | None = None
    power_limit_w: Real | None = None
    event_reasons: tuple[str, ...] | None = None
    used_bytes: Bytes | None = None
    own_bytes: Bytes | None = None
    unknown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine while a pass ran, as raw facts; judged by :mod:`rnnprof.points.noise`.

    Attributes:
        wall_s: length of the pass.
        cpu_count: processors that the pass could use.
        cpu_own_s: CPU time of the worker and its children.
        cpu_busy_s: CPU time of everything on those processors, the worker's included.
        cpu_steal_s: time that the hypervisor gave to others.
        throttled_s: time that the cgroup's quota held us back.
        device_before, device_after: the GPU as the pass began and ended; None on the CPU.
        others_drift_bytes: growth of the device memory that others hold, over the pass.
        unknown: for each field that is None, why.
    """

    wall_s: Seconds
    cpu_count: Whole
    cpu_own_s: Seconds | None = None
    cpu_busy_s: Seconds | None = None
    cpu_steal_s: Seconds | None = None
    throttled_s: Seconds | None = None
    device_before: DeviceConditions | None = None
    device_after: DeviceConditions | None = None
    others_drift_bytes: Bytes | None = None
    unknown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing seen at a point, by one worker.

    Attributes:
        attempt: id shared with the ``started`` record before it.
        worker: number of the worker process within the request.
        process_index: which of a point's timing processes this is.
        reason: why the outcome is what it is, in one sentence; None when measured.
    """

    attempt: str
    batch: Count
    time_steps: Count
    role: Role
    worker: Whole
    process_index: Whole
    request: str
    outcome: Outcome
    wall_s: Seconds
    reason: str | None = None
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    conditions: Conditions | None = None

    @property
    def point(self) -> Point:
        """The point observed."""
        return Point(self.batch, self.time_steps)

    @property
    def is_of_the_workload(self) -> bool:
        """Whether it ran the run's own workload; else another loop around the same layer."""
        return self.role is not Role.STEP_FUNCTION


@dataclass(frozen=True, slots=True)
class Seen:
    """What modules were called with in one training step, whatever batch was asked for.

    Attributes:
        step: number of the training step, from 1.
        batch: sequences in the largest call of a recurrent layer or cell; None without one.
        time_steps: the longest sequence of one call; of a cell, its calls in the step.
        sequences: over all calls of the recurrent module that saw the most.
        positions: the same, in sequences times time steps.
        elements: of all tensors that any module was called with.
    """

    step: Whole
    batch: Count | None = None
    time_steps: Count | None = None
    sequences: Count = 0
    positions: Whole = 0
    elements: Whole = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit(Observation):
    """Full training steps under the limit, nothing else switched on.

    Attributes:
        train_steps_run: training steps that passed.
        train_steps: training steps asked for.
        live_bytes: at the end of each training step that passed (CPU: address space above the
            baseline; CUDA: allocated by the caching allocator).
        step_peak_bytes: the peak of what the limit counts since the pass began, as it stood at the
            end of each training step, as far as it is known without a gap.
        seen: in the first and the last training step.
        data_mark: a sum over what the first module was called with at first, to tell other data
            from the same; None where no kernel ran or no module was called.
        limit_bytes: the limit in force, above the baseline.
        baseline_bytes: what the limit counts before the workload is built (CPU: VmData; CUDA:
            reserved by the allocator, where a limit finds something: nothing precedes it).
        baseline_note: on the CPU, why no warm-up preceded the baseline, if none did.
        context_bytes: what the process holds before the workload is built (CPU: VmRSS; CUDA:
            device memory of the process less what the allocator reserved).
        peak_process_bytes: the operating system's peak for the process (CPU: VmHWM; CUDA: by NVML).
        peak_charged_bytes: peak of the bytes that the limit counts (CPU: address space above the
            baseline; CUDA: reserved by the caching allocator).
        peak_allocated_bytes: by the caching allocator, in this plain training; None on CPU.
        retries: times that the caching allocator emptied its cache to go on, after step 2: a
            limit so near thrashes.  None on CPU.
        loss: of the last step; None when it was no finite number (see ``warnings``).
        children_bytes, shared_bytes: the most that child processes (workers of a data loader) held
            for themselves, and that shared mappings of this process had in memory, at the end of
            a training step.  The limit counts neither.
    """

    limit_bytes: Bytes
    train_steps_run: Count = 0
    train_steps: Count = 0
    live_bytes: tuple[Bytes, ...] = ()
    step_peak_bytes: tuple[Bytes, ...] = ()
    seen: tuple[Seen, ...] = ()
    data_mark: Real | None = None
    baseline_bytes: Bytes | None = None
    baseline_note: str | None = None
    context_bytes: Bytes | None = None
    peak_process_bytes: Bytes | None = None
    peak_process_reason: str | None = None
    peak_charged_bytes: Bytes | None = None
    peak_charged_reason: str | None = None
    peak_allocated_bytes: Bytes | None = None
    retries: Count | None = None
    loss: Real | None = None
    children_bytes: Bytes | None = None
    shared_bytes: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The allocator's live bytes at the instant of the peak, by storage identity.

    Attributes:
        weights: parameters and buffers of the model.
        gradients: the parameters' gradients.
        optimizer_state: tensors in the optimizer's state.
        input: allocated in build or data, and live after it: batches, labels, carried state.
        weight_casts: copies of weights that layers run with: in another dtype, or compacted at each
            call for cuDNN because they are not flattened.
        saved: allocated in forward and live after it.
        library: workspaces and states that a library keeps.
        temporaries: everything else that was live.
        rounding: allocated less requested.
        phase: the phase in which the peak stands.
    """

    weights: Bytes
    gradients: Bytes
    optimizer_state: Bytes
    input: Bytes
    weight_casts: Bytes
    saved: Bytes
    library: Bytes
    temporaries: Bytes
    rounding: Bytes
    phase: str

    def parts(self) -> dict[str, int]:
        """The byte counts by part, in the order above; they sum to the allocator's peak."""
        return {name: getattr(self, name) for name in BREAKDOWN_PARTS}


BREAKDOWN_PARTS: Final = (
    "weights", "gradients", "optimizer_state", "input", "weight_casts", "saved", "library",
    "temporaries", "rounding",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Observation):
    """Allocator peaks per phase and the breakdown at the peak, in a worker without the limit.

    Attributes:
        peak_allocated_bytes: the allocator's own peak over build and all steps.
        peak_reserved_bytes: None on CPU, where the allocator reserves nothing.
        phase_peak_bytes: the highest allocated within each phase, over all steps.
        phase_live_bytes: allocated at the end of each phase of the last step.
        model_bytes: sums over the tensors themselves, to check the breakdown against.
        net_bytes_per_step: what the last step left behind; not zero is a leak.
        ops: recurrent operators that really ran.
        implementation: ``fused``, ``native``, ``loop`` or ``mixed`` as it really ran; None where
            unknown.
        graphs_compiled: by torch.compile; None where it was not asked for.
        flops_per_step: floating-point operations of one step of a factory, counted by torch's
            FlopCounterMode; None for the built-in cells, whose count is a formula.
    """

    train_steps_run: Count = 0
    optimizer_steps: Whole | None = None
    peak_allocated_bytes: Bytes | None = None
    peak_reserved_bytes: Bytes | None = None
    breakdown: Breakdown | None = None
    breakdown_reason: str | None = None
    phase_peak_bytes: dict[str, Bytes] = field(default_factory=dict)
    phase_live_bytes: dict[str, Bytes] = field(default_factory=dict)
    model_bytes: dict[str, Bytes] = field(default_factory=dict)
    net_bytes_per_step: Whole | None = None
    ops: tuple[str, ...] = ()
    implementation: str | None = None
    implementation_reason: str | None = None
    graphs_compiled: Whole | None = None
    flops_per_step: Whole | None = None
    flops_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing(Observation):
    """Whole steps run back to back as in training, and phase times from steps of their own.

    Attributes:
        samples_s: one duration a step, raw.
        warmup_samples_s: the steps before them, not counted.
        converged: the 95% interval of the median is within the precision asked for.
        phase_samples_s: durations of each phase, over the steps that were run for that alone.
        phase_step_samples_s: whole durations of those steps: what marking phases costs.
        sequences_per_step: sequences that one step trained on.
        host_enqueue_s: the host's time to submit a step; None on CPU, where the host computes.
        block_wait_s: median wait for the device at a block's end, after the host had submitted
            its last step; None on CPU.
        loss: of the last step; None when it was no finite number.
    """

    samples_s: tuple[Duration, ...] = ()
    warmup_samples_s: tuple[Seconds, ...] = ()
    converged: bool = False
    phase_samples_s: dict[str, tuple[Seconds, ...]] = field(default_factory=dict)
    phase_step_samples_s: tuple[Seconds, ...] = ()
    sequences_per_step: Whole | None = None
    host_enqueue_s: Seconds | None = None
    block_wait_s: Seconds | None = None
    loss: Real | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Observation):
    """A figure of the device itself, to compare measurements with.

    Attributes:
        what: ``rates`` (a matrix product's and a copy's) or ``reserve`` (a library's memory).
        parameters: what the figures belong to: sizes, dtype.
        figures: by name, units in the names: ``matmul_flop_per_s``, ``copy_bytes_per_s``.
    """

    what: str = "rates"
    parameters: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Real] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient(Observation):
    """How far gradients reach back, and how noisy they are, after so many training steps.

    Attributes:
        train_steps: training steps taken before.
        inputs: what the reach is to: ``input``, or ``embedding`` where that is no float.
        lag_norms: for each draw ``|dL_T/dx_{T-k}|`` by lag k from 0, the mean over sequences; None
            where it is no finite number.
        reach_reason: why there are none.
        small_batch, big_batch: sequences of the noise scale's two batches.
        small_squared, big_squared: for each draw the mean ``|G|^2`` of the small batches, and that
            of the large one that they make; None where it is no finite number.
        noise_reason: why there are none.
        clipped_steps: training steps whose gradient was clipped; None where nothing tells.
        learning_rate: None where a factory decides it.
        loss: of the last training step, or of the first draw; None when it was no finite number.
    """

    train_steps: Count = 0
    inputs: str | None = None
    lag_norms: tuple[tuple[Real | None, ...], ...] = ()
    reach_reason: str | None = None
    small_batch: Whole | None = None
    big_batch: Whole | None = None
    small_squared: tuple[Real | None, ...] = ()
    big_squared: tuple[Real | None, ...] = ()
    noise_reason: str | None = None
    clipped_steps: Whole | None = None
    learning_rate: Real | None = None
    loss: Real | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning(Observation):
    """One training until a target loss, or until the time for it was spent.

    Attributes:
        seed: of weights and data.
        learning_rate: None where a factory decides it.
        target_loss: asked for.
        baseline_loss: of who has learned nothing; None where a factory has no such.
        reached: whether the loss on fresh data came down to the target; with *train_steps* 0 it
            was there before any training.
        train_steps: training steps by then, or in all.
        sequences: trained on by then.
        train_s: spent on training steps, without the looks at fresh data.
        losses: (training steps, loss) at each look; the loss is None when it was not finite.
        clipped_steps: training steps whose gradient was clipped; None where nothing tells.
    """

    seed: Whole = 0
    learning_rate: Real | None = None
    target_loss: Real | None = None
    baseline_loss: Real | None = None
    reached: bool = False
    train_steps: Count = 0
    sequences: Count = 0
    train_s: Seconds = 0.0
    losses: tuple[tuple[Whole, Real | None], ...] = ()
    clipped_steps: Whole | None = None
