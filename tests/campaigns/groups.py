"""Control groups of our own, version 1 or 2, where root may make them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
CPU_PERIOD_US: Final = 100_000

_JOIN: Final = (
    "import os, sys\n"
    "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class NoGroupError(Exception):
    """No control group can be made here; the text says why."""


def within(group: Path, command: list[str]) -> list[str]:
    """*command*, begun inside *group*."""
    return [sys.executable, "-c", _JOIN, str(group / "cgroup.procs"), *command]


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """A group that may hold *limit_bytes* of memory.

    Raises:
        NoGroupError: none can be made.
    """
    files = {"memory.max": str(limit_bytes), "memory.limit_in_bytes": str(limit_bytes)}
    with _group("memory", files) as group:
        yield group


@contextlib.contextmanager
def cpu_group(processors: float) -> Iterator[Path]:
    """A group that may use so many processors, 1.0 being one of them all the time.

    Raises:
        NoGroupError: none can be made.
    """
    quota = int(processors * CPU_PERIOD_US)
    files = {"cpu.max": f"{quota} {CPU_PERIOD_US}", "cpu.cfs_quota_us": str(quota)}
    with _group("cpu", files) as group:
        yield group


@contextlib.contextmanager
def _group(controller: str, files: dict[str, str]) -> Iterator[Path]:
    """A new group below our own, with the one of *files* that it has written."""
    group = _own_group(controller) / f"rnnprof-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        raise NoGroupError(f"no control group can be made: {error.strerror}") from None
    try:
        present = [name for name in files if (group / name).exists()]
        if not present:
            raise NoGroupError(f"a control group here has none of {', '.join(files)}")
        (group / present[0]).write_text(files[present[0]])
        yield group
    except PermissionError as error:
        raise NoGroupError(f"the control group cannot be set: {error.strerror}") from None
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    """Its last process may take a moment to be gone."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)


def _own_group(controller: str) -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return ROOT / names / path.strip("/")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return ROOT / line[3:].strip("/")
    raise NoGroupError("this process is in no control group")


@contextlib.contextmanager
def taken_memory(group: Path, size_bytes: int) -> Iterator[None]:
    """Another process inside *group* that holds *size_bytes*."""
    code = f"taken = bytearray(b'1') * {size_bytes}; print(len(taken), flush=True); input()"
    command = within(group, [sys.executable, "-c", code])
    stranger = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        yield
    finally:
        stranger.kill()
        stranger.communicate()
