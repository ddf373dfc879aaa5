"""The one reader of TOML files, and how an error quotes values from them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from rnnprof.errors import BadInputError
from rnnprof.plain_text import one_line

if TYPE_CHECKING:
    from pathlib import Path

MAX_DEPTH: Final = 100
"""Levels of nested tables and lists: real files have fewer, and deeper ones exceed Python's
recursion limit when an error quotes them."""

MAX_BYTES: Final = 1 << 20
"""Of a file: the longest that people write have a few KiB."""

SILENCE_MS: Final = 10_000
"""A program that writes a budget into a pipe may need this long to start."""

MAX_SHOWN: Final = 60
"""Characters of a value that an error quotes."""

MAX_NUMBER: Final = 1 << 63
"""Numbers from here on are not quoted: Python refuses to print very long ones."""

_PART: Final = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY: Final = re.compile(rf"(?<![\w.-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{MAX_DEPTH}}}")
"""A key of so many parts, ``a.b.c...``, for which Python's reader takes minutes."""


def read_toml(path: Path, name: str | None = None) -> dict[str, Any]:
    """Read a TOML file as a table.

    Args:
        name: what errors call the file; by default its path.

    Raises:
        BadInputError: the file cannot be read, is too long, is not TOML, or is nested too deeply.
    """
    called = one_line(str(path) if name is None else name)
    text = _text(path, called)
    if _LONG_KEY.search(text):
        raise _too_deep(called)
    table = _table(text, called)
    if not _is_shallow(table):
        raise _too_deep(called)
    return table


def _table(text: str, called: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(called, one_line(str(error))) from None
    except ValueError:  # Python reads no decimal numbers of thousands of digits
        raise _invalid(called, "a number in it has thousands of digits") from None
    except RecursionError:
        raise _too_deep(called) from None


def _text(path: Path, called: str) -> str:
    """The file's text, without the mark that some editors put before UTF-8."""
    try:
        content = _content(path)
    except OSError as error:
        raise BadInputError(f"cannot read {called}: {error.strerror or error}") from None
    except ValueError:
        raise BadInputError(f"cannot read {called!a}: a file's name holds no null byte") from None
    if len(content) > MAX_BYTES:
        raise _invalid(called, f"it is longer than {MAX_BYTES >> 10} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(called, f"byte {error.start + 1} is no UTF-8 text") from None


def _content(path: Path) -> bytes:
    """What the file holds, up to a byte more than it may.

    Raises:
        OSError: it cannot be read; also a device, and a pipe into which nothing is written, which
            would never end.
    """
    import errno
    import os
    import stat

    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise OSError("it is a device, and no file")
        content = b""
        while len(content) <= MAX_BYTES and (part := _part(descriptor)):
            content += part
        return content
    finally:
        os.close(descriptor)


def _part(descriptor: int) -> bytes:
    """The next part, empty at the end; a pipe, as of ``<(command)``, is waited for."""
    import os
    import select

    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if not waiting.poll(SILENCE_MS):
        raise OSError(f"it is a pipe, and nothing came through it for {SILENCE_MS // 1000} s")
    return os.read(descriptor, 1 << 16)


def _invalid(called: str, why: str) -> BadInputError:
    return BadInputError(f"{called} is not valid TOML: {why}")


def _too_deep(name: str) -> BadInputError:
    return BadInputError(
        f"{name} is not valid TOML for rnnprof: its tables or lists are nested more than "
        f"{MAX_DEPTH} deep"
    )


def _is_shallow(table: dict[str, Any]) -> bool:
    level: list[Any] = [table]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return True
    return False


def shown(value: Any) -> str:
    """Any value as a short text on one line, to quote in an error."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, int) and not -MAX_NUMBER < value < MAX_NUMBER:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value[: MAX_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def nearest(key: str, known: Collection[str]) -> str:
    """The end of an error message: the known key nearest to *key*, or all known keys."""
    import difflib

    alike = {_plain(name): name for name in known}
    close = difflib.get_close_matches(_plain(key[:MAX_SHOWN]), alike, 1, 0.5)
    if close:
        return f"; did you mean {alike[close[0]]!r}?"
    return f"; there are {', '.join(sorted(known))}"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
