"""What a heat map can show: its value at a point, its scale, its words."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import matplotlib as mpl
from matplotlib.colors import LogNorm, Normalize

from rnnprof.points.measurement import Measurement
from rnnprof.report.model import Measurements, flags, memory_bytes, throughput
from rnnprof.report.text.pieces import compact_bytes, compact_rate, rate_in_words, unit_note
from rnnprof.report.text.table import BYTE_UNITS, RATE_UNITS
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import format_bytes, format_rate, format_ratio, format_seconds

LOG_FROM_RATIO: Final = 8.0
"""Values that span more than this are told apart on a logarithmic scale only."""


# --- what is shown -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a heat map shows of each point.

    Attributes:
        name: the stem of its artists' ids.
        title: what it is; *axis*: the same on the colour bar, with its unit.
        colours: the colour map, even in lightness.
        values: by point, of those measured where it is known.
        text: a value in a few characters; *units*: what their last letters stand for.
        words: a value in a sentence.
        scale: where a value stands in the colour map.
        shows_flags: its values come of times, which may be loose or noisy.
        predicted: by point, of those not measured.
    """

    name: str
    title: str
    axis: str
    colours: str
    values: Mapping[Point, float]
    text: Callable[[float], str]
    words: Callable[[float], str]
    scale: Normalize
    units: Mapping[str, str] = field(default_factory=dict)
    shows_flags: bool = False
    predicted: Mapping[Point, float] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What the letters behind the numbers stand for."""
        shown = (*self.values.values(), *self.predicted.values())
        return unit_note(map(self.text, shown), self.units)

    def label(self, measurement: Measurement) -> str:
        """The number of a point that has one, with its flags."""
        number = self.text(self.values[measurement.point])
        return number + (flags(measurement) if self.shows_flags else "")

    def colour(self, value: float) -> tuple[float, float, float, float]:
        """The colour of a value, sRGB with alpha."""
        return mpl.colormaps[self.colours](float(self.scale(value)))


Getter = Callable[[Measurement], float | None]


def memory_of(measurements: Measurements, predicted: Mapping[Point, float]) -> Quantity:
    """Peak memory of training, as the limit counts it."""
    title = "Peak memory"
    values = _known(measurements, memory_bytes)
    return Quantity(
        name="memory",
        title=title,
        axis=f"{title[0].lower()}{title[1:]}, bytes",
        colours="cividis",
        values=values,
        text=compact_bytes,
        words=format_bytes,
        scale=scale_of(values.values()),
        units=BYTE_UNITS,
        predicted=predicted,
    )


def time_steps_of(measurements: Measurements) -> Quantity:
    """Throughput in time steps/s."""
    values = _known(measurements, throughput)
    return Quantity(
        name="time-steps",
        title="Throughput, time steps/s",
        axis="time steps/s",
        colours="viridis",
        values=values,
        text=compact_rate,
        words=rate_in_words,
        scale=scale_of(values.values()),
        units=RATE_UNITS,
        shows_flags=True,
    )


def sequences_of(measurements: Measurements) -> Quantity:
    values = _known(measurements, lambda m: m.sequences_per_s)
    return Quantity(
        name="sequences",
        title="Throughput, sequences/s",
        axis="sequences/s",
        colours="viridis",
        values=values,
        text=compact_rate,
        words=lambda rate: format_rate(rate).replace("/s", " sequences/s").replace("  ", " "),
        scale=scale_of(values.values()),
        units=RATE_UNITS,
        shows_flags=True,
    )


SECOND_UNITS: Final = {"s": "seconds", "m": "milliseconds", "µ": "microseconds"}


def step_time_of(measurements: Measurements) -> Quantity:
    values = _known(measurements, lambda m: m.step_time_s)
    return Quantity(
        name="step-time",
        title="Step time",
        axis="time of a training step",
        colours="magma",
        values=values,
        text=_compact_seconds,
        words=format_seconds,
        scale=scale_of(values.values()),
        units=SECOND_UNITS,
        shows_flags=True,
    )


def _compact_seconds(seconds: float) -> str:
    """``12.3m`` for ``12.3 ms``: where many stand side by side."""
    text = format_seconds(seconds).replace(" ", "")
    return text if text[-2].isdigit() else text.removesuffix("s")


def matmul_share_of(measurements: Measurements) -> Quantity:
    values = _known(measurements, lambda m: m.matmul_share_ratio)
    return Quantity(
        name="matmul-share",
        title="Share of a matrix product's rate",
        axis="the step's FLOP/s, as a share of a matrix product's",
        colours="magma",
        values=values,
        text=format_ratio,
        words=format_ratio,
        scale=scale_of(values.values()),
        shows_flags=True,
    )


def _known(measurements: Measurements, value_of: Getter) -> dict[Point, float]:
    """The finite values of points that were measured."""
    values = {
        point: value_of(measurement)
        for point, measurement in measurements.items()
        if measurement.outcome is Outcome.MEASURED
    }
    return {p: float(v) for p, v in values.items() if v is not None and math.isfinite(v)}


def scale_of(values: Collection[float]) -> Normalize:
    """Logarithmic where the values span much; a single value stands midway."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    if low == high:
        return Normalize(low - 1, high + 1)
    is_wide = low > 0 and high / low > LOG_FROM_RATIO
    return LogNorm(low, high) if is_wide else Normalize(low, high)
