"""The run file: JSON Lines, one writer, each record one append and fsync; it is the result.

A line is ``{"kind":...,...,"checksum":"<16 hex digits>"}``; the checksum is of the text before it.
A last line without its newline was torn by a crash: readers leave it aside, the writer that holds
the lock cuts it off.  Damage anywhere else is an error that names the line.
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
from rnnprof.runfile.validation import check_workload

_CHECKSUM: Final = re.compile(rb',"checksum":"[0-9a-f]{16}"\}')
_CHECKSUM_BYTES: Final = len(b',"checksum":""}') + 16
_KIND: Final = re.compile(rb'\{"kind":"([a-z_]{1,32})",')
_HEADER_START: Final = b'{"kind":"header",'

_GROUPS: Final[dict[type[Any], str]] = {
    **{kind: "observations" for kind in KINDS.values() if issubclass(kind, Observation)},
    Header: "headers", Request: "requests", Host: "hosts", Started: "started",
    Certificate: "certificates", Finished: "finished",
}  # fmt: skip
"""Where a run keeps the records of a class; of its headers the first counts."""


def to_line(record: Record) -> bytes:
    """A record as its line, checksum and newline included."""
    body = encode_json(record, kind=KIND_OF[type(record)])[:-1]
    return body + _end_of(body) + b"\n"


def from_line(line: bytes) -> Record:
    """Read a line without its newline.

    Raises:
        ValueError: says what is wrong with it.
    """
    end = line[-_CHECKSUM_BYTES:]
    if end != _end_of(line[:-_CHECKSUM_BYTES]):
        if _CHECKSUM.fullmatch(end) is None:
            raise ValueError("it has no checksum at its end")
        raise ValueError("its checksum does not match: the line was changed or damaged")
    name = _kind_of(line)
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"a record of kind {name!r} is not known")
    record = decode_json(kind, line, name)
    if isinstance(record, Header):
        check_workload(record.workload)
    return record  # type: ignore[no-any-return]


def _kind_of(line: bytes) -> str:
    """The kind of a record's line, which begins with it."""
    match = _KIND.match(line)
    return match[1].decode() if match else str(decode_json(_Kind, line).kind)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Of a line, its kind alone."""

    kind: str


def load(path: Path) -> Run:
    """Read a run file; a torn last line is left aside.

    Raises:
        RunFileError: when it is missing, foreign, newer or damaged.
    """
    run = read(_bytes_of(path), path)
    if run is None:
        raise RunFileError(f"{path} is empty: its run was stopped before its first record")
    return run


def read(content: bytes, path: Path) -> Run | None:
    """The run in *content*; None where not even the header is whole."""
    records, _ = _read_records(content, path)
    return run_of(records, path)


def run_of(records: Sequence[Record], path: Path) -> Run | None:
    """The run that *records* make up, the header first; None where there is none."""
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
    """See that a limit that was requested in bytes is the one that was in force.

    Raises:
        RunFileError: names the invocation.
    """
    asked_bytes = run.header.limit_bytes
    for host in run.hosts:
        if asked_bytes is not None and host.limit_bytes != asked_bytes:
            raise RunFileError(
                f"{path}: {asked_bytes} bytes are its limit, and the invocation {host.request} had "
                f"{host.limit_bytes}: the file is not as rnnprof wrote it"
            )


def _check_limits(run: Run, path: Path) -> None:
    """See that each fit pass ran under the limit of its run, less what its request set aside.

    Raises:
        RunFileError: names the pass; a proof under another limit is no proof of this run's.
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
                f"{fit.limit_bytes} bytes, and its run's is {limit_bytes}: the file is not as "
                "rnnprof wrote it"
            )


class Journal:
    """The one writer of a run file.

    Open it with :func:`open_journal`, which holds the lock until it is closed.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._records: list[Record] = []
        self._run: Run | None = None

    @property
    def run(self) -> Run | None:
        """What stands in the file; None before its header.  Made anew after a change alone."""
        if self._run is None:
            self._run = run_of(self._records, self.path)
        return self._run

    def _keep(self, records: list[Record]) -> None:
        """Take *records* for all that stands in the file."""
        self._records, self._run = records, None

    def recover(self, *, discard: bool) -> None:
        """Take the lock, read what is there, cut off a torn tail; *discard* leaves it unread."""
        _lock(self._descriptor, self.path)
        if not _is_at(self._descriptor, self.path):
            raise _held(self.path)  # it was replaced or removed before we had the lock
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
        """Write one record whole, on disk when this returns.

        Raises:
            RunFileError: when the disk refuses; the file then ends with the record before.
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
                f"cannot write to {self.path}: {error.strerror}. What was measured before is in "
                "it; make room, then give the same command to go on"
            ) from None
        self._records.append(record)
        self._run = None

    def replace_with(self, record: Header) -> None:
        """Begin anew: the old run is gone in the instant in which the new header stands."""
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
    """Open or create a run file for writing, alone; a torn tail is cut off.

    With *discard* what is there may be damaged, for :meth:`Journal.replace_with` follows.

    Raises:
        RunFileError: when another process holds it, or it is foreign, newer or damaged.
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
                path.unlink(missing_ok=True)  # nothing was recorded: leave no empty file behind
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
    """Whether the open file is still the one of that name."""
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
    """The whole records, and how many bytes they take: up to the last newline."""
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
    """Each line that has its newline, without it; one after another, for a file may be large."""
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        yield content[start:end]
        start = end + 1


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Without Python's search for cycles: records hold none, and it would walk over all of them
    again and again while they become more.  They then count as old, for a first walk is as long.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:  # or else what others froze would thaw as well
            gc.freeze()
            gc.unfreeze()  # back into the oldest generation
        if was_enabled:
            gc.enable()


def _check_ours(content: bytes, path: Path) -> None:
    """A file that does not begin as a run file does is never taken for a torn one."""
    if not _HEADER_START.startswith(content[: len(_HEADER_START)]):
        raise RunFileError(f"{path} is not an rnnprof run file: nothing was changed in it")


def _read_header(line: bytes, path: Path) -> Header:
    try:
        schema = json.loads(line).get("schema")
    except (ValueError, RecursionError):
        schema = None
    if isinstance(schema, int) and schema < SCHEMA:
        raise RunFileError(
            f"{path} is of schema {schema}, which was never released: measure again, or give "
            "--overwrite to begin anew"
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
            f"{path}, line {number}: {error}. Cut the file before that line to keep what is above "
            "it, or give --overwrite to begin anew"
        ) from None


def _end_of(body: bytes) -> bytes:
    """What stands behind the body of a line: its checksum."""
    return b',"checksum":"' + _digest(body) + b'"}'


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()
