"""Small phrases that several sentences share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rnnprof.plain_text import clip, columns_of, one_line
from rnnprof.reasons import Reason
from rnnprof.report.words.dispatch import as_text
from rnnprof.units import format_rate
from rnnprof.workload import Workload


def sentence(reason: Reason | str | None) -> str:
    """A reason with a capital at its beginning, as it stands on a line of its own."""
    text = as_text(reason)
    return text[:1].upper() + text[1:]


def because(why: Reason | str | None) -> str:
    """``: `` and what a reason says; empty without one."""
    return f": {as_text(why)}" if why else ""


def training_steps(count: int) -> str:
    """``1 training step``, ``10 training steps``."""
    return f"{count} training step{'' if count == 1 else 's'}"


def times(count: int) -> str:
    """``once``, ``3 times``."""
    return "once" if count == 1 else f"{count} times"


def either(names: Sequence[object]) -> str:
    """``B=8``, ``B=8 or B=16``, ``B=8, B=16 or B=32``."""
    *others, last = map(str, names)
    return f"{', '.join(others)} or {last}" if others else last


def rate_in_words(per_second: float | None, of: str = "time steps") -> str:
    """``12.3 k time steps/s``; ``-`` where unknown."""
    return format_rate(per_second, of)


def workload_in_words(workload: Workload, columns: int) -> str:
    """The workload on one line of at most *columns*.

    Where a script's line is too long, its environment goes first: it stands before the name.
    """
    text, script = one_line(workload.describe()), workload.script
    if script is not None and columns_of(text) > columns:
        text = replace(script, env={}).describe()
    return clip(text, columns)


BYTE_UNITS: Final = {"K": "KiB", "M": "MiB", "G": "GiB", "T": "TiB"}
RATE_UNITS: Final = {"k": "thousand", "M": "million", "G": "billion"}
SECOND_UNITS: Final = {"s": "seconds", "m": "milliseconds", "µ": "microseconds"}
"""The letters behind compact numbers."""


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
