"""Text that comes from outside, made safe for a terminal, a table and Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from itertools import accumulate
from typing import Final

WIDTH: Final = 80
"""Columns of a terminal as it opens, and of most CI logs."""

SPECIAL: Final = re.compile(r"([\\`*_\[\]#|<>~&@$])")
"""What Markdown, its tables, HTML, a mention or a link could begin with."""


def printable(text: str, kept: Collection[str] = ()) -> str:
    """*text* with ``?`` for each character that could drive a terminal or turn its direction.

    Args:
        kept: characters that print nothing and may stay, as line ends; none by default.
    """
    return "".join(char if char.isprintable() or char in kept else "?" for char in text)


def one_line(text: str) -> str:
    """*text* as a single line, with ``?`` for what could drive a terminal."""
    return printable(" ".join(text.split()))


def clip(text: str, columns: int = WIDTH) -> str:
    """*text* on one line of at most *columns*, cut with ``...``."""
    text = one_line(text)
    if _columns_of(text[: columns + 1]) <= columns:
        return text
    ends = accumulate(map(_columns_of, text[:columns]))
    return text[: sum(end <= columns - 3 for end in ends)].rstrip() + "..."


def escaped(text: str) -> str:
    """*text* as Markdown that shows it as it is, on one line, whatever it holds."""
    return SPECIAL.sub(r"\\\1", one_line(text))


def _columns_of(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
