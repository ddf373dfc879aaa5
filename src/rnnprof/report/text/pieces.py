"""What every text has in common: widths, figures, and how a largest batch is worded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rnnprof.report.words.phrases import rate_in_words as rate_in_words
from rnnprof.runfile.points import Outcome

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
