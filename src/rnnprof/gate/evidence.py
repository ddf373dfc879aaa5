"""Which observations carry a verdict: those of the run that a budget means, and enough of them.

A fit pass under another limit, or over fewer training steps, shows nothing of the one that is asked
for; and of several attempts at a point the last counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.maxbatch.certify import KNOWN_ENDS, settings_of
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome
from rnnprof.runfile.records import Run, Settings
from rnnprof.simulate.description import GpuDescription, describe_all
from rnnprof.units import format_bytes

CONFIRM_STEPS: Final = Settings().confirm_steps


@dataclass(frozen=True, slots=True)
class Required:
    """The conditions that a budget asks for; None where it does not say.

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

    def differences(self, run: Run) -> tuple[str, ...]:
        """In what the run was measured otherwise, a clause each."""
        settings = settings_of(run) or Settings()
        found = [self._device(run), self._simulated(run), self._gpu_memory(settings)]
        sizes = (
            ("limit", self.limit_bytes, run.limit_bytes),
            ("reserve", self.reserve_bytes, settings.reserve_bytes),
        )
        found += [
            f"the {name} is {format_bytes(has)}, the budget has {format_bytes(asked)}"
            + (f" ({has} and {asked} bytes)" if format_bytes(has) == format_bytes(asked) else "")
            for name, asked, has in sizes
            if asked is not None and asked != has
        ]
        return tuple(text for text in found if text)

    def _device(self, run: Run) -> str | None:
        has = run.environment.get("device")
        if self.device is None or self.device == "auto" or has is None:
            return None
        asked = "cpu" if self.device == "cpu" else "cuda"
        return None if asked == has else f"the device is {has}, the budget has {self.device}"

    def _simulated(self, run: Run) -> str | None:
        has = run.environment.get("simulated")
        if self.simulated is None:
            on_a_gpu = self.device is not None and self.device not in ("auto", "cpu")
            return "the GPU is simulated" if has is not None and on_a_gpu else None
        if has is None:
            return f"no GPU is simulated, the budget simulates {self.simulated}"
        gpu = GpuDescription.from_text(str(has))
        if gpu in describe_all(self.simulated):
            return None
        return f"the simulated GPU is {gpu.model}, the budget has {self.simulated}"

    def _gpu_memory(self, settings: Settings) -> str | None:
        asked, has = self.gpu_memory_bytes, settings.gpu_memory_bytes
        if asked is None or asked == has:
            return None
        stands = "no GPU of another size" if has is None else f"a GPU of {format_bytes(has)}"
        return f"the limit stands for {stands}, the budget has {format_bytes(asked)}"

    def limit_of(self, run: Run) -> int:
        """What training may take in a pass that counts, in bytes."""
        settings = settings_of(run) or Settings()
        reserve = self.reserve_bytes
        if reserve is None:
            reserve = settings.reserve_bytes
        return run.limit_bytes - reserve


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
        """Those under the limit that is asked for."""
        return [fit for fit in self.fits if fit.limit_bytes == self.limit_bytes]

    def last_at(self, batch: int) -> Fit | None:
        """The last attempt at a batch that tells how it ends there.

        A pass that fitted over too few training steps tells less than one before it that ran all.
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

    def other_limit(self, batches: Iterable[int] | None = None) -> str | None:
        """That passes ran under another limit, where none ran under the one asked for."""
        wanted = None if batches is None else set(batches)
        others = [
            fit
            for fit in self.fits
            if fit.limit_bytes != self.limit_bytes and (wanted is None or fit.batch in wanted)
        ]
        if not others:
            return None
        other = others[-1]
        return (
            f"B={other.batch} ran under a limit of {format_bytes(other.limit_bytes)}, and "
            f"{format_bytes(self.limit_bytes)} are asked for"
        )

    def too_few(self, fit: Fit) -> str:
        """Why a pass that fitted is no proof."""
        times = (
            "1 training step"
            if fit.train_steps_run == 1
            else f"{fit.train_steps_run} training steps"
        )
        return f"B={fit.batch} fits over {times}, {self.confirm_steps} are asked for: no proof"


def proven_steps(certificate: Certificate) -> int:
    """Training steps that the answer of a certificate passed; 0 where nothing was proven."""
    return certificate.fits.train_steps_run or 0 if certificate.fits else 0
