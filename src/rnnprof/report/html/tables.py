"""Tables of the page: cells, columns, and columns of figures in one unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Final, TypeVar

from rnnprof.units import GIB, KIB, MIB

T = TypeVar("T")
V = TypeVar("V")

BLANK: Final = "\N{EN DASH}"
"""In place of what is not known; in the CSV there is nothing."""

NARROW_SPACE: Final = "\N{NARROW NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of a table.

    Attributes:
        value: by which it sorts and as which it is downloaded; None for the text itself.
    """

    text: str
    value: str | None = None


UNKNOWN: Final = Cell(BLANK, "")
NOTHING: Final = Cell("")
"""Where there is nothing to say, and it is known that there is not."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head.

    Attributes:
        key: its name in the CSV, with the unit of the values there.
        unit: of what is shown.
        kind: ``number`` is aligned right, ``code`` has a fixed width, ``text`` wraps; or ``word``.
        group: the heading above it and its neighbours; empty for none.
    """

    head: str
    key: str
    unit: str = ""
    kind: str = "word"
    group: str = ""


Filled = tuple[Column, list[Cell]]
"""A column with its cells."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a section.

    Attributes:
        file: name of its CSV; empty for a table that is neither sorted nor downloaded.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    file: str = ""

    @classmethod
    def of(cls, name: str, caption: str, columns: Iterable[Filled], file: str = "") -> Table:
        """A table of columns of the same length."""
        filled = list(columns)
        rows = tuple(zip(*(cells for _, cells in filled), strict=True))
        return cls(name, caption, tuple(column for column, _ in filled), rows, file)

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each group with the columns that it spans; none where no column has one."""
        if not any(column.group for column in self.columns):
            return []
        runs = groupby(self.columns, key=lambda column: column.group)
        return [(group, len(list(columns))) for group, columns in runs]


# --- columns -------------------------------------------------------------------------------------


def of_each(items: Iterable[T | None], value: Callable[[T], V | None]) -> list[V | None]:
    """A value of each item; None where there is no item."""
    return [None if item is None else value(item) for item in items]


def integers(
    head: str, key: str, values: Iterable[int | None], unit: str = "", group: str = ""
) -> Filled:
    """Whole numbers; a dash for None."""
    cells = [UNKNOWN if value is None else Cell(str(value)) for value in values]
    return Column(head, key, unit, "number", group), cells


def words(
    head: str,
    key: str,
    values: Iterable[str | None],
    kind: str = "word",
    group: str = "",
    *,
    unit: str = "",
    blank: Cell = UNKNOWN,
) -> Filled:
    """Text; *blank* where there is none."""
    return Column(head, key, unit, kind, group), [Cell(v) if v else blank for v in values]


def figures(
    head: str, key: str, values: Sequence[float | None], scale_of: ScaleOf, group: str = ""
) -> Filled:
    """Figures in one unit and with one precision, in full for the CSV; a dash for None."""
    scale = scale_of([value for value in values if value is not None])
    return Column(head, key, scale.unit, "number", group), [scale.cell(v) for v in values]


# --- figures -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scale:
    """How the figures of one column are shown.

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


ScaleOf = Callable[[Sequence[float]], Scale]


def grouped(value: float, decimals: int) -> str:
    """A number with a narrow space between its thousands."""
    return f"{value:,.{decimals}f}".replace(",", NARROW_SPACE)


def _scale(
    values: Sequence[float], units: Sequence[tuple[str, float]], most_decimals: int
) -> Scale:
    """The first unit of which a typical value is one or more, with three digits for the least."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    if not known:
        return Scale("", 1.0, 0)
    typical, least = median(known), min(known)
    fitting = (each for each in units if typical * each[1] >= 1)
    unit, factor = next(fitting, units[-1])
    digits = 2 - math.floor(math.log10(least * factor))
    return Scale(unit, factor, min(most_decimals, max(0, digits)))


def in_bytes(values: Sequence[float]) -> Scale:
    """GiB, MiB or KiB."""
    return _scale(values, (("GiB", 1 / GIB), ("MiB", 1 / MIB), ("KiB", 1 / KIB)), 2)


def in_seconds(values: Sequence[float]) -> Scale:
    """s, ms or µs."""
    return _scale(values, (("s", 1.0), ("ms", 1e3), ("µs", 1e6)), 3)


def per_second(values: Sequence[float]) -> Scale:
    """A rate."""
    return _scale(values, (("1/s", 1.0),), 2)


def in_percent(values: Sequence[float]) -> Scale:
    """A share."""
    return _scale(values, (("%", 100.0),), 2)


def as_ratio(_values: Sequence[float]) -> Scale:
    """A ratio to another run."""
    return Scale("×", 1.0, 3)
