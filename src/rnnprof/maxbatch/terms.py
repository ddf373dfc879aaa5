"""What a certificate requires, and what fit passes say by it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rnnprof.breakdown.memory_model import seen_peak_bytes
from rnnprof.maxbatch.search import EdgeSearch, Try
from rnnprof.maxbatch.stationary import confirming_steps, is_cleared, is_varying
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome
from rnnprof.workload import ScriptSource

KNOWN_ENDS: Final = frozenset({Outcome.MEASURED, Outcome.OOM})


@dataclass(frozen=True, slots=True)
class Terms:
    """What a certificate requires.

    Attributes:
        limit_bytes: memory for training, without the reserve.
        at_most: the largest batch to try.
        granularity: batches are multiples of it.
        confirm_steps: training steps that a fit must pass.
        through: training steps that the answer must pass, if more than *confirm_steps*.
        confirm: fresh workers in which the answer must pass.
        script: the user's script that trains; None for a cell or a factory.
    """

    limit_bytes: int
    at_most: int
    granularity: int = 1
    confirm_steps: int = 10
    through: int = 0
    confirm: int = 1
    script: ScriptSource | None = None

    @property
    def horizon(self) -> int:
        """Training steps of a proof."""
        return max(self.confirm_steps, self.through)

    @property
    def most_units(self) -> int:
        """Number of multiples of the granularity up to *at_most*."""
        return self.at_most // self.granularity

    def lasting(self, fits: Sequence[Fit]) -> Terms:
        """The terms with a longer proof, if memory grows for longer than a proof and then stops."""
        if not is_cleared(fits, self.confirm_steps):
            return self
        return replace(self, through=max(self.through, confirming_steps(self.confirm_steps)))

    def try_of(self, fit: Fit) -> Try:
        """A fit pass in units: a batch that fits is rounded down, another one up.

        A batch that fits above the cap counts as a fit at the cap, without its bytes.
        """
        if fit.outcome is Outcome.OOM:
            return Try(-(-fit.batch // self.granularity), fit.outcome)
        units = fit.batch // self.granularity
        if units > self.most_units:
            return Try(self.most_units, fit.outcome)
        known = (seen_peak_bytes(fit), fit.peak_allocated_bytes, fit.retries)
        return Try(units, fit.outcome, *known)

    def tries(self, fits: Sequence[Fit]) -> list[Try]:
        """What fit passes say of the batches up to the cap, in units.

        A batch with both results counts as out of memory.  Where rounding gives its two results
        different units, its fit would contradict smaller OOMs that it does not contradict.
        """
        ooms = batches(fits, Outcome.OOM)
        known = [
            self.try_of(fit)
            for fit in fits
            if fit.outcome in KNOWN_ENDS and not (fit.batch in ooms and self._is_rounded_fit(fit))
        ]
        return [tried for tried in known if 1 <= tried.units <= self.most_units]

    def _is_rounded_fit(self, fit: Fit) -> bool:
        """Whether a fit stands for a smaller batch than its own."""
        is_fit = fit.outcome is Outcome.MEASURED
        return is_fit and self.try_of(fit).units * self.granularity != fit.batch

    def search(self, time_steps: int, fits: Sequence[Fit]) -> EdgeSearch:
        """A search at T that knows the earlier *fits*."""
        search = EdgeSearch(time_steps, self.limit_bytes, self.most_units, self.granularity)
        search.bisects = is_varying(fits)
        search.recall(self.tries(self.evident(fits)))
        return search

    def evident(self, fits: Sequence[Fit]) -> Sequence[Fit]:
        """The passes that are evidence for the largest batch.

        If memory varies from training step to training step, short passes are not evidence, and a
        pass above an OOM only had smaller steps.  What a shared worker saw counts until a worker of
        its own sees something else.
        """
        fits = _without_refuted(fits)
        if not is_varying(fits):
            return fits
        low = min(batches(fits, Outcome.OOM), default=self.at_most + 1)
        return [
            fit for fit in fits
            if fit.outcome is not Outcome.MEASURED or (self.is_proof(fit) and fit.batch <= low)
        ]  # fmt: skip

    def is_long(self, fit: Fit) -> bool:
        """Whether a pass completed *confirm_steps* training steps."""
        return fit.outcome is Outcome.MEASURED and fit.train_steps_run >= self.confirm_steps

    def is_proof(self, fit: Fit) -> bool:
        """Whether a pass had a worker of its own, and completed the training steps of a proof."""
        return (
            fit.is_fresh and fit.outcome is Outcome.MEASURED and fit.train_steps_run >= self.horizon
        )


def _without_refuted(fits: Sequence[Fit]) -> Sequence[Fit]:
    """The passes, without those of shared workers that one of its own has refuted."""
    if all(fit.is_fresh for fit in fits):
        return fits
    fresh = [fit for fit in fits if fit.is_fresh]
    low = min(batches(fresh, Outcome.OOM), default=sys.maxsize)
    high = max(batches(fresh, Outcome.MEASURED), default=0)
    return [
        fit for fit in fits
        if fit.is_fresh
        or (fit.outcome is Outcome.MEASURED and fit.batch < low)
        or (fit.outcome is Outcome.OOM and fit.batch > high)
        or fit.outcome not in KNOWN_ENDS
    ]  # fmt: skip


def batches(fits: Sequence[Fit], outcome: Outcome) -> set[int]:
    """The batches of the passes that ended so."""
    return {fit.batch for fit in fits if fit.outcome is outcome}
