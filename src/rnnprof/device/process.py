"""A process's memory and the raw conditions of a pass, from Linux's /proc."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from rnnprof.device import cgroup
from rnnprof.errors import NoDeviceError
from rnnprof.runfile.observations import Conditions

NO_STATUS: Final = "/proc/self/status cannot be read, so a process's memory is not known"
MOUNT_PROC: Final = "mount /proc (mount -t proc proc /proc), or start the container with it"


def memory_bytes(field: str, status: Path = Path("/proc/self/status")) -> int | None:
    """A memory field of ``/proc/self/status`` (VmData, VmPeak, VmSize, VmHWM, VmRSS) in bytes."""
    return memory_sizes(status).get(field)


def memory_sizes(status: Path = Path("/proc/self/status")) -> dict[str, int]:
    """All of them at one moment: to read them in turn takes memory itself, and gives some back."""
    try:
        text = status.read_text(errors="replace")
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        size, *unit = value.split() or [""]
        if size.isdecimal() and unit == ["kB"]:
            found.setdefault(name, int(size) * 1024)
    return found


def is_memory_known() -> bool:
    """Whether the kernel tells this process its memory: on Linux, without which no limit holds."""
    return sys.platform != "linux" or memory_bytes("VmData") is not None


def check_memory_known() -> None:
    """Check that a limit on the CPU can be set and a peak be read.

    Raises:
        NoDeviceError: /proc is hidden.
    """
    if not is_memory_known():
        raise NoDeviceError(f"the CPU cannot be measured on: {NO_STATUS}; {MOUNT_PROC}")


def children_bytes(proc: Path = Path("/proc")) -> int | None:
    """Private memory of all descendant processes; None if the kernel does not list children.

    Pages that they share with this process, as after a fork, do not count.
    """
    pids = _children_of("self", proc)
    if pids is None:
        return None
    total, seen = 0, set[str]()
    while pids:
        pid = pids.pop()
        if pid not in seen:
            seen.add(pid)
            total += _private_bytes(pid, proc)
            pids += _children_of(pid, proc) or []
    return total


def has_children(proc: Path = Path("/proc")) -> bool:
    """Whether a process that this one has started is still there, as far as the kernel lists it."""
    return bool(_children_of("self", proc))


def _children_of(pid: str, proc: Path) -> list[str] | None:
    """Children of all threads of a process; None if it has ended or they are not listed."""
    try:
        threads = list((proc / pid / "task").iterdir())
        return [child for each in threads for child in (each / "children").read_text().split()]
    except OSError:
        return None


def _private_bytes(pid: str, proc: Path) -> int:
    """Private bytes of a process; 0 if it has ended or belongs to another user."""
    rollup = proc / pid / "smaps_rollup"
    return sum(memory_bytes(name, rollup) or 0 for name in ("Private_Clean", "Private_Dirty"))


def reset_peak_rss() -> str | None:
    """Reset VmHWM to the present value; return the reason if the kernel refuses."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        return f"the kernel does not allow VmHWM to be reset: {error.strerror}"
    return None


def available_bytes() -> int:
    """Bytes that can be taken without swapping: the machine's, or the control group's if less."""
    _, machine = machine_memory_bytes()
    group = cgroup.memory_left_bytes()
    return machine if group is None else min(machine, group)


def machine_memory_bytes() -> tuple[int, int]:
    """The machine's memory in bytes, and what can be taken of it without swapping.

    Where /proc is hidden or unreadable the system's own call answers; it does not count memory that
    caches would give back, so less is free than there is.

    Raises:
        NoDeviceError: neither knows it.
    """
    try:
        memory = psutil.virtual_memory()
        found = int(memory.total), int(memory.available)
    except (OSError, LookupError, ValueError):
        found = _pages_bytes("SC_PHYS_PAGES"), _pages_bytes("SC_AVPHYS_PAGES")
    if min(found) <= 0:
        raise NoDeviceError(
            f"the machine's memory is not known, since /proc/meminfo cannot be read: {MOUNT_PROC}"
        )
    return found


def _pages_bytes(name: str) -> int:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def usable_processors() -> int:
    """Number of processors that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class ConditionsMeter:
    """The counters at the start of a pass; :meth:`read` gives the conditions since."""

    at_s: float
    own_s: float
    busy_s: float | None
    steal_s: float | None
    throttled_s: float | None

    @classmethod
    def start(cls) -> ConditionsMeter:
        """Read the counters now."""
        busy_s, steal_s = _machine_cpu_s()
        return cls(time.perf_counter(), _own_cpu_s(), busy_s, steal_s, cgroup.throttled_s())

    def read(self) -> Conditions:
        """The conditions since :meth:`start`."""
        now = ConditionsMeter.start()
        unknown = {}
        if now.busy_s is None:
            unknown["cpu_busy_s"] = unknown["cpu_steal_s"] = "no /proc/stat"
        if now.throttled_s is None:
            unknown["throttled_s"] = "no cpu.stat with throttling in this control group"
        return Conditions(
            wall_s=max(0.0, now.at_s - self.at_s),  # a virtual machine's clock can go back
            cpu_count=usable_processors(),
            cpu_own_s=max(0.0, now.own_s - self.own_s),
            cpu_busy_s=_difference(now.busy_s, self.busy_s),
            cpu_steal_s=_difference(now.steal_s, self.steal_s),
            throttled_s=_difference(now.throttled_s, self.throttled_s),
            unknown=unknown,
        )


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else max(0.0, now - before)


def _own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _machine_cpu_s(stat: Path = Path("/proc/stat")) -> tuple[float | None, float | None]:
    """Busy and stolen seconds of the processors that this process may run on."""
    try:
        lines = stat.read_text(errors="replace").splitlines()
    except OSError:
        return None, None
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    counts = [_ticks(fields) for name, *fields in map(str.split, filter(str.strip, lines))
              if name in mine]  # fmt: skip
    if not counts or None in counts:
        return None, None
    known = [count for count in counts if count is not None]
    busy, steal = (sum(each) for each in zip(*known, strict=True))
    return busy / ticks_per_s, steal / ticks_per_s


def _ticks(fields: list[str]) -> tuple[int, int] | None:
    """Busy and stolen ticks of a processor; None where the line is not the kernel's."""
    if len(fields) < 8 or not all(field.isdecimal() for field in fields[:8]):
        return None
    user, nice, system, _, _, irq, softirq, stolen = map(int, fields[:8])
    return user + nice + system + irq + softirq, stolen
