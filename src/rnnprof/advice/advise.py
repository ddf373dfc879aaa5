"""Recommend a batch at each T, and say why, only from measurements.

The user chooses T: another T is mentioned only if it is certainly faster.  Predictions of the
memory model are marked as predicted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rnnprof.advice.reasons import (
    Accumulates,
    AlsoByGoodput,
    FasterLength,
    FitsAtOnce,
    Lack,
    LeftOut,
    NoPoint,
    NoPointHere,
    NotStationary,
    NotStudied,
    OtherByGoodput,
    PointNotUsed,
    PredictedBatch,
    SpeedUnknown,
    UnderLimit,
    Unfinished,
)
from rnnprof.advice.recommendation import Rates, Recommendation, rate, recommend
from rnnprof.breakdown.memory_model import LEAST_MARGIN_RATIO, MemoryModel
from rnnprof.maxbatch.certify import Proof
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.study.goodput import Chunk, Goodput, chunk_for, goodput_at
from rnnprof.study.trainability import Trainability

SMALLER_LIMITS: Final = (0.5,)
"""Shares of the limit for which the advice predicts the largest batches."""

GPU_SIZES: Final = tuple(gib << 30 for gib in (8, 12, 16, 24, 32, 40, 48, 80, 141))
"""Memory of common GPUs; for a run on a GPU the advice covers the next two smaller ones."""


@dataclass(frozen=True, slots=True)
class LargestSafe:
    """The largest safe batch at one T.

    Attributes:
        edge: the largest batch that fits; None where unknown.
        batch: the largest that leaves the headroom; None if none does.
        is_measured: whether it was run; else the memory model predicts its bytes.
        peak_bytes: its charged peak, measured or predicted.
        accumulation_steps: accumulation steps for the requested effective batch; None if none was
            requested.
    """

    time_steps: int
    edge: int | None
    batch: int | None
    is_measured: bool
    peak_bytes: int | None
    accumulation_steps: int | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """The advice of a run.

    Attributes:
        recommendations: one for each T that was timed.
        largest_safe: one for each T with a certificate.
        reasons: general remarks.
        predictions: predicted largest batches under smaller limits.
        effective_batch: the requested effective batch of gradient accumulation, if any.
        goodput: one for each T whose noise scale is known.
        chunk: the length of chunks; None if it was not requested.
        unknown: questions that this run does not answer.
    """

    recommendations: tuple[Recommendation, ...] = ()
    largest_safe: tuple[LargestSafe, ...] = ()
    reasons: tuple[Reason, ...] = ()
    predictions: tuple[Reason, ...] = ()
    effective_batch: int | None = None
    goodput: tuple[Goodput, ...] = ()
    chunk: Chunk | None = None
    unknown: tuple[Reason, ...] = ()

    @property
    def main(self) -> Recommendation | None:
        """The one recommendation to show: that of the longest T at which a batch is recommended."""
        decided = [each for each in self.recommendations if each.batch is not None]
        return max(decided, key=lambda each: each.time_steps, default=None)

    @property
    def point(self) -> Point | None:
        """The point of the main recommendation."""
        main = self.main
        return None if main is None or main.batch is None else Point(main.batch, main.time_steps)

    @property
    def points(self) -> tuple[Point, ...]:
        """The recommended points, one for each T at which a batch is recommended."""
        found = self.recommendations
        return tuple(Point(each.batch, each.time_steps) for each in found if each.batch is not None)

    def at(self, time_steps: int) -> Recommendation | None:
        """The recommendation at a T; None if nothing was timed there."""
        return next((each for each in self.recommendations if each.time_steps == time_steps), None)

    @property
    def better_by_goodput(self) -> Goodput | None:
        """The goodput at the main T, if it recommends another batch than the throughput."""
        main = self.main
        here = [each for each in self.goodput if main and each.time_steps == main.time_steps]
        return here[0] if here and main and here[0].batch != main.batch else None


@dataclass(frozen=True, slots=True)
class Cut:
    """A question about truncated back-propagation.

    Attributes:
        length: time steps of a whole sequence.
        reach: time steps that the gradient must reach back.
    """

    length: int
    reach: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The memory limit and headroom of the advice."""

    limit_bytes: int
    headroom_ratio: float

    @property
    def usable_bytes(self) -> float:
        """The limit without its headroom."""
        return self.limit_bytes * (1 - self.headroom_ratio)


def advise(
    folded: FoldedRun,
    trained: Trainability,
    effective_batch: int | None = None,
    cut: Cut | None = None,
) -> Advice:
    """Compute the advice of a run.

    Args:
        trained: the results of its study of trainability.
        effective_batch: effective batch for which to give the accumulation steps; None for none.
        cut: sequences for which to give the length of chunks; None for none.
    """
    run, frontier, model = folded.run, folded.frontier, folded.model
    bounds = Bounds(folded.limit_bytes, folded.headroom_ratio)
    peaks = _peaks(folded.evident_fits)
    safe = tuple(
        largest_safe(c, bounds, model, peaks.get(c.time_steps, {}), effective_batch)
        for c in frontier
    )
    leaks = {c.time_steps: c for c in frontier if c.status is EdgeStatus.NOT_STATIONARY}
    steady = [m for point, m in folded.measurements.items() if point.time_steps not in leaks]
    drift_ratio = 0.0 if folded.drift is None else folded.drift.ratio
    found: tuple[Recommendation, ...] = ()
    reasons: tuple[Reason, ...] = (SpeedUnknown(),)
    if not run.is_simulated:
        found = _recommendations(steady, bounds, drift_ratio, effective_batch)
        reasons = (
            *(NotStationary(time_steps, each.reason) for time_steps, each in leaks.items()),
            *(() if leaks else _nothing_usable(steady, found)),
            *_other_lengths(steady, found, drift_ratio),
        )
    if run.requests and not run.is_finished:
        reasons = (Unfinished(), *reasons)
    usable = [m for m in steady if _is_usable(m, bounds)]
    advice = Advice(
        recommendations=found,
        largest_safe=safe,
        reasons=reasons,
        predictions=_smaller(model, bounds, frontier, is_gpu=_is_gpu(run)),
        effective_batch=effective_batch,
        goodput=_goodput(usable, trained),
        chunk=None if cut is None else chunk_for(cut.length, cut.reach, usable, trained),
    )
    is_training = run.header.workload.mode == "train"
    return replace(
        advice,
        reasons=(*advice.reasons, *_by_goodput(advice)),
        unknown=_unknown(run, advice.main, trained) if is_training else (),
    )


def _recommendations(
    steady: Sequence[Measurement], bounds: Bounds, drift_ratio: float, effective_batch: int | None
) -> tuple[Recommendation, ...]:
    """One recommendation for each T that was timed, ascending."""
    by_length: dict[int, list[Measurement]] = defaultdict(list)
    for measurement in filter(_is_timed, steady):
        by_length[measurement.point.time_steps].append(measurement)
    found = []
    for time_steps, timed in sorted(by_length.items()):
        usable = [m for m in timed if _is_usable(m, bounds)]
        one = recommend(time_steps, usable, bounds.limit_bytes, drift_ratio)
        reasons = (*one.reasons, *_left_out(timed, usable, bounds))
        if not usable:
            reasons = (NoPointHere(), *reasons)
        if effective_batch is not None and one.batch is not None:
            fewest = math.ceil(effective_batch / one.batch)
            reasons = (*reasons, _accumulate(effective_batch, one.batch, fewest))
            one = replace(one, accumulation_steps=fewest)
        found.append(replace(one, reasons=reasons))
    return tuple(found)


def _is_timed(measurement: Measurement) -> bool:
    return bool(measurement.time_steps_per_s) and measurement.outcome is Outcome.MEASURED


def _nothing_usable(
    steady: Sequence[Measurement], found: Sequence[Recommendation]
) -> tuple[Reason, ...]:
    """Why no batch is recommended at any T; empty if one is."""
    if any(each.batch is not None or each.tied for each in found):
        return ()
    unused = [PointNotUsed(m.point, m.unused) for m in steady if m.unused]
    return (*unused[-1:], *(() if found else (NoPoint(),)))


def _other_lengths(
    steady: Sequence[Measurement], found: Sequence[Recommendation], drift_ratio: float
) -> tuple[FasterLength, ...]:
    """A note if another T is faster than the longest, by more than the intervals."""
    by_point = {m.point: m for m in steady}
    decided = [
        by_point[Point(each.batch, each.time_steps)] for each in found if each.batch is not None
    ]
    if not decided:
        return ()
    ranges = {m.point: Rates.of(m, drift_ratio) for m in decided}
    longest = decided[-1]
    best = max(decided, key=lambda m: ranges[m.point].low)
    if ranges[best.point].low <= ranges[longest.point].high:
        return ()
    return (FasterLength(best.point, longest.point, rate(best) / rate(longest) - 1),)


def _is_usable(measurement: Measurement, bounds: Bounds) -> bool:
    """Whether a point was timed, fits with headroom, and does not thrash."""
    is_timed = measurement.time_steps_per_s and measurement.outcome is Outcome.MEASURED
    return bool(is_timed) and _leaves_headroom(measurement, bounds) and not measurement.retries


def _goodput(usable: Sequence[Measurement], trained: Trainability) -> tuple[Goodput, ...]:
    lengths = sorted({each.point.time_steps for each in usable})
    found = (goodput_at(time_steps, usable, trained) for time_steps in lengths)
    return tuple(each for each in found if each is not None)


def _by_goodput(advice: Advice) -> list[Reason]:
    """Whether goodput agrees with the batch that throughput alone recommends."""
    main = advice.main
    here = next(
        (each for each in advice.goodput if main and each.time_steps == main.time_steps), None
    )
    if main is None or here is None:
        return []
    if here.batch == main.batch:
        return [AlsoByGoodput(main.time_steps)]
    return [OtherByGoodput(main.time_steps, here.batch)]


def _unknown(
    run: Run, main: Recommendation | None, trained: Trainability
) -> tuple[NotStudied, ...]:
    """What is unknown about the recommended point because trainability was not measured."""
    if main is None:
        return ()
    time_steps = main.time_steps
    worth = trained.noise_at(time_steps) is None
    reach = all(each.time_steps != time_steps for each in trained.reach)
    is_script = run.header.workload.script is not None
    return (NotStudied(time_steps, worth, reach, is_script),) if worth or reach else ()


def largest_safe(
    certificate: Proof,
    bounds: Bounds,
    model: MemoryModel | None,
    measured: Mapping[int, int],
    effective_batch: int | None = None,
) -> LargestSafe:
    """The largest safe batch at a T, a multiple of the granularity.

    Args:
        measured: charged peaks at that T in bytes, by batch.
    """
    time_steps, edge = certificate.time_steps, certificate.batch
    if certificate.status is EdgeStatus.BATCH_NOT_USED:
        edge = None
    if edge is None or model is None:
        return LargestSafe(time_steps, edge, None, False, None)
    batch = _largest_within(certificate, bounds, model, measured)
    if batch == 0:
        return LargestSafe(time_steps, edge, None, False, None)
    chord, point = _chord(edge, bounds, measured), Point(batch, time_steps)
    return LargestSafe(
        time_steps,
        edge,
        batch,
        batch in measured,
        measured.get(batch) or round(_predicted_bytes(point, model, chord)),
        None if effective_batch is None else math.ceil(effective_batch / batch),
    )


@dataclass(frozen=True, slots=True)
class Chord:
    """Two measured batches at a T: the lower leaves the headroom, the next one does not.

    Peaks are convex in B, nearly: a library may keep more from some batch on.  So between the two
    the straight line bounds them from above.
    """

    lower: int
    lower_bytes: int
    upper: int
    upper_bytes: int

    def at(self, batch: float) -> float:
        """The bound in bytes between the two, without a margin."""
        share = (batch - self.lower) / (self.upper - self.lower)
        return self.lower_bytes + share * (self.upper_bytes - self.lower_bytes)

    def edge(self, usable_bytes: float) -> float:
        """The batch where the bound, with the least margin, reaches *usable_bytes*."""
        left_bytes = usable_bytes / (1 + LEAST_MARGIN_RATIO) - self.lower_bytes
        return self.lower + (self.upper - self.lower) * max(0.0, left_bytes) / (
            self.upper_bytes - self.lower_bytes
        )


def _chord(edge: int, bounds: Bounds, measured: Mapping[int, int]) -> Chord | None:
    """The measured batches around the usable bytes, up to the largest that fits."""
    within = [b for b, peak in measured.items() if b <= edge and peak <= bounds.usable_bytes]
    lower = max(within, default=0)
    upper = min((b for b in measured if lower < b <= edge), default=None)
    if lower == 0 or upper is None:
        return None
    return Chord(lower, measured[lower], upper, measured[upper])


def _predicted_bytes(point: Point, model: MemoryModel, chord: Chord | None) -> float:
    """The peak at a batch that was not run."""
    if chord is not None and chord.lower < point.batch < chord.upper:
        return chord.at(point.batch)
    return model.predict_bytes(point)


def _largest_within(
    certificate: Proof, bounds: Bounds, model: MemoryModel, measured: Mapping[int, int]
) -> int:
    """The largest safe batch, by measured bytes or by an upper bound; 0 for none."""
    unit, edge = certificate.granularity, certificate.batch or 0
    known = [b for b, peak in measured.items() if b <= edge and peak <= bounds.usable_bytes]
    best = max((batch for batch in known if batch % unit == 0), default=0)
    if (chord := _chord(edge, bounds, measured)) is not None:
        best = max(best, int(chord.edge(bounds.usable_bytes)) // unit * unit)
    batch = edge // unit * unit
    while batch > best and not _is_within(
        Point(batch, certificate.time_steps), bounds, model, measured
    ):
        predicted = min(
            model.safe_edge(certificate.time_steps, bounds.usable_bytes), float(batch - unit)
        )
        batch = max(0, int(predicted)) // unit * unit
    return max(batch, best)


def _is_within(
    point: Point, bounds: Bounds, model: MemoryModel, measured: Mapping[int, int]
) -> bool:
    peak = measured.get(point.batch) or model.upper_bytes(point)
    return peak <= bounds.usable_bytes


def _peaks(fits: Iterable[Fit]) -> dict[int, dict[int, int]]:
    """The highest measured charged peaks, by T and batch."""
    peaks: dict[int, dict[int, int]] = defaultdict(dict)
    for fit in fits:
        here = peaks[fit.time_steps]
        here[fit.batch] = max(fit.peak_charged_bytes or 0, here.get(fit.batch, 0))
    return peaks


def _leaves_headroom(measurement: Measurement, bounds: Bounds) -> bool:
    peak = _peak(measurement)
    return peak is not None and peak <= bounds.usable_bytes


def _peak(measurement: Measurement) -> int | None:
    return measurement.peak_charged_bytes


def _left_out(
    timed: Sequence[Measurement], usable: Sequence[Measurement], bounds: Bounds
) -> list[LeftOut]:
    """The fastest batch that was left out because of its memory, if faster than all others."""
    best = max(map(rate, usable), default=0.0)
    faster = [m for m in timed if m not in usable and rate(m) > best]
    if not faster:
        return []
    top = max(faster, key=rate)
    lack = Lack.HEADROOM if _peak(top) is not None else Lack.MEMORY_UNKNOWN
    if top.retries:
        lack = Lack.THRASHING
    headroom_ratio = bounds.headroom_ratio
    return [LeftOut(top.point.batch, rate(top), lack, headroom_ratio, is_faster=bool(usable))]


def _accumulate(effective: int, batch: int, fewest: int) -> Reason:
    """The accumulation steps that give the effective batch exactly.

    If fewer steps come near it, the reason also has these, with the nearest batch.
    """
    if fewest == 1:
        return FitsAtOnce(effective)
    exact = next(b for b in range(min(batch, effective), 0, -1) if effective % b == 0)
    many = effective // exact
    if many == fewest:
        return Accumulates(effective, many, exact)
    near = min(
        (batch, effective // fewest, -(-effective // fewest)),
        key=lambda each: (abs(each * fewest - effective), -each),
    )
    return Accumulates(effective, many, exact, fewest, near)


def _smaller(
    model: MemoryModel | None, bounds: Bounds, frontier: Sequence[Proof], *, is_gpu: bool
) -> tuple[UnderLimit, ...]:
    """The predicted largest batches under smaller limits."""
    known = [c for c in frontier if c.status in (EdgeStatus.CERTIFIED, EdgeStatus.CAPPED)]
    if model is None or not known:
        return ()
    limits: Sequence[float] = [share * bounds.limit_bytes for share in SMALLER_LIMITS]
    if is_gpu:
        limits = [size for size in GPU_SIZES if size < 0.9 * bounds.limit_bytes][-2:]
    return tuple(
        UnderLimit(limit, tuple(_predicted(model, each, limit) for each in known))
        for limit in limits
    )


def _predicted(model: MemoryModel, certificate: Proof, limit: float) -> PredictedBatch:
    time_steps, unit, batch = (
        certificate.time_steps, certificate.granularity, certificate.batch or 0,
    )  # fmt: skip
    edge = int(max(0.0, min(model.safe_edge(time_steps, limit), float(batch))))
    if edge < unit:
        return PredictedBatch(time_steps, None)
    if edge == batch and certificate.status is EdgeStatus.CAPPED:
        return PredictedBatch(time_steps, batch, is_exact=True)
    return PredictedBatch(time_steps, edge // unit * unit)


def _is_gpu(run: Run) -> bool:
    return run.environment.get("device") == "cuda"
