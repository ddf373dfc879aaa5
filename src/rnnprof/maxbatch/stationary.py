"""Whether a training step is stationary: what it leaves behind, and how peaks change after it.

A step that leaves memory behind fits for a while and dies later, so no largest batch of it can be
proven.  Growth that ends is another matter: what is cached within the steps of a proof stands in
the proof's own peak.  So a rise is confirmed once, over three times as many steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from rnnprof.maxbatch.reasons import PeakGrows, StepLeaves
from rnnprof.maxbatch.search import FALL_RATIO
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome

SETTLED_STEPS: Final = 2
"""The first two training steps bring the optimizer's state and the workspaces."""

WINDOW: Final = 5
RISES: Final = 4
"""Live bytes that rise in four of the last five training steps are suspected ..."""

CONFIRM_FACTOR: Final = 3
"""... and confirmed over so many times the steps of a proof: its last five rise so too, and of its
last half ..."""

CONFIRM_RATIO: Final = 0.8
"""... at least this share of the steps rises."""

MOST_DEATHS: Final = 2
"""After so many long passes that ran out of memory only the smallest batch is left to try."""

CLEAR_RATIO: Final = 0.25
"""Share of the mean rise that counts as one: where code is compiled for a new shape now and then,
the steps between rise by a page or two."""

FLAT_STEPS: Final = 2
"""Growth has ended where none of so many last steps rises."""

LEAST_RATIO: Final = 1e-5
"""Share of the limit, at the least, that a step has to leave behind: with less, a thousand training
steps take no more than a hundredth of it, as a kept loss does, and the proof stands."""

LEAST_BYTES: Final = 16 << 10
"""And so much: a heap grows by a page now and then."""

GROWN_RATIO: Final = 0.02
"""Growth of the peak after the steps of a short probe from which on its bytes are not believed."""

LATE_OOMS: Final = 2
"""The same, by passes that ran out of memory after as many steps as a short probe runs; one is
enough at a batch at which a shorter pass went through."""


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

    @property
    def reason(self) -> StepLeaves:
        """Why no largest batch can be proven."""
        failed = self.failed
        return StepLeaves(
            self.bytes_per_step,
            self.batch,
            self.lasts,
            failed.batch if failed else None,
            failed.train_steps_run if failed else None,
        )


def rise_of(
    live_bytes: Sequence[int], window: int = WINDOW, share: float = RISES / WINDOW
) -> float:
    """Bytes that each of the last *window* steps has left, where that share of them rose; else 0.

    After fewer steps those that there are count, if there are two and all of them rose.
    """
    settled = _never_undercut(live_bytes[SETTLED_STEPS - 1 :])
    last = settled[-window - 1 :]
    changes = [after - before for before, after in pairwise(last)]
    needed = share * window if len(changes) == window else len(changes)
    if len(changes) < 2 or last[-1] <= last[0]:
        return 0.0
    rise = (last[-1] - last[0]) / len(changes)
    risen = sum(change >= CLEAR_RATIO * rise for change in changes)
    return rise if risen >= needed else 0.0


def _never_undercut(live_bytes: Sequence[int]) -> list[int]:
    """At each step the least of it and all later ones: what a leak raises, step by step.

    Live bytes that go up and down, as with lengths in turn, raise it at the very end alone.
    """
    return list(accumulate(reversed(live_bytes), min))[::-1]


def is_suspected(fit: Fit) -> bool:
    """Whether live bytes rose up to the end of a pass."""
    return rise_of(fit.live_bytes) >= _least_bytes(fit)


def confirming_steps(confirm_steps: int) -> int:
    """Training steps of the pass that confirms or clears a suspicion."""
    return CONFIRM_FACTOR * max(confirm_steps, WINDOW)


def leak_of(fits: Sequence[Fit], confirm_steps: int, granularity: int = 1) -> Leak | None:
    """The leak that a long pass has confirmed, if one has.

    One that ran out of memory confirms it only where no smaller batch is left to try: growth that
    would have ended later looks the same up to there.  And none does where growth has ended in
    another: it takes a step more or less from batch to batch.
    """
    long = _long(fits, confirm_steps)
    if any(map(_has_ended, long)):
        return None
    for fit in long:
        rise = rise_of(fit.live_bytes, max(WINDOW, fit.train_steps_run // 2), CONFIRM_RATIO)
        is_known = fit.outcome is Outcome.MEASURED or fit.batch <= granularity
        if is_known and is_suspected(fit) and rise >= _least_bytes(fit):
            return Leak(fit.batch, rise, _lasts(fit, rise), _failed_above(fits, fit.batch))
    return None


def batch_to_confirm(fits: Sequence[Fit], confirm_steps: int, granularity: int = 1) -> int | None:
    """Where to run a long pass, since one at this T has looked like a leak; None for nowhere.

    Where the suspected pass ran through, at its own batch.  Where it ran out of memory, with room
    for more steps; and where that runs out of memory too, with more room still, and then at the
    smallest batch that there is.
    """
    long = [fit for fit in fits if fit.train_steps >= confirming_steps(confirm_steps)]
    if any(fit.outcome is not Outcome.OOM for fit in long):
        return None
    if not long:
        suspected = next((fit for fit in reversed(fits) if is_suspected(fit)), None)
        if suspected is None or suspected.outcome is Outcome.MEASURED:
            return None if suspected is None else suspected.batch
    else:
        suspected = min(long, key=lambda fit: fit.batch)
        if suspected.batch <= granularity:
            return None
    if len(long) >= MOST_DEATHS:
        return granularity
    return max(suspected.batch // (CONFIRM_FACTOR + 1) // granularity, 1) * granularity


def is_cleared(fits: Sequence[Fit], confirm_steps: int) -> bool:
    """Whether growth that looked like a leak has ended in a long pass: a proof has to last as long,
    for what grows up to then is not in a shorter one's peak.
    """
    asked = confirming_steps(confirm_steps)
    shorter = [fit for fit in fits if fit.train_steps < asked]
    ended = any(fit.outcome is Outcome.MEASURED for fit in _long(fits, confirm_steps))
    return ended and any(map(is_suspected, shorter))


def explored_steps(fits: Iterable[Fit]) -> int:
    """Training steps of the shortest probes; 0 where nothing is known of any."""
    return min((fit.train_steps for fit in fits if fit.train_steps > 0), default=0)


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
    late = sum(f.outcome is Outcome.OOM and f.train_steps_run >= explored > 0 for f in fits)
    if late >= LATE_OOMS or any(grown_ratio(fit, explored) > GROWN_RATIO for fit in fits):
        return True
    passed = {f.batch: f.train_steps_run for f in fits if f.outcome is Outcome.MEASURED}
    contradicted = any(
        f.outcome is Outcome.OOM and f.train_steps > passed.get(f.batch, f.train_steps)
        for f in fits
    )
    return contradicted or _falls(f for f in fits if 0 < f.train_steps == explored)


def _falls(fits: Iterable[Fit]) -> bool:
    """Whether a larger batch held clearly less than a smaller one."""
    highest = 0
    for fit in sorted(fits, key=lambda fit: fit.batch):
        held = fit.peak_allocated_bytes or fit.peak_charged_bytes
        if fit.outcome is not Outcome.MEASURED or held is None:
            continue
        if held < (1 - FALL_RATIO) * highest:
            return True
        highest = max(highest, held)
    return False


def spread_of(fits: Sequence[Fit]) -> PeakGrows | None:
    """How much the peak changes from step to step, where a short probe does not tell it."""
    explored = explored_steps(fits)
    grown = max((grown_ratio(fit, explored) for fit in fits), default=0.0)
    if grown <= GROWN_RATIO:
        return None
    return PeakGrows(grown, explored)


def _has_ended(fit: Fit) -> bool:
    """Whether live bytes rose as a leak does in a pass, and then no more."""
    settled = fit.live_bytes[SETTLED_STEPS - 1 :]
    last = settled[-FLAT_STEPS - 1 :]
    shortest = SETTLED_STEPS + WINDOW
    rise = max(
        (rise_of(fit.live_bytes[:end]) for end in range(shortest, len(fit.live_bytes))), default=0.0
    )
    if fit.outcome is not Outcome.MEASURED or rise < _least_bytes(fit):
        return False
    return all(after - earlier < CLEAR_RATIO * rise for earlier, after in pairwise(last))


def _least_bytes(fit: Fit) -> float:
    """What a training step has to leave behind to count as a leak."""
    return max(LEAST_BYTES, LEAST_RATIO * fit.limit_bytes)


def _long(fits: Iterable[Fit], confirm_steps: int) -> list[Fit]:
    """The passes that were to run long enough, and ran for longer than a proof."""
    asked = confirming_steps(confirm_steps)
    least = max(confirm_steps, WINDOW) + SETTLED_STEPS
    return [fit for fit in fits if fit.train_steps >= asked and fit.train_steps_run >= least]


def _lasts(fit: Fit, rise: float) -> int:
    """Training steps until the limit is reached, at this rate from the end of the pass on."""
    if fit.outcome is not Outcome.MEASURED or not fit.step_peak_bytes:
        return fit.train_steps_run
    return fit.train_steps_run + int(max(0.0, fit.limit_bytes - fit.step_peak_bytes[-1]) / rise)


def _failed_above(fits: Iterable[Fit], batch: int) -> Fit | None:
    failed = [f for f in fits if f.outcome is Outcome.OOM and f.batch > batch and f.train_steps_run]
    return min(failed, key=lambda fit: fit.batch, default=None)
