"""Phases that follow one another without a gap, as hooks report them, and the names they get.

A hook tells what begins, not what ended: between two modules, or between a backward pass and the
next forward pass, it says "other".  What such a stretch is follows from its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence


def phase_names(entered: Sequence[str]) -> list[str]:
    """The names of the phases of one training step, of which the first begins with the step.

    "other" is "forward" between two modules and up to the backward pass (a loss without a module),
    and "data" ahead of a forward pass: the next batch, or the next part of it.
    """
    return [
        _between(_before(entered, index), _after(entered, index)) if name == "other" else name
        for index, name in enumerate(entered)
    ]


def _between(before: str | None, after: str | None) -> str:
    if before == "forward" and after in ("forward", "backward"):
        return "forward"
    return "data" if after == "forward" else "other"


def _before(entered: Sequence[str], index: int) -> str | None:
    """The last phase before that is not "other"."""
    return next((name for name in reversed(entered[:index]) if name != "other"), None)


def _after(entered: Sequence[str], index: int) -> str | None:
    return next((name for name in entered[index + 1 :] if name != "other"), None)
