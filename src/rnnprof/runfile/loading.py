"""Read a run file; nothing in it is changed.

A last line without its newline is read as the writer of the file would take it up:

- a complete record with a matching checksum counts;
- the beginning of a record, as a crash or a full disk leaves it, is ignored;
- all else is an error, as damage in any other line is: rnnprof did not write it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rnnprof.atomic import RUN_FILE_START
from rnnprof.errors import RunFileError
from rnnprof.runfile import foreign
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.lines import digest, from_line, is_torn
from rnnprof.runfile.observations import Observation
from rnnprof.runfile.records import (
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
from rnnprof.runfile.regular import content_of, open_regular, read_part
from rnnprof.runfile.sanity import check_run

_GROUPS: Final[dict[type[Any], str]] = {
    **{kind: "observations" for kind in KINDS.values() if issubclass(kind, Observation)},
    Header: "headers", Request: "requests", Host: "hosts", Started: "started",
    Certificate: "certificates", Finished: "finished",
}  # fmt: skip
"""The field of a run that holds the records of a class; a run uses its first header only."""

_MOST_SCHEMA: Final = 1_000_000
"""A larger number is damage, not a later version."""

_TO_READ_ON: Final = (
    ". Delete that line and all after it to keep the lines before, or give --overwrite to replace "
    "the file"
)
_TO_BEGIN: Final = ". No run can be read from it: give --overwrite to replace the file"


@dataclass(frozen=True, slots=True)
class Content:
    """What a run file holds.

    Attributes:
        records: the complete ones.
        torn: bytes of an incomplete record at the end.
        lacks_newline: the last record is complete except for its newline.
    """

    records: tuple[Record, ...]
    torn: bytes = b""
    lacks_newline: bool = False


def load(path: Path) -> Run:
    """Read a run file; an incomplete last record is ignored.

    Raises:
        RunFileError: it is missing, damaged, written by a newer rnnprof, or not a run file.
    """
    run = read(_bytes_of(path), path)
    if run is None:
        raise RunFileError(f"{path} is empty: its run was stopped before its first record")
    return run


def read(content: bytes, path: Path) -> Run | None:
    """The run in *content*; None if the header is missing or incomplete."""
    return run_of(read_content(content, path).records, path)


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
    check_run(run, path)
    return run


def _bytes_of(path: Path) -> bytes:
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        raise RunFileError(f"no run file {path}") from None
    try:
        return read_open(descriptor, path)
    finally:
        os.close(descriptor)


def read_open(descriptor: int, path: Path) -> bytes:
    """The content of an open file that begins as a run file does.

    Raises:
        RunFileError: it begins otherwise, and is not read further; or it cannot be read.
    """
    start = read_part(descriptor, path)
    check_ours(start, path)
    return content_of(descriptor, path, start)


def check_ours(content: bytes, path: Path) -> None:
    """Refuse a file that does not begin like a run file: it is not an incomplete one."""
    if not RUN_FILE_START.startswith(content[: len(RUN_FILE_START)]):
        looks = foreign.of_file(content[: foreign.HEAD_BYTES])
        why = f": {looks}" if looks else ""
        raise RunFileError(f"{path} is not an rnnprof run file{why}. Nothing was changed in it")


def read_content(content: bytes, path: Path) -> Content:
    """The records in *content*, and how its last line ends.

    Raises:
        RunFileError: a line is not as rnnprof wrote it.
    """
    check_ours(content, path)
    records: list[Record] = []
    seen: set[bytes] = set()
    number = 0
    with _collector_paused():
        for number, line in enumerate(_whole_lines(content), 1):
            read = _read_record(line, number, path) if records else _read_header(line, path)
            _check_header(read, records, number, path)
            mark = digest(line)
            if mark not in seen:  # a copy says nothing new, as where a file was appended to itself
                seen.add(mark)
                records.append(read)
        tail = content[content.rfind(b"\n") + 1 :]
        if not tail:
            return Content(tuple(records))
        if is_torn(tail, is_first=not records):
            return Content(tuple(records), torn=tail)
        number += 1
        last = _read_record(tail, number, path) if records else _read_header(tail, path)
    _check_header(last, records, number, path)
    last_one = () if digest(tail) in seen else (last,)
    return Content((*records, *last_one), lacks_newline=True)


def _check_header(record: Record, before: Sequence[Record], number: int, path: Path) -> None:
    """Refuse the header of another run: what follows it was measured for that one.

    Raises:
        RunFileError: it is one, as where two run files were put together.
    """
    if isinstance(record, Header) and before and record != before[0]:
        raise RunFileError(
            f"{path}, line {number}: another run begins here, with a header of its own: two run "
            "files were put together. Put each into its own file; compare and report take both"
        )


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


def _read_header(line: bytes, path: Path) -> Header:
    schema = _schema_of(line)
    if schema is not None and schema < SCHEMA:
        raise RunFileError(
            f"{path} has schema {schema}, which was never released: measure again, or give "
            "--overwrite to replace it"
        )
    if schema is not None and schema > SCHEMA:
        raise RunFileError(
            f"{path} was written by a newer rnnprof (schema {schema}; this one reads up to "
            f"{SCHEMA}): upgrade rnnprof to read it"
        )
    record = _read_record(line, 1, path)
    if not isinstance(record, Header):
        raise RunFileError(f"{path}, line 1: a run file begins with its header")
    return record


def _schema_of(line: bytes) -> int | None:
    """The schema that a header names; None where it names none."""
    try:
        schema = json.loads(line).get("schema")
    except (ValueError, RecursionError, AttributeError):
        return None
    return schema if isinstance(schema, int) and 0 <= schema <= _MOST_SCHEMA else None


def _read_record(line: bytes, number: int, path: Path) -> Record:
    try:
        return from_line(line)
    except (ValueError, RecursionError) as error:
        why = foreign.of_line(line) or str(error)
        if not line.strip():
            raise RunFileError(f"{path}, line {number}: {why}. Delete that line") from None
        what_to_do = "" if foreign.is_converted(line) else _TO_READ_ON if number > 1 else _TO_BEGIN
        raise RunFileError(f"{path}, line {number}: {why}{what_to_do}") from None
