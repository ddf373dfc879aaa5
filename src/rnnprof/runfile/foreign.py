"""What a file or a line that rnnprof did not write looks like, so that a refusal can name it."""

from __future__ import annotations

import json
from typing import Final

_BEGINNINGS: Final = (
    (b"\xef\xbb\xbf", "a byte order mark begins it: save it as UTF-8 without one"),
    (b"\xff\xfe", "it is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "it is UTF-16: save it as UTF-8"),
    (b'{\x00"\x00', "it is UTF-16: save it as UTF-8"),
    (b'\x00{\x00"', "it is UTF-16: save it as UTF-8"),
    (b"\x1f\x8b", "it is compressed by gzip: decompress it first"),
    (b"BZh", "it is compressed by bzip2: decompress it first"),
    (b"\xfd7zXZ\x00", "it is compressed by xz: decompress it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: decompress it first"),
    (b"PK\x03\x04", "it is a zip archive"),
    (b"\x80\x02", "it is a pickle of Python"),
    (b"\x80\x03", "it is a pickle of Python"),
    (b"\x80\x04", "it is a pickle of Python"),
    (b"\x80\x05", "it is a pickle of Python"),
    (b"\x89PNG", "it is a PNG picture"),
    (b"%PDF", "it is a PDF document"),
    (b"\x00", "it begins with NUL bytes"),
    (b"<", "it is HTML or XML"),
)

HEAD_BYTES: Final = 1 << 16
"""More is not looked at to say what a foreign file looks like."""


def of_file(start: bytes) -> str:
    """What a file that begins with *start* looks like; empty where that is not known."""
    for beginning, words in _BEGINNINGS:
        if start.startswith(beginning):
            return words
    if not start.strip():
        return "it holds only white space"
    if _is_json(start.split(b"\n", 1)[0]) or _is_json(start):
        return "it is JSON of another program"
    return ""


def of_line(line: bytes) -> str:
    """Why a line is not as rnnprof wrote it, where its bytes show a usual cause; else empty."""
    if not line.strip():
        return "it is blank"
    if b"\x00" in line:
        return "it holds NUL bytes, as a power failure can leave them"
    if line.endswith(b"\r") and line.count(b"\r") == 1:
        return "it ends in CR LF, as Windows ends lines: convert the file, such as with dos2unix"
    if b"\r" in line:
        return "it has CR line ends, and a run file has LF: convert the file, such as with mac2unix"
    if not line.isascii():
        return "it holds bytes that are not ASCII, which rnnprof never writes"
    return ""


def is_converted(line: bytes) -> bool:
    """Whether only the line ends are wrong: nothing needs to be deleted."""
    return b"\r" in line and b"\x00" not in line


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
