"""The processor's caches, as Linux reports them."""

from __future__ import annotations

from pathlib import Path

from rnnprof.units import parse_bytes

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def last_level_cache_bytes(caches: Path = _CACHES) -> int | None:
    """Size in bytes of the first processor's largest cache; None if Linux does not report it."""
    sizes = [size for path in caches.glob("index*/size") if (size := _size_bytes(path))]
    return max(sizes, default=None)


def _size_bytes(path: Path) -> int | None:
    try:
        return parse_bytes(path.read_text().strip())
    except (OSError, ValueError):
        return None
