"""Units as text, for charts: those of :mod:`rnnprof.units`, and round ticks."""

from __future__ import annotations

from rnnprof.units import compact_bytes, compact_rate, format_bytes, format_ratio, format_seconds

__all__ = ("byte_tick", "format_bytes", "format_ratio", "format_seconds", "rate_tick")


def rate_tick(per_second: float) -> str:
    """``16k``: a rate, or a count, at a round tick."""
    return compact_rate(per_second, is_round=True)


def byte_tick(size_bytes: float) -> str:
    """``64M``: bytes at a round tick."""
    return compact_bytes(size_bytes, is_round=True)
