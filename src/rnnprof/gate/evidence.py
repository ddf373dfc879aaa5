"""Which observations carry a verdict: those of the run that a budget means, and enough of them.

A fit pass under another limit, or over fewer training steps, shows nothing of the one that is
required; and of several attempts at a point the last counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.gate.reasons import KeyDiffers, OtherLimit, SizeDiffers, TooFewSteps
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.terms import KNOWN_ENDS
from rnnprof.reasons import Reason
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome
from rnnprof.runfile.records import Run, Settings
from rnnprof.simulate.description import GpuDescription, describe_all

CONFIRM_STEPS: Final = Settings().confirm_steps


@dataclass(frozen=True, slots=True)
class Required:
    """The conditions that a budget requires; None where it does not say.

    Attributes:
        device: as on the command line: ``cpu``, ``cuda``, ``cuda:1`` or a UUID.
        simulated: the model of a simulated GPU.
        limit_bytes, reserve_bytes: of training, and set aside of it.
        gpu_memory_bytes: of the GPU that the limit stands for, as ``--gpu-memory`` has it.
        confirm_steps: training steps that a fit has to pass.
    """

    device: str | None = None
    simulated: str | None = None
    limit_bytes: int | None = None
    reserve_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    confirm_steps: int = CONFIRM_STEPS

    def differences(self, folded: FoldedRun) -> tuple[Reason, ...]:
        """In what a run was measured otherwise, a reason each."""
        run, settings = folded.run, folded.settings
        found: list[Reason | None] = [
            self._device(run),
            self._simulated(run),
            _size("gpu-memory", settings.gpu_memory_bytes, self.gpu_memory_bytes),
            _size("memory-limit", run.limit_bytes, self.limit_bytes),
            _size("reserve", settings.reserve_bytes, self.reserve_bytes),
        ]
        return tuple(reason for reason in found if reason is not None)

    def _device(self, run: Run) -> KeyDiffers | None:
        has = run.environment.get("device")
        if self.device is None or self.device == "auto" or has is None:
            return None
        required = "cpu" if self.device == "cpu" else "cuda"
        return None if required == has else KeyDiffers("device", has, self.device)

    def _simulated(self, run: Run) -> KeyDiffers | None:
        has = run.environment.get("simulated")
        if self.simulated is None:
            needs_gpu = self.device not in (None, "auto", "cpu")
            return KeyDiffers("device", "simulated", self.device) if has and needs_gpu else None
        if has is None:
            return KeyDiffers("simulate", None, self.simulated)
        gpu = GpuDescription.from_text(str(has))
        is_one = gpu in describe_all(self.simulated)
        return None if is_one else KeyDiffers("simulate", gpu.model, self.simulated)

    def limit_of(self, folded: FoldedRun) -> int:
        """What training may take in a pass that counts, in bytes."""
        if self.reserve_bytes is None:
            return folded.limit_bytes
        return folded.run.limit_bytes - self.reserve_bytes


def _size(key: str, run_bytes: int | None, budget_bytes: int | None) -> SizeDiffers | None:
    """The difference between a size of the run and the budget's, if there is one."""
    if budget_bytes is None or budget_bytes == run_bytes:
        return None
    return SizeDiffers(key, run_bytes, budget_bytes)


@dataclass(frozen=True, slots=True)
class Proofs:
    """The fit passes at one T, and which of them show something.

    Attributes:
        fits: all of them, in order of time.
        limit_bytes: under which a pass has to have run.
        confirm_steps: training steps that it has to have passed.
    """

    fits: Sequence[Fit]
    limit_bytes: int
    confirm_steps: int

    @property
    def same_limit(self) -> list[Fit]:
        """Those under the limit that is required."""
        return [fit for fit in self.fits if fit.limit_bytes == self.limit_bytes]

    def last_at(self, batch: int) -> Fit | None:
        """The last attempt at a batch that shows how it ends there; None without one.

        A pass that fitted over too few training steps shows less than one before it that ran all.
        """
        here = [fit for fit in self.same_limit if fit.batch == batch]
        telling = [fit for fit in here if fit.outcome is not Outcome.MEASURED or self.shows(fit)]
        return next(reversed(telling or here), None)

    def shows(self, fit: Fit) -> bool:
        """Whether a pass that fitted ran through enough training steps."""
        return fit.outcome is Outcome.MEASURED and fit.train_steps_run >= self.confirm_steps

    def went_both_ways(self, batch: int) -> bool:
        """Whether a batch has fitted as well as run out of memory."""
        ends = {fit.outcome for fit in self.same_limit if fit.batch == batch}
        return ends >= KNOWN_ENDS

    def proofs_above(self, batch: int) -> list[Fit]:
        """Passes of larger batches that ran through enough training steps, the last at each."""
        larger = {fit.batch for fit in self.same_limit if fit.batch > batch}
        last = (self.last_at(each) for each in sorted(larger))
        return [fit for fit in last if fit is not None and self.shows(fit)]

    def ooms_up_to(self, batch: int) -> list[Fit]:
        """Batches up to this one whose last attempt ran out of memory."""
        smaller = {fit.batch for fit in self.same_limit if fit.batch <= batch}
        last = (self.last_at(each) for each in sorted(smaller))
        return [fit for fit in last if fit is not None and fit.outcome is Outcome.OOM]

    def other_limit(self) -> OtherLimit | None:
        """The last pass under another limit than the one required; None without one."""
        others = [fit for fit in self.fits if fit.limit_bytes != self.limit_bytes]
        if not others:
            return None
        return OtherLimit(others[-1].batch, others[-1].limit_bytes, self.limit_bytes)

    def too_few(self, fit: Fit) -> TooFewSteps:
        """Why a pass that fitted is no proof."""
        return TooFewSteps(fit.batch, fit.train_steps_run, self.confirm_steps)


def proven_steps(certificate: Certificate) -> int:
    """Training steps that the answer of a certificate passed; 0 where nothing was proven."""
    return certificate.fits.train_steps_run or 0 if certificate.fits else 0
