"""What a worker saw in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from rnnprof.ranges import (
    Bytes,
    Count,
    Duration,
    Extent,
    Few,
    Limit,
    Real,
    Seconds,
    Text,
    Whole,
)
from rnnprof.runfile.points import Outcome, Point, Role


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not end as ``measured``.

    Attributes:
        phase: where it failed: build, data, forward, backward, optimizer, other or baseline.
        error_type: class of the exception.
        message: the text of the error.
        requested_bytes: size of the allocation that failed, if the error names it.
        signal, exit_code: of a worker that ended by itself.
        log_tail: the last lines that the worker printed.
    """

    phase: Text | None = None
    error_type: Text | None = None
    message: Text | None = None
    requested_bytes: Bytes | None = None
    signal: Whole | None = None
    exit_code: Whole | None = None
    log_tail: Text = ""


@dataclass(frozen=True, slots=True)
class DeviceConditions:
    """The state of a GPU at one instant, as NVML reports it.

    Attributes:
        max_sm_clock_mhz: the highest clock of the GPU's multiprocessors.
        event_reasons: why the clocks are not higher, by NVML's own names; empty for no reason.
        used_bytes: device memory in use by all processes.
        own_bytes: device memory in use by this process; None where NVML hides it, as in most
            containers.
        unknown: for each field that is None, the reason.
    """

    sm_clock_mhz: Whole | None = None
    max_sm_clock_mhz: Whole | None = None
    memory_clock_mhz: Whole | None = None
    temperature_c: Whole | None = None
    power_w: Real | None = None
    power_limit_w: Real | None = None
    event_reasons: Annotated[tuple[Text, ...], Few] | None = None
    used_bytes: Bytes | None = None
    own_bytes: Bytes | None = None
    unknown: Annotated[dict[Text, Text], Few] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine while a pass ran, as raw facts; :mod:`rnnprof.points.noise` judges them.

    Attributes:
        wall_s: duration of the pass.
        cpu_count: processors that the pass could use.
        cpu_own_s: CPU time of the worker and its children.
        cpu_busy_s: CPU time of all processes on those processors, the worker included.
        cpu_steal_s: time that the hypervisor gave to other machines.
        throttled_s: time that the cgroup's quota stopped the pass.
        device_before, device_after: the GPU when the pass began and ended; None on the CPU.
        others_drift_bytes: growth of the device memory of other processes during the pass.
        unknown: for each field that is None, the reason.
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
    unknown: Annotated[dict[Text, Text], Few] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The result of one pass at a point, in one worker.

    Attributes:
        attempt: id shared with the ``started`` record before it.
        batch: sequences per batch (B).
        time_steps: time steps per sequence (T).
        role: why the point was observed.
        worker: number of the worker process within the request.
        process_index: number of this timing process at the point, from 0.
        request: id of the invocation.
        outcome: how the attempt ended.
        wall_s: duration of the attempt.
        reason: the reason for the outcome, in one sentence; None when measured.
        failure: details of an outcome other than ``measured``.
        warnings: notes of the worker.
        conditions: the machine during the pass; None where they were not recorded.
        earlier_tasks: tasks that its worker had run before, if the worker is shared; None in a
            worker of its own.
        left_allocated_bytes, left_reserved_bytes: what the caching allocator of a shared worker
            still held after the pass, with an empty cache, beyond that before its first task; None
            if the worker has ended.  Only with 0 it runs another one.
    """

    attempt: Text
    batch: Extent
    time_steps: Extent
    role: Role
    worker: Whole
    process_index: Whole
    request: Text
    outcome: Outcome
    wall_s: Seconds
    reason: Text | None = None
    failure: Failure | None = None
    warnings: Annotated[tuple[Text, ...], Few] = ()
    conditions: Conditions | None = None
    earlier_tasks: Count | None = None
    left_allocated_bytes: Bytes | None = None
    left_reserved_bytes: Bytes | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether its worker ran nothing else, before or after."""
        return self.earlier_tasks is None

    @property
    def point(self) -> Point:
        """The observed point."""
        return Point(self.batch, self.time_steps)

    @property
    def is_of_the_workload(self) -> bool:
        """Whether it ran the run's own workload, not another loop around the same layer."""
        return self.role is not Role.STEP_FUNCTION


@dataclass(frozen=True, slots=True)
class Seen:
    """The inputs that modules really got in one training step, independent of the requested batch.

    Attributes:
        step: number of the training step, from 1.
        batch: sequences in the largest call of a recurrent layer or cell; None without one.
        time_steps: length of the longest sequence in one call; for a cell, its calls in the step.
        sequences: sequences over all calls of the recurrent module that got the most.
        positions: as *sequences*, but sequences times time steps.
        elements: elements of all tensors that any module was called with.
    """

    step: Whole
    batch: Count | None = None
    time_steps: Count | None = None
    sequences: Count = 0
    positions: Whole = 0
    elements: Whole = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit(Observation):
    """Full training steps under the memory limit, without any other measurement.

    Attributes:
        limit_bytes: the limit in force, above the baseline.
        train_steps_run: training steps that passed.
        train_steps: requested training steps.
        live_bytes: memory in use at the end of each training step that passed (CPU: address space
            above the baseline; CUDA: allocated by the caching allocator).
        step_peak_bytes: peak of the charged bytes since the pass began, at the end of each training
            step; it ends before the first step whose peak is unknown.
        seen: the inputs of modules in the first and in the last training step.
        data_mark: a sum over the input of the first module call, to detect that two passes used
            the same data; None if no kernel ran or no module was called.
        baseline_bytes: charged bytes before the workload is built (CPU: VmData; CUDA: reserved by
            the caching allocator, without a warm-up).
        baseline_note: on the CPU, why no warm-up preceded the baseline; None if one did.
        context_bytes: memory of the process before the workload is built (CPU: VmRSS; CUDA: device
            memory of the process less the bytes that the allocator reserved).
        peak_process_bytes: the operating system's peak for the process (CPU: VmHWM; CUDA: NVML).
        peak_process_reason: why *peak_process_bytes* is null.
        peak_charged_bytes: peak of the bytes that the limit counts (CPU: address space above the
            baseline; CUDA: reserved by the caching allocator).
        peak_charged_reason: why *peak_charged_bytes* is null.
        peak_allocated_bytes: peak of the bytes that the caching allocator allocated; None on CPU.
        retries: how often the caching allocator emptied its cache to continue, after step 2; above
            0, training thrashes.  None on CPU.
        loss: loss of the last step; None if it was not finite (see ``warnings``).
        children_bytes, shared_bytes: the most private memory of child processes (workers of a data
            loader), and the most shared memory of this process, at the end of a training step.
            The limit counts neither.
        start_s: of a script: seconds from its start to its first training step.
        held_bytes: of a script: charged bytes when its first training step begins.
        held_weight_bytes: of a script: parameters and buffers among them, from their sizes.
        step_end: of a script: what ends a training step, ``optimizer``, ``weights`` (a change of
            the weights without an optimizer) or ``backward``.
        events_per_step: of a script: such events in one training step; above 1 for several
            optimizers in turn, or several backward passes before a change of the weights.
    """

    limit_bytes: Limit
    train_steps_run: Count = 0
    train_steps: Count = 0
    live_bytes: tuple[Bytes, ...] = ()
    step_peak_bytes: tuple[Bytes, ...] = ()
    seen: Annotated[tuple[Seen, ...], Few] = ()
    data_mark: Real | None = None
    baseline_bytes: Bytes | None = None
    baseline_note: Text | None = None
    context_bytes: Bytes | None = None
    peak_process_bytes: Bytes | None = None
    peak_process_reason: Text | None = None
    peak_charged_bytes: Bytes | None = None
    peak_charged_reason: Text | None = None
    peak_allocated_bytes: Bytes | None = None
    retries: Count | None = None
    loss: Real | None = None
    children_bytes: Bytes | None = None
    shared_bytes: Bytes | None = None
    start_s: Seconds | None = None
    held_bytes: Bytes | None = None
    held_weight_bytes: Bytes | None = None
    step_end: Text | None = None
    events_per_step: Count | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The allocator's live bytes at the instant of the peak, by storage; all sizes in bytes.

    Attributes:
        weights: parameters and buffers of the model.
        gradients: the parameters' gradients.
        optimizer_state: tensors in the optimizer's state.
        input: allocated in build or data, and live afterwards: batches, labels, carried state.
        weight_casts: copies of weights for computation: in another dtype, or compacted at each
            call for cuDNN because the weights are not flattened.
        saved: allocated in forward and live afterwards.
        library: workspaces and states that a library keeps.
        temporaries: everything else that was live.
        rounding: allocated less requested bytes.
        phase: the phase of the peak.
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
    phase: Text

    def parts(self) -> dict[str, int]:
        """Bytes of each part, in the order above; they sum to the allocator's peak."""
        return {name: getattr(self, name) for name in BREAKDOWN_PARTS}


BREAKDOWN_PARTS: Final = (
    "weights", "gradients", "optimizer_state", "input", "weight_casts", "saved", "library",
    "temporaries", "rounding",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Observation):
    """Allocator peaks per phase and the memory breakdown, in a worker without the limit.

    Attributes:
        train_steps_run: training steps that passed.
        optimizer_steps: steps of the optimizer; None where unknown.
        peak_allocated_bytes: the allocator's own peak over build and all steps.
        peak_reserved_bytes: peak of the reserved bytes; None on CPU, where the allocator reserves
            nothing.
        breakdown: the memory breakdown at the peak; None where *breakdown_reason* says why.
        phase_peak_bytes: peak of the allocated bytes in each phase, over all steps.
        phase_live_bytes: allocated bytes at the end of each phase of the last step.
        model_bytes: sums over the model's and optimizer's tensors, to check the breakdown.
        net_bytes_per_step: bytes that the last step left behind; a value above 0 suggests a leak.
        ops: recurrent operators that really ran.
        implementation: ``fused``, ``native``, ``loop`` or ``mixed``, as it really ran; None where
            unknown.
        graphs_compiled: graphs that torch.compile compiled; None without torch.compile.
        flops_per_step: floating-point operations of one step of a factory, counted by torch's
            FlopCounterMode; None for the built-in cells, whose count is a formula.
    """

    train_steps_run: Count = 0
    optimizer_steps: Whole | None = None
    peak_allocated_bytes: Bytes | None = None
    peak_reserved_bytes: Bytes | None = None
    breakdown: Breakdown | None = None
    breakdown_reason: Text | None = None
    phase_peak_bytes: Annotated[dict[Text, Bytes], Few] = field(default_factory=dict)
    phase_live_bytes: Annotated[dict[Text, Bytes], Few] = field(default_factory=dict)
    model_bytes: Annotated[dict[Text, Bytes], Few] = field(default_factory=dict)
    net_bytes_per_step: Whole | None = None
    ops: Annotated[tuple[Text, ...], Few] = ()
    implementation: Text | None = None
    implementation_reason: Text | None = None
    graphs_compiled: Whole | None = None
    flops_per_step: Whole | None = None
    flops_reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing(Observation):
    """Whole steps run back to back as in training, and phase times from separate steps.

    Attributes:
        samples_s: raw duration of each step.
        warmup_samples_s: durations of the warm-up steps before, which are not used.
        converged: whether the 95% interval of the median reached the requested precision.
        phase_samples_s: durations of each phase, from separate steps that only time phases.
        phase_step_samples_s: durations of those steps as a whole; they show the cost of phase
            marks.
        sequences_per_step: sequences that one step trained on.
        host_enqueue_s: the host's time to submit a step; None on CPU, where the host computes.
        block_wait_s: median wait for the device at a block's end, after the host had submitted
            its last step; None on CPU.
        loss: loss of the last step; None if it was not finite.
    """

    samples_s: tuple[Duration, ...] = ()
    warmup_samples_s: tuple[Seconds, ...] = ()
    converged: bool = False
    phase_samples_s: Annotated[dict[Text, tuple[Seconds, ...]], Few] = field(default_factory=dict)
    phase_step_samples_s: tuple[Seconds, ...] = ()
    sequences_per_step: Whole | None = None
    host_enqueue_s: Seconds | None = None
    block_wait_s: Seconds | None = None
    loss: Real | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Observation):
    """Figures of the device itself, to compare measurements with.

    Attributes:
        what: ``rates`` (of a matrix product and a copy) or ``reserve`` (a library's memory).
        parameters: what the figures are valid for: sizes, dtype.
        figures: by name, with units: ``matmul_flop_per_s``, ``copy_bytes_per_s``.
    """

    what: Text = "rates"
    parameters: dict[str, Any] = field(default_factory=dict)
    figures: Annotated[dict[Text, Real], Few] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient(Observation):
    """How far gradients reach back, and how noisy they are, after a number of training steps.

    Attributes:
        train_steps: training steps before the measurement.
        inputs: the tensor that the reach refers to: ``input``, or ``embedding`` if the input is
            not floating-point.
        lag_norms: for each draw ``|dL_T/dx_{T-k}|`` by lag k from 0, the mean over sequences; None
            where it is not finite.
        reach_reason: why *lag_norms* is empty.
        small_batch, big_batch: sequences of the two batches for the noise scale.
        small_squared, big_squared: for each draw the mean ``|G|^2`` of the small batches, and
            ``|G|^2`` of the large batch that they form; None where it is not finite.
        noise_reason: why *small_squared* and *big_squared* are empty.
        clipped_steps: training steps whose gradient was clipped; None where unknown.
        learning_rate: None if a factory decides it.
        loss: loss of the last training step, or of the first draw; None if it was not finite.
    """

    train_steps: Count = 0
    inputs: Text | None = None
    lag_norms: tuple[tuple[Real | None, ...], ...] = ()
    reach_reason: Text | None = None
    small_batch: Whole | None = None
    big_batch: Whole | None = None
    small_squared: tuple[Real | None, ...] = ()
    big_squared: tuple[Real | None, ...] = ()
    noise_reason: Text | None = None
    clipped_steps: Whole | None = None
    learning_rate: Real | None = None
    loss: Real | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning(Observation):
    """One training run until a target loss, or until its time budget is spent.

    Attributes:
        seed: seed of weights and data.
        learning_rate: None if a factory decides it.
        target_loss: the requested loss.
        baseline_loss: loss of a model that has learned nothing; None if a factory gives none.
        reached: whether the loss on fresh data reached the target; if *train_steps* is 0, the
            target was met before any training.
        train_steps: training steps until the target, or in all.
        sequences: sequences used in those training steps.
        train_s: time of those training steps, without evaluations.
        losses: (training steps, loss) at each evaluation; the loss is None if it was not finite.
        clipped_steps: training steps whose gradient was clipped; None where unknown.
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
