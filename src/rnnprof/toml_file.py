"""The one reader of TOML files, and how an error quotes values from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

MAX_DEPTH: Final = 100
"""Levels of nested tables and lists: real files have fewer, and deeper ones exceed Python's
recursion limit when an error quotes them."""

MAX_SHOWN: Final = 60
"""Characters of a value that an error quotes."""

MAX_NUMBER: Final = 1 << 63
"""Numbers from here on are not quoted: Python refuses to print very long ones."""


def read_toml(path: Path, name: str | None = None) -> dict[str, Any]:
    """Read a TOML file as a table.

    Args:
        name: what errors call the file; by default its path.

    Raises:
        BadInputError: the file cannot be read, is not TOML, or is nested too deeply.
    """
    import tomllib

    called = str(path) if name is None else name
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"cannot read {called}: {error.strerror or error}") from None
    except ValueError as error:  # not TOML, not UTF-8, or a number of thousands of digits
        raise BadInputError(f"{called} is not valid TOML: {error}") from None
    except RecursionError:
        raise _too_deep(called) from None
    if not _is_shallow(table):
        raise _too_deep(called)
    return table


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
