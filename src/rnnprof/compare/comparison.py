"""Two runs side by side: what makes them comparable, and how time and memory changed.

The unit of time is the process: the samples within one are not independent of each other.  The
ratio of two runs is that of the geometric means of their processes' medians, and its interval is
Welch's t interval of the difference of the mean logarithms (Welch, Biometrika 34, 1947).  It knows
how processes differ while a run is measured, not how the machine differs from one day to the next.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final

from rnnprof.breakdown.memory_model import Sample, fit_planes
from rnnprof.compare.reasons import (
    SOURCE,
    Affects,
    Difference,
    NoInterval,
    TooFewProcesses,
)
from rnnprof.maxbatch.certify import Proof
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.points.fold import MIN_PROCESSES, by_point, timings_of
from rnnprof.points.measurement import Measurement
from rnnprof.points.noise import judge
from rnnprof.reasons import Reason
from rnnprof.runfile.codec import encode
from rnnprof.runfile.observations import Observation
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.stats.estimate import (
    SIGNIFICANCE,
    Estimate,
    exp,
    geometric_mean,
    holm,
    log_mean,
    smallest_detectable_ratio,
)
from rnnprof.units import MIB

LEAST_S: Final = 1e-12
"""No step is over in a picosecond: what a run file says below it is kept away from zero."""

_EVERYTHING: Final = frozenset({
    "device", "device_name", "device_memory_bytes", "multiprocessors", "capability", "architecture",
    "driver", "torch", "cuda", "cudnn", "cudnn_benchmark", "cudnn_allow_tf32",
    "float32_matmul_precision", "deterministic_algorithms", "allocator", "allocator_settings",
    "threads", "interop_threads", "onednn", "cpu_capability", "simulated",
})  # fmt: skip
"""Facts of the environment that choose kernels, workspaces or arithmetic."""

_SOFTWARE: Final = frozenset({
    "torch", "cuda", "cudnn", "onednn", "cudnn_benchmark", "cudnn_allow_tf32",
    "float32_matmul_precision", "python",
})  # fmt: skip
"""Facts of an environment of Python: where two were measured in turn, they are what is compared."""

_TIME: Final = frozenset({"processor_name", "processors"})
"""Facts of the host beside a GPU: they decide how fast steps are submitted, not their bytes."""


def differences(base: Run, new: Run, *, in_turn: bool = False) -> tuple[Difference, ...]:
    """Each fact in which two runs differ, what matters most first.

    The user's sources may differ: that a change of the code changes nothing else is what is to be
    found out.  So may the GPU of a kind (``device_uuid``), the kernel, the
    Python and the rnnprof.  A fact that this version does not know is listed, and affects nothing.

    Args:
        base, new: the baseline and the run.
        in_turn: the two were measured in turn on one machine, so that the software may differ too.
    """
    left, right = _facts(base), _facts(new)
    found = [
        Difference(name, left.get(name), right.get(name), _affects(name, in_turn=in_turn))
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    ]
    order = list(Affects)
    return tuple(sorted(found, key=lambda difference: order.index(difference.affects)))


def _facts(run: Run) -> dict[str, Any]:
    workload = encode(run.header.workload)
    factory, script = (workload.pop(name) or {} for name in ("factory", "script"))
    return {
        **{f"workload.{name}": value for name, value in workload.items()},
        **{f"workload.factory.{name}": value for name, value in factory.items()},
        **{f"workload.script.{name}": value for name, value in script.items()},
        **{f"{SOURCE}{name}": value for name, value in run.header.sources.items()},
        **run.environment,
        "limit_bytes": run.limit_bytes,
        "rnnprof_version": run.rnnprof_version,
    }


def _affects(name: str, *, in_turn: bool) -> Affects:
    if name.startswith(SOURCE) or (in_turn and name in _SOFTWARE):
        return Affects.NOTHING
    if name.startswith("workload.") or name in _EVERYTHING:
        return Affects.EVERYTHING
    if name in _TIME:
        return Affects.TIME
    return Affects.LIMIT if name == "limit_bytes" else Affects.NOTHING


@dataclass(frozen=True, slots=True)
class ProcessMedians:
    """How long B sequences took at a point, process by process.

    Attributes:
        medians_s: of each process that was not noisy.  A step that trains on more than B
            sequences (accumulation) counts by its share, so that two runs stay comparable.
        noisy: for each other process, what made it noisy.
    """

    medians_s: tuple[float, ...] = ()
    noisy: tuple[Reason | str, ...] = ()

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> ProcessMedians:
        """Of a point's observations: the timing that counts for each process."""
        medians: list[float] = []
        noisy: list[Reason | str] = []
        for timing in timings_of(observations):
            if timing.outcome is not Outcome.MEASURED or not timing.samples_s:
                continue
            if (what := judge(timing.conditions)) is not None:
                noisy.append(what)
                continue
            sequences = timing.sequences_per_step or timing.batch
            seconds = median(timing.samples_s) * timing.batch / sequences
            medians.append(max(LEAST_S, seconds))
        return cls(tuple(medians), tuple(noisy))

    @property
    def are_enough(self) -> bool:
        """Whether the spread between processes is known."""
        return len(self.medians_s) >= MIN_PROCESSES

    @property
    def typical_s(self) -> float | None:
        """Their geometric mean; None without any."""
        return exp(log_mean(self.medians_s)) if self.medians_s else None

    def shortage(self) -> TooFewProcesses | None:
        """Why they are not enough for an interval; None where they are."""
        if self.are_enough:
            return None
        return TooFewProcesses(len(self.medians_s), MIN_PROCESSES, self.noisy)


@dataclass(frozen=True, slots=True)
class TimeChange:
    """How the time of a point's step changed.

    Attributes:
        base_s, new_s: geometric means of the processes' medians, for B sequences.
        ratio: new over base.
        interval: 95% interval of the ratio; None below 3 quiet processes on either side.
        processes: that count, in the baseline and in the run.
        estimate: what the interval is from; None with it.
        reason: why there is no interval.
    """

    point: Point
    base_s: float | None
    new_s: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    processes: tuple[int, int]
    estimate: Estimate | None = None
    reason: NoInterval | None = None


def compare_times(point: Point, base: ProcessMedians, new: ProcessMedians) -> TimeChange:
    """The change at a point, with an interval where both sides have processes enough.

    Args:
        point: where both were timed.
        base, new: the processes of the baseline and of the run.
    """
    base_s, new_s = base.typical_s, new.typical_s
    shortages = base.shortage(), new.shortage()
    reason = NoInterval(*shortages) if any(shortages) else None
    known = None if reason else Estimate.of_ratio(base.medians_s, new.medians_s)
    return TimeChange(
        point,
        base_s,
        new_s,
        _ratio(base_s, new_s),
        known.interval() if known else None,
        (len(base.medians_s), len(new.medians_s)),
        known,
        reason,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of both runs; None where one does not have it; the ratio is new over base."""

    base: float | None
    new: float | None
    ratio: float | None

    @classmethod
    def of(cls, base: float | None, new: float | None) -> Change:
        """The two figures and their ratio, where both are known and the first is not 0."""
        return cls(base, new, _ratio(base, new))


class Changed(enum.StrEnum):
    """What a figure of one point did, as far as two runs show."""

    MORE = "more"
    LESS = "less"
    ALIKE = "alike"
    OPEN = "open"


ALIKE_RATIO: Final = 0.05
"""Times whose whole 90% interval lies within it of each other are alike; the gate's own default."""


@dataclass(frozen=True, slots=True)
class PointVerdict:
    """What can be said of a point's changes.

    Attributes:
        time: more or less where no change at all is rejected at 5%, by Holm over all points; alike
            where the 90% interval lies within 5% on either side (two one-sided tests); else open.
        memory: of the peak that is charged, beyond what
            :class:`~rnnprof.gate.budget.Growth` allows by default; open where a run does not
            know it.
        detectable_ratio: the smallest slowdown that would have been called in 80% of such runs.
    """

    time: Changed
    memory: Changed
    detectable_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class PointComparison:
    """A point that either run has.

    Attributes:
        verdict: what can be said of it; None where it is not judged.
        base_outcome, new_outcome: None where that run does not have the point.
        charged_bytes: peak of what the memory limit counts: the memory that is shown.
        allocated_bytes: peak by the allocator.
        bytes_per_time_step: charged peak over B*T.
    """

    point: Point
    base_outcome: Outcome | None
    new_outcome: Outcome | None
    time: TimeChange
    allocated_bytes: Change
    charged_bytes: Change
    bytes_per_time_step: Change
    verdict: PointVerdict | None = None


@dataclass(frozen=True, slots=True)
class EdgeComparison:
    """The largest batch at one T that either run has; the ratio is of the two batches."""

    time_steps: int
    base: Proof | None
    new: Proof | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs side by side.

    Attributes:
        differences: of their identities, what matters most first.
        points: by steps and then by batch.
        time_ratio: geometric mean of the ratios of time, new over base: the headline; None where
            no point is timed in both.  It says nothing where a difference affects time.
        points_timed: that it is of.
        frontier: by steps.
        slope_bytes: what one time step more of one sequence takes, of the charged peak, by the
            memory model at the largest point of both; None if the points do not show it.
    """

    differences: tuple[Difference, ...]
    points: tuple[PointComparison, ...]
    time_ratio: float | None
    points_timed: int
    frontier: tuple[EdgeComparison, ...]
    slope_bytes: Change


def compare(base: FoldedRun, new: FoldedRun, *, in_turn: bool = False) -> RunComparison:
    """Two runs side by side; where they are not comparable nothing is judged.

    Args:
        base, new: the baseline and the run, each folded once.
        in_turn: they were measured in turn on one machine.
    """
    found = differences(base.run, new.run, in_turn=in_turn)
    affected = {difference.affects for difference in found}
    points = compare_points(base, new)
    if Affects.EVERYTHING not in affected:
        points = judge_points(points, are_timed=Affects.TIME not in affected)
    ratios = [each.time.ratio for each in points if each.time.ratio is not None]
    return RunComparison(
        found,
        points,
        geometric_mean(ratios),
        len(ratios),
        compare_frontiers(base.frontier, new.frontier),
        _slopes(points),
    )


def compare_points(base: FoldedRun, new: FoldedRun) -> tuple[PointComparison, ...]:
    """Every point that either run has, by steps and then by batch; without verdicts."""
    left, right = base.measurements, new.measurements
    seen = by_point(base.run.observations), by_point(new.run.observations)
    ordered = sorted({*left, *right}, key=lambda point: (point.time_steps, point.batch))
    return tuple(_compare_point(point, (left, right), seen) for point in ordered)


def _compare_point(
    point: Point,
    measured: tuple[Mapping[Point, Measurement], Mapping[Point, Measurement]],
    seen: tuple[Mapping[Point, list[Observation]], Mapping[Point, list[Observation]]],
) -> PointComparison:
    base, new = (side.get(point) for side in measured)
    times = [ProcessMedians.of(side.get(point, ())) for side in seen]
    counted = Change.of(
        base.peak_charged_bytes if base else None, new.peak_charged_bytes if new else None
    )
    return PointComparison(
        point,
        base.outcome if base else None,
        new.outcome if new else None,
        compare_times(point, *times),
        Change.of(_allocated(base), _allocated(new)),
        counted,
        Change.of(_share(counted.base, point), _share(counted.new, point)),
    )


def judge_points(
    points: Sequence[PointComparison], *, are_timed: bool = True
) -> tuple[PointComparison, ...]:
    """With a verdict each; those on time hold together, over all points."""
    estimates = [each.time.estimate if are_timed else None for each in points]
    known = [estimate for estimate in estimates if estimate is not None]
    rejected = iter(holm([_p_of_no_change(estimate) for estimate in known]))
    judged = []
    for each, estimate in zip(points, estimates, strict=True):
        time, detectable = Changed.OPEN, None
        if estimate is not None:
            time = _time_changed(estimate, rejects=next(rejected))
            detectable = smallest_detectable_ratio(estimate, 0.0, SIGNIFICANCE / 2 / len(known))
        verdict = PointVerdict(time, _memory_changed(each.charged_bytes), detectable)
        judged.append(replace(each, verdict=verdict))
    return tuple(judged)


def _p_of_no_change(estimate: Estimate) -> float:
    """Two-sided."""
    above = estimate.p_above(0.0)
    return 2 * min(above, 1 - above)


def _time_changed(estimate: Estimate, *, rejects: bool) -> Changed:
    if rejects:
        return Changed.MORE if estimate.ratio > 1 else Changed.LESS
    low, high = estimate.bound(SIGNIFICANCE), estimate.bound(1 - SIGNIFICANCE)
    is_alike = low >= 1 / (1 + ALIKE_RATIO) and high <= 1 + ALIKE_RATIO
    return Changed.ALIKE if is_alike else Changed.OPEN


def _memory_changed(change: Change) -> Changed:
    if change.base is None or change.new is None:
        return Changed.OPEN
    allowed = max(MEMORY_GROWTH_RATIO * change.base, MEMORY_GROWTH_BYTES)
    if abs(change.new - change.base) <= allowed:
        return Changed.ALIKE
    return Changed.MORE if change.new > change.base else Changed.LESS


def compare_frontiers(base: Iterable[Proof], new: Iterable[Proof]) -> tuple[EdgeComparison, ...]:
    """The certificates of two runs at every T that either has."""
    left, right = ({each.time_steps: each for each in side} for side in (base, new))
    pairs = [
        (time_steps, left.get(time_steps), right.get(time_steps))
        for time_steps in sorted({*left, *right})
    ]
    return tuple(
        EdgeComparison(
            time_steps,
            one,
            other,
            _ratio(one.batch if one else None, other.batch if other else None),
        )
        for time_steps, one, other in pairs
    )


def _slopes(points: Sequence[PointComparison]) -> Change:
    """Bytes per time step of both runs, from the points that both have."""
    both = [each for each in points if each.charged_bytes.ratio is not None]
    return Change.of(
        _slope([Sample(each.point, each.charged_bytes.base or 0) for each in both]),
        _slope([Sample(each.point, each.charged_bytes.new or 0) for each in both]),
    )


def _slope(samples: Sequence[Sample]) -> float | None:
    """Of the plane that is highest at the largest point; None of a single T or B."""
    batches = {sample.point.batch for sample in samples}
    lengths = {sample.point.time_steps for sample in samples if sample.size_bytes > 0}
    if len(lengths) < 2 or len(batches) < 2:
        return None
    largest = max(
        (s.point for s in samples), key=lambda point: (point.batch * point.time_steps, point)
    )
    planes = fit_planes(samples)
    highest = max(planes, key=lambda plane: plane.at(largest.batch, largest.time_steps))
    return highest.per_step


def _allocated(measurement: Measurement | None) -> int | None:
    return measurement.peak_allocated_bytes if measurement else None


def _share(size_bytes: float | None, point: Point) -> float | None:
    size = point.batch * point.time_steps
    return None if size_bytes is None or size == 0 else size_bytes / size


def _ratio(base: float | None, new: float | None) -> float | None:
    return new / base if base and new is not None else None


MEMORY_GROWTH_RATIO: Final = 0.005
MEMORY_GROWTH_BYTES: Final = 2 * MIB
"""Allocated memory hardly varies; one block of a library's workspace more is no regression."""
