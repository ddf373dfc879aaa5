"""Columns of figures in one unit: bytes, seconds, rates and shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rnnprof.report.html.blocks import (
    UNKNOWN,
    Cell,
    grouped,
)
from rnnprof.units import GIB, KIB, MIB

# --- the page ------------------------------------------------------------------------------------


# --- numbers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scale:
    """How the numbers of one column are shown.

    Attributes:
        factor: what is stored, times this, is shown.
    """

    unit: str
    factor: float
    decimals: int

    def cell(self, value: float | None) -> Cell:
        """*value* shown, and in full for the CSV."""
        if value is None or not math.isfinite(value):
            return UNKNOWN
        return Cell(grouped(value * self.factor, self.decimals), f"{value:.9g}")


Values = Sequence[float]


def _scale(values: Values, units: Sequence[tuple[str, float]], most_decimals: int) -> Scale:
    """The first unit of which a typical value is one or more, with three digits for the least."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    if not known:
        return Scale("", 1.0, 0)
    typical, least = median(known), min(known)
    fitting = (each for each in units if typical * each[1] >= 1)
    unit, factor = next(fitting, units[-1])
    digits = 2 - math.floor(math.log10(least * factor))
    return Scale(unit, factor, min(most_decimals, max(0, digits)))


def bytes_scale(values: Values) -> Scale:
    return _scale(values, (("GiB", 1 / GIB), ("MiB", 1 / MIB), ("KiB", 1 / KIB)), 2)


def seconds_scale(values: Values) -> Scale:
    return _scale(values, (("s", 1.0), ("ms", 1e3), ("µs", 1e6)), 3)


def rate_scale(values: Values) -> Scale:
    return _scale(values, (("1/s", 1.0),), 2)


def share_scale(values: Values) -> Scale:
    return _scale(values, (("%", 100.0),), 2)


def ratio_of(_values: Values) -> Scale:
    return Scale("×", 1.0, 3)


def integer(value: int | None) -> Cell:
    return UNKNOWN if value is None else Cell(str(value))
