"""A run with all that a report says of it, derived once: the only input of every renderer."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Final

from rnnprof.advice.advise import Advice, Cut, advise
from rnnprof.breakdown.memory_model import MemoryModel
from rnnprof.maxbatch.certify import Proof
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.neighbours import Neighbours, neighbours_of
from rnnprof.maxbatch.step_functions import StepFunction, step_functions_of
from rnnprof.points.fold import Drift
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.study.trainability import Trainability, trainability_of


@dataclass(frozen=True)  # no slots: axes and edges are derived once
class RunReport:
    """What terminal, page, charts and files are made of.

    Attributes:
        name: tells the run from others of the same report.
        points: every point of the grid, by time steps and then by batch, measured or not.
        measurements: what is known of the points; one that was not reached is missing.
        frontier: the certificates, by time steps.
        limit_bytes: what training may take: the run's limit less its reserve.
        headroom_ratio: share of it that the largest safe batch leaves free.
        model: of the charged bytes; None where no fit pass has told them.
        drift: of the machine's speed during the run; None where nothing tells.
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
        name: tells it from others of the same report.
        time_steps: the T whose largest batch is asked for; None for all.
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
    """What the grid shows of the edge at one T, and the certificate where there is one.

    Attributes:
        time_steps: time steps per sequence (T).
        fits: the largest batch measured to fit, or None.
        fails: the smallest batch out of memory, run or implied, or None.
        is_largest: nothing above *fits* was asked for at this T.
        certificate: what probes between and beyond the grid's batches have proven.
    """

    time_steps: int
    fits: int | None
    fails: Measurement | None
    is_largest: bool
    certificate: Proof | None = None

    @property
    def is_certified(self) -> bool:
        """Whether both sides of the edge are proven."""
        return self.certificate is not None and self.certificate.status is EdgeStatus.CERTIFIED


def seen_edges(
    points: Sequence[Point], measurements: Measurements, frontier: Sequence[Proof]
) -> tuple[SeenEdge, ...]:
    """The edge seen on the grid at each T, ascending."""
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


def grid_points(run: Run, measurements: Measurements) -> tuple[Point, ...]:
    """Every point asked for or measured, by steps and then by batch."""
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
