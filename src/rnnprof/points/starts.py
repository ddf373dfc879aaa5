"""What each pass of a script takes besides its training steps: seconds and bytes."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Final

from rnnprof.runfile.observations import Fit

MOST_STATES: Final = 3
"""Copies of the weights that training adds: gradients, and the two states of Adam."""


def start_s(fits: Iterable[Fit]) -> float | None:
    """Median of the seconds from the start of a script to its first training step; None where no
    fit pass has them.
    """
    known = [fit.start_s for fit in fits if fit.start_s is not None]
    return median(known) if known else None


def train_step_s(fit: Fit) -> float | None:
    """Seconds of a training step of a script's fit pass, with its watching; None where unknown."""
    if fit.start_s is None or not fit.train_steps_run:
        return None
    return max(0.0, fit.wall_s - before_s(fit) - fit.start_s) / fit.train_steps_run


def before_s(fit: Fit) -> float:
    """Seconds of a fit pass before its script starts: a process, its warm-up and its limit."""
    if fit.conditions is None:
        return 0.0
    return max(0.0, fit.wall_s - fit.conditions.wall_s)


def fixed_bytes(fit: Fit) -> int | None:
    """Charged bytes of a script's pass that do not depend on B, nearly; None where unknown.

    They are what it holds before its first training step, and the gradients and the optimizer's
    states that the training steps added, as whole copies of the weights.
    """
    if fit.held_bytes is None:
        return None
    weight_bytes, live_bytes = fit.held_weight_bytes, fit.live_bytes
    if not weight_bytes or not live_bytes:
        return fit.held_bytes
    copies = max(0, live_bytes[-1] - fit.held_bytes) // weight_bytes
    return fit.held_bytes + min(copies, MOST_STATES) * weight_bytes
