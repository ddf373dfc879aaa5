"""A run with all that a report tells of it, derived once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnprof.analysis.advice import Advice, advise, model_of
from rnnprof.analysis.certify import frontier_of, settings_of, training_limit_of
from rnnprof.analysis.fold import fold_run
from rnnprof.analysis.memory_model import MemoryModel
from rnnprof.analysis.trainability import Trainability, trainability_of
from rnnprof.records import Certificate, Measurement, Point, Run
from rnnprof.report.table import SeenEdge, grid_points, seen_edges


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
    def steps(self) -> tuple[int, ...]:
        """The axis of time steps, ascending."""
        return tuple(sorted({point.steps for point in self.places}))

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
