"""The limits and counters of this process's control group, version 1 or 2.

Every function returns None if the machine has no such control group or file: unknown is never zero.
Source: the kernel's admin-guide, cgroup-v1/memory and cgroup-v2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")
_NO_LIMIT: Final = 1 << 60
"""Version 1 writes "no limit" as the largest page-aligned number."""


def memory_left_bytes(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes that the tightest memory limit on this process leaves; None without a limit."""
    left = [
        limit - (_number(group / usage_file) or 0) + _reclaimable_bytes(group)
        for group, limit_file, usage_file in _memory_groups(root, membership)
        if (limit := _number(group / limit_file)) is not None and limit < _NO_LIMIT
    ]
    return max(0, min(left)) if left else None


def oom_kills(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """How many processes the out-of-memory killer has ended in this process's group."""
    for group, _, _ in _memory_groups(root, membership):
        for name in ("memory.events", "memory.oom_control"):
            count = _keyed(group / name, "oom_kill")
            if count is not None:
                return count
    return None


def throttled_s(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """Seconds for which the CPU quota has stopped this process's group, since its start."""
    for group in _groups(root, membership, "cpu"):
        microseconds = _keyed(group / "cpu.stat", "throttled_usec")
        if microseconds is not None:
            return microseconds / 1e6
        nanoseconds = _keyed(group / "cpu.stat", "throttled_time")
        if nanoseconds is not None:
            return nanoseconds / 1e9
    return None


def _reclaimable_bytes(group: Path) -> int:
    """Page cache that the kernel drops before it refuses memory: counted as used, but free."""
    stat = group / "memory.stat"
    return _keyed(stat, "total_inactive_file") or _keyed(stat, "inactive_file") or 0


def _memory_groups(root: Path, membership: Path) -> list[tuple[Path, str, str]]:
    v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    v2 = ("memory.max", "memory.current")
    found = []
    for group in _groups(root, membership, "memory"):
        for limit_file, usage_file in (v2, v1):
            if (group / limit_file).exists():
                found.append((group, limit_file, usage_file))
    return found


def _groups(root: Path, membership: Path, controller: str) -> list[Path]:
    """This process's group and those above it, nearest first."""
    found: list[Path] = []
    for line in _text(membership).splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            bases = [root, root / "unified"]
        elif controller in controllers.split(","):
            bases = [root / controllers, root / controller]
        else:
            continue
        for base in bases:
            nearest = base / path.strip("/")
            found += [nearest, *(p for p in nearest.parents if p.is_relative_to(base))]
    return [group for group in dict.fromkeys(found) if group.is_dir()]


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _keyed(path: Path, key: str) -> int | None:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.strip().isdigit():
            return int(value)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
