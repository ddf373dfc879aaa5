"""Whether a training step is stationary: what it leaves behind, and how peaks change after it.

A step that leaves memory behind fits for a while and dies later, so no largest batch of it can be
proven.  Growth that ends is another matter: what is cached within the steps of a proof stands in
the proof's own peak.  So a rise is confirmed once, over three times as many steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rnnprof.records import Fit, Outcome
from rnnprof.units import format_bytes, format_ratio

SETTLED_STEPS: Final = 2
"""The first two training steps bring the optimizer's state and the workspaces."""

WINDOW: Final = 5
RISES: Final = 4
"""Live bytes that rise in four of the last five training steps are suspected ..."""

CONFIRM_FACTOR: Final = 3
"""... and confirmed over so many times the training steps of a proof, in half of which ..."""

CONFIRM_RATIO: Final = 0.8
"""... at least this share of the steps rises."""

LEAST_RATIO: Final = 1e-5
"""Share of the limit, at the least, that a step has to leave behind: with less, a thousand training
steps take no more than a hundredth of it, as a kept loss does, and the proof stands."""

GROWN_RATIO: Final = 0.02
"""Growth of the peak after the steps of a short probe from which on its bytes are not believed."""

LATE_OOMS: Final = 2
"""The same, by passes that ran out of memory after as many steps as a short probe runs."""


@dataclass(frozen=True, slots=True)
class Leak:
    """What each training step leaves behind.

    Attributes:
        batch: at which it was confirmed.
        lasts: training steps until the limit is reached there.
        failed: the pass at a larger batch that ran out of memory by it, if there was one.
    """

    batch: int
    bytes_per_step: float
    lasts: int
    failed: Fit | None = None

    def __str__(self) -> str:
        words = (
            f"each training step leaves {format_bytes(self.bytes_per_step)}; "
            f"B={self.batch} lasts about {self.lasts} training steps"
        )
        if self.failed is not None:
            words += f", B={self.failed.batch} lasted {self.failed.steps_run}"
        return words


def rise_of(
    live_bytes: Sequence[int], window: int = WINDOW, share: float = RISES / WINDOW
) -> float:
    """Bytes that each of the last *window* steps has left, where that share of them rose; else 0.

    After fewer steps those that there are count, if there are two and all of them rose.
    """
    settled = live_bytes[SETTLED_STEPS - 1 :]
    last = settled[-window - 1 :]
    changes = [after - before for before, after in pairwise(last)]
    needed = share * window if len(changes) == window else len(changes)
    if len(changes) < 2 or sum(change > 0 for change in changes) < needed:
        return 0.0
    return max(0.0, (last[-1] - last[0]) / len(changes))


def is_suspected(fit: Fit) -> bool:
    """Whether live bytes rose up to the end of a pass."""
    return rise_of(fit.live_bytes) >= LEAST_RATIO * fit.limit_bytes


def confirming_steps(confirm_steps: int) -> int:
    """Training steps of the pass that confirms or clears a suspicion."""
    return CONFIRM_FACTOR * max(confirm_steps, WINDOW)


def leak_of(fits: Sequence[Fit], confirm_steps: int) -> Leak | None:
    """The leak that a long pass has confirmed, if one has."""
    for fit in _long(fits, confirm_steps):
        window = max(WINDOW, fit.steps_run // 2)
        rise = rise_of(fit.live_bytes, window, CONFIRM_RATIO)
        if rise >= LEAST_RATIO * fit.limit_bytes:
            return Leak(fit.batch, rise, _lasts(fit, rise), _failed_above(fits, fit.batch))
    return None


def suspect(fits: Sequence[Fit], confirm_steps: int) -> Fit | None:
    """A pass whose rise no long pass has confirmed or cleared yet."""
    if any(_long(fits, confirm_steps)):
        return None
    return next((fit for fit in reversed(fits) if is_suspected(fit)), None)


def confirming_batch(suspected: Fit, granularity: int) -> int:
    """Where to confirm it: there, or with room for three times the steps where it failed."""
    if suspected.outcome is Outcome.MEASURED:
        return suspected.batch
    return max(suspected.batch // (CONFIRM_FACTOR + 1) // granularity, 1) * granularity


def explored_steps(fits: Iterable[Fit]) -> int:
    """Training steps of the shortest probes; 0 where nothing is known of any."""
    return min((fit.train_steps for fit in fits if fit.train_steps), default=0)


def grown_ratio(fit: Fit, explored: int) -> float:
    """Growth of the peak after the steps of a short probe, as a share of it."""
    peaks = fit.step_peak_bytes
    if not explored or len(peaks) <= explored or not peaks[explored - 1]:
        return 0.0
    return peaks[-1] / peaks[explored - 1] - 1


def is_varying(fits: Iterable[Fit]) -> bool:
    """Whether what a few training steps take says nothing of what more of them take."""
    fits = list(fits)
    explored = explored_steps(fits)
    late = sum(f.outcome is Outcome.OOM and f.steps_run >= explored > 0 for f in fits)
    return late >= LATE_OOMS or any(grown_ratio(fit, explored) > GROWN_RATIO for fit in fits)


def spread_in_words(fits: Sequence[Fit]) -> str | None:
    """How much the peak changes from step to step, where a short probe does not tell it."""
    explored = explored_steps(fits)
    grown = max((grown_ratio(fit, explored) for fit in fits), default=0.0)
    if grown <= GROWN_RATIO:
        return None
    return (
        f"memory differs from training step to step: the peak grew by up to {format_ratio(grown)} "
        f"after the first {explored}"
    )


def _long(fits: Iterable[Fit], confirm_steps: int) -> list[Fit]:
    """The passes that were to run long enough, and ran for longer than a proof."""
    asked = confirming_steps(confirm_steps)
    least = max(confirm_steps, WINDOW) + SETTLED_STEPS
    return [fit for fit in fits if fit.train_steps >= asked and fit.steps_run >= least]


def _lasts(fit: Fit, rise: float) -> int:
    """Training steps until the limit is reached, at this rate from the end of the pass on."""
    if fit.outcome is not Outcome.MEASURED or not fit.step_peak_bytes:
        return fit.steps_run
    return fit.steps_run + int(max(0.0, fit.limit_bytes - fit.step_peak_bytes[-1]) / rise)


def _failed_above(fits: Iterable[Fit], batch: int) -> Fit | None:
    failed = [f for f in fits if f.outcome is Outcome.OOM and f.batch > batch and f.steps_run]
    return min(failed, key=lambda fit: fit.batch, default=None)
