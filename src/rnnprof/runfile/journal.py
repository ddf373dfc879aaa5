"""The run file: JSON Lines with one writer; each record is one append and one fsync.

A line is ``{"kind":...,...,"checksum":"<16 hex digits>"}``; the checksum is of the text before it.
A last line without its newline is incomplete after a crash: readers ignore it, and the writer that
holds the lock removes it.  Damage anywhere else is an error that names the line.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rnnprof.errors import RunFileError
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.codec import decode_json, encode_json
from rnnprof.runfile.observations import Fit, Observation
from rnnprof.runfile.records import (
    KIND_OF,
    KINDS,
    SCHEMA,
    Finished,
    Header,
    Host,
    Record,
    Request,
    Run,
    Started,
)
from rnnprof.runfile.validation import check_record

_CHECKSUM: Final = re.compile(rb',"checksum":"[0-9a-f]{16}"\}')
_CHECKSUM_BYTES: Final = len(b',"checksum":""}') + 16
_KIND: Final = re.compile(rb'\{"kind":"([a-z_]{1,32})",')
_HEADER_START: Final = b'{"kind":"header",'

_GROUPS: Final[dict[type[Any], str]] = {
    **{kind: "observations" for kind in KINDS.values() if issubclass(kind, Observation)},
    Header: "headers", Request: "requests", Host: "hosts", Started: "started",
    Certificate: "certificates", Finished: "finished",
}  # fmt: skip
"""The field of a run that holds the records of a class; a run uses its first header only."""


def to_line(record: Record) -> bytes:
    """The line of a record, with checksum and newline."""
    body = encode_json(record, kind=KIND_OF[type(record)])[:-1]
    return body + _end_of(body) + b"\n"


def from_line(line: bytes) -> Record:
    """Read a line that is given without its newline.

    Raises:
        ValueError: says what is wrong with the line.
    """
    end = line[-_CHECKSUM_BYTES:]
    if end != _end_of(line[:-_CHECKSUM_BYTES]):
        if _CHECKSUM.fullmatch(end) is None:
            raise ValueError("it has no checksum at its end")
        raise ValueError("its checksum does not match: the line was changed or damaged")
    name = _kind_of(line)
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"a record of kind {name!r} is unknown")
    record = decode_json(kind, line, name)
    check_record(record)
    return record  # type: ignore[no-any-return]


def _kind_of(line: bytes) -> str:
    """The kind with which a record's line begins."""
    match = _KIND.match(line)
    return match[1].decode() if match else str(decode_json(_Kind, line).kind)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Only the kind of a line."""

    kind: str


def load(path: Path) -> Run:
    """Read a run file; an incomplete last line is ignored.

    Raises:
        RunFileError: it is missing, damaged, written by a newer rnnprof, or not a run file.
    """
    run = read(_bytes_of(path), path)
    if run is None:
        raise RunFileError(f"{path} is empty: its run was stopped before its first record")
    return run


def read(content: bytes, path: Path) -> Run | None:
    """The run in *content*; None if the header is missing or incomplete."""
    records, _ = _read_records(content, path)
    return run_of(records, path)


def run_of(records: Sequence[Record], path: Path) -> Run | None:
    """The run of *records*, of which the first is the header; None without records."""
    if not records:
        return None
    header = records[0]
    assert isinstance(header, Header)
    groups: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        groups[_GROUPS[type(record)]].append(record)
    run = Run(
        header,
        requests=tuple(groups["requests"]),
        hosts=tuple(groups["hosts"]),
        started=tuple(groups["started"]),
        observations=tuple(groups["observations"]),
        certificates=tuple(groups["certificates"]),
        finished=tuple(groups["finished"]),
        path=str(path),
    )
    _check_hosts(run, path)
    _check_limits(run, path)
    return run


def _check_hosts(run: Run, path: Path) -> None:
    """Check that every invocation used the limit that was requested in bytes.

    Raises:
        RunFileError: names the invocation that did not.
    """
    asked_bytes = run.header.limit_bytes
    for host in run.hosts:
        if asked_bytes is not None and host.limit_bytes != asked_bytes:
            raise RunFileError(
                f"{path}: the limit is {asked_bytes} bytes, but invocation {host.request} had "
                f"{host.limit_bytes}: the file is not as rnnprof wrote it"
            )


def _check_limits(run: Run, path: Path) -> None:
    """Check that each fit pass ran under the limit of its run, less the reserve of its request.

    Raises:
        RunFileError: names the pass; under another limit it proves nothing about this run.
    """
    reserves = {each.request: each.settings.reserve_bytes for each in run.requests}
    limits = {each.request: each.limit_bytes for each in run.hosts}
    for fit in run.observations:
        if not isinstance(fit, Fit):
            continue
        whole = limits.get(fit.request, run.limit_bytes)
        limit_bytes = whole - reserves.get(fit.request, 0)
        if fit.limit_bytes != limit_bytes:
            raise RunFileError(
                f"{path}: the fit pass {fit.attempt} at {fit.point} ran under a limit of "
                f"{fit.limit_bytes} bytes, but the limit of the run is {limit_bytes}: the file is "
                "not as rnnprof wrote it"
            )


class Journal:
    """The one writer of a run file.

    Open it with :func:`open_journal`, which holds the lock until the journal is closed.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._records: list[Record] = []
        self._run: Run | None = None

    @property
    def run(self) -> Run | None:
        """The run in the file; None before its header.  It is cached until the next change."""
        if self._run is None:
            self._run = run_of(self._records, self.path)
        return self._run

    def _keep(self, records: list[Record]) -> None:
        """Set *records* as the whole content of the file."""
        self._records, self._run = records, None

    def recover(self, *, discard: bool) -> None:
        """Take the lock, read the file and remove an incomplete last line.

        Args:
            discard: do not read the file, because it will be replaced.

        Raises:
            RunFileError: another process holds the lock, or the file cannot be used.
        """
        _lock(self._descriptor, self.path)
        if not _is_at(self._descriptor, self.path):
            raise _held(self.path)  # it was replaced or removed before we got the lock
        content = _bytes_of(self.path)
        if discard:
            _check_ours(content, self.path)
            return
        records, whole_bytes = _read_records(content, self.path)
        self._keep(records)
        if whole_bytes != len(content):
            os.ftruncate(self._descriptor, whole_bytes)
            os.fsync(self._descriptor)

    def append(self, record: Record) -> None:
        """Write one record completely; it is on disk when this returns.

        Raises:
            RunFileError: the write failed; the file then ends with the previous record.
        """
        size = os.fstat(self._descriptor).st_size
        try:
            line = to_line(record)
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(28, os.strerror(28))  # a short write: the disk is full
            os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise RunFileError(
                f"cannot write to {self.path}: {error.strerror}. It holds everything measured "
                "before; free some disk space, then give the same command to resume"
            ) from None
        self._records.append(record)
        self._run = None

    def replace_with(self, record: Header) -> None:
        """Replace the file by one with only a header, in one atomic rename.

        Raises:
            RunFileError: the new file cannot be written; the old one is kept.
        """
        fresh = self.path.with_name(self.path.name + ".new")
        descriptor = _open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        _lock(descriptor, self.path)
        old, self._descriptor = self._descriptor, descriptor
        self._keep([])
        try:
            self.append(record)
            fresh.replace(self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise RunFileError(f"cannot replace {self.path}: {error.strerror}") from None
        except RunFileError:
            fresh.unlink(missing_ok=True)
            raise
        finally:
            os.close(old)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)


@contextlib.contextmanager
def open_journal(path: Path, *, discard: bool = False) -> Iterator[Journal]:
    """Open or create a run file as its only writer; an incomplete last line is removed.

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
        journal.recover(discard=discard)
        try:
            yield journal
        finally:
            if created and journal.run is None:
                path.unlink(missing_ok=True)  # nothing was recorded: leave no empty file
    finally:
        journal.close()


def _open_or_create(path: Path) -> tuple[int, bool]:
    flags = os.O_RDWR | os.O_APPEND
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), True
    except FileExistsError:
        return _open(path, flags | os.O_CREAT), False
    except OSError as error:
        raise RunFileError(f"cannot open {path} for writing: {error.strerror}") from None


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RunFileError(f"cannot open {path} for writing: {error.strerror}") from None


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


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RunFileError(f"no run file {path}") from None
    except OSError as error:
        raise RunFileError(f"cannot read {path}: {error.strerror}") from None


def _read_records(content: bytes, path: Path) -> tuple[list[Record], int]:
    """The complete records, and their size in bytes up to the last newline."""
    _check_ours(content, path)
    records: list[Record] = []
    whole_bytes = 0
    with _collector_paused():
        for number, line in enumerate(_whole_lines(content), 1):
            read = _read_record(line, number, path) if records else _read_header(line, path)
            records.append(read)
            whole_bytes += len(line) + 1
    return records, whole_bytes


def _whole_lines(content: bytes) -> Iterator[bytes]:
    """Each complete line without its newline; one at a time, because a file may be large."""
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        yield content[start:end]
        start = end + 1


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector: records have no cycles, and it would scan all of them again
    and again.  They are then moved to the oldest generation, because one scan is also slow.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:  # else unfreeze would also release objects frozen by others
            gc.freeze()
            gc.unfreeze()  # moves all objects to the oldest generation
        if was_enabled:
            gc.enable()


def _check_ours(content: bytes, path: Path) -> None:
    """Refuse a file that does not begin like a run file: it is not an incomplete one."""
    if not _HEADER_START.startswith(content[: len(_HEADER_START)]):
        raise RunFileError(f"{path} is not an rnnprof run file: nothing was changed in it")


def _read_header(line: bytes, path: Path) -> Header:
    try:
        schema = json.loads(line).get("schema")
    except (ValueError, RecursionError):
        schema = None
    if isinstance(schema, int) and schema < SCHEMA:
        raise RunFileError(
            f"{path} has schema {schema}, which was never released: measure again, or give "
            "--overwrite to replace it"
        )
    if isinstance(schema, int) and schema > SCHEMA:
        raise RunFileError(
            f"{path} was written by a newer rnnprof (schema {schema}; this one reads up to "
            f"{SCHEMA}): upgrade rnnprof to read it"
        )
    record = _read_record(line, 1, path)
    if not isinstance(record, Header):
        raise RunFileError(f"{path}, line 1: a run file begins with its header")
    return record


def _read_record(line: bytes, number: int, path: Path) -> Record:
    try:
        return from_line(line)
    except (ValueError, RecursionError) as error:
        raise RunFileError(
            f"{path}, line {number}: {error}. Delete that line and all after it to keep the lines "
            "before, or give --overwrite to replace the file"
        ) from None


def _end_of(body: bytes) -> bytes:
    """The end of a line after its body: the checksum."""
    return b',"checksum":"' + _digest(body) + b'"}'


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()
