"""The frontier: the largest batch at each T, found with few probes and proven in fresh workers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rnnprof.breakdown.memory_model import MemoryModel, Sample, samples_of
from rnnprof.engine.listener import Listener
from rnnprof.engine.observer import Observer
from rnnprof.engine.script_cost import left_after
from rnnprof.maxbatch.certify import (
    MAX_CRASHES,
    MOST_PROBES,
    Proof,
    conclude,
    missing_proof,
    probes_of,
    without_unused_length,
)
from rnnprof.maxbatch.reasons import (
    Between,
    NothingKnown,
    OnceMore,
    Predicted,
    SeemsToLeave,
    ToProve,
)
from rnnprof.maxbatch.search import EdgeSearch, Try, seek
from rnnprof.maxbatch.stationary import (
    batch_to_confirm,
    confirming_steps,
    is_varying,
    leak_of,
)
from rnnprof.maxbatch.terms import KNOWN_ENDS, Terms
from rnnprof.outcomes import was_crowded_out
from rnnprof.points.seen import ignored, unused_length
from rnnprof.points.starts import fixed_bytes
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import UNSOUGHT, Outcome, Point, Role
from rnnprof.runfile.records import Record, Run, Settings

EXPLORING_STEPS: Final = 2
"""In the second step the optimizer's state exists, so the peak is known."""

NEAR_RATIO: Final = 0.02
"""A batch within this share of the predicted largest batch is run as a proof at once."""

LEAST_SHARE: Final = 0.01
"""The sequences of a batch are taken to have at least this share of its bytes, as fixed bytes
are known no better."""

MIN_SAMPLES_TO_TRUST: Final = 2
"""One sample gives no slope: its prediction is a lower bound far below the largest batch."""


@dataclass(slots=True)
class Frontier:
    """The search over several T, which share one memory model.

    Attributes:
        observer: runs the probes.
        record: appends a certificate to the run file.
        listener: receives the progress.
        at_most: the largest batch to try.
        known: fit passes by T.
        model: the memory model when a batch was last proposed.
        lengths: T that have no proof so far.
        is_cost_told: whether the user was told what the search of a script still takes.
    """

    observer: Observer
    record: Callable[[Record], None]
    listener: Listener
    at_most: int
    known: dict[int, list[Fit]] = field(default_factory=lambda: defaultdict(list))
    model: MemoryModel | None = None
    lengths: int = 0
    is_cost_told: bool = False

    def recall(self, run: Run) -> None:
        """Take over fit passes of this and earlier invocations with the same limit and lengths."""
        same = {
            request.request
            for request in run.requests
            if request.settings.lengths == self._settings.lengths
        }
        for fit in run.observations:
            if not isinstance(fit, Fit) or fit.request not in same or was_crowded_out(fit):
                continue
            if fit.role in UNSOUGHT:
                continue
            if fit.limit_bytes == self.observer.limit_bytes:
                self.known[fit.time_steps].append(fit)

    def run(self, lengths: Iterable[int]) -> tuple[Proof, ...]:
        """Certify each T, in the order in which each T helps most to predict the next."""
        ordered = order_of(lengths)
        certificates = []
        for done, time_steps in enumerate(ordered):
            self.lengths = len(ordered) - done
            certificate = self.certify(time_steps)
            self.record(certificate.certificate)
            certificates.append(certificate)
            self.listener.proved(certificate, done + 1, len(ordered))
        return tuple(sorted(certificates, key=lambda certificate: certificate.time_steps))

    def certify(self, time_steps: int) -> Proof:
        """Search the largest batch at one T until it is proven or cannot be proven."""
        fits, request = self.known[time_steps], self.observer.request.request
        seek(self._terms_at(time_steps).search(time_steps, fits), self._propose, self._try)
        proof = conclude(time_steps, fits, self._terms, request)
        return without_unused_length(proof, self._fits(), self._terms)

    def _fits(self) -> list[Fit]:
        """The fit passes at every T."""
        return [fit for fits in self.known.values() for fit in fits]

    def _propose(self, search: EdgeSearch) -> tuple[EdgeSearch, int | None]:
        """The updated search, and the batch to run next; None ends the search."""
        fits, request = self.known[search.time_steps], self.observer.request.request
        if _is_unsupported(fits) or probes_of(fits, request) >= MOST_PROBES:
            return search, None
        search = self._settle_suspicion(search)
        terms = self._terms_at(search.time_steps)
        if _leaks(fits, terms) or ignored(fits) is not None or self._ignores(search.time_steps):
            return search, None
        search = self._without_short_passes(search)
        search = self._with_model(search)
        units = search.propose(self.model)
        batch = missing_proof(search, fits, terms) if units is None else units * terms.granularity
        if batch is None or _is_set_aside(batch, fits) or self._is_tired(batch, fits):
            return search, None
        return search, batch

    def _with_model(self, search: EdgeSearch) -> EdgeSearch:
        """The search, with what the model of its next proposal rests on.

        One fit alone gives no bytes per sequence.  Of a script it does, nearly: its fixed bytes are
        those that it held before its first training step.
        """
        samples, fixed = self._samples(), self._fixed_sample()
        is_guessed = fixed is not None and len({s.point for s in samples}) == 1
        self.model = MemoryModel.fit([*samples, fixed] if fixed and is_guessed else samples)
        fixed_bytes = fixed.size_bytes if fixed else None
        return replace(search, is_guessed=is_guessed, fixed_bytes=fixed_bytes)

    def _fixed_sample(self) -> Sample | None:
        """The fixed bytes of a script, as a sample at B=0; None where they are unknown."""
        for fit in self._fits():
            fixed, peak = fixed_bytes(fit), fit.peak_charged_bytes
            if fit.outcome is Outcome.MEASURED and fixed and peak:
                return Sample(Point(0, fit.time_steps), min(fixed, (1 - LEAST_SHARE) * peak))
        return None

    def _try(self, search: EdgeSearch, batch: int) -> Try | None:
        """Run a batch; None if the result says nothing about memory."""
        point = Point(batch, search.time_steps)
        self.listener.probing(point, self._why(batch, search, self.model))
        is_near = search.is_over or self._is_near(point, self.model)
        fit = self._probe(point, self._steps_of(point, is_near=is_near))
        return self._terms_at(point.time_steps).try_of(fit) if fit.outcome in KNOWN_ENDS else None

    def _settle_suspicion(self, search: EdgeSearch) -> EdgeSearch:
        """Run longer passes where training steps seem to leave memory behind; return the search
        with their results.
        """
        terms, fits = self._terms, self.known[search.time_steps]
        before, count = len(fits), confirming_steps(terms.confirm_steps)
        while (batch := batch_to_confirm(fits, terms.confirm_steps, terms.granularity)) is not None:
            point = Point(batch, search.time_steps)
            self.listener.probing(point, SeemsToLeave())
            self._probe(point, count)
        is_new = len(fits) > before
        return (
            self._terms_at(search.time_steps).search(search.time_steps, fits) if is_new else search
        )

    def _without_short_passes(self, search: EdgeSearch) -> EdgeSearch:
        """The search; restarted with evident passes once memory is known to vary by step."""
        if search.bisects or not self._is_varying(search.time_steps):
            return search
        return self._terms_at(search.time_steps).search(
            search.time_steps, self.known[search.time_steps]
        )

    def _is_varying(self, time_steps: int) -> bool:
        """Whether short passes at this T say nothing about longer ones."""
        return is_varying(self.known[time_steps])

    def _is_tired(self, batch: int, fits: Sequence[Fit]) -> bool:
        """Whether a batch was tried so often that one more probe will not prove it."""
        terms = self._terms.lasting(fits)
        most = terms.confirm + MAX_CRASHES + (terms.through > 0)
        return sum(fit.batch == batch for fit in fits) >= most

    def _steps_of(self, point: Point, *, is_near: bool) -> int:
        """Training steps of a probe: few if only its bytes are needed."""
        fits, terms = self.known[point.time_steps], self._terms_at(point.time_steps)
        is_varying_somewhere = any(map(self._is_varying, self.known))
        if is_varying_somewhere or any(f.point == point and terms.is_long(f) for f in fits):
            return terms.horizon
        if is_near or self._is_script:
            return terms.confirm_steps  # a script's start takes longer than a few training steps
        return min(terms.confirm_steps, EXPLORING_STEPS)

    def _is_near(self, point: Point, model: MemoryModel | None) -> bool:
        """Whether the batch may be the largest one, so that it is run as long as a proof."""
        if model is None or len(self._samples()) < MIN_SAMPLES_TO_TRUST:
            return False
        beyond = Point(math.ceil(point.batch * (1 + NEAR_RATIO)), point.time_steps)
        return model.predict_bytes(beyond) > self._terms.limit_bytes

    def _probe(self, point: Point, count: int) -> Fit:
        """Run a batch for *count* training steps."""
        settings = self._settings
        fit = self.observer.observe(
            point, "fit", Role.PROBE, confirm_steps=count, lengths=settings.lengths
        )
        assert isinstance(fit, Fit)
        self.known[point.time_steps].append(fit)
        self.listener.probed(fit)
        self._tell_cost(fit)
        return fit

    def _tell_cost(self, fit: Fit) -> None:
        """Tell what the search of a script still takes, once, after the first probe that says."""
        left = None if self.is_cost_told else left_after(fit, self._settings, self.lengths)
        if left is not None:
            self.listener.noted(left)
            self.is_cost_told = True

    def _samples(self) -> list[Sample]:
        """Peaks at all T, from the evident passes."""
        evident = (self._terms_at(t).evident(fits) for t, fits in self.known.items())
        return samples_of(fit for fits in evident for fit in fits)

    def _why(self, batch: int, search: EdgeSearch, model: MemoryModel | None) -> Reason:
        """Why this batch is tried: its predicted bytes and the bracket of the largest batch."""
        unit = search.granularity
        high = None if search.fails is None else (search.fails - 1) * unit
        between = Between(search.fits * unit, high)
        if model is None:
            return between if search.tries else NothingKnown()
        before = [fit for fit in self.known[search.time_steps] if fit.batch == batch]
        if before and before[-1].outcome is Outcome.CRASHED:
            return OnceMore()
        if before:
            return ToProve(self._horizon(search.time_steps), self._seconds(before[-1]))
        predicted = model.predict_bytes(Point(batch, search.time_steps))
        return Predicted(predicted, self._terms.limit_bytes, between)

    def _seconds(self, before: Fit) -> float | None:
        """Seconds of a longer horizon, from a shorter pass at the same batch."""
        horizon = self._horizon(before.time_steps)
        if not 0 < before.train_steps_run < horizon or horizon == self._settings.confirm_steps:
            return None
        return before.wall_s / before.train_steps_run * horizon

    @property
    def _is_script(self) -> bool:
        return self.observer.task.workload.script is not None

    def _ignores(self, time_steps: int) -> bool:
        """Whether the script is given T and does not use this one."""
        script = self.observer.task.workload.script
        if script is None or "time_steps" not in script.placeholders:
            return False
        return unused_length(self._fits(), time_steps) is not None

    @property
    def _settings(self) -> Settings:
        return self.observer.request.settings

    def _terms_at(self, time_steps: int) -> Terms:
        """The terms of a proof at T, which depend on the passes there."""
        return self._terms.lasting(self.known[time_steps])

    def _horizon(self, time_steps: int) -> int:
        return self._terms_at(time_steps).horizon

    @property
    def _terms(self) -> Terms:
        settings = self._settings
        return Terms(
            limit_bytes=self.observer.limit_bytes,
            at_most=self.at_most,
            granularity=settings.granularity,
            confirm_steps=settings.confirm_steps,
            through=settings.through,
            confirm=settings.confirm,
            script=self.observer.task.workload.script,
        )


def _leaks(fits: Sequence[Fit], terms: Terms) -> bool:
    """Whether a long pass has confirmed that training steps leave memory behind."""
    return leak_of(fits, terms.confirm_steps, terms.granularity) is not None


def _is_unsupported(fits: Sequence[Fit]) -> bool:
    """Whether every pass at this T ended as not supported."""
    return bool(fits) and all(fit.outcome is Outcome.UNSUPPORTED for fit in fits)


def _is_set_aside(batch: int, fits: Sequence[Fit]) -> bool:
    """Whether a batch is not tried again: it hung, or crashed twice."""
    ends = [fit.outcome for fit in fits if fit.batch == batch]
    hung = any(end not in KNOWN_ENDS and end is not Outcome.CRASHED for end in ends)
    return hung or ends.count(Outcome.CRASHED) >= MAX_CRASHES


def order_of(lengths: Iterable[int]) -> list[int]:
    """The longest, the shortest, then always the T farthest from those before.

    Between two known T the model interpolates, rarely with an error of more than one sequence.
    """
    left = sorted(set(lengths))
    ordered: list[int] = []
    while left:
        chosen = max(left, key=lambda t: (_distance(t, ordered), t))
        ordered.append(chosen)
        left.remove(chosen)
    return ordered


def _distance(time_steps: int, others: Sequence[int]) -> float:
    """The ratio between a T and the nearest other one."""
    return min((max(time_steps, t) / min(time_steps, t) for t in others), default=float("inf"))
