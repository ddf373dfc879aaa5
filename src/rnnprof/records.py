"""What was asked and what was observed: frozen records, the vocabulary of the run file.

Schema history
    1   2026-11: header, request, started, fit, memory, timing, calibration, certificate,
            finished.

Units are in the names; an unknown value is ``None`` with its reason beside it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final

from rnnprof.study import Study
from rnnprof.workload import Workload

SCHEMA: Final = 1


class Outcome(enum.StrEnum):
    """How a point ended."""

    MEASURED = "measured"
    OOM = "oom"
    UNSUPPORTED = "unsupported"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    FAILED = "failed"
    IMPLIED_OOM = "implied_oom"


GOOD_OUTCOMES: Final = frozenset(
    {Outcome.MEASURED, Outcome.OOM, Outcome.UNSUPPORTED, Outcome.IMPLIED_OOM}
)
"""Outcomes that answer the question; after any other one a measurement is missing."""


class Role(enum.StrEnum):
    """Why a point was observed."""

    GRID = "grid"
    ANCHOR = "anchor"
    PROBE = "probe"
    REPLICATE = "replicate"
    NEIGHBOUR = "neighbour"
    STEP_FUNCTION = "step_function"


UNSOUGHT: Final = frozenset({Role.NEIGHBOUR, Role.STEP_FUNCTION})
"""Roles of what is run beside a search for the largest batch: nothing is decided by them."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One place of the grid.

    Attributes:
        batch: sequences per batch (B).
        steps: time steps per sequence (T).
    """

    batch: int
    steps: int

    def __str__(self) -> str:
        return f"B={self.batch} T={self.steps}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The batch and step axes, each ascending."""

    batch: tuple[int, ...]
    steps: tuple[int, ...]

    def points(self) -> tuple[Point, ...]:
        """Every point, by steps and then by batch."""
        return tuple(Point(batch, steps) for steps in self.steps for batch in self.batch)


@dataclass(frozen=True, slots=True)
class Header:
    """The identity of a run: two files with equal headers hold the same run.

    Attributes:
        run_id: hash of the other fields.
        environment: facts from an allow-list; no user or host name.
        fingerprint: hash of the environment.
        limit_bytes: what training may reserve for tensors, resolved once.
    """

    schema: int
    run_id: str
    rnnprof_version: str
    workload: Workload
    environment: dict[str, Any]
    fingerprint: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """How points are measured; the same on resume.

    Attributes:
        memory_limit: the size asked for, or None for all that is free.
        card_bytes: size of the card that the limit stands for (its memory less the context
            measured here); the algorithms stay this device's.  None without ``--card``.
        point_seconds: at most this long is spent on a point's timed steps.
        processes: timing passes per point, each in a process of its own; 0 for memory alone.
        timeout_s: deadline of one pass; None scales it to the expected cost.
        prune: points dominated by an OOM are implied, not run.
        confirm_steps: training steps that a probe of the edge has to pass.
        through: training steps that the proof of the largest batch runs, where more than
            *confirm_steps*; 0 for no more.
        confirm: fresh workers in which the largest batch has to pass.
        granularity: the edge is sought among multiples of it.
        at_most: the largest batch that ``max-batch`` tries.
        headroom_ratio: share of the limit between the edge and the batch advised.
        reserve_bytes: set aside of the limit for what is not here.
        lengths: T of the mixed steps of a probe; empty for the same T in all.
        certify: the edge is proven at each T of the grid.
        fast: memory passes whose peak the others tell to half a percent are left out.
        study: how trainability is measured; None where it is not.
    """

    memory_limit: int | None = None
    card_bytes: int | None = None
    point_seconds: float = 2.0
    processes: int = 1
    timeout_s: float | None = None
    seed: int = 0
    prune: bool = True
    confirm_steps: int = 10
    through: int = 0
    confirm: int = 1
    granularity: int = 1
    at_most: int = 65536
    headroom_ratio: float = 0.05
    reserve_bytes: int = 0
    lengths: tuple[int, ...] = ()
    certify: bool = True
    fast: bool = False
    study: Study | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One invocation: what was asked for."""

    request: str
    command: str
    grid: Grid
    settings: Settings
    at_utc: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The invocation named came to its end."""

    request: str
    at_utc: str
    wall_s: float


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt began; without an observation of the same attempt it was interrupted."""

    attempt: str
    observes: str
    batch: int
    steps: int
    role: Role
    process_index: int
    request: str
    at_utc: str


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
    requested_bytes: int | None = None
    signal: int | None = None
    exit_code: int | None = None
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class DeviceConditions:
    """A GPU at one instant, as NVML tells it.

    Attributes:
        max_sm_clock_mhz: the highest that the card would run its multiprocessors at.
        event_reasons: why the clocks are not higher, by NVML's own names; empty for no reason.
        used_bytes: device memory that is in use, by whomever.
        own_bytes: of it, by this process; None where NVML hides it, as in most containers.
        unknown: for each field that is None, why.
    """

    sm_clock_mhz: int | None = None
    max_sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    event_reasons: tuple[str, ...] | None = None
    used_bytes: int | None = None
    own_bytes: int | None = None
    unknown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine while a pass ran, as raw facts; judged by :mod:`rnnprof.analysis.disturbance`.

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

    wall_s: float
    cpu_count: int
    cpu_own_s: float | None = None
    cpu_busy_s: float | None = None
    cpu_steal_s: float | None = None
    throttled_s: float | None = None
    device_before: DeviceConditions | None = None
    device_after: DeviceConditions | None = None
    others_drift_bytes: int | None = None
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
    batch: int
    steps: int
    role: Role
    worker: int
    process_index: int
    request: str
    outcome: Outcome
    wall_s: float
    reason: str | None = None
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    conditions: Conditions | None = None

    @property
    def point(self) -> Point:
        """The point observed."""
        return Point(self.batch, self.steps)

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

    step: int
    batch: int | None = None
    time_steps: int | None = None
    sequences: int = 0
    positions: int = 0
    elements: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit(Observation):
    """Full training steps under the limit, nothing else switched on.

    Attributes:
        steps_run: training steps that passed.
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
        peak_counted_bytes: peak of the bytes that the limit counts (CPU: address space above the
            baseline; CUDA: reserved by the caching allocator).
        peak_allocated_bytes: by the caching allocator, in this plain training; None on CPU.
        retries: times that the caching allocator emptied its cache to go on, after step 2: a
            limit so near thrashes.  None on CPU.
        loss: of the last step; None when it was no finite number (see ``warnings``).
        children_bytes, shared_bytes: the most that child processes (workers of a data loader) held
            for themselves, and that shared mappings of this process had in memory, at the end of
            a training step.  The limit counts neither.
    """

    limit_bytes: int
    steps_run: int = 0
    train_steps: int = 0
    live_bytes: tuple[int, ...] = ()
    step_peak_bytes: tuple[int, ...] = ()
    seen: tuple[Seen, ...] = ()
    data_mark: float | None = None
    baseline_bytes: int | None = None
    baseline_note: str | None = None
    context_bytes: int | None = None
    peak_process_bytes: int | None = None
    peak_process_reason: str | None = None
    peak_counted_bytes: int | None = None
    peak_counted_reason: str | None = None
    peak_allocated_bytes: int | None = None
    retries: int | None = None
    loss: float | None = None
    children_bytes: int | None = None
    shared_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Census:
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

    weights: int
    gradients: int
    optimizer_state: int
    input: int
    weight_casts: int
    saved: int
    library: int
    temporaries: int
    rounding: int
    phase: str

    def parts(self) -> dict[str, int]:
        """The byte counts by part, in the order above; they sum to the allocator's peak."""
        return {name: getattr(self, name) for name in CENSUS_PARTS}


CENSUS_PARTS: Final = (
    "weights", "gradients", "optimizer_state", "input", "weight_casts", "saved", "library",
    "temporaries", "rounding",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Observation):
    """Allocator peaks per phase and the census at the peak, in a worker without the limit.

    Attributes:
        peak_allocated_bytes: the allocator's own peak over build and all steps.
        peak_reserved_bytes: None on CPU, where the allocator reserves nothing.
        phase_peak_bytes: the highest allocated within each phase, over all steps.
        phase_live_bytes: allocated at the end of each phase of the last step.
        model_bytes: sums over the tensors themselves, to check the census against.
        net_bytes_per_step: what the last step left behind; not zero is a leak.
        ops: recurrent operators that really ran.
        implementation: ``fused``, ``native``, ``loop`` or ``mixed`` as it really ran; None where
            unknown.
        graphs_compiled: by torch.compile; None where it was not asked for.
        flops_per_step: floating-point operations of one step of a factory, counted by torch's
            FlopCounterMode; None for the built-in cells, whose count is a formula.
    """

    steps_run: int = 0
    optimizer_steps: int | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    census: Census | None = None
    census_reason: str | None = None
    phase_peak_bytes: dict[str, int] = field(default_factory=dict)
    phase_live_bytes: dict[str, int] = field(default_factory=dict)
    model_bytes: dict[str, int] = field(default_factory=dict)
    net_bytes_per_step: int | None = None
    ops: tuple[str, ...] = ()
    implementation: str | None = None
    implementation_reason: str | None = None
    graphs_compiled: int | None = None
    flops_per_step: int | None = None
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

    samples_s: tuple[float, ...] = ()
    warmup_samples_s: tuple[float, ...] = ()
    converged: bool = False
    phase_samples_s: dict[str, tuple[float, ...]] = field(default_factory=dict)
    phase_step_samples_s: tuple[float, ...] = ()
    sequences_per_step: int | None = None
    host_enqueue_s: float | None = None
    block_wait_s: float | None = None
    loss: float | None = None


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
    figures: dict[str, float] = field(default_factory=dict)


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

    train_steps: int = 0
    inputs: str | None = None
    lag_norms: tuple[tuple[float | None, ...], ...] = ()
    reach_reason: str | None = None
    small_batch: int | None = None
    big_batch: int | None = None
    small_squared: tuple[float | None, ...] = ()
    big_squared: tuple[float | None, ...] = ()
    noise_reason: str | None = None
    clipped_steps: int | None = None
    learning_rate: float | None = None
    loss: float | None = None


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

    seed: int = 0
    learning_rate: float | None = None
    target_loss: float | None = None
    baseline_loss: float | None = None
    reached: bool = False
    train_steps: int = 0
    sequences: int = 0
    train_s: float = 0.0
    losses: tuple[tuple[int, float | None], ...] = ()
    clipped_steps: int | None = None


class EdgeStatus(enum.StrEnum):
    """What is known of the largest batch at one T."""

    CERTIFIED = "certified"
    CAPPED = "capped"
    NOTHING_FITS = "nothing_fits"
    UNSUPPORTED = "unsupported"
    NON_MONOTONE = "non_monotone"
    NOT_STATIONARY = "not_stationary"
    BATCH_NOT_USED = "batch_not_used"
    INDETERMINATE = "indeterminate"


GOOD_STATUSES: Final = frozenset({EdgeStatus.CERTIFIED, EdgeStatus.CAPPED, EdgeStatus.UNSUPPORTED})
"""Statuses that answer what was asked at a T; after any other one there is no largest batch."""


@dataclass(frozen=True, slots=True)
class EdgeFit:
    """The side of an edge that fits: full training steps passed in a fresh worker.

    Attributes:
        peak_bytes: of what the limit counts; None where it is not known.
        attempt: the observation that proves it.
        steps_run: training steps that passed.
    """

    batch: int
    attempt: str
    peak_bytes: int | None = None
    steps_run: int = 0


@dataclass(frozen=True, slots=True)
class EdgeOom:
    """The side of an edge that does not fit.

    Attributes:
        phase: in which memory ran out.
        message: the error's own words.
        requested_bytes: the allocation that did not fit, where the error names it.
        attempt: the observation that proves it.
    """

    batch: int
    attempt: str
    phase: str | None = None
    message: str | None = None
    requested_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """The proof of an edge at one T: fits at *batch*, out of memory at *batch* + granularity.

    It cites the attempts that prove it; without them in the same file it is void.

    Attributes:
        steps: T.
        batch: the largest that fits; None where none is known.
        fits, fails: both sides; of a contradiction the two that contradict each other.
        at_most: the largest batch that the search was to try.
        confirm_steps: training steps that a fit had to pass.
        horizon: training steps that the proof of *batch* ran; None without one.
        confirmations: fresh workers in which *batch* passed.
        probes: runs of steps at this T, confirmations included.
        ooms: of them, out of memory.
        attempts: every observation at this T that was part of it, in order.
        reason: what stands in the way of a certificate, or what else to know.
    """

    steps: int
    status: EdgeStatus
    granularity: int
    at_most: int
    batch: int | None = None
    fits: EdgeFit | None = None
    fails: EdgeOom | None = None
    confirm_steps: int = 10
    horizon: int | None = None
    confirmations: int = 0
    probes: int = 0
    ooms: int = 0
    attempts: tuple[str, ...] = ()
    reason: str | None = None
    request: str = ""


Record = Header | Request | Started | Observation | Certificate | Finished

KINDS: Final[dict[str, type[Any]]] = {
    "header": Header,
    "request": Request,
    "started": Started,
    "fit": Fit,
    "memory": Memory,
    "timing": Timing,
    "calibration": Calibration,
    "gradient": Gradient,
    "training": Learning,
    "certificate": Certificate,
    "finished": Finished,
}

KIND_OF: Final = {cls: kind for kind, cls in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Run:
    """A run file, read: its identity and everything that was asked and observed, in order."""

    header: Header
    requests: tuple[Request, ...] = ()
    started: tuple[Started, ...] = ()
    observations: tuple[Observation, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    finished: tuple[Finished, ...] = ()
    path: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the last invocation came to its end."""
        done = {record.request for record in self.finished}
        return bool(self.requests) and self.requests[-1].request in done

    @property
    def is_simulated(self) -> bool:
        """Whether the GPU was only described: no kernel ran, so there are no times."""
        return self.header.environment.get("simulated") is not None

    @property
    def grid(self) -> Grid:
        """The axes of every request together; a study's are not among them."""
        grids = [request.grid for request in self.requests if request.settings.study is None]
        return Grid(
            tuple(sorted({batch for grid in grids for batch in grid.batch})),
            tuple(sorted({steps for grid in grids for steps in grid.steps})),
        )

    def points(self) -> tuple[Point, ...]:
        """Every point that was to be measured, by steps and then by batch; a study's are not."""
        grids = [r.grid for r in self.requests if r.settings.study is None]
        asked = {point for grid in grids for point in grid.points()}
        return tuple(sorted(asked, key=lambda point: (point.steps, point.batch)))


@dataclass(frozen=True, slots=True)
class Measurement:
    """The fold of a point's observations.

    Attributes:
        phase: where a point that is not ``measured`` ended.
        step_time_s: median over the samples, or over the processes' medians.
        step_time_within_ci_s: 95% interval of the median within the process; None below 6 samples.
        step_time_ci_s: the range of 3 or more processes' medians' interval; else None.
        time_steps_per_s: B*T/s, honest under gradient accumulation.
        flop_per_s, matmul_share_ratio: the step's floating-point operations per second, and their
            share of a matrix product's rate on the same device and dtype.
        bound: ``launch``, ``memory`` or ``compute``; None where no one of them explains half of
            the step, or where it is unknown; *bound_reason* has the figures.
        peak_allocated_bytes: by the allocator.
        peak_process_bytes: of the process: on CUDA by NVML, context included; on the CPU by the
            operating system.
        retries: of the caching allocator under the limit, after step 2.
        seen_batch, seen_time_steps: of the largest call of a recurrent layer; None where unknown.
        unused: why a step does not use the batch requested: it then has no throughput.
        disturbed: what disturbed the timing, or None.
    """

    point: Point
    outcome: Outcome
    phase: str | None = None
    reason: str | None = None
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
    bound_reason: str | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    peak_process_bytes: int | None = None
    peak_counted_bytes: int | None = None
    retries: int | None = None
    census: Census | None = None
    census_reason: str | None = None
    implementation: str | None = None
    seen_batch: int | None = None
    seen_time_steps: int | None = None
    unused: str | None = None
    disturbed: str | None = None
    warnings: tuple[str, ...] = ()
