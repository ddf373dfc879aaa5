"""A run with all that a report says of it, derived once: the only input of every renderer."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from statistics import median
from typing import Final

from rnnprof.advice.advise import GPU_SIZES, Advice, Cut, LargestSafe, advise
from rnnprof.advice.recommendation import NEAR_BEST_RATIO
from rnnprof.breakdown.memory_model import MemoryModel
from rnnprof.maxbatch.certify import Proof
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.neighbours import Neighbours, neighbours_of
from rnnprof.maxbatch.step_functions import StepFunction, step_functions_of
from rnnprof.points.fold import Drift, by_point, timings_of
from rnnprof.points.measurement import Measurement
from rnnprof.points.noise import TAKEN_RATIOS, judge
from rnnprof.points.reasons import Taker
from rnnprof.points.script_facts import ScriptFacts, script_facts, script_passes
from rnnprof.report.course import (
    Course,
    Pass,
    course_of,
    passes_of,
    readings_of,
    reasons_of,
    shares_of,
)
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import BREAKDOWN_PARTS, Fit, Memory, Timing
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.study.goodput import Goodput
from rnnprof.study.noise_scale import efficiency
from rnnprof.study.trainability import NoiseAt, ReachAt, ToTarget, Trainability, trainability_of

__all__ = (
    "BREAKDOWN_PARTS", "GPU_SIZES", "NEAR_BEST_RATIO", "OOM_OUTCOMES", "SEEN", "TAKEN_RATIOS",
    "Advice",
    "Certificate", "Course", "Drift", "EdgeAt", "EdgeStatus", "Goodput", "LargestSafe",
    "Measurement", "Measurements", "Memory", "MemoryModel", "NoiseAt", "Outcome", "Pass", "Point",
    "ReachAt", "Run", "RunReport", "SeenEdge", "Taker", "Timing", "ToTarget", "Trainability",
    "efficiency", "fastest", "flags", "grid_points", "is_oom", "memory_bytes", "rate_interval",
    "readings_of", "reasons_of", "report_of", "seen_edges", "shares_of", "throughput",
)  # fmt: skip


@dataclass(frozen=True)  # no slots: axes and edges are derived once
class RunReport:
    """One run, folded, certified and advised: the input of terminal, page, charts and files.

    Attributes:
        name: distinguishes the run from others of the same report.
        points: every point of the grid, by time steps and then by batch, measured or not.
        measurements: what is known of the points; one that was not reached is missing.
        frontier: the certificates, by time steps.
        limit_bytes: what training may take: the run's limit less its reserve.
        headroom_ratio: share of it that the largest safe batch leaves free.
        model: of the charged bytes; None if no fit pass has measured them.
        drift: of the machine's speed during the run; None if unknown.
        trainability: what its study found; empty without one.
    """

    name: str
    run: Run
    points: tuple[Point, ...]
    measurements: Mapping[Point, Measurement]
    frontier: tuple[Proof, ...]
    advice: Advice
    limit_bytes: int
    headroom_ratio: float
    model: MemoryModel | None
    drift: Drift | None = None
    trainability: Trainability = field(default_factory=lambda: Trainability(None))

    @cached_property
    def batches(self) -> tuple[int, ...]:
        """The batch axis, ascending."""
        return tuple(sorted({point.batch for point in self.points}))

    @cached_property
    def time_steps(self) -> tuple[int, ...]:
        """The axis of time steps, ascending."""
        return tuple(sorted({point.time_steps for point in self.points}))

    @cached_property
    def edges(self) -> tuple[SeenEdge, ...]:
        """The largest batch at each T of the grid: certified, or between two of its points."""
        return seen_edges(self.points, self.measurements, self.frontier)

    @cached_property
    def step_functions(self) -> tuple[StepFunction, ...]:
        """What a step function was seen to fit beside each largest batch."""
        return step_functions_of(self.run, self.frontier)

    @cached_property
    def neighbours(self) -> tuple[Neighbours, ...]:
        """The batches that were run around each largest batch."""
        return neighbours_of(self.run, self.frontier)

    @cached_property
    def largest(self) -> tuple[EdgeAt, ...]:
        """What is known of the largest batch at each T: proven, or seen on the grid; ascending."""
        proven = {each.time_steps: _proven(each) for each in self.frontier}
        seen = {e.time_steps: _seen(e) for e in self.edges if e.time_steps not in proven}
        known = [each for each in (proven | seen).values() if each.kind != SEEN or each.batches]
        return tuple(sorted(known, key=lambda each: each.time_steps))

    @cached_property
    def script_facts(self) -> ScriptFacts | None:
        """What the passes say of the script; None for a built-in cell or a factory."""
        fits = (each for each in self.run.observations if isinstance(each, Fit))
        return script_facts(fits, self.limit_bytes)

    @cached_property
    def script_passes(self) -> tuple[Fit, ...]:
        """At each T the pass of the script that says most of it, by time steps."""
        fits = (each for each in self.run.observations if isinstance(each, Fit))
        return script_passes(fits, {each.fits.attempt for each in self.frontier if each.fits})

    @cached_property
    def safe(self) -> tuple[LargestSafe, ...]:
        """The largest safe batch at each T that has one."""
        return tuple(each for each in self.advice.largest_safe if each.batch is not None)

    @cached_property
    def advised(self) -> Point | None:
        """The main recommendation, where its point was measured."""
        return self.advice.point if self.advice.point in self.measurements else None

    @cached_property
    def knees(self) -> frozenset[Point]:
        """At each T the smallest batch within 5% of its best throughput."""
        rates: dict[int, dict[Point, float]] = {}
        for point, measurement in self.measurements.items():
            if (rate := throughput(measurement)) is not None:
                rates.setdefault(point.time_steps, {})[point] = rate
        # one point is no curve that could have a knee
        curves = [at_t for at_t in rates.values() if len(at_t) > 1]
        enough = [(1 - NEAR_BEST_RATIO) * max(at_t.values()) for at_t in curves]
        return frozenset(
            min(point for point, rate in at_t.items() if rate >= least)
            for at_t, least in zip(curves, enough, strict=True)
        )

    @cached_property
    def course(self) -> Course:
        """Where each pass stands on an axis of time, and the pauses between invocations."""
        return course_of(self.run)

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """The passes that recorded their conditions, in order."""
        return passes_of(self.run, self.course)

    @cached_property
    def memories(self) -> dict[Point, Memory]:
        """The last memory pass of each point that passed and knows its phases."""
        return {
            o.point: o
            for o in self.run.observations
            if isinstance(o, Memory) and o.outcome is Outcome.MEASURED and o.phase_peak_bytes
        }

    def tried_along(self, focus: Point, *, by_batch: bool) -> list[Point]:
        """The points that were run at the T of *focus*, by batch, or at its batch, by T."""
        return [
            point
            for point in self.points
            if (m := self.measurements.get(point)) and m.outcome is not Outcome.IMPLIED_OOM
            if (point.time_steps == focus.time_steps if by_batch else point.batch == focus.batch)
        ]

    def phase_costs(self, points: Iterable[Point]) -> list[float]:
        """What training steps timed by phase took above whole ones, as shares.

        Of each point with a timing that is not noisy: the two kinds of steps follow one another,
        and noise in one of them would look like a cost.
        """
        groups = by_point(self.run.observations)
        costs = []
        for point in dict.fromkeys(points):
            for timing in timings_of(groups.get(point, ()))[:1]:
                is_known = timing.samples_s and timing.phase_step_samples_s
                if is_known and judge(timing.conditions) is None:
                    whole_s = median(timing.samples_s)
                    costs.append(median(timing.phase_step_samples_s) / whole_s - 1)
        return costs

    def anchor_timings(self) -> list[tuple[float, float, bool]]:
        """The anchor's timings: where each is drawn, its median in seconds, and whether noisy."""
        places = self.course.places
        return [
            (places[o.attempt], median(o.samples_s), judge(o.conditions) is not None)
            for o in self.run.observations
            if isinstance(o, Timing) and o.samples_s and o.attempt in places
            if self.drift is not None and o.point == self.drift.point
        ]


def report_of(
    run: Run,
    name: str = "",
    *,
    time_steps: Collection[int] | None = None,
    effective_batch: int | None = None,
    cut: Cut | None = None,
) -> RunReport:
    """Fold, certify and advise a run.

    Args:
        name: distinguishes it from others of the same report.
        time_steps: the T whose largest batches are requested; None for all.
        effective_batch: asks for the accumulation steps that make it.
        cut: asks for the chunks to cut sequences into.
    """
    folded, trained = FoldedRun.of(run, time_steps), trainability_of(run)
    return RunReport(
        name=name,
        run=run,
        points=grid_points(run, folded.measurements),
        measurements=folded.measurements,
        frontier=folded.frontier,
        advice=advise(folded, trained, effective_batch, cut),
        limit_bytes=folded.limit_bytes,
        headroom_ratio=folded.headroom_ratio,
        model=folded.model,
        drift=folded.drift,
        trainability=trained,
    )


# --- facts ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenEdge:
    """What the grid shows of the largest batch at one T, and the certificate if there is one.

    Attributes:
        time_steps: time steps per sequence (T).
        fits: the largest batch measured to fit, or None.
        fails: the smallest batch out of memory, run or implied, or None.
        is_largest: no larger batch than *fits* was requested at this T.
        certificate: what probes between and beyond the grid's batches have proven.
    """

    time_steps: int
    fits: int | None
    fails: Measurement | None
    is_largest: bool
    certificate: Proof | None = None

    @property
    def is_certified(self) -> bool:
        """Whether both sides of the largest batch are proven."""
        return self.certificate is not None and self.certificate.status is EdgeStatus.CERTIFIED


def seen_edges(
    points: Sequence[Point], measurements: Measurements, frontier: Sequence[Proof]
) -> tuple[SeenEdge, ...]:
    """The largest batch seen on the grid at each T, ascending."""
    by_steps = groupby(points, key=lambda point: point.time_steps)
    proven = {certificate.time_steps: certificate for certificate in frontier}
    return tuple(
        replace(
            _seen_edge(time_steps, list(group), measurements), certificate=proven.get(time_steps)
        )
        for time_steps, group in by_steps
    )


def _seen_edge(time_steps: int, places: Sequence[Point], measurements: Measurements) -> SeenEdge:
    known = [measurements[point] for point in places if point in measurements]
    fits = max((m.point.batch for m in known if m.outcome is Outcome.MEASURED), default=None)
    failing = [m for m in known if m.outcome in OOM_OUTCOMES]
    return SeenEdge(
        time_steps=time_steps,
        fits=fits,
        fails=min(failing, key=lambda m: m.point.batch, default=None),
        is_largest=fits == places[-1].batch,
    )


SEEN: Final = "seen"
"""The kind of a largest batch that has no certificate: it is between two points of the grid."""


@dataclass(frozen=True, slots=True)
class EdgeAt:
    """What is known of the largest batch at one T.

    Attributes:
        time_steps: time steps per sequence (T).
        kind: the certificate's status, or ``seen``.
        fits: the largest batch known to fit; of a contradiction the one above the OOM.
        fails: the smallest batch known to be out of memory.
    """

    time_steps: int
    kind: str
    fits: int | None
    fails: int | None

    @property
    def batches(self) -> list[int]:
        """The known ones, the one that fits first."""
        return [batch for batch in (self.fits, self.fails) if batch is not None]


def _proven(certificate: Certificate) -> EdgeAt:
    fits = certificate.batch
    if certificate.status is EdgeStatus.NON_MONOTONE and certificate.fits is not None:
        fits = certificate.fits.batch
    fails = certificate.fails.batch if certificate.fails is not None else None
    return EdgeAt(certificate.time_steps, certificate.status, fits, fails)


def _seen(edge: SeenEdge) -> EdgeAt:
    return EdgeAt(edge.time_steps, SEEN, edge.fits, edge.fails.point.batch if edge.fails else None)


def fastest(measurements: Measurements) -> Measurement | None:
    """The point with the highest time steps/s, the smallest of equals; None where none is known."""
    timed = [m for _, m in sorted(measurements.items()) if throughput(m) is not None]
    return max(timed, key=lambda m: throughput(m) or 0.0, default=None)


def throughput(measurement: Measurement) -> float | None:
    """Time steps/s of a point that was measured; None where there is no such number."""
    rate = measurement.time_steps_per_s
    if measurement.outcome is not Outcome.MEASURED or rate is None or not math.isfinite(rate):
        return None
    return rate


def rate_interval(measurement: Measurement) -> tuple[float, float] | None:
    """The 95% interval of the time steps/s, from that of the step time; None where unknown."""
    interval = measurement.step_time_ci_s or measurement.step_time_within_ci_s
    rate, step_time_s = throughput(measurement), measurement.step_time_s
    if interval is None or rate is None or not step_time_s or min(interval) <= 0:
        return None
    work = rate * step_time_s
    return work / interval[1], work / interval[0]


def is_oom(measurement: Measurement) -> bool:
    """Whether the point was out of memory, run or implied."""
    return measurement.outcome in OOM_OUTCOMES


def grid_points(run: Run, measurements: Measurements) -> tuple[Point, ...]:
    """Every point requested or measured, by steps and then by batch."""
    return tuple(sorted({*run.points(), *measurements}, key=lambda p: (p.time_steps, p.batch)))


def flags(measurement: Measurement) -> str:
    """``~`` where the time did not converge, ``!`` where it was noisy."""
    if throughput(measurement) is None:
        return ""
    return ("~" if measurement.converged is False else "") + ("!" if measurement.noisy else "")


def memory_bytes(measurement: Measurement) -> int | None:
    """The one figure of memory: the peak of what the limit counts, of a point that was measured.

    Allocated, reserved and process bytes stand in the page's table of points, JSON and CSV.
    """
    is_measured = measurement.outcome is Outcome.MEASURED
    return measurement.peak_charged_bytes if is_measured else None


OOM_OUTCOMES: Final = frozenset({Outcome.OOM, Outcome.IMPLIED_OOM})

Measurements = Mapping[Point, Measurement]
