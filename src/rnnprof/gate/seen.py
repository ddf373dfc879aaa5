"""What judges look at: a run, its points, and what each was required to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.compare.comparison import (
    RECOMMENDED_PROCESSES,
    ProcessMedians,
)
from rnnprof.gate.budget import MostPeak
from rnnprof.gate.evidence import Proofs, Required
from rnnprof.gate.verdicts import Finding, Verdict
from rnnprof.maxbatch.certify import UNUSABLE, frontier_of, settings_of
from rnnprof.maxbatch.stationary import leak_of
from rnnprof.outcomes import was_crowded_out
from rnnprof.points.fold import by_point, fold_run
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import Fit, Memory, Observation, Timing
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run, Settings
from rnnprof.stats.estimate import SIGNIFICANCE, Estimate, holm
from rnnprof.stats.statistics import CONFIDENCE
from rnnprof.units import format_ratio

FEW_PROCESSES_FACTOR: Final = 2.0
"""Far beyond what processes of the same code differ by on one machine: 10% is much."""

MORE: Final = f"{RECOMMENDED_PROCESSES} quiet ones do better (--processes)"

MAX_TOLD: Final = 20
"""Differences and points that one reason lists before it counts the rest."""


def judge_finished(run: Run, name: str) -> list[Finding]:
    """An unfinished run proves nothing by what it lacks; what is required of it fails by itself."""
    if run.is_finished:
        return []
    reason = f"{name} was stopped before its end: give the command that began it to finish it"
    return [Finding("finished", "", Verdict.INCONCLUSIVE, reason)]


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run as the checks look at it.

    Attributes:
        required: the conditions under which its passes count.
    """

    run: Run
    required: Required
    points: Mapping[Point, Measurement]
    observations: Mapping[Point, list[Observation]]
    frontier: Mapping[int, Certificate]

    @classmethod
    def of(cls, run: Run, required: Required | None = None) -> JudgedRun:
        frontier = {certificate.time_steps: certificate for certificate in frontier_of(run)}
        observations = by_point(run.observations)
        return cls(run, required or Required(), fold_run(run), observations, frontier)

    def fits_at(self, time_steps: int) -> list[Fit]:
        """Every fit pass at T, of the grid and of the search for the edge."""
        fits = [o for o in self.run.observations if isinstance(o, Fit) and o.is_of_the_workload]
        return [fit for fit in fits if fit.time_steps == time_steps]

    def evidence_at(self, time_steps: int) -> Proofs:
        """What the fit passes at T show under the conditions required."""
        limit_bytes = self.required.limit_of(self.run)
        return Proofs(self.fits_at(time_steps), limit_bytes, self.required.confirm_steps)

    def unusable_at(self, time_steps: int) -> str | None:
        """What the training step does at T that no batch can be passed with; None for nothing."""
        certificate = self.frontier.get(time_steps)
        if certificate is not None and certificate.status in UNUSABLE:
            return f"{certificate.status.value.replace('_', ' ')}: {certificate.reason}"
        settings = settings_of(self.run) or Settings()
        leak = leak_of(self.fits_at(time_steps), settings.confirm_steps, settings.granularity)
        return None if leak is None else f"not stationary: {leak}"

    def medians_at(self, point: Point) -> ProcessMedians:
        """Of the timing processes at a point; none where its last attempt did not come through."""
        timings = [o for o in self.observations.get(point, ()) if isinstance(o, Timing)]
        measurement = self.points.get(point)
        is_through = measurement is not None and measurement.outcome is Outcome.MEASURED
        if not is_through or (timings and timings[-1].outcome is not Outcome.MEASURED):
            return ProcessMedians.of(())
        return ProcessMedians.of(timings)

    def absence(self, point: Point) -> tuple[Verdict, str]:
        """What to say of a point without the measurement asked for."""
        measurement = self.points.get(point)
        if measurement is None:
            return Verdict.FAIL, f"missing: the run has no measurement at {point}"
        if measurement.outcome in (Outcome.OOM, Outcome.IMPLIED_OOM):
            return Verdict.FAIL, f"it does not fit: {measurement.reason}"
        if any(was_crowded_out(o) for o in self.observations.get(point, ())[-1:]):
            return Verdict.INCONCLUSIVE, f"the machine stood in the way: {measurement.reason}"
        last = next(reversed(self.observations.get(point, ())), None)
        if last is not None and last.outcome is not Outcome.MEASURED:
            return Verdict.FAIL, f"missing: {last.outcome.value}: {last.reason}"
        if measurement.outcome is Outcome.MEASURED:
            return Verdict.FAIL, f"missing: the pass that tells it was not run at {point}"
        return Verdict.FAIL, f"missing: {measurement.outcome.value}: {measurement.reason}"


def peak_of(limit: MostPeak, seen: JudgedRun) -> tuple[Verdict, str, int | None]:
    """The peak; or, without it, the verdict and why."""
    measurement = seen.points.get(limit.point)
    observations = seen.observations.get(limit.point, [])
    kind: type[Observation] = Memory if limit.of == "allocated" else Fit
    if limit.of == "reserved" and not has_reserved(observations):
        kind = Memory
    passes = [o for o in observations if isinstance(o, kind)]
    if measurement is None or not passes or does_not_fit(observations):
        return (*seen.absence(limit.point), None)
    last = passes[-1]
    if isinstance(last, Fit) and last.limit_bytes != seen.required.limit_of(seen.run):
        other = seen.evidence_at(limit.point.time_steps).other_limit([limit.point.batch])
        return Verdict.NOT_COMPARABLE, f"not comparable: {other}", None
    if was_crowded_out(last):
        return Verdict.INCONCLUSIVE, f"the machine stood in the way: {last.reason}", None
    if last.outcome is not Outcome.MEASURED:
        return Verdict.FAIL, f"missing: {last.outcome.value}: {last.reason}", None
    peak: int | None = getattr(measurement, f"peak_{limit.of}_bytes")
    why = getattr(last, f"peak_{limit.of}_reason", None) or "this device does not tell it"
    return Verdict.INCONCLUSIVE, f"the {limit.of} peak is not known: {why}", peak


def untimed(point: Point, medians: ProcessMedians, seen: JudgedRun) -> tuple[Verdict, str]:
    """A point of which no quiet process was timed."""
    if medians.noisy:
        return Verdict.INCONCLUSIVE, f"every process was noisy: {medians.noisy[0]}"
    return seen.absence(point)


def judge_estimates(estimates: Sequence[Estimate | None], limit_ratio: float) -> list[Verdict]:
    """A verdict for each ratio, all held against 1 + *limit_ratio*; None is INCONCLUSIVE."""
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


def confidence() -> str:
    return f"{CONFIDENCE:.0%} interval"


def listed(items: Sequence[str]) -> str:
    more = len(items) - MAX_TOLD
    told = "; ".join(items[:MAX_TOLD])
    return f"{told}; and {more} more" if more > 0 else told


def signed(ratio: float) -> str:
    """A change as ``+5.1%``, ``-0.3%`` or ``0%``."""
    text = format_ratio(ratio)
    return f"+{text}" if ratio > 0 else text


def has_reserved(observations: Iterable[Observation]) -> bool:
    """Whether the fit pass counted what the caching allocator reserves, as it does on a GPU."""
    return any(isinstance(o, Fit) and o.peak_allocated_bytes is not None for o in observations)


def does_not_fit(observations: Sequence[Observation]) -> bool:
    fits = [o for o in observations if isinstance(o, Fit)]
    return bool(fits) and fits[-1].outcome is not Outcome.MEASURED
