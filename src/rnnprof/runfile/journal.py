"""The run file: JSON Lines with one writer; each record is one append and one fsync.

Opening a journal changes nothing in the file, so that a command that is then refused leaves a
stranger's file as it was.  Only the first append removes an incomplete record at the end, after it
has saved its bytes in a file beside, ``NAME.jsonl.torn-DIGEST``; a complete record without its
newline gets it with the next record, in one write.  A crash in between costs nothing: what is saved
but not cut is found again under the same name, and what is cut but not followed by a record ends
with a complete line.  :mod:`rnnprof.runfile.loading` says what else is refused.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rnnprof.atomic import unused_name
from rnnprof.errors import RunFileError
from rnnprof.runfile.lines import digest, from_line, to_line
from rnnprof.runfile.loading import load as load
from rnnprof.runfile.loading import read as read
from rnnprof.runfile.loading import read_content, read_open, run_of
from rnnprof.runfile.records import Header, Record, Run
from rnnprof.runfile.regular import MOST_FILE_BYTES, create_regular, open_regular

_FRESH_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Journal:
    """The one writer of a run file.

    Open it with :func:`open_journal`, which holds the lock until the journal is closed.

    Attributes:
        saved: where the first append saved an incomplete record; None if there was none.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.saved: Path | None = None
        self._descriptor = descriptor
        self._records: list[Record] = []
        self._run: Run | None = None
        self._size_bytes = 0
        self._torn = b""
        self._lacks_newline = False

    @property
    def run(self) -> Run | None:
        """The run in the file; None before its header.  It is cached until the next change."""
        if self._run is None:
            self._run = run_of(self._records, self.path)
        return self._run

    def take_up(self, *, discard: bool) -> None:
        """Take the lock and read the file, without a change in it.

        Args:
            discard: do not read its records, because they will be replaced.

        Raises:
            RunFileError: another process holds the lock, or the file cannot be used.
        """
        _lock(self._descriptor, self.path)
        if not _is_at(self._descriptor, self.path):
            raise _held(self.path)  # it was replaced or removed before we got the lock
        content = read_open(self._descriptor, self.path)
        self._size_bytes = len(content)
        if discard:
            return
        found = read_content(content, self.path)
        self._records, self._torn = list(found.records), found.torn
        self._lacks_newline = found.lacks_newline

    def append(self, record: Record) -> None:
        """Write one record completely; it is on disk when this returns.

        Raises:
            RunFileError: the write failed; the file then ends with the previous record.  Or the
                record could not be read again, and is not written.
        """
        line = self._line_of(record)
        self._check_unchanged()
        self._save_torn()
        self._write(b"\n" + line if self._lacks_newline else line)
        self._lacks_newline = False
        self._records.append(record)
        self._run = None

    def _line_of(self, record: Record) -> bytes:
        """The line of a record; one that would make the file unreadable is refused."""
        try:
            line = to_line(record)
            from_line(line[:-1])
        except (ValueError, TypeError, RecursionError) as error:
            raise RunFileError(f"cannot write to {self.path}: {error}") from None
        if self._size_bytes + len(line) >= MOST_FILE_BYTES:
            raise RunFileError(
                f"cannot write to {self.path}: it would have more than {MOST_FILE_BYTES} bytes; "
                "write to another file with -o"
            )
        return line

    def _check_unchanged(self) -> None:
        """Refuse a file that another program wrote to or removed while we held it."""
        info = os.fstat(self._descriptor)
        if info.st_nlink == 0:
            raise RunFileError(f"{self.path} was removed while rnnprof was writing it")
        if info.st_size != self._size_bytes:
            raise RunFileError(
                f"{self.path} was changed by another program while rnnprof was writing it: nothing "
                "more is written to it"
            )

    def _save_torn(self) -> None:
        """Save the bytes of an incomplete record beside the file, then cut them off."""
        if not self._torn:
            return
        try:
            self.saved = _save_beside(self.path, self._torn)
            self._cut(self._size_bytes - len(self._torn))
        except OSError as error:
            raise RunFileError(
                f"cannot save the incomplete last line of {self.path}: {error.strerror}. Nothing "
                "was changed in it"
            ) from None
        self._torn = b""

    def _cut(self, size_bytes: int) -> None:
        os.ftruncate(self._descriptor, size_bytes)
        self._size_bytes = size_bytes
        os.fsync(self._descriptor)

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # the disk is full
            os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size_bytes)
            raise RunFileError(
                f"cannot write to {self.path}: {error.strerror}. It holds everything measured "
                "before; free some disk space, then give the same command to resume"
            ) from None
        self._size_bytes += len(line)

    def replace_with(self, record: Header) -> None:
        """Replace the file by one with only a header, in one atomic rename.

        A link stays a link, and the file keeps its mode.

        Raises:
            RunFileError: the new file cannot be written; the old one is kept.
        """
        target = Path(os.path.realpath(self.path))
        fresh = unused_name(target)
        try:
            descriptor = os.open(fresh, _FRESH_FLAGS, 0o644)
        except OSError as error:
            raise self._not_replaced(error) from None
        journal = Journal(self.path, descriptor)
        try:
            os.fchmod(journal._descriptor, stat.S_IMODE(os.fstat(self._descriptor).st_mode))
            _lock(journal._descriptor, self.path)
            journal.append(record)
            fresh.replace(target)
        except OSError as error:
            journal.discard(fresh)
            raise self._not_replaced(error) from None
        except BaseException:
            journal.discard(fresh)
            raise
        os.close(self._descriptor)
        self.__dict__.update(vars(journal))

    def _not_replaced(self, error: OSError) -> RunFileError:
        return RunFileError(
            f"cannot replace {self.path}: {error.strerror}. It is as it was; write to another "
            "file with -o"
        )

    def discard(self, path: Path) -> None:
        """Close the journal and remove its file, which is at *path*."""
        self.close()
        path.unlink(missing_ok=True)

    def remove_if_empty(self) -> None:
        """Remove the file if nothing is in it and it is still the one at its path."""
        if os.fstat(self._descriptor).st_size == 0 and _is_at(self._descriptor, self.path):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)


@contextlib.contextmanager
def open_journal(path: Path, *, discard: bool = False) -> Iterator[Journal]:
    """Open or create a run file as its only writer; what is in it is not changed.

    Args:
        discard: accept a damaged file, because :meth:`Journal.replace_with` follows.

    Raises:
        RunFileError: another process holds the file, or it is damaged, newer, or not a run file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFileError(f"cannot create the folder {path.parent}: {error.strerror}") from None
    descriptor, created = _open_or_create(path)
    journal = Journal(path, descriptor)
    try:
        journal.take_up(discard=discard)
        try:
            yield journal
        finally:
            if created:
                journal.remove_if_empty()
    finally:
        journal.close()


def _open_or_create(path: Path) -> tuple[int, bool]:
    """The open file, and whether it is new."""
    with contextlib.suppress(FileNotFoundError):
        return open_regular(path, os.O_RDWR | os.O_APPEND), False
    try:
        return create_regular(path), True
    except FileExistsError:
        raise _held(path) from None  # another rnnprof began it at this moment


def _save_beside(path: Path, content: bytes) -> Path:
    """Save *content* in a file of its own beside *path*; it is on disk when this returns.

    The name has the content's digest, so that a second try after a crash finds the first.
    """
    target = Path(os.path.realpath(path))
    stem = f"{target.name}.torn-{digest(content).decode()}"
    for number in range(100):
        saved = target.with_name(f"{stem}-{number}" if number else stem)
        with contextlib.suppress(FileExistsError):
            _write_new(saved, content)
            return saved
        if _has(saved, content):
            return saved
    raise FileExistsError(errno.EEXIST, f"{stem} is taken")


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that did not exist; none is left if it cannot be written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _has(path: Path, content: bytes) -> bool:
    """Whether a regular file has exactly this content."""
    try:
        descriptor = open_regular(path)
    except (OSError, RunFileError):
        return False
    try:
        is_as_long = os.fstat(descriptor).st_size == len(content)
        return is_as_long and os.pread(descriptor, len(content), 0) == content
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Write the names in a folder to disk, where its file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _held(path) from None


def _held(path: Path) -> RunFileError:
    return RunFileError(
        f"{path} is being written by another rnnprof: wait for it, or write to another file with -o"
    )


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at *path*."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
