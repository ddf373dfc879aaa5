"""The frontier: the edge at each T, sought with few probes and proven by fresh workers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rnnprof.analysis.certify import KNOWN_ENDS, MAX_CRASHES, Terms, conclude, missing_proof
from rnnprof.analysis.edge_search import EdgeSearch
from rnnprof.analysis.fold import was_crowded_out
from rnnprof.analysis.memory_model import MemoryModel, Sample
from rnnprof.engine.observer import Observer
from rnnprof.records import (
    UNSOUGHT,
    Certificate,
    Fit,
    Outcome,
    Point,
    Record,
    Role,
    Run,
    Settings,
)
from rnnprof.units import format_bytes

EXPLORING_STEPS: Final = 2
"""The second finds the optimizer's state in place: from there on the peak is known."""

NEAR_RATIO: Final = 0.02
"""A batch within it of the edge predicted is run as a proof at once."""

MIN_SAMPLES_TO_TRUST: Final = 2
"""One sample tells no slope: what it predicts is a lower bound, and far from the edge."""


class FrontierListener:
    """Told how the search goes; the base class keeps silent."""

    def probing(self, point: Point, why: str) -> None:
        """A batch is tried."""

    def probed(self, fit: Fit) -> None:
        """What came of it."""

    def proved(self, certificate: Certificate, done: int, total: int) -> None:
        """The edge at one T is known, or why it is not."""

    def looking_around(self, certificate: Certificate, done: int, total: int) -> None:
        """*done* of *total* neighbours of a largest batch have been run."""


@dataclass(slots=True)
class Frontier:
    """The search over several T, which share what each success teaches."""

    observer: Observer
    record: Callable[[Record], None]
    listener: FrontierListener
    at_most: int
    known: dict[int, list[Fit]] = field(default_factory=lambda: defaultdict(list))

    def recall(self, run: Run) -> None:
        """Take up the fit passes of this and earlier invocations that ran under the same terms."""
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
                self.known[fit.steps].append(fit)

    def run(self, lengths: Iterable[int]) -> tuple[Certificate, ...]:
        """Certify each T, in the order in which each teaches the next the most."""
        ordered = order_of(lengths)
        certificates = []
        for done, steps in enumerate(ordered):
            certificate = self.certify(steps)
            self.record(certificate)
            certificates.append(certificate)
            self.listener.proved(certificate, done + 1, len(ordered))
        return tuple(sorted(certificates, key=lambda certificate: certificate.steps))

    def certify(self, steps: int) -> Certificate:
        """Search the edge at one T until it is proven or cannot be."""
        terms, fits = self._terms, self.known[steps]
        search = terms.search(steps, fits)
        while not _is_unsupported(fits):
            model = MemoryModel.fit(self._samples())
            units = search.propose(model)
            batch = (
                missing_proof(search, fits, terms) if units is None else units * (terms.granularity)
            )
            if batch is None or _is_set_aside(batch, fits) or self._is_tired(batch, fits):
                break
            self.listener.probing(Point(batch, steps), self._why(batch, search, model))
            is_whole = units is None or _fails_late(fits)
            is_near = is_whole or self._is_near(Point(batch, steps), model)
            fit = self._probe(Point(batch, steps), is_near=is_near)
            if fit.outcome in KNOWN_ENDS:
                search.learn(terms.try_of(fit))
        return conclude(steps, fits, terms, self.observer.request.request)

    def _is_tired(self, batch: int, fits: Sequence[Fit]) -> bool:
        """Whether a batch has been tried so often that another time will not prove it either."""
        return sum(fit.batch == batch for fit in fits) >= self._terms.confirm + MAX_CRASHES

    def _is_near(self, point: Point, model: MemoryModel | None) -> bool:
        """Whether the batch may well be the edge itself, and is worth the steps of a proof."""
        if model is None or len(self._samples()) < MIN_SAMPLES_TO_TRUST:
            return False
        beyond = Point(math.ceil(point.batch * (1 + NEAR_RATIO)), point.steps)
        return model.predict_bytes(beyond) > self._terms.limit_bytes

    def _probe(self, point: Point, *, is_near: bool) -> Fit:
        """Run a batch; far from the edge its bytes are all that is wanted of it."""
        settings = self._settings
        count = settings.confirm_steps if is_near else min(settings.confirm_steps, EXPLORING_STEPS)
        fit = self.observer.observe(
            point, "fit", Role.PROBE, confirm_steps=count, lengths=settings.lengths
        )
        assert isinstance(fit, Fit)
        self.known[point.steps].append(fit)
        self.listener.probed(fit)
        return fit

    def _samples(self) -> list[Sample]:
        """Peaks of all T, without those that an emptied cache has made smaller."""
        return [
            Sample(fit.point, fit.peak_counted_bytes)
            for fits in self.known.values()
            for fit in fits
            if fit.outcome is Outcome.MEASURED and fit.peak_counted_bytes and not fit.retries
        ]

    def _why(self, batch: int, search: EdgeSearch, model: MemoryModel | None) -> str:
        """Why this batch: what is predicted of it, and between which the edge lies."""
        between = f"the edge lies from {search.fits * search.granularity}"
        if search.fails is not None:
            between += f" to {search.fails * search.granularity - search.granularity}"
        if model is None:
            return between if search.tries else "nothing is known yet"
        predicted = model.predict_bytes(Point(batch, search.steps))
        limit = format_bytes(self._terms.limit_bytes)
        before = [fit.outcome for fit in self.known[search.steps] if fit.batch == batch]
        if before and before[-1] is Outcome.CRASHED:
            return "once more: its worker died"
        if before:
            return f"to prove it in a fresh worker over {self._settings.confirm_steps} steps"
        return f"{format_bytes(predicted)} of {limit} predicted; {between}"

    @property
    def _settings(self) -> Settings:
        return self.observer.request.settings

    @property
    def _terms(self) -> Terms:
        settings = self._settings
        return Terms(
            limit_bytes=self.observer.limit_bytes,
            at_most=self.at_most,
            granularity=settings.granularity,
            confirm_steps=settings.confirm_steps,
            confirm=settings.confirm,
        )


def _is_unsupported(fits: Sequence[Fit]) -> bool:
    """Whether nothing else was seen at this T than that it is not supported."""
    return bool(fits) and all(fit.outcome is Outcome.UNSUPPORTED for fit in fits)


def _fails_late(fits: Sequence[Fit]) -> bool:
    """Whether memory ran out after steps enough to explore: a few then tell nothing of all."""
    return any(f.outcome is Outcome.OOM and f.steps_run >= EXPLORING_STEPS for f in fits)


def _is_set_aside(batch: int, fits: Sequence[Fit]) -> bool:
    """Whether nothing is to be learned by trying a batch again: it hung, or crashed twice."""
    ends = [fit.outcome for fit in fits if fit.batch == batch]
    hung = any(end not in KNOWN_ENDS and end is not Outcome.CRASHED for end in ends)
    return hung or ends.count(Outcome.CRASHED) >= MAX_CRASHES


def order_of(lengths: Iterable[int]) -> list[int]:
    """The longest, the shortest, then always the one farthest from those before.

    Between two T that are known a third is interpolated, and rarely more than one sequence off.
    """
    left = sorted(set(lengths))
    ordered: list[int] = []
    while left:
        chosen = max(left, key=lambda t: (_distance(t, ordered), t))
        ordered.append(chosen)
        left.remove(chosen)
    return ordered


def _distance(steps: int, others: Sequence[int]) -> float:
    """How far a T lies from the nearest of others, as a ratio."""
    return min((max(steps, t) / min(steps, t) for t in others), default=float("inf"))
