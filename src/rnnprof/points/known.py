"""Whether the memory passes so far already give the peak of a further point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rnnprof.breakdown.memory_model import MemoryModel, Sample
from rnnprof.points.reasons import PeakKnownWithout
from rnnprof.runfile.observations import Memory, Observation
from rnnprof.runfile.points import Outcome, Point, Role

PRECISION_RATIO: Final = 0.005
"""A peak that is known this well is not measured: the rounding of allocators is of this size."""

MIN_SAMPLES: Final = 6
"""Three coefficients, and as many more samples to contradict them."""


@dataclass(frozen=True, slots=True)
class KnownPeak:
    """An allocated peak, predicted from the measured ones.

    Attributes:
        error_ratio: half-width of the model's interval, over the peak.
        samples: memory passes in the model.
    """

    peak_bytes: float
    error_ratio: float
    samples: int

    def reason(self) -> PeakKnownWithout:
        """Why there is no breakdown of the point."""
        return PeakKnownWithout(self.peak_bytes, self.error_ratio, self.samples)


@dataclass(frozen=True, slots=True)
class KnownPeaks:
    """A model of a run's memory passes, for peaks at other points.

    Attributes:
        points: the points of measured passes.
        model: a model of their peaks; None if it is not precise to half a percent.
    """

    points: tuple[Point, ...]
    model: MemoryModel | None

    @classmethod
    def of(cls, observations: Iterable[Observation]) -> KnownPeaks:
        """Fit the model to the grid's memory passes that were measured."""
        samples = [
            Sample(each.point, each.peak_allocated_bytes)
            for each in observations
            if isinstance(each, Memory)
            and each.role is Role.GRID
            and each.outcome is Outcome.MEASURED
            and each.peak_allocated_bytes is not None
        ]
        model = MemoryModel.fit(samples) if len(samples) >= MIN_SAMPLES else None
        if model and (model.lengths < 2 or model.margin_ratio > PRECISION_RATIO):
            model = None
        return cls(tuple(sample.point for sample in samples), model)

    def at(self, point: Point) -> KnownPeak | None:
        """The peak at *point*; None where it is unknown.

        Only by interpolation: one measured point has no larger B and T, another no smaller.
        """
        if self.model is None or not self._surround(point):
            return None
        peak_bytes = self.model.predict_bytes(point)
        return KnownPeak(peak_bytes, self.model.margin_ratio, len(self.points))

    def _surround(self, point: Point) -> bool:
        return any(
            o.batch <= point.batch and o.time_steps <= point.time_steps for o in self.points
        ) and any(o.batch >= point.batch and o.time_steps >= point.time_steps for o in self.points)
