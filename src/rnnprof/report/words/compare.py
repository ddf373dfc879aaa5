"""Sentences on two runs side by side: where they differ, and why a change has no interval."""

from __future__ import annotations

from typing import Any, Final

from rnnprof.compare.comparison import ALIKE_RATIO, Changed
from rnnprof.compare.reasons import Affects, Difference, NoInterval, TooFewProcesses
from rnnprof.points.fold import MIN_PROCESSES
from rnnprof.reasons import Reason
from rnnprof.report.words.dispatch import as_text, say
from rnnprof.report.words.phrases import counted
from rnnprof.runfile.points import Point
from rnnprof.units import format_bytes
from rnnprof.workload import differing_words, quoted

HASH_COLUMNS: Final = 12
"""Of a hash in words: enough to tell two apart; the run file has all of it."""


@say.register
def _(difference: Difference) -> str:
    """``driver 570.1 in the baseline, 575.2 in the run``."""
    columns = HASH_COLUMNS if difference.is_of_sources else None
    name, base, new = _of_script(difference) or (difference.name, difference.base, difference.new)
    base, new = (_shown(value)[:columns] for value in (base, new))
    return f"{name} {base} in the baseline, {new} in the run"


def _of_script(difference: Difference) -> tuple[str, str, str] | None:
    """What differs of what a script is given, as the user writes it; None for anything else."""
    name, base, new = difference.name, difference.base, difference.new
    part = name.removeprefix("workload.script.")
    if part == "argv":
        return "the script's words:", *differing_words(base or (), new or ())
    if part in ("env", "assignments"):
        lists = [[f"{key}={text}" for key, text in (each or {}).items()] for each in (base, new)]
        unlike = ([each for each in lists[at] if each not in lists[1 - at]] for at in (0, 1))
        shown = [" ".join(map(quoted, each)) or "nothing" for each in unlike]
        return "--env" if part == "env" else "--set", shown[0], shown[1]
    if part in ("setup", "prepare"):
        return f"--{part}", str(base or "nothing"), str(new or "nothing")
    return None


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


# --- the text of a comparison ---------------------------------------------------------------------

MEANING: Final = {
    Affects.EVERYTHING: "the runs cannot be compared",
    Affects.TIME: "times cannot be compared",
    Affects.LIMIT: "largest batches cannot be compared",
    Affects.NOTHING: "with no effect on the comparison",
}

TIME_WORDS: Final = {
    Changed.MORE: "slower", Changed.LESS: "faster", Changed.ALIKE: "alike", Changed.OPEN: "open",
}  # fmt: skip

COMPARISON_LEGEND: Final = (
    "time: slower or faster where the hypothesis of no change is rejected at 5%, by Holm over all "
    f"points; alike where the change lies within {ALIKE_RATIO:.0%}; else open. finds: the smallest "
    "slowdown that four of five such comparisons would detect."
)

SAME_RUNS: Final = "The runs are of the same workload, limit and environment."
NO_TIMES: Final = "No point was timed in both runs."
LARGEST_HEAD: Final = "Largest batch:"
NOT_SEARCHED: Final = "not searched"


def headline(ratio: float, points: int) -> str:
    """By how much the step time changed over all points.

    Args:
        ratio: geometric mean of the ratios, run over baseline.
        points: that it is of.
    """
    return (
        f"Step time: {percent(ratio)} over the baseline (geometric mean of "
        f"{counted(points, 'point')}). Each point with {MIN_PROCESSES} or more quiet processes on "
        "both sides has an interval."
    )


def without_interval(point: Point, reason: Reason) -> str:
    """Why a point's change has no interval."""
    return f"{point} has no interval: {say(reason)}"


def more_without(count: int) -> str:
    """That further points have no interval either."""
    return f"and {count} more points have none"


def slope_in_words(base_bytes: float, new_bytes: float, ratio: float) -> str:
    """What one time step of one sequence takes, in the baseline and in the run."""
    return (
        f"A time step of a sequence takes {format_bytes(base_bytes)} -> {format_bytes(new_bytes)} "
        f"({percent(ratio)})"
    )


def percent(ratio: float) -> str:
    """``+3.1%`` for a ratio of 1.031."""
    return f"{(ratio - 1) * 100:+.1f}%"
