"""Sentences on two runs side by side: where they differ, and why a change has no interval."""

from __future__ import annotations

from typing import Any, Final

from rnnprof.compare.reasons import Difference, NoInterval, TooFewProcesses
from rnnprof.report.words.dispatch import as_text, say

HASH_COLUMNS: Final = 12
"""Of a hash in words: enough to tell two apart; the run file has all of it."""


@say.register
def _(difference: Difference) -> str:
    """``driver 570.1 in the baseline, 575.2 in the run``."""
    columns = HASH_COLUMNS if difference.is_of_sources else None
    base, new = (_shown(value)[:columns] for value in (difference.base, difference.new))
    return f"{difference.name} {base} in the baseline, {new} in the run"


def _shown(value: Any) -> str:
    return "unknown" if value is None else str(value)


@say.register
def _(shortage: TooFewProcesses) -> str:
    """``2 of at least 3 quiet processes (1 is noisy: other processes took 90% of a processor)``."""
    text = f"{shortage.quiet} of at least {shortage.least} quiet processes"
    if not shortage.noisy:
        return text
    count = len(shortage.noisy)
    return f"{text} ({count} {'is' if count == 1 else 'are'} noisy: {as_text(shortage.noisy[0])})"


@say.register
def _(missing: NoInterval) -> str:
    """``the baseline has 1 of at least 3 quiet processes``, and the same of the run."""
    sides = {"the baseline": missing.base, "the run": missing.new}
    return "; ".join(
        f"{side} has {say(shortage)}" for side, shortage in sides.items() if shortage is not None
    )
