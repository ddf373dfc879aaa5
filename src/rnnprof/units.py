"""Bytes, seconds and rates as text and back: the one place that knows units."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

BINARY_UNITS: Final = ("", "K", "M", "G", "T")
COUNT_UNITS: Final = ("", "k", "M", "G")
FLOP_UNITS: Final = ("", "k", "M", "G", "T", "P")

_FACTORS: Final = {
    "": 1, "b": 1,
    "k": KIB, "kib": KIB, "m": MIB, "mib": MIB, "g": GIB, "gib": GIB, "t": 1 << 40, "tib": 1 << 40,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
_BYTES: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def parse_bytes(text: str) -> int:
    """Read ``512MiB``, ``1.5g`` or ``8_000``; ``MB`` and ``GB`` are decimal.

    Raises:
        ValueError: *text* is not a size, or is not positive.
    """
    match = _BYTES.fullmatch(text.replace("_", ""))
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not a size: write 512MiB, 1.5GiB or a number of bytes")
    size_bytes = float(match[1]) * factor
    if not 1 <= size_bytes < 1 << 63:
        raise ValueError(f"{text!r} is not a size above zero and below 8 EiB")
    return int(size_bytes)


def parse_size(text: str) -> int:
    """Read a size that must have a unit, because the unit of a bare number is ambiguous.

    Raises:
        ValueError: as in :func:`parse_bytes`; for a bare number it suggests MiB or B.
    """
    bare = text.strip().replace("_", "")
    if bare.isdigit() and int(bare) > 0:
        raise ValueError(f"{text.strip()} bytes? write {bare}MiB, or {bare}B for bytes")
    return parse_bytes(text)


def exact_bytes(size_bytes: int) -> str:
    """A size in the form that options accept, without rounding: ``512MiB``, ``1000B``."""
    for unit, factor in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes}B"


def format_bytes(size_bytes: float | None) -> str:
    """Three significant digits in a binary unit: ``512 MiB``; ``-`` where unknown."""
    if size_bytes is None:
        return "-"
    value, unit = _scaled(float(size_bytes), BINARY_UNITS, 1024)
    return f"{value:.0f} B" if not unit else f"{_three_digits(value)} {unit}iB"


def compact_bytes(size_bytes: float | None) -> str:
    """``1.23G`` for ``1.23 GiB``, for tables and axes; ``-`` where unknown."""
    if size_bytes is None:
        return "-"
    value, unit = _scaled(float(size_bytes), BINARY_UNITS, 1024)
    return f"{value:.0f}B" if not unit else f"{_three_digits(value)}{unit}"


def format_seconds(seconds: float | None) -> str:
    """Three significant digits of s, ms or µs: ``12.3 ms``; ``-`` where unknown."""
    if seconds is None:
        return "-"
    unit, factor = unit_of_seconds(seconds)
    return f"{_three_digits(seconds * factor)} {unit}"


def unit_of_seconds(seconds: float) -> tuple[str, float]:
    """The unit in which a duration is written, and how many of them make a second."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if abs(seconds) * factor >= 0.9995:
            return unit, factor
    return "µs", 1e6


def format_duration(seconds: float | None) -> str:
    """A duration for people: ``45 s``, ``3 min 20 s``, ``2 h 05 min``; ``-`` where unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_count(value: float | None) -> str:
    """A number with k, M, G: ``1.23 M``; ``-`` where unknown."""
    if value is None:
        return "-"
    number, unit = _scaled(float(value), COUNT_UNITS, 1000)
    return f"{_three_digits(number)} {unit}".rstrip()


def compact_count(value: float | None) -> str:
    """``12.3k`` for ``12.3 k``, for tables and axes; ``-`` where unknown."""
    if value is None:
        return "-"
    number, unit = _scaled(float(value), COUNT_UNITS, 1000)
    return f"{_three_digits(number)}{unit}"


def format_rate(per_second: float | None) -> str:
    """A rate with k, M, G: ``1.23 M/s``; ``-`` where unknown."""
    return "-" if per_second is None else f"{format_count(per_second)}/s"


def format_flops(flop_per_s: float | None) -> str:
    """Floating-point operations per second: ``78.1 GFLOP/s``; ``-`` where unknown."""
    if flop_per_s is None:
        return "-"
    number, unit = _scaled(float(flop_per_s), FLOP_UNITS, 1000)
    return f"{_three_digits(number)} {unit}FLOP/s"


def _scaled(value: float, units: Sequence[str], step: int) -> tuple[float, str]:
    """The value in the largest unit in which it is at least 1."""
    for unit in units[:-1]:
        # 999.5 would round to four digits, so it goes to the next unit
        if abs(value) < 999.5:
            return value, unit
        value /= step
    return value, units[-1]


def format_ratio(ratio: float | None) -> str:
    """A share as a percentage: ``3.2%``; ``-`` where unknown."""
    if ratio is None:
        return "-"
    percent = ratio * 100
    return f"{percent:.0f}%" if abs(percent) >= 10 else f"{percent:.2g}%"


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    if magnitude >= 99.95:
        return f"{value:.0f}"
    if magnitude >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}"
