"""Write files atomically: completely or not at all, and never over a run file or a user's own.

What is not complete has a name that no file had before, and is removed if the writing fails.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from rnnprof.errors import BadInputError

RUN_FILE_START: Final = b'{"kind":"header",'
"""How a run file begins."""

_STAGE: Final = re.compile(r"\.rnnprof-[0-9a-f]{8}\.unfinished")
_NAME_CHARACTERS: Final = 200
"""File systems take 255 bytes, and a temporary name adds some."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a temporary file and rename it to *path*, so that no reader sees half a file.

    A link stays a link and a file keeps its mode. A device or a pipe is written to directly.

    Raises:
        BadInputError: a run file would be lost.
        OSError: it cannot be written.
    """
    mode = _mode_of(path)
    if mode is not None and not stat.S_ISREG(mode):
        path.write_bytes(content)
        return
    target = Path(os.path.realpath(path))
    _refuse_run_file(target, path)
    unfinished = unused_name(target)
    try:
        _write_new(unfinished, content)
        if mode is not None:
            unfinished.chmod(stat.S_IMODE(mode))
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def unused_name(target: Path) -> Path:
    """A name beside *target* for a file that will be renamed to it."""
    return target.with_name(f".{target.name[:_NAME_CHARACTERS]}.{secrets.token_hex(4)}.tmp")


def write_folder(folder: Path, contents: Mapping[str, bytes], first: str) -> None:
    """Write files into *folder*, each whole, and none before there was room for all of them.

    A new folder is made beside its place and renamed.  Into a folder that exists, the files are
    renamed one by one from a folder within it, *first* before the others; what else is there
    stays.  A folder of that kind that a killed command left is removed by the next one.

    Raises:
        BadInputError: a run file would be lost.
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(folder))
    if target.is_dir():
        for name in contents:
            _refuse_run_file(target / name, folder / name)
        with _stage(target) as stage:
            _fill(stage, contents)
            for name in sorted(contents, key=lambda name: name != first):
                _move(stage / name, target / name)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with _stage(target.parent) as stage:
        _fill(stage, contents)
        stage.rename(target)


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _refuse_run_file(target: Path, path: Path) -> None:
    """Refuse to replace a run file by something else: it may be the only one of hours of work.

    Raises:
        BadInputError: *target* is one.
    """
    if not target.is_file():
        return
    with contextlib.suppress(PermissionError), target.open("rb") as file:
        if file.read(len(RUN_FILE_START)) == RUN_FILE_START:
            raise BadInputError(f"{path} is a run file, which would be lost: give another name")


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _fill(stage: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        _write_new(stage / name, content)


def _move(source: Path, target: Path) -> None:
    """Rename a file into its place; a link there stays a link, and a file keeps its mode."""
    if target.is_symlink():
        return write_whole(target, source.read_bytes())
    if (mode := _mode_of(target)) is not None:
        source.chmod(stat.S_IMODE(mode))
    source.replace(target)
    return None


@contextlib.contextmanager
def _stage(parent: Path) -> Iterator[Path]:
    """A new folder in *parent*; it is removed at the end if it still has its name.

    Its lock is held meanwhile, so that others see that it is in use.
    """
    _remove_stale(parent)
    stage = parent / f".rnnprof-{secrets.token_hex(4)}.unfinished"
    stage.mkdir()
    try:
        with _locked(stage):
            yield stage
    finally:
        _remove(stage)


def _remove_stale(parent: Path) -> None:
    """Remove the folders of commands that were killed: nobody holds their locks."""
    with contextlib.suppress(OSError):
        for each in parent.iterdir():
            if _STAGE.fullmatch(each.name) and each.is_dir() and not each.is_symlink():
                with contextlib.suppress(OSError), _locked(each):
                    _remove(each)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Raises:
        OSError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove(stage: Path) -> None:
    with contextlib.suppress(OSError):
        for each in stage.iterdir():
            each.unlink()
        stage.rmdir()
