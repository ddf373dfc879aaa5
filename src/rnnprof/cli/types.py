"""Option types with their own messages; a parser is imported when there is a value."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from pathlib import Path

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # no generic before click 8.2

MAX_SIZE: Final = (1 << 31) - 1


class _Parsed(_ParamType):
    """An option whose text is read by a function that raises ValueError with a full sentence."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(str(value)) if isinstance(value, (str, int, float)) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _PathOf(click.Path):
    """A ``pathlib.Path``; pathlib is imported when there is a value."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        from pathlib import Path

        if not os.fspath(value):  # as of a shell's variable that is not set
            self.fail("it is empty: give a name", param, ctx)
        try:
            found = super().convert(value, param, ctx)
        except UnicodeEncodeError:
            self.fail(f"{value!a} is not a file name", param, ctx)
        return Path(found.decode() if isinstance(found, bytes) else found)


def _parse_axis(text: str) -> tuple[int, ...]:
    from rnnprof.axes import parse_axis

    return parse_axis(text)


def _parse_size(text: str) -> int:
    from rnnprof.units import parse_size

    return parse_size(text)


def _number(text: str) -> float:
    """The number, or NaN, which is in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _parse_seconds(text: str) -> float:
    seconds = _number(text)
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{text!r} is not a number of seconds above zero")
    return seconds


def _parse_probability(text: str) -> float:
    probability = _number(text)
    if not 0 <= probability < 1:
        raise ValueError(f"{text!r} is not a probability from 0 to below 1")
    return probability


def _parse_ratio(text: str) -> float:
    """A share: ``5%`` or ``0.05``."""
    ratio = _number(text[:-1]) / 100 if text.endswith("%") else _number(text)
    if not 0 <= ratio < 1:
        raise ValueError(f"{text!r} is not a share from 0 to below 1: write 5% or 0.05")
    return ratio


AXIS: Final = _Parsed("axis", _parse_axis)
BYTES: Final = _Parsed("size", _parse_size)
SECONDS: Final = _Parsed("seconds", _parse_seconds)
PROBABILITY: Final = _Parsed("probability", _parse_probability)
RATIO: Final = _Parsed("share", _parse_ratio)
SIZE: Final = click.IntRange(1, MAX_SIZE)
FILE: Final = _PathOf(dir_okay=False)
FOLDER: Final = _PathOf(file_okay=False)
EXISTING_FILE: Final = _PathOf(exists=True, dir_okay=False)
