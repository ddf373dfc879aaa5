"""Whether a training step is stationary: what it leaves behind, and how its peaks change.

A step that leaves memory behind fits for a while and fails later, so no largest batch can be
proven.  Growth that ends is no problem: the peak of a proof includes what is cached during its
steps.  So growth is confirmed once, over three times as many steps.
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
"""The first two training steps allocate the optimizer's state and the workspaces."""

WINDOW: Final = 5
RISES: Final = 4
"""A leak is suspected if live bytes rise in four of the last five training steps ..."""

CONFIRM_FACTOR: Final = 3
"""... and confirmed in a pass with this many times the steps of a proof: its last five steps rise
too, and of its last half ..."""

CONFIRM_RATIO: Final = 0.8
"""... at least this share of the steps rise."""

MOST_DEATHS: Final = 2
"""After this many long passes that ran out of memory, only the smallest batch is tried."""

CLEAR_RATIO: Final = 0.25
"""A rise counts if it is at least this share of the mean: if code is sometimes compiled for a new
shape, the steps between rise by only a page or two."""

FLAT_STEPS: Final = 2
"""Growth has ended if none of the last steps rises, as many as this."""

LEAST_RATIO: Final = 1e-5
"""A leak per step is at least this share of the limit.  With less, a thousand training steps take
at most 1% of the limit, for example for kept losses, and the proof is valid."""

LEAST_BYTES: Final = 16 << 10
"""A leak per step is also at least this large: a heap sometimes grows by a page."""

GROWN_RATIO: Final = 0.02
"""If the peak grows by more than this after the steps of a short probe, bytes of short probes are
not used."""

LATE_OOMS: Final = 2
"""The same after this many passes that ran out of memory later than a short probe ends; one is
enough at a batch where a shorter pass fitted."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Memory that each training step leaves behind.

    Attributes:
        batch: the batch at which it was confirmed.
        lasts: training steps until the limit is reached at *batch*.
        failed: a pass at a larger batch that ran out of memory; None without one.
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
    """Mean rise of live bytes per step over the last *window* steps, in bytes.

    It is 0 unless the given share of these steps rose.  With fewer than *window* steps, all of them
    must rise, and at least two are needed.
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
    """The minimum over each step and all later ones, which a leak raises in every step.

    If live bytes go up and down, for example with alternating lengths, it rises only at the end.
    """
    return list(accumulate(reversed(live_bytes), min))[::-1]


def is_suspected(fit: Fit) -> bool:
    """Whether live bytes rose until the end of a pass, like a leak."""
    return rise_of(fit.live_bytes) >= _least_bytes(fit)


def confirming_steps(confirm_steps: int) -> int:
    """Training steps of the long pass that confirms or refutes a leak."""
    return CONFIRM_FACTOR * max(confirm_steps, WINDOW)


def leak_of(fits: Sequence[Fit], confirm_steps: int, granularity: int = 1) -> Leak | None:
    """The leak that a long pass has confirmed; None without one.

    A long pass that ran out of memory confirms a leak only if no smaller batch is left to try:
    growth that would end later looks the same.  There is no leak if growth has ended in any long
    pass, because the number of steps until then varies a little with the batch.
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
    """The batch for a long pass, because a pass at this T looks like a leak; None for none.

    It is the batch of the suspected pass, if that passed.  If it ran out of memory, it is a smaller
    batch, with memory for more steps; if that runs out of memory too, a still smaller one, and at
    last the smallest batch.
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
    """Whether growth that looked like a leak has ended in a long pass.

    A proof must then be as long, because the peak of a shorter one misses part of the growth.
    """
    asked = confirming_steps(confirm_steps)
    shorter = [fit for fit in fits if fit.train_steps < asked]
    ended = any(fit.outcome is Outcome.MEASURED for fit in _long(fits, confirm_steps))
    return ended and any(map(is_suspected, shorter))


def explored_steps(fits: Iterable[Fit]) -> int:
    """Training steps of the shortest probes; 0 where unknown."""
    return min((fit.train_steps for fit in fits if fit.train_steps > 0), default=0)


def grown_ratio(fit: Fit, explored: int) -> float:
    """Relative growth of the peak after the steps of a short probe."""
    peaks = fit.step_peak_bytes
    if not explored or len(peaks) <= explored or not peaks[explored - 1]:
        return 0.0
    return peaks[-1] / peaks[explored - 1] - 1


def is_varying(fits: Iterable[Fit]) -> bool:
    """Whether the memory of a few training steps does not predict that of more steps."""
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
    """Whether a larger batch took clearly less memory than a smaller one."""
    highest = 0
    for fit in sorted(fits, key=lambda fit: fit.batch):
        held = fit.peak_allocated_bytes or fit.peak_charged_bytes
        if fit.outcome is not Outcome.MEASURED or held is None:
            continue
        if held < (1 - FALL_RATIO) * highest:
            return True
        highest = max(highest, held)
    return False


def has_grown(fit: Fit) -> bool:
    """Whether a pass's own peak grew, after the steps that settle it, as a fall would count."""
    peaks = fit.step_peak_bytes
    if len(peaks) < SETTLED_STEPS:
        return False
    return peaks[-1] - peaks[SETTLED_STEPS - 1] > FALL_RATIO * peaks[-1]


def spread_of(fits: Sequence[Fit]) -> PeakGrows | None:
    """Growth of the peak beyond a short probe; None if it is too small to report."""
    explored = explored_steps(fits)
    grown = max((grown_ratio(fit, explored) for fit in fits), default=0.0)
    if grown <= GROWN_RATIO:
        return None
    return PeakGrows(grown, explored)


def _has_ended(fit: Fit) -> bool:
    """Whether live bytes rose like a leak in a pass and then stopped."""
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
    """Bytes that a training step must leave behind to count as a leak."""
    return max(LEAST_BYTES, LEAST_RATIO * fit.limit_bytes)


def _long(fits: Iterable[Fit], confirm_steps: int) -> list[Fit]:
    """The long passes that ran for more steps than a proof."""
    asked = confirming_steps(confirm_steps)
    least = max(confirm_steps, WINDOW) + SETTLED_STEPS
    return [fit for fit in fits if fit.train_steps >= asked and fit.train_steps_run >= least]


def _lasts(fit: Fit, rise: float) -> int:
    """Training steps until the limit is reached, if memory keeps growing at this rate."""
    if fit.outcome is not Outcome.MEASURED or not fit.step_peak_bytes:
        return fit.train_steps_run
    return fit.train_steps_run + int(max(0.0, fit.limit_bytes - fit.step_peak_bytes[-1]) / rise)


def _failed_above(fits: Iterable[Fit], batch: int) -> Fit | None:
    failed = [f for f in fits if f.outcome is Outcome.OOM and f.batch > batch and f.train_steps_run]
    return min(failed, key=lambda fit: fit.batch, default=None)
