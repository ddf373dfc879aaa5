"""One record as one line: ``{"kind":...,...,"checksum":"<16 hex digits>"}``.

The checksum is of the text before it.  A line is ASCII without control characters, and has at most
:data:`MOST_LINE_BYTES`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final

from rnnprof.atomic import RUN_FILE_START
from rnnprof.runfile.codec import decode_json, encode_json
from rnnprof.runfile.records import KIND_OF, KINDS, Record
from rnnprof.runfile.sanity import check_record
from rnnprof.runfile.validation import check_names

MOST_LINE_BYTES: Final = 32 << 20
"""Twice the longest answer that a worker may give."""

_CHECKSUM: Final = re.compile(rb',"checksum":"[0-9a-f]{16}"\}')
_CHECKSUM_BYTES: Final = len(b',"checksum":""}') + 16
_KIND: Final = re.compile(rb'\{"kind":"([a-z_]{1,32})",')
_PRINTABLE: Final = re.compile(rb"[ -~]*")
_STARTS: Final = tuple(f'{{"kind":"{kind}",'.encode() for kind in KINDS)

_SLACK: Final = 12
"""A parser may report an incomplete value at its beginning; the longest is ``\\ud800\\udc8``."""


def to_line(record: Record) -> bytes:
    """The line of a record, with checksum and newline."""
    body = encode_json(record, kind=KIND_OF[type(record)])[:-1]
    return body + _end_of(body) + b"\n"


def from_line(line: bytes) -> Record:
    """Read a line that is given without its newline.

    Raises:
        ValueError: says what is wrong with the line.
    """
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"it has {len(line)} bytes, and a record at most {MOST_LINE_BYTES}")
    end = line[-_CHECKSUM_BYTES:]
    if end != _end_of(line[:-_CHECKSUM_BYTES]):
        if _CHECKSUM.fullmatch(end) is None:
            raise ValueError("it has no checksum at its end")
        raise ValueError("its checksum does not match: the line was changed or damaged")
    name = _kind_of(line)
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"a record of kind {name[:60]!r} is unknown")
    record: Record = decode_json(kind, line, name)
    check_names(record)
    check_record(record, name)
    return record


def is_torn(line: bytes, *, is_first: bool) -> bool:
    """Whether *line* is the beginning of a record that was not written to its end.

    It begins as a record does, goes on as JSON that is not complete, and holds no byte that a
    record has not: all else is not ours.
    """
    starts = (RUN_FILE_START,) if is_first else _STARTS
    begins = any(line.startswith(start) or start.startswith(line) for start in starts)
    is_plain = len(line) <= MOST_LINE_BYTES and _PRINTABLE.fullmatch(line) is not None
    return begins and is_plain and _ends_too_early(line.decode())


def _ends_too_early(text: str) -> bool:
    """Whether *text* is JSON up to its end, which comes too early."""
    try:
        json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        is_at_end = error.pos >= len(text) - _SLACK
        return is_at_end or error.msg.startswith("Unterminated string")
    except (ValueError, RecursionError):  # a number or a nesting that rnnprof does not write
        return False
    return False


def _kind_of(line: bytes) -> str:
    """The kind with which a record's line begins."""
    match = _KIND.match(line)
    return match[1].decode() if match else str(decode_json(_Kind, line).kind)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Only the kind of a line."""

    kind: str


def _end_of(body: bytes) -> bytes:
    """The end of a line after its body: the checksum."""
    return b',"checksum":"' + digest(body) + b'"}'


def digest(content: bytes) -> bytes:
    """BLAKE2b of *content*, 8 bytes in hexadecimal."""
    return hashlib.blake2b(content, digest_size=8).hexdigest().encode()
