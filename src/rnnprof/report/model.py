"""A run with all that a report tells of it, derived once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final

from rnnprof.advice.advise import Advice, advise, model_of
from rnnprof.breakdown.memory_model import MemoryModel
from rnnprof.maxbatch.certify import frontier_of, settings_of, training_limit_of
from rnnprof.points.fold import fold_run
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.study.trainability import Trainability, trainability_of


@dataclass(frozen=True, slots=True)
class View:
    """What charts, page and summary are made of.

    Attributes:
        name: tells the run from others of the same report.
        places: every point of the grid, by steps and then by batch, measured or not.
        measurements: what is known of the points; one that was not reached is missing.
        frontier: the certificates, by steps.
        limit_bytes: what training may take: the run's limit without what is reserved for others.
        headroom_ratio: share of it that the advice keeps free.
        model: of the bytes that the limit counts; None where no fit pass told them.
        trainability: what its study found; empty without one.
    """

    name: str
    run: Run
    places: tuple[Point, ...]
    measurements: Mapping[Point, Measurement]
    frontier: tuple[Certificate, ...]
    advice: Advice
    limit_bytes: int
    headroom_ratio: float
    model: MemoryModel | None
    trainability: Trainability = field(default_factory=lambda: Trainability(None))

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch axis, ascending."""
        return tuple(sorted({point.batch for point in self.places}))

    @property
    def time_steps(self) -> tuple[int, ...]:
        """The axis of time steps, ascending."""
        return tuple(sorted({point.time_steps for point in self.places}))

    @property
    def edges(self) -> tuple[SeenEdge, ...]:
        """The edge at each T of the grid: certified, or between two points of it."""
        return seen_edges(self.run, self.measurements)


def view_of(run: Run, name: str) -> View:
    """Derive a run's view; *name* tells it from others."""
    measurements, frontier = fold_run(run), frontier_of(run)
    settings = settings_of(run)
    limit = training_limit_of(run)
    return View(
        name=name,
        run=run,
        places=grid_points(run, measurements),
        measurements=measurements,
        frontier=frontier,
        advice=advise(run, measurements, frontier),
        limit_bytes=limit,
        headroom_ratio=settings.headroom_ratio if settings else 0.0,
        model=model_of(run, limit),
        trainability=trainability_of(run),
    )


# --- facts ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenEdge:
    """What the grid shows of the edge at one T, and the certificate where there is one.

    Attributes:
        steps: time steps per sequence (T).
        fits: the largest batch measured to fit, or None.
        fails: the smallest batch out of memory, run or implied, or None.
        is_largest: nothing above *fits* was asked for at this T.
        certificate: what probes between and beyond the grid's batches have proven.
    """

    time_steps: int
    fits: int | None
    fails: Measurement | None
    is_largest: bool
    certificate: Certificate | None = None

    @property
    def is_certified(self) -> bool:
        """Whether both sides of the edge are proven."""
        return self.certificate is not None and self.certificate.status is EdgeStatus.CERTIFIED


def seen_edges(run: Run, measurements: Measurements) -> tuple[SeenEdge, ...]:
    """The edge seen on the grid at each T, ascending."""
    by_steps = groupby(grid_points(run, measurements), key=lambda point: point.time_steps)
    proven = {certificate.time_steps: certificate for certificate in frontier_of(run)}
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
