"""What every text has in common: widths, figures, and how a largest batch is worded."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

from rnnprof.report.words.phrases import rate_in_words as rate_in_words
from rnnprof.runfile.points import Outcome

WIDTH: Final = 80
"""Columns of a terminal as it opens, and of most CI logs."""

SHORT: Final = {
    Outcome.OOM: "OOM",
    Outcome.IMPLIED_OOM: "implied",
    Outcome.UNSUPPORTED: "unsupp.",
    Outcome.TIMEOUT: "timeout",
    Outcome.CRASHED: "crashed",
    Outcome.FAILED: "failed",
}
"""Outcomes other than ``measured``, where there is room for a word only."""

# --- short text ----------------------------------------------------------------------------------


def unit_note(texts: Iterable[str], names: Mapping[str, str]) -> str:
    """What the last letters of compact *texts* stand for: `` (k: thousand, M: million)``."""
    letters = {text[-1] for text in texts}
    used = [f"{letter}: {name}" for letter, name in names.items() if letter in letters]
    return f" ({', '.join(used)})" if used else ""


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
