"""What judges look at: a run, its points, and what each was required to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.compare.comparison import ProcessMedians
from rnnprof.gate.budget import MostPeak
from rnnprof.gate.evidence import Proofs, Required
from rnnprof.gate.reasons import (
    DoesNotFit,
    Ended,
    MachineShort,
    NotMeasured,
    OnlyNoisy,
    OtherLimit,
    PassNotRun,
    PeakUnknown,
    Unfinished,
    Unusable,
)
from rnnprof.gate.verdicts import Finding, Verdict
from rnnprof.maxbatch.certify import UNUSABLE, Proof
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.stationary import leak_of
from rnnprof.outcomes import was_crowded_out
from rnnprof.points.fold import by_point
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.observations import Fit, Memory, Observation, Timing
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.stats.estimate import SIGNIFICANCE, Estimate, holm

FEW_PROCESSES_FACTOR: Final = 2.0
"""Far beyond what processes of the same code differ by on one machine: 10% is much."""


def judge_finished(run: Run, *, is_baseline: bool = False) -> list[Finding]:
    """An unfinished run proves nothing by what it lacks; what is required of it fails by itself."""
    if run.is_finished:
        return []
    return [Finding("finished", "", Verdict.INCONCLUSIVE, Unfinished(is_baseline))]


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run as the checks look at it.

    Attributes:
        folded: the run with what its observations say together.
        required: the conditions under which its passes count.
        observations: of the grid, by point, in order of time.
        frontier: the certificates, by T.
    """

    folded: FoldedRun
    required: Required
    observations: Mapping[Point, list[Observation]]
    frontier: Mapping[int, Proof]

    @classmethod
    def of(cls, folded: FoldedRun, required: Required | None = None) -> JudgedRun:
        """Look at a run.

        Args:
            folded: the run.
            required: the conditions of a budget; by default those of the run itself.
        """
        frontier = {certificate.time_steps: certificate for certificate in folded.frontier}
        return cls(folded, required or Required(), by_point(folded.run.observations), frontier)

    @property
    def points(self) -> Mapping[Point, Measurement]:
        """What is known of each point; one that was not reached is missing."""
        return self.folded.measurements

    def fits_at(self, time_steps: int) -> list[Fit]:
        """Every fit pass at T, of the grid and of the search for the largest batch."""
        observations = self.folded.run.observations
        fits = [o for o in observations if isinstance(o, Fit) and o.is_of_the_workload]
        return [fit for fit in fits if fit.time_steps == time_steps]

    def evidence_at(self, time_steps: int) -> Proofs:
        """What the fit passes at T show under the conditions required."""
        limit_bytes = self.required.limit_of(self.folded)
        return Proofs(self.fits_at(time_steps), limit_bytes, self.required.confirm_steps)

    def unusable_at(self, time_steps: int) -> Unusable | None:
        """What the training step does at T that no batch can pass with; None for nothing."""
        certificate = self.frontier.get(time_steps)
        if certificate is not None and certificate.status in UNUSABLE:
            return Unusable(certificate.status, certificate.reason)
        settings = self.folded.settings
        leak = leak_of(self.fits_at(time_steps), settings.confirm_steps, settings.granularity)
        return None if leak is None else Unusable(EdgeStatus.NOT_STATIONARY, leak.reason)

    def medians_at(self, point: Point) -> ProcessMedians:
        """Of the timing processes at a point; none where its last attempt did not end well."""
        timings = [o for o in self.observations.get(point, ()) if isinstance(o, Timing)]
        measurement = self.points.get(point)
        is_through = measurement is not None and measurement.outcome is Outcome.MEASURED
        if not is_through or (timings and timings[-1].outcome is not Outcome.MEASURED):
            return ProcessMedians.of(())
        return ProcessMedians.of(timings)

    def absence(self, point: Point) -> tuple[Verdict, Reason]:
        """The verdict on a point without the measurement that a check needs, and why."""
        measurement = self.points.get(point)
        if measurement is None:
            return Verdict.FAIL, NotMeasured(point)
        if measurement.outcome in (Outcome.OOM, Outcome.IMPLIED_OOM):
            return Verdict.FAIL, DoesNotFit(measurement.reason)
        last = next(reversed(self.observations.get(point, ())), None)
        if last is not None and was_crowded_out(last):
            return Verdict.INCONCLUSIVE, MachineShort(measurement.reason)
        if last is not None and last.outcome is not Outcome.MEASURED:
            return Verdict.FAIL, Ended(last.outcome, last.reason)
        if measurement.outcome is Outcome.MEASURED:
            return Verdict.FAIL, PassNotRun(point)
        return Verdict.FAIL, Ended(measurement.outcome, measurement.reason)


def peak_of(limit: MostPeak, seen: JudgedRun) -> tuple[Verdict, Reason, int | None]:
    """The peak that a limit is for.

    Returns:
        The verdict and the reason that hold where the peak is None; and the peak in bytes.
    """
    measurement = seen.points.get(limit.point)
    observations = seen.observations.get(limit.point, [])
    kind: type[Observation] = Memory if limit.of == "allocated" else Fit
    if limit.of == "reserved" and not has_reserved(observations):
        kind = Memory
    passes = [o for o in observations if isinstance(o, kind)]
    if measurement is None or not passes or does_not_fit(observations):
        return (*seen.absence(limit.point), None)
    last = passes[-1]
    limit_bytes = seen.required.limit_of(seen.folded)
    if isinstance(last, Fit) and last.limit_bytes != limit_bytes:
        return Verdict.NOT_COMPARABLE, OtherLimit(last.batch, last.limit_bytes, limit_bytes), None
    if was_crowded_out(last):
        return Verdict.INCONCLUSIVE, MachineShort(last.reason), None
    if last.outcome is not Outcome.MEASURED:
        return Verdict.FAIL, Ended(last.outcome, last.reason), None
    peak: int | None = getattr(measurement, f"peak_{limit.of}_bytes")
    why = getattr(last, f"peak_{limit.of}_reason", None)
    return Verdict.INCONCLUSIVE, PeakUnknown(limit.of, why), peak


def untimed(point: Point, medians: ProcessMedians, seen: JudgedRun) -> tuple[Verdict, Reason]:
    """The verdict on a point of which no quiet process was timed, and why."""
    if medians.noisy:
        return Verdict.INCONCLUSIVE, OnlyNoisy(medians.noisy[0])
    return seen.absence(point)


def judge_estimates(estimates: Sequence[Estimate | None], limit_ratio: float) -> list[Verdict]:
    """A verdict for each ratio; together they hold at the 5% level, by Holm.

    Args:
        estimates: of ratios; one that is None is INCONCLUSIVE.
        limit_ratio: each ratio may be 1 + *limit_ratio*.
    """
    known = [estimate for estimate in estimates if estimate is not None]
    rejected = iter(holm([estimate.p_above(limit_ratio) for estimate in known]))
    verdicts = []
    for estimate in estimates:
        if estimate is None:
            verdicts.append(Verdict.INCONCLUSIVE)
        elif next(rejected):
            verdicts.append(Verdict.FAIL)
        elif estimate.bound(1 - SIGNIFICANCE) <= 1 + limit_ratio:
            verdicts.append(Verdict.PASS)
        else:
            verdicts.append(Verdict.INCONCLUSIVE)
    return verdicts


def has_reserved(observations: Iterable[Observation]) -> bool:
    """Whether the fit pass counted what the caching allocator reserves, as it does on a GPU."""
    return any(isinstance(o, Fit) and o.peak_allocated_bytes is not None for o in observations)


def does_not_fit(observations: Sequence[Observation]) -> bool:
    """Whether the last fit pass of a point did not end well."""
    fits = [o for o in observations if isinstance(o, Fit)]
    return bool(fits) and fits[-1].outcome is not Outcome.MEASURED
