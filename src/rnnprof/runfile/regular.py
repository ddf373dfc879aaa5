"""Open regular files alone: a pipe can block for ever, and a device can be read for ever."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from rnnprof.errors import RunFileError

MOST_FILE_BYTES: Final = 1 << 30
"""A run of 100,000 records takes about 150 MiB; a larger file than this is not a run's, and its
records would not fit in the memory of a small machine."""

_CHUNK_BYTES: Final = 1 << 20
_SAFE_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Opening a pipe or a terminal neither waits nor takes it over."""

_KINDS: Final = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip
_KERNEL_FOLDERS: Final = (Path("/proc"), Path("/sys"))


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file, or a link to one; nothing else is opened, so that nothing blocks.

    Args:
        flags: as of :func:`os.open`; what ``O_CREAT`` makes has the usual mode.

    Raises:
        RunFileError: it is not a regular file, or cannot be opened.
        FileNotFoundError: there is no such file.
    """
    try:
        _check(path, path.stat())
        descriptor = os.open(path, flags | _SAFE_FLAGS, 0o644)
    except FileNotFoundError:
        _refuse_dangling(path)
        raise
    except (OSError, ValueError) as error:
        raise RunFileError(_cannot(path, flags, error)) from None
    try:
        _check(path, os.fstat(descriptor))  # it may have been replaced since
    except RunFileError:
        os.close(descriptor)
        raise
    return descriptor


def create_regular(path: Path) -> int:
    """Create a file that did not exist, not even as a link, and open it for appending.

    Raises:
        FileExistsError: it exists.
        RunFileError: it cannot be created.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags | _SAFE_FLAGS, 0o644)
    except FileExistsError:
        raise
    except (OSError, ValueError) as error:
        raise RunFileError(_cannot(path, flags, error)) from None


def content_of(descriptor: int, path: Path, start: bytes = b"") -> bytes:
    """The whole content of an open file, of which *start* has been read.

    Raises:
        RunFileError: it cannot be read, or is larger than a run file can be.
    """
    size_bytes = os.fstat(descriptor).st_size
    parts, read_bytes = [start], len(start)
    while size_bytes <= MOST_FILE_BYTES and (part := read_part(descriptor, path, read_bytes)):
        parts.append(part)
        read_bytes += len(part)
        size_bytes = max(size_bytes, read_bytes)
    if size_bytes > MOST_FILE_BYTES:
        raise RunFileError(
            f"cannot read {path}: it has {size_bytes} bytes, and a run file at most "
            f"{MOST_FILE_BYTES}"
        )
    return b"".join(parts)


def read_part(descriptor: int, path: Path, offset: int = 0) -> bytes:
    """The next bytes of an open file from *offset* on; none at its end.

    Raises:
        RunFileError: it cannot be read.
    """
    try:
        return os.pread(descriptor, _CHUNK_BYTES, offset)
    except OSError as error:
        raise RunFileError(f"cannot read {path}: {error.strerror}") from None


def _check(path: Path, info: os.stat_result) -> None:
    kind = _KINDS.get(stat.S_IFMT(info.st_mode))
    if kind is None and _is_of_the_kernel(info):
        kind = "a file of the kernel"
    if kind is not None:
        raise RunFileError(f"cannot use {path} as a run file: it is {kind}, not a regular file")


def _is_of_the_kernel(info: os.stat_result) -> bool:
    """Whether a file is in /proc or /sys, whose content the kernel makes up as it is read."""
    root = Path("/").stat().st_dev
    folders = (folder.stat().st_dev for folder in _KERNEL_FOLDERS if folder.is_dir())
    return any(info.st_dev == device != root for device in folders)


def _refuse_dangling(path: Path) -> None:
    if path.is_symlink():
        raise RunFileError(
            f"cannot use {path} as a run file: it is a link to {path.readlink()}, which does not "
            "exist"
        ) from None


def _cannot(path: Path, flags: int, error: OSError | ValueError) -> str:
    why = error.strerror if isinstance(error, OSError) else str(error)
    is_read = flags & (os.O_RDWR | os.O_WRONLY) == 0
    return f"cannot read {path}: {why}" if is_read else f"cannot open {path} for writing: {why}"
