"""What every text has in common: widths, figures, and how a largest batch is worded."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

from rnnprof.advice.recommendation import half_interval_ratio
from rnnprof.points.measurement import Measurement
from rnnprof.report.words.phrases import rate_in_words as rate_in_words
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes, format_rate, format_ratio, format_seconds

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

CHARGED: Final = {
    "cuda": "reserved by the caching allocator",
    "cpu": "address space above the baseline",
    "simulated": "reserved by a simulated caching allocator",
}
"""What a limit counts."""


# --- short text ----------------------------------------------------------------------------------


def compact_bytes(size_bytes: float | None) -> str:
    """``1.23G`` for ``1.23 GiB``: where many stand side by side."""
    return format_bytes(size_bytes).replace(" ", "").removesuffix("iB")


def compact_rate(per_second: float | None) -> str:
    """``12.3k`` for ``12.3 k/s``: where many stand side by side."""
    return format_rate(per_second).replace(" ", "").removesuffix("/s")


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


def phase_times_in_words(measurement: Measurement) -> str:
    """Forward, backward and optimizer in one unit, ``26/39/0.11 ms``; empty where unknown."""
    times = [measurement.phase_times_s.get(phase) for phase in TRAINING_PHASES]
    known = [seconds for seconds in times if seconds]
    if not known:
        return ""
    _, _, unit = format_seconds(max(known)).partition(" ")
    numbers = ("-" if not each else _two_digits(each / SECONDS[unit]) for each in times)
    return f"{'/'.join(numbers)} {unit}"


def _two_digits(number: float) -> str:
    """At least: ``254``, ``26``, ``2.0``, ``0.11``; ``<0.0001`` in place of an exponent."""
    if number >= 9.95:
        return f"{number:.0f}"
    return f"{number:#.2g}" if number >= 1e-4 else "<0.0001"


def precision(measurement: Measurement) -> str:
    """Half the interval as a share of the step time, ``±0.84%``; empty where unknown."""
    ratio = half_interval_ratio(measurement)
    return "" if ratio is None else plus_minus(ratio)


def plus_minus(ratio: float) -> str:
    return f"±{format_ratio(ratio)}" if ratio < 0.995 else "±>99%"


# --- a row for each point ------------------------------------------------------------------------

TRAINING_PHASES: Final = ("forward", "backward", "optimizer")
SECONDS: Final = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
