"""How a point ended: the one table of words for it, in charts, tables and text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rnnprof.runfile.points import Outcome


@dataclass(frozen=True, slots=True)
class OutcomeWords:
    """The words for one outcome, from the longest to the shortest.

    Attributes:
        meaning: in a legend.
        ending: of so many points, in a sentence: ``3 points out of memory``.
        cell: in a table that stands alone.
        word: where the reader sees a legend.
        short: in a column of at most 7 characters.
        least: in a box of at most 5 characters.
    """

    meaning: str
    ending: str
    cell: str
    word: str
    short: str
    least: str


OUTCOMES: Final = {
    Outcome.MEASURED: OutcomeWords("measured", "measured", "measured", "", "", ""),
    Outcome.OOM: OutcomeWords("OOM: out of memory", "out of memory", "OOM", "OOM", "OOM", "OOM"),
    Outcome.IMPLIED_OOM: OutcomeWords(
        "implied by a smaller OOM", "implied out of memory", "OOM (implied)", "implied", "implied",
        "impl",
    ),
    Outcome.UNSUPPORTED: OutcomeWords(
        "unsupported by the library", "unsupported", "unsupported", "unsupported", "unsupp.",
        "unsup",
    ),
    Outcome.TIMEOUT: OutcomeWords("timeout", "timed out", "timeout", "timeout", "timeout", "time"),
    Outcome.CRASHED: OutcomeWords("crashed", "crashed", "crashed", "crashed", "crashed", "crash"),
    Outcome.FAILED: OutcomeWords("failed", "failed", "failed", "failed", "failed", "fail"),
}  # fmt: skip
