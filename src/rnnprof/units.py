"""Bytes, seconds and rates as text and back: the one place that knows units."""

from __future__ import annotations

import math
import re
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

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
    # a float has 53 bits, and a whole number of bytes may have more
    size_bytes = (int if match[1].isdigit() else float)(match[1]) * factor
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
    value, unit = _in_binary_unit(size_bytes)
    return f"{value:.0f} {unit}" if unit == "B" else f"{_three_digits(value)} {unit}"


def compact_bytes(size_bytes: float | None, *, is_round: bool = False) -> str:
    """``1.23G`` for ``1.23 GiB``: where many stand side by side.

    Args:
        is_round: leave out zeros behind the point, as at a tick: ``64M``, not ``64.0M``.
    """
    if size_bytes is None:
        return "-"
    value, unit = _in_binary_unit(size_bytes)
    letter = unit.removesuffix("iB")
    return f"{value:.0f}{letter}" if unit == "B" else f"{_digits(value, is_round)}{letter}"


def _in_binary_unit(size_bytes: float) -> tuple[float, str]:
    value, unit = float(size_bytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        # 999.5 would round to four digits, so it moves on to the next unit
        if abs(value) < 999.5 or unit == "TiB":
            break
        value /= 1024
    return value, unit


def format_seconds(seconds: float | None) -> str:
    """Three significant digits of s, ms or µs: ``12.3 ms``; ``-`` where unknown."""
    if seconds is None:
        return "-"
    factor, unit = seconds_unit(seconds)
    return f"{_three_digits(seconds * factor)} {unit}"


def compact_seconds(seconds: float | None) -> str:
    """``12.3m`` for ``12.3 ms``, ``1.23s`` for ``1.23 s``: where many stand side by side."""
    if seconds is None:
        return "-"
    factor, unit = seconds_unit(seconds)
    return f"{_three_digits(seconds * factor)}{unit[0]}"


def seconds_unit(seconds: float) -> tuple[float, str]:
    """The unit that suits a time, s, ms or µs, and how many of it make a second."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if abs(seconds) * factor >= 0.9995:
            return factor, unit
    return 1e6, "µs"


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


def format_rate(per_second: float | None, of: str = "") -> str:
    """A rate with k, M, G: ``1.23 M/s``; ``-`` where unknown.

    Args:
        of: what is counted: ``time steps`` gives ``1.23 M time steps/s``.
    """
    if per_second is None:
        return "-"
    value, unit = _in_thousands(per_second)
    counted = " ".join(word for word in (unit, of) if word)
    return f"{_three_digits(value)}{' ' if counted else ''}{counted}/s"


def format_count(value: float | None) -> str:
    """A number with k, M, G: ``1.23 M``; ``-`` where unknown."""
    if value is None:
        return "-"
    number, unit = _in_thousands(value)
    return f"{_three_digits(number)} {unit}".rstrip()


def compact_rate(per_second: float | None, *, is_round: bool = False) -> str:
    """``12.3k`` for ``12.3 k/s``: where many stand side by side.

    Args:
        is_round: leave out zeros behind the point, as at a tick: ``16k``, not ``16.0k``.
    """
    if per_second is None:
        return "-"
    value, unit = _in_thousands(per_second)
    return _digits(value, is_round) + unit


def _in_thousands(value: float) -> tuple[float, str]:
    value = float(value)
    for unit in ("", "k", "M"):
        if abs(value) < 999.5:
            return value, unit
        value /= 1000
    return value, "G"


def format_change(ratio: float) -> str:
    """A relative change with its sign: ``+5.1%``, ``-0.3%``, ``0%``."""
    text = format_ratio(ratio)
    return f"+{text}" if ratio > 0 else text


def format_flops(flop_per_s: float | None) -> str:
    """Floating-point operations per second: ``78.1 GFLOP/s``; ``-`` where unknown."""
    if flop_per_s is None:
        return "-"
    value, unit = float(flop_per_s), ""
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(value) < 999.5 or unit == "P":
            break
        value /= 1000
    return f"{_three_digits(value)} {unit}FLOP/s"


def format_ratio(ratio: float | None) -> str:
    """A share as a percentage: ``3.2%``; ``-`` where unknown."""
    if ratio is None:
        return "-"
    percent = ratio * 100
    return f"{percent:.0f}%" if abs(percent) >= 10 else f"{percent:.2g}%"


def _digits(value: float, is_round: bool) -> str:
    return f"{value:.3g}" if is_round and abs(value) < 999.5 else _three_digits(value)


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    if magnitude >= 99.95:
        return f"{value:.0f}"
    if magnitude >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}"
