"""A run, folded and certified once: the input of advice, comparisons, gates and reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from rnnprof.breakdown.memory_model import MemoryModel, Sample
from rnnprof.maxbatch.certify import (
    Proof,
    evident_fits,
    frontier_of,
    settings_of,
    training_limit_of,
)
from rnnprof.points.fold import Drift, anchor_drift, fold_run
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Point
from rnnprof.runfile.records import Run, Settings


@dataclass(frozen=True)  # no slots: cached properties
class FoldedRun:
    """The combined observations of a run.

    Attributes:
        measurements: what is known about each point; points that were not reached are missing.
        frontier: the proofs, in order of time steps.
    """

    run: Run
    measurements: Mapping[Point, Measurement]
    frontier: tuple[Proof, ...]

    @classmethod
    def of(cls, run: Run, time_steps: Collection[int] | None = None) -> FoldedRun:
        """Fold and certify a run.

        Args:
            time_steps: the T whose proofs are wanted; None for all.
        """
        frontier = frontier_of(run)
        if time_steps is not None:
            frontier = tuple(each for each in frontier if each.time_steps in time_steps)
        return cls(run, fold_run(run), frontier)

    @cached_property
    def settings(self) -> Settings:
        """The settings of the last invocation that measured memory or time, or the defaults."""
        return settings_of(self.run) or Settings()

    @cached_property
    def limit_bytes(self) -> int:
        """Memory for training: the run's limit without the reserve."""
        return training_limit_of(self.run)

    @cached_property
    def headroom_ratio(self) -> float:
        """Share of the limit that the largest safe batch leaves free; 0 without an invocation."""
        settings = settings_of(self.run)
        return settings.headroom_ratio if settings else 0.0

    @cached_property
    def drift(self) -> Drift | None:
        """How far the machine's speed drifted during the run; None where unknown."""
        return anchor_drift(self.run)

    @cached_property
    def evident_fits(self) -> list[Fit]:
        """The fit passes under the limit whose peaks are valid for training, at every T."""
        return evident_fits(self.run, self.limit_bytes)

    @cached_property
    def model(self) -> MemoryModel | None:
        """The memory model of the run's own fit passes; None if none has a known peak."""
        return MemoryModel.fit(
            Sample(fit.point, fit.peak_charged_bytes or 0) for fit in self.evident_fits
        )
