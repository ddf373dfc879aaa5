"""Axes of the grid: ``8,16,24``, ``8:256:x2`` (geometric), ``16:128:+16`` (arithmetic), mixed."""

from __future__ import annotations

import itertools
import re
from typing import Final

MAX_AXIS_VALUES: Final = 1000
"""More values on one axis are a typing error: 1000 x 1 points take half an hour at best."""

MAX_AXIS_VALUE: Final = 1 << 31
"""Sizes above it overflow the 32-bit indices of most kernels."""

DEFAULT_AXES: Final = {"cpu": ("4:128:x2", "16:128:x2"), "cuda": ("8:1024:x2", "16:512:x2")}
"""Default axes of batch and time steps, by the kind of device."""

DEFAULT_POINT_SECONDS: Final = {"cpu": 2.0, "cuda": 1.0}
"""A GPU needs less time than the CPU, because its step times vary less."""

_NUMBER: Final = re.compile(r"\d{1,12}")
_RANGE: Final = re.compile(r"(\d{1,12}):(\d{1,12}):(x|\+)(\d{1,6}(?:\.\d{1,6})?)")


def parse_axis(text: str) -> tuple[int, ...]:
    """Read an axis; the values are ascending and distinct.

    Raises:
        ValueError: names the invalid part and the valid forms.
    """
    values: set[int] = set()
    for part in text.split(","):
        values.update(_parse_part(part.strip()))
        if len(values) > MAX_AXIS_VALUES:
            raise ValueError(f"{text!r} has more than {MAX_AXIS_VALUES} values")
    return tuple(sorted(values))


def format_axis(values: tuple[int, ...]) -> str:
    """The values as text that :func:`parse_axis` reads."""
    return ",".join(map(str, values))


def _parse_part(part: str) -> list[int]:
    if _NUMBER.fullmatch(part):
        return [_checked(int(part), part)]
    match = _RANGE.fullmatch(part)
    if match is None:
        raise ValueError(
            f"{part!r} is not understood: write 8,16,24 or 8:256:x2 (doubling) or 16:128:+16"
        )
    first, last = _checked(int(match[1]), part), _checked(int(match[2]), part)
    if last < first:
        raise ValueError(f"{part!r} ends below its start")
    return (
        _geometric(first, last, match, part) if match[3] == "x" else _arithmetic(first, last, match)
    )


def _geometric(first: int, last: int, match: re.Match[str], part: str) -> list[int]:
    factor = float(match[4])
    if factor <= 1:
        raise ValueError(f"{part!r} never ends: the factor after x must be above 1")
    values: list[int] = []
    value = float(first)
    while round(value) <= last and len(values) <= MAX_AXIS_VALUES:
        values.append(round(value))
        value *= factor
    if len(values) > MAX_AXIS_VALUES:
        raise ValueError(f"{part!r} takes more than {MAX_AXIS_VALUES} values: give a larger factor")
    return values


def _arithmetic(first: int, last: int, match: re.Match[str]) -> list[int]:
    if "." in match[4] or int(match[4]) == 0:
        raise ValueError(f"{match[0]!r}: the step after + must be a whole number above 0")
    return list(itertools.islice(range(first, last + 1, int(match[4])), MAX_AXIS_VALUES + 1))


def _checked(value: int, part: str) -> int:
    if not 1 <= value < MAX_AXIS_VALUE:
        raise ValueError(f"{part!r}: values must be between 1 and {MAX_AXIS_VALUE - 1}")
    return value
