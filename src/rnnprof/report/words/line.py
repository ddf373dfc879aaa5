"""What all sentences share: one line, a width, counts, capitals."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

WIDTH: Final = 80
"""Columns of a terminal as it opens, and of most CI logs."""

BYTE_UNITS: Final = {"K": "KiB", "M": "MiB", "G": "GiB", "T": "TiB"}
RATE_UNITS: Final = {"k": "thousand", "M": "million", "G": "billion"}
SECOND_UNITS: Final = {"s": "seconds", "m": "milliseconds", "µ": "microseconds"}
"""The letters behind compact numbers."""


def one_line(text: str) -> str:
    """*text* as a single line, with ``?`` for what could drive a terminal."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def clip(text: str, columns: int = WIDTH) -> str:
    """*text* on one line of at most *columns*, cut with ``...``."""
    text = one_line(text)
    if _columns_of(text[: columns + 1]) <= columns:
        return text
    ends = accumulate(map(_columns_of, text[:columns]))
    return text[: sum(end <= columns - 3 for end in ends)].rstrip() + "..."


def _columns_of(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def unit_note(texts: Iterable[str], names: Mapping[str, str]) -> str:
    """What the last letters of compact *texts* stand for: `` (k: thousand, M: million)``."""
    letters = {text[-1] for text in texts}
    used = [f"{letter}: {name}" for letter, name in names.items() if letter in letters]
    return f" ({', '.join(used)})" if used else ""


def counted(count: int, noun: str) -> str:
    """``1 point``, ``2,000 points``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sentences(clauses: Iterable[str]) -> str:
    """Clauses as sentences, each with a capital and a full stop; empty ones are left out."""
    return " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses if clause)


def values_in_words(name: str, values: Sequence[int]) -> str:
    """``T=16``, ``T=16 and T=32``, or for more the first, the last and how many."""
    if len(values) <= 2:
        return " and ".join(f"{name}={value}" for value in values)
    return f"{len(values)} {name} from {values[0]} to {values[-1]}"
