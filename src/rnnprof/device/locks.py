"""One run per GPU: two at once would be slow, and short of memory by each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rnnprof.errors import NoDeviceError


@contextlib.contextmanager
def gpu_lock(uuid: str | None, folder: Path | None = None) -> Iterator[None]:
    """Hold the GPU of that UUID for this process; nothing to hold on the CPU.

    Raises:
        NoDeviceError: another rnnprof measures on it.
    """
    if uuid is None:
        yield
        return
    path = (folder or Path(tempfile.gettempdir())) / f"rnnprof-{uuid}.lock"
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise NoDeviceError(
            f"another rnnprof is measuring on {uuid}: wait for it, or give another --device"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """The lock file, which may be another user's: it is only ever read."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
