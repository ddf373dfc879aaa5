"""One run per GPU: two at once would slow each other down and take each other's memory."""

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
    """Lock the GPU with this UUID for this process; None, the CPU, needs no lock.

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
            f"another rnnprof is measuring on {uuid}: wait for it, or choose another --device"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """The lock file; it may belong to another user, so it is opened for reading only."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
