"""Which batch and how many time steps to train with, and why: from what was measured alone.

The rule: of the points that fit with headroom and do not thrash, the smallest batch within 5% of
the best time steps/s.  What is predicted by the memory model is marked predicted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.analysis.certify import evident_fits, settings_of, training_limit_of
from rnnprof.analysis.goodput import Chunk, Goodput, chunk_for, goodput_at
from rnnprof.analysis.memory_model import MemoryModel, Sample
from rnnprof.analysis.trainability import Trainability, trainability_of
from rnnprof.records import (
    Certificate,
    EdgeStatus,
    Measurement,
    Outcome,
    Point,
    Run,
)
from rnnprof.units import format_bytes, format_rate, format_ratio

NEAR_BEST_RATIO: Final = 0.05
"""A batch that gives up less throughput than this is as good, and leaves memory and gradients."""

SMALLER_LIMITS: Final = (0.5,)
"""Shares of the limit for which the advice tells what would change, predicted."""

CARD_SIZES: Final = tuple(gib << 30 for gib in (8, 12, 16, 24, 32, 40, 48, 80, 141))
"""Memory of common cards, for a run on a card: the next two smaller ones are told of."""

SIMULATED: Final = (
    "a simulated GPU runs no kernel: memory is known, speed is not; the largest safe batch stands "
    "with each T"
)

NO_POINT: Final = "no point was timed that fits with headroom: profile a grid that does"


@dataclass(frozen=True, slots=True)
class TrainWith:
    """The batch to train with at one T.

    Attributes:
        edge: the largest that fits, where it is known.
        batch: the largest that leaves the headroom; None where none does.
        is_measured: it was run itself; else the memory model predicts its bytes.
        accumulation_steps: to make the effective batch asked for; None where none was.
    """

    steps: int
    edge: int | None
    batch: int | None
    is_measured: bool
    peak_bytes: int | None
    accumulation_steps: int | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """What to train with.

    Attributes:
        batch, steps: the point advised; None where no point was timed that fits with headroom.
        reasons: why, one sentence each; *predictions* likewise, of what was not measured.
        train_with: at each T whose edge is known.
        accumulation_steps: to make the effective batch asked for; None where none was.
        goodput: at each T whose noise scale is known.
        chunk: to cut sequences into; None where nobody asked.
        unknown: what this run does not tell, and which command finds it out.
    """

    batch: int | None
    steps: int | None
    reasons: tuple[str, ...]
    predictions: tuple[str, ...] = ()
    train_with: tuple[TrainWith, ...] = ()
    effective_batch: int | None = None
    accumulation_steps: int | None = None
    goodput: tuple[Goodput, ...] = ()
    chunk: Chunk | None = None
    unknown: tuple[str, ...] = ()

    @property
    def better_by_goodput(self) -> Goodput | None:
        """At the T advised, where goodput is known and says another batch than speed does."""
        here = [each for each in self.goodput if each.steps == self.steps]
        return here[0] if here and here[0].batch != self.batch else None


@dataclass(frozen=True, slots=True)
class Cut:
    """Truncated back-propagation that is asked about.

    Attributes:
        length: time steps of a whole sequence.
        reach: time steps that its gradient has to reach back.
    """

    length: int
    reach: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The memory that advice may use."""

    limit_bytes: int
    headroom_ratio: float

    @property
    def usable_bytes(self) -> float:
        """The limit without its headroom."""
        return self.limit_bytes * (1 - self.headroom_ratio)


def model_of(run: Run, limit_bytes: int) -> MemoryModel | None:
    """The memory model of a run's own fit passes."""
    fits = evident_fits(run, limit_bytes)
    return MemoryModel.fit(Sample(fit.point, fit.peak_counted_bytes or 0) for fit in fits)


def advise(
    run: Run,
    measurements: Mapping[Point, Measurement],
    frontier: Sequence[Certificate],
    effective_batch: int | None = None,
    cut: Cut | None = None,
) -> Advice:
    """The advice of a run; *effective_batch* asks for the accumulation steps that make it."""
    settings = settings_of(run)
    headroom = settings.headroom_ratio if settings else 0.0
    bounds = Bounds(training_limit_of(run), headroom)
    model = model_of(run, bounds.limit_bytes)
    peaks = _peaks(run, bounds.limit_bytes)
    lengths = tuple(
        train_with(c, bounds, model, peaks.get(c.steps, {}), effective_batch) for c in frontier
    )
    predictions = _smaller(model, bounds, frontier, is_card=_is_card(run))
    leaks = {c.steps: c for c in frontier if c.status is EdgeStatus.NOT_STATIONARY}
    steady = [m for point, m in measurements.items() if point.steps not in leaks]
    chosen, reasons = _choose(steady, bounds)
    reasons = (*reasons, *(f"T={c.steps} is not stationary: {c.reason}" for c in leaks.values()))
    if run.is_simulated:
        reasons = (SIMULATED,)
    usable = [m for m in steady if _is_usable(m, bounds)]
    trained = trainability_of(run)
    goodput = _goodput(usable, trained)
    reasons = (*reasons, *_by_goodput(chosen, goodput))
    batch = chosen.point.batch if chosen else None
    steps_of = None
    if effective_batch is not None and batch is not None:
        steps_of, sentence = _accumulate(effective_batch, batch)
        reasons = (*reasons, sentence)
    return Advice(
        batch,
        chosen.point.steps if chosen else None,
        reasons,
        predictions,
        lengths,
        effective_batch,
        steps_of,
        goodput,
        None if cut is None else chunk_for(cut.length, cut.reach, usable, trained),
        _unknown(chosen, trained) if run.header.workload.mode == "train" else (),
    )


def _is_usable(measurement: Measurement, bounds: Bounds) -> bool:
    """Timed, fits with headroom, and does not thrash."""
    is_timed = measurement.time_steps_per_s and measurement.outcome is Outcome.MEASURED
    return bool(is_timed) and _leaves_headroom(measurement, bounds) and not measurement.retries


def _goodput(usable: Sequence[Measurement], trained: Trainability) -> tuple[Goodput, ...]:
    lengths = sorted({each.point.steps for each in usable})
    found = (goodput_at(steps, usable, trained) for steps in lengths)
    return tuple(each for each in found if each is not None)


def _by_goodput(chosen: Measurement | None, goodput: Sequence[Goodput]) -> list[str]:
    """What the noise scale says of the batch chosen by throughput alone."""
    here = next((each for each in goodput if chosen and each.steps == chosen.point.steps), None)
    if chosen is None or here is None:
        return []
    if here.batch == chosen.point.batch:
        return ["it is also the batch with the best goodput at this T"]
    return [f"by goodput B={here.batch} is better at this T: see below"]


def _unknown(chosen: Measurement | None, trained: Trainability) -> tuple[str, ...]:
    """What speed and memory alone do not tell of the point chosen."""
    if chosen is None:
        return ()
    steps = chosen.point.steps
    open_ = []
    if trained.noise_at(steps) is None:
        open_.append("what a sequence is worth at this batch")
    if all(each.steps != steps for each in trained.reach):
        open_.append("how far back gradients reach at this T")
    if not open_:
        return ()
    return (f"{', and '.join(open_)}: rnnprof trainability --steps {steps} finds it out",)


def train_with(
    certificate: Certificate,
    bounds: Bounds,
    model: MemoryModel | None,
    measured: Mapping[int, int],
    effective_batch: int | None = None,
) -> TrainWith:
    """The largest multiple of the granularity that leaves the headroom at a T.

    Args:
        measured: counted peaks at that T in bytes, by batch.
    """
    steps, edge = certificate.steps, certificate.batch
    if certificate.status is EdgeStatus.BATCH_NOT_USED:
        edge = None
    if edge is None or model is None:
        return TrainWith(steps, edge, None, False, None)
    batch = _largest_within(certificate, bounds, model, measured)
    if batch == 0:
        return TrainWith(steps, edge, None, False, None)
    peak = measured.get(batch)
    return TrainWith(
        steps,
        edge,
        batch,
        peak is not None,
        peak or round(model.predict_bytes(Point(batch, steps))),
        None if effective_batch is None else math.ceil(effective_batch / batch),
    )


def _largest_within(
    certificate: Certificate, bounds: Bounds, model: MemoryModel, measured: Mapping[int, int]
) -> int:
    """Of the batches up to the edge, by the bytes measured or by the model's upper bound."""
    unit, edge = certificate.granularity, certificate.batch or 0
    known = [b for b, peak in measured.items() if b <= edge and peak <= bounds.usable_bytes]
    best = max((batch for batch in known if batch % unit == 0), default=0)
    batch = edge // unit * unit
    while batch > best and not _is_within(Point(batch, certificate.steps), bounds, model, measured):
        predicted = min(
            model.safe_edge(certificate.steps, bounds.usable_bytes), float(batch - unit)
        )
        batch = max(0, int(predicted)) // unit * unit
    return max(batch, best)


def _is_within(
    point: Point, bounds: Bounds, model: MemoryModel, measured: Mapping[int, int]
) -> bool:
    peak = measured.get(point.batch) or model.upper_bytes(point)
    return peak <= bounds.usable_bytes


def _peaks(run: Run, limit_bytes: int) -> dict[int, dict[int, int]]:
    """The highest counted peaks under the limit, by T and batch, as measured."""
    peaks: dict[int, dict[int, int]] = defaultdict(dict)
    for fit in evident_fits(run, limit_bytes):
        here = peaks[fit.steps]
        here[fit.batch] = max(fit.peak_counted_bytes or 0, here.get(fit.batch, 0))
    return peaks


def _choose(
    measurements: Iterable[Measurement], bounds: Bounds
) -> tuple[Measurement | None, tuple[str, ...]]:
    measurements = tuple(measurements)
    timed = [m for m in measurements if m.time_steps_per_s and m.outcome is Outcome.MEASURED]
    usable = [m for m in timed if _is_usable(m, bounds)]
    if not usable:
        unused = [m for m in measurements if m.unused]
        return None, (*(_not_used(m) for m in unused[-1:]), NO_POINT)
    best = max(usable, key=_rate)
    enough = [m for m in usable if _rate(m) >= (1 - NEAR_BEST_RATIO) * _rate(best)]
    smallest = min(m.point.batch for m in enough)
    chosen = max((m for m in enough if m.point.batch == smallest), key=_rate)
    reasons = [_why(chosen, best), _memory(chosen, bounds)]
    reasons += _ties(chosen, usable) + _left_out(timed, usable, best, bounds)
    reasons += [f"it was timed while {chosen.disturbed}"] if chosen.disturbed else []
    return chosen, tuple(reasons)


def _not_used(measurement: Measurement) -> str:
    return (
        f"{measurement.point} has no throughput, since its batch is not used: {measurement.unused}"
    )


def _rate(measurement: Measurement) -> float:
    return measurement.time_steps_per_s or 0.0


def _leaves_headroom(measurement: Measurement, bounds: Bounds) -> bool:
    peak = _peak(measurement)
    return peak is not None and peak <= bounds.usable_bytes


def _peak(measurement: Measurement) -> int | None:
    return measurement.peak_counted_bytes


def _why(chosen: Measurement, best: Measurement) -> str:
    rate = f"{format_rate(_rate(chosen))[:-2]} time steps/s"
    if chosen is best:
        return f"{rate}, the best of all points that fit with headroom"
    share = format_ratio(_rate(chosen) / _rate(best))
    return (
        f"{rate}, {share} of the best ({format_rate(_rate(best))[:-2]} at {best.point}): the "
        f"smallest batch within {format_ratio(NEAR_BEST_RATIO)} of it"
    )


def _memory(chosen: Measurement, bounds: Bounds) -> str:
    peak = _peak(chosen) or 0
    return (
        f"it takes {format_bytes(peak)}, {format_ratio(peak / bounds.limit_bytes)} of the limit "
        f"of {format_bytes(bounds.limit_bytes)}; {format_ratio(bounds.headroom_ratio)} is kept free"
    )


def _ties(chosen: Measurement, usable: Sequence[Measurement]) -> list[str]:
    """Neighbours at the same T whose intervals of the rate overlap with the chosen one's."""
    mine = _interval(chosen)
    tied = [
        m.point.batch
        for m in usable
        if m.point.steps == chosen.point.steps
        and m is not chosen
        and (theirs := _interval(m)) is not None
        and mine is not None
        and theirs[0] <= mine[1]
        and mine[0] <= theirs[1]
    ]
    if not tied:
        return []
    batches = ", ".join(f"B={batch}" for batch in sorted(tied))
    return [f"{batches} at the same T cannot be told from it: the intervals overlap"]


def _interval(measurement: Measurement) -> tuple[float, float] | None:
    """Of the rate, from that of the step time."""
    interval = measurement.step_time_ci_s or measurement.step_time_within_ci_s
    if interval is None or not measurement.step_time_s or min(interval) <= 0:
        return None
    work = _rate(measurement) * measurement.step_time_s
    return work / interval[1], work / interval[0]


def _left_out(
    timed: Sequence[Measurement],
    usable: Sequence[Measurement],
    best: Measurement,
    bounds: Bounds,
) -> list[str]:
    """A faster point that was not chosen because of its memory."""
    known = {m.point for m in usable}
    faster = [m for m in timed if m.point not in known and _rate(m) > _rate(best)]
    if not faster:
        return []
    top = max(faster, key=_rate)
    why = f"it leaves less than {format_ratio(bounds.headroom_ratio)}"
    if _peak(top) is None:
        why = "what it takes is not known"
    if top.retries:
        why = "it thrashes"
    return [f"{top.point} is faster ({format_rate(_rate(top))[:-2]} time steps/s), but {why}"]


def _accumulate(effective: int, batch: int) -> tuple[int, str]:
    """The fewest steps of accumulation, and in words those that make the batch exactly.

    Where these are more, the fewest stand beside them, with the batch that comes nearest.
    """
    fewest = math.ceil(effective / batch)
    if fewest == 1:
        return 1, f"the batch of {effective} fits at once: it needs no accumulation"
    exact = next(b for b in range(min(batch, effective), 0, -1) if effective % b == 0)
    many = effective // exact
    words = f"{many} steps of accumulation at B={exact} make the batch of {effective}"
    if many > fewest:
        near = min((batch, effective // fewest, -(-effective // fewest)),
            key=lambda each: (abs(each * fewest - effective), -each))  # fmt: skip
        words += f"; {fewest} at B={near} make {near * fewest}"
    return fewest, words


def _smaller(
    model: MemoryModel | None,
    bounds: Bounds,
    frontier: Sequence[Certificate],
    *,
    is_card: bool,
) -> tuple[str, ...]:
    """What would fit under smaller limits, predicted."""
    known = [c for c in frontier if c.status in (EdgeStatus.CERTIFIED, EdgeStatus.CAPPED)]
    if model is None or not known:
        return ()
    limits: Sequence[float] = [share * bounds.limit_bytes for share in SMALLER_LIMITS]
    if is_card:
        limits = [size for size in CARD_SIZES if size < 0.9 * bounds.limit_bytes][-2:]
    sentences = []
    for limit in limits:
        edges = [f"T={c.steps}: {_predicted(model, c, limit)}" for c in known]
        sentences.append(f"under {format_bytes(limit)} the edges would be {', '.join(edges)}")
    return tuple(sentences)


def _predicted(model: MemoryModel, certificate: Certificate, limit: float) -> str:
    unit, batch = certificate.granularity, certificate.batch or 0
    edge = int(max(0.0, min(model.safe_edge(certificate.steps, limit), float(batch))))
    if edge < unit:
        return "none"
    if edge == batch and certificate.status is EdgeStatus.CAPPED:
        return f"{batch} or more"
    return f"about {edge // unit * unit}"


def _is_card(run: Run) -> bool:
    return run.header.environment.get("device") == "cuda"
