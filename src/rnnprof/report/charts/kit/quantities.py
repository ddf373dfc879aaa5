"""What a heat map can show: its value at a point, its scale, its words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm, Normalize

from rnnprof.report.charts.kit.scales import Scales
from rnnprof.report.charts.kit.style import DURATION_MAP, MEMORY_MAP, THROUGHPUT_MAP
from rnnprof.report.model import Measurement, Outcome, Point, RunReport, flags, memory_bytes
from rnnprof.report.model import throughput as throughput_of
from rnnprof.report.words import charts as words
from rnnprof.report.words.phrases import BYTE_UNITS, RATE_UNITS, SECOND_UNITS, unit_note
from rnnprof.units import (
    compact_bytes,
    compact_rate,
    compact_seconds,
    format_bytes,
    format_rate,
    format_ratio,
    format_seconds,
)

LOG_FROM_RATIO: Final = 8.0
"""Values that span more than this can be compared on a logarithmic scale only."""


@dataclass(frozen=True, eq=False, slots=True)
class Quantity:
    """What a heat map shows of each point.

    Attributes:
        name: the stem of its artists' ids.
        words: its title, its name in a sentence, and the label of its colour bar.
        colours: the colour map, even in lightness.
        value: of a point that was measured; None where it is not known.
        text: a value in a few characters; *units*: what their last letters stand for.
        full: a value in a sentence.
        shows_flags: its values come from times, which may not have converged or be noisy.
    """

    name: str
    words: words.QuantityWords
    colours: str
    value: Callable[[Measurement], float | None]
    text: Callable[[float], str]
    full: Callable[[float], str]
    units: Mapping[str, str] = field(default_factory=dict)
    shows_flags: bool = True

    def values(self, report: RunReport) -> dict[Point, float]:
        """The finite values of the points that were measured."""
        known = {
            point: self.value(m)
            for point, m in report.measurements.items()
            if m.outcome is Outcome.MEASURED
        }
        return {p: float(v) for p, v in known.items() if v is not None and math.isfinite(v)}

    def all_values(self, report: RunReport) -> Iterable[float]:
        """The same without their points."""
        return self.values(report).values()


MEMORY: Final = Quantity(
    "memory", words.MEMORY, MEMORY_MAP, memory_bytes, compact_bytes, format_bytes, BYTE_UNITS,
    shows_flags=False,
)  # fmt: skip
STEP_TIME: Final = Quantity(
    "step-time", words.STEP_TIME, DURATION_MAP, lambda m: m.step_time_s, compact_seconds,
    format_seconds, SECOND_UNITS,
)  # fmt: skip
TIME_STEPS: Final = Quantity(
    "time-steps", words.TIME_STEPS, THROUGHPUT_MAP, throughput_of, compact_rate,
    lambda rate: format_rate(rate, "time steps"), RATE_UNITS,
)  # fmt: skip
SEQUENCES: Final = Quantity(
    "sequences", words.SEQUENCES, THROUGHPUT_MAP, lambda m: m.sequences_per_s, compact_rate,
    lambda rate: format_rate(rate, "sequences"), RATE_UNITS,
)  # fmt: skip
MATMUL_SHARE: Final = Quantity(
    "matmul-share", words.MATMUL_SHARE, DURATION_MAP, lambda m: m.matmul_share_ratio, format_ratio,
    format_ratio,
)  # fmt: skip
QUANTITIES: Final = (MEMORY, STEP_TIME, TIME_STEPS, SEQUENCES, MATMUL_SHARE)


@dataclass(frozen=True, slots=True)
class Shown:
    """A quantity of one report.

    Attributes:
        values: by point, of those measured where it is known.
        predicted: by point, of those not measured.
        span: the least and the greatest value of all reports of the page.
        scale: where a value stands in the colour map.
    """

    quantity: Quantity
    values: Mapping[Point, float]
    predicted: Mapping[Point, float]
    span: tuple[float, float]
    scale: Normalize

    @classmethod
    def of(cls, quantity: Quantity, report: RunReport, scales: Scales) -> Shown:
        """The values of a report, on the scale of all reports of its page."""
        known = quantity.values(report)
        predicted = _predicted(report) if quantity is MEMORY else {}
        span = scales.span(quantity.all_values) or (1.0, 1.0)
        return cls(quantity, known, predicted, span, scale_of(span))

    @property
    def note(self) -> str:
        """What the letters behind the numbers stand for."""
        shown = (*self.values.values(), *self.predicted.values())
        return unit_note(map(self.quantity.text, shown), self.quantity.units)

    @property
    def has_bar(self) -> bool:
        """Whether there are two colours to tell apart."""
        return bool(self.values) and self.span[0] != self.span[1]

    def label(self, measurement: Measurement) -> str:
        """The number of a point that has one, with its flags."""
        number = self.quantity.text(self.values[measurement.point])
        return number + (flags(measurement) if self.quantity.shows_flags else "")

    def predicted_text(self, point: Point) -> str:
        """The number of a point that is predicted."""
        return f"≈{self.quantity.text(self.predicted[point])}"

    def colours(self) -> list[tuple[float, float, float, float]]:
        """The colours of the values in their order, sRGB with alpha."""
        shares = self.scale(np.array(list(self.values.values())))
        colours = np.asarray(mpl.colormaps[self.quantity.colours](shares))
        return [(r, g, b, a) for r, g, b, a in colours.tolist()]


def _predicted(report: RunReport) -> dict[Point, float]:
    """The memory model's bytes where a point was requested and not reached."""
    if report.model is None:
        return {}
    unreached = [point for point in report.points if point not in report.measurements]
    return {point: report.model.predict_bytes(point) for point in unreached}


def scale_of(values: Iterable[float]) -> Normalize:
    """Logarithmic where the values span much; a single value stands midway."""
    known = tuple(values)
    low, high = min(known), max(known)
    if low == high:
        return Normalize(low - 1, high + 1)
    is_wide = low > 0 and high / low > LOG_FROM_RATIO
    return LogNorm(low, high) if is_wide else Normalize(low, high)
