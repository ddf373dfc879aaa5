"""Small phrases that several sentences share."""

from __future__ import annotations

from collections.abc import Sequence

from rnnprof.reasons import Reason
from rnnprof.report.words.dispatch import told
from rnnprof.units import format_rate


def sentence(reason: Reason | str | None) -> str:
    """A reason with a capital at its beginning, as it stands on a line of its own."""
    text = told(reason)
    return text[:1].upper() + text[1:]


def because(why: Reason | str | None) -> str:
    """``: `` and what a reason says; empty without one."""
    return f": {told(why)}" if why else ""


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
