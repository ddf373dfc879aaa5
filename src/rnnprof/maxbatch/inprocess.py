"""The largest batch of the user's own training step, found in the current process.

Before the search, ``step`` runs once at batch 2, rounded up to the granularity, so that the memory
that it keeps (modules, the optimizer's state) is part of the baseline.  On the CPU, the limit
then applies to private address space above the baseline (RLIMIT_DATA, the soft limit, set only
while step runs); on CUDA, to all that the caching allocator reserves, weights included.  If a
library ends the process instead of raising an exception, there is no result.

On the CPU, step runs in a separate thread, because oneDNN cannot compile in a thread where it has
run out of memory.  So an autocast or a default device around the call has no effect; step must set
them itself.  Only the gradient mode is the same as here.

While step runs on the CPU, the heap maps each large block separately, and the holes that earlier
work left in it are filled, so that the result does not depend on what ran before.  Afterwards the
heap behaves as usual.  A usual heap keeps freed blocks: with it an LSTM failed under the same limit
from 10% below the answer.  If training itself runs under such a limit, leave more headroom.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rnnprof.breakdown.memory_model import MemoryModel, Sample
from rnnprof.errors import BadInputError
from rnnprof.maxbatch.reasons import (
    BytesUnknown,
    MemoryFalls,
    NoHeadroom,
    NotBatchUsed,
    SmallestFails,
    Thrashes,
)
from rnnprof.maxbatch.search import EdgeSearch, Try, seek
from rnnprof.outcomes import Classification, Evidence, classify
from rnnprof.points.seen import Use, ignored_uses
from rnnprof.reasons import Reason
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.codec import decode
from rnnprof.runfile.observations import Seen
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import format_bytes, format_seconds, parse_bytes, parse_size

if TYPE_CHECKING:
    from rnnprof.worker.backends.budget import Allowance, Reading

WARM_UP_BATCH: Final = 2
"""Batch of the run before the baseline: a batch of 1 breaks batch normalisation."""

FIRST_LEAP: Final = 8
"""The largest ratio of the second batch to the first one with known bytes: a small batch reuses
memory that the heap kept, so its bytes alone predict too large a batch."""

NEAR_RATIO: Final = 0.9
"""A batch is near the limit if it is predicted to take more than this share of it."""

STEPS: Final = 1
"""T for the memory model: step has its own, which is the same in all runs."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One run of steps at a batch.

    Attributes:
        outcome: ``measured`` or ``oom``.
        wall_s: duration of the run.
        peak_bytes: peak of the charged bytes; None where unknown, or after an OOM.
        is_warm_up: whether it ran before the baseline, without a limit except the machine's.
        reason, message: why it did not fit, in one sentence; and the text of the error.
        requested_bytes: size of the allocation that failed, if the error names it.
        allocated_bytes: peak of the bytes that tensors took; None on the CPU.
        retries: how often the caching allocator emptied its cache to continue, which takes time and
            makes *peak_bytes* smaller than what the steps need; None on the CPU.
        seen: the inputs of modules in the first and in the last run of step.
    """

    batch: int
    outcome: Outcome
    wall_s: float
    peak_bytes: int | None = None
    is_warm_up: bool = False
    reason: str | None = None
    message: str | None = None
    requested_bytes: int | None = None
    allocated_bytes: int | None = None
    retries: int | None = None
    seen: tuple[Seen, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all of its steps passed."""
        return self.outcome is Outcome.MEASURED

    def __str__(self) -> str:
        fitted = "warm-up" if self.is_warm_up else f"fits in {format_bytes(self.peak_bytes)}"
        said = fitted if self.passed else self.reason
        return f"batch {self.batch}: {said}, {format_seconds(self.wall_s)}"


@dataclass(frozen=True, slots=True)
class LargestBatch:
    """The largest batch and its proof: *batch* fits, *batch* + granularity does not.

    Attributes:
        batch: the largest batch below every OOM that was run and fitted; None without one.
        train_with: the largest safe batch: the largest multiple of the granularity, at most
            *batch*, that leaves the headroom free; None if there is none or no bytes are known.
        train_with_is_measured: whether *train_with* was run; else its bytes are predicted.
        status: whether the largest batch is proven, and why not.
        fits, fails: the runs on both sides; None for a side that was not seen.
        limit_bytes: the limit in force (CPU: above the baseline; CUDA: all that the allocator
            reserves, weights included), or, on CUDA without a limit, the available memory.
        probes, ooms: runs of steps with the warm-up, and how many of them ran out of memory.
        reason: why there is no *batch* or *train_with*, or a remark on them.
        history: every probe, in order.
    """

    batch: int | None
    train_with: int | None
    train_with_is_measured: bool
    status: EdgeStatus
    fits: Probe | None
    fails: Probe | None
    limit_bytes: int
    granularity: int
    at_most: int
    headroom_ratio: float
    probes: int
    ooms: int
    reason: Reason | None = None
    history: tuple[Probe, ...] = field(default=(), repr=False)


def largest_batch(
    step: Callable[[int], Any],
    *,
    at_most: int = 65536,
    granularity: int = 1,
    headroom: float = 0.05,
    memory_limit: int | str | None = None,
    device: str = "auto",
    confirm_steps: int = 1,
    start: int | None = None,
    listener: Callable[[Probe], None] | None = None,
) -> LargestBatch:
    """Find the largest batch at which *step* runs without running out of memory, and prove it.

    The search follows the bytes that each run takes.  The answer was really run, and so was the
    next batch, which failed.  The docstring of this module says how step is run.

    Args:
        step: ``step(batch)`` runs one or more whole training steps at that batch, with forward,
            backward and optimizer, and frees what it allocated.
        at_most, granularity: the largest batch to try; only multiples of the granularity are tried.
        headroom: share of the limit that ``train_with`` leaves free.
        memory_limit: bytes, or a text such as ``512MiB``; None for the free memory of the machine
            (CPU), or for no limit except the GPU's memory (CUDA).
        device: ``cpu``, ``cuda`` (the current GPU), or ``auto``: a GPU if torch has one.
        confirm_steps: how often ``step(batch)`` must pass in a row.  Near a limit on the CPU it
            first runs once with 1/16 more memory, so that oneDNN has compiled.
        start: the first batch to try, rounded up to the granularity; by default 16 units of it.
        listener: called with each :class:`Probe` when it ends; ``print`` shows it.

    Raises:
        BadInputError: an argument is invalid, or the machine has less memory than the limit.
        NoDeviceError: CUDA is requested, but torch has no GPU.
        Exception: step's own, if it is not out of memory, with a note that names the batch.
    """
    _check(at_most, granularity, headroom, confirm_steps, start)
    asked_bytes = _bytes(memory_limit)
    from rnnprof.worker.backends.budget import open_budget  # imports torch

    runner = Runner(step, confirm_steps, open_budget(device), listener)
    search = BatchSearch(runner, granularity, at_most // granularity)
    try:
        runner.settle(asked_bytes)  # refuses an impossible limit before anything runs
        runner.settle(None)
        search.warm_up()
        runner.settle(asked_bytes)
        search.search(None if start is None else -(-start // granularity))
    finally:
        runner.budget.close()
    return search.result(at_most, headroom)


Attempt: TypeAlias = "tuple[Reading | None, tuple[Classification, str] | None]"
"""The memory of a run that passed, or the classification of an OOM with the error's text."""


@dataclass(slots=True)
class Runner:
    """Runs step under the budget, and separates OOMs from all other errors."""

    step: Callable[[int], Any]
    confirm_steps: int
    budget: Allowance
    listener: Callable[[Probe], None] | None = None
    history: list[Probe] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)

    def settle(self, asked_bytes: int | None) -> None:
        """Take the baseline and set the limit; on the CPU it is at most the free memory."""
        if self.budget.kind == "cpu":
            from rnnprof.engine.identity import resolve_limit

            asked_bytes = resolve_limit(asked_bytes, None)
        self.budget.settle(asked_bytes)

    def run(self, batch: int, *, is_warm_up: bool = False, is_near: bool = False) -> Probe:
        """Run one probe; an error that is not an OOM is raised unchanged, without the limit.

        oneDNN may end the process if it has no memory to compile.  So near the limit, a first run
        with some slack compiles for this batch, and the code is ready for the run under the limit.
        """
        began_s = time.perf_counter()
        took, error = None, None
        if is_near and self.budget.rehearses:
            _, error = self._attempt(batch, 1, slack=True)
        if error is None:
            took, error = self._attempt(batch, self.confirm_steps)
        wall_s = max(0.0, time.perf_counter() - began_s)
        probe = _probe(batch, wall_s, took, error, is_warm_up=is_warm_up)
        probe = replace(probe, seen=self._seen())
        self.history.append(probe)
        if self.listener is not None:
            self.listener(probe)
        return probe

    def _attempt(self, batch: int, count: int, *, slack: bool = False) -> Attempt:
        """One attempt, whose memory is freed at the end."""
        try:
            return self._limited(batch, count, slack=slack)
        finally:  # the exception has been freed, and with it the tensors in its frames
            self.budget.clean()

    def _limited(self, batch: int, count: int, *, slack: bool) -> Attempt:
        reading = None
        try:
            with self.budget.in_force(slack=slack) as reading:
                self.budget.run(lambda: self._steps(batch, count))
        except Exception as error:  # without the limit, there is memory to classify it
            used_bytes = (reading.peak_bytes if reading else None) or self.budget.charged_bytes()
            verdict = classify(self._evidence(error, batch, used_bytes))
            if verdict.outcome is not Outcome.OOM:
                error.add_note(f"rnnprof.largest_batch: raised by step({batch})")
                raise
            return None, (verdict, str(error))
        return reading, None

    def _steps(self, batch: int, count: int) -> None:
        from rnnprof.worker.workload.seen import Sightings

        self.seen = {}
        sightings = Sightings(self.seen, count, takes_mark=False)
        for number in range(1, count + 1):
            with sightings.step(number):
                self.step(batch)

    def _seen(self) -> tuple[Seen, ...]:
        return tuple(decode(Seen, each, "seen") for each in self.seen.get("seen", ()))

    def _evidence(self, error: Exception, batch: int, used_bytes: int | None) -> Evidence:
        """The evidence for classify, with the run's peak: the error has freed much memory by now.

        A smaller batch that passed shows that the libraries can start.
        """
        return Evidence(
            phase=f"step({batch})",
            error_type=type(error).__name__,
            message=str(error),
            smaller_passed=any(probe.passed and probe.batch < batch for probe in self.history),
            charged_bytes=used_bytes,
            limit_bytes=self.budget.limit_bytes,
        )


def _probe(
    batch: int,
    wall_s: float,
    took: Reading | None,
    error: tuple[Classification, str] | None,
    *,
    is_warm_up: bool,
) -> Probe:
    if error is not None:
        verdict, message = error
        known = (verdict.reason, message, verdict.requested_bytes)
        return Probe(batch, verdict.outcome, wall_s, None, is_warm_up, *known)
    assert took is not None
    return Probe(
        batch,
        Outcome.MEASURED,
        wall_s,
        took.peak_bytes,
        is_warm_up,
        allocated_bytes=took.allocated_bytes,
        retries=took.retries,
    )


@dataclass(slots=True)
class BatchSearch:
    """The search with one runner, in units of the granularity.

    Attributes:
        most: the largest number of units to try.
        edge: the bracket; None before the search.
        unused: why step does not use its batch; None if it does.
        first: units to try before the search proposes; None for none.
    """

    runner: Runner
    granularity: int
    most: int
    edge: EdgeSearch | None = None
    unused: Reason | None = None
    first: int | None = None

    def warm_up(self) -> None:
        """Run a small batch, so that what step loads and keeps is part of the baseline."""
        units = min(self.most, -(-WARM_UP_BATCH // self.granularity))
        self.runner.run(units * self.granularity, is_warm_up=True)

    def search(self, first: int | None) -> None:
        """Probe until the largest batch is proven."""
        limit_bytes = self.runner.budget.limit_bytes
        self.edge = edge = EdgeSearch(STEPS, limit_bytes, self.most, self.granularity)
        warm_up = self.runner.history[0]
        if not warm_up.passed:  # perhaps only the first load did not fit: try this batch again
            first = warm_up.batch // self.granularity
        self.first = first
        seek(edge, self._propose, self._probe)

    def _propose(self, edge: EdgeSearch) -> tuple[EdgeSearch, int | None]:
        """The batch to run next; None if the answer is proven or step does not use its batch."""
        if self.unused:
            return edge, None
        units = self.first if self.first is not None else self._next(edge)
        self.first = None
        return edge, None if units is None else units * self.granularity

    def _probe(self, _: EdgeSearch, batch: int) -> Try:
        tried = self._try(self.runner.run(batch, is_near=self._is_near(batch)))
        self.unused = self._ignored()
        return tried

    def _ignored(self) -> Reason | None:
        """Why the probes show that step does not use its batch, without the warm-up's bytes."""
        return ignored_uses(
            Use(each.batch, STEPS, each.seen, None if each.is_warm_up else each.peak_bytes)
            for each in self.runner.history
            if each.passed
        )

    def result(self, at_most: int, headroom_ratio: float) -> LargestBatch:
        """Both sides of the proof, and the largest safe batch."""
        edge, history = self.edge, tuple(self.runner.history)
        assert edge is not None
        allowed_bytes = edge.limit_bytes * (1 - headroom_ratio)
        train_with = None if self.unused else self._train_with(edge, allowed_bytes)
        return LargestBatch(
            batch=None if self.unused else edge.fits * self.granularity or None,
            train_with=train_with,
            train_with_is_measured=any(p.passed and p.batch == train_with for p in history),
            status=EdgeStatus.BATCH_NOT_USED if self.unused else _status(edge),
            fits=self._probe_at(edge.fits, Outcome.MEASURED),
            fails=self._probe_at(edge.fails, Outcome.OOM),
            limit_bytes=self.runner.budget.limit_bytes,
            granularity=self.granularity,
            at_most=at_most,
            headroom_ratio=headroom_ratio,
            probes=len(history),
            ooms=sum(not probe.passed for probe in history),
            reason=self._reason(edge, train_with),
            history=history,
        )

    def _train_with(self, edge: EdgeSearch, allowed_bytes: float) -> int | None:
        """The largest safe batch, by the model, between batches with known bytes."""
        model = self._model()
        if model is None or not edge.fits:
            return None
        if allowed_bytes >= edge.limit_bytes:
            return edge.fits * self.granularity
        known = [t for t in edge.tries if t.size_bytes is not None and t.units <= edge.fits]
        # after an emptied cache the bytes are smaller than what the steps need: not headroom
        beyond = [t.units for t in known if t.retries or (t.size_bytes or 0) > allowed_bytes]
        within = [t.units for t in known if t.units not in beyond]
        highest = min(beyond, default=edge.fits + 1) - 1
        lowest = max((units for units in within if units <= highest), default=0)
        predicted = model.edge(STEPS, allowed_bytes) / self.granularity
        return int(max(lowest, min(highest, predicted))) * self.granularity or None

    def _reason(self, edge: EdgeSearch, train_with: int | None) -> Reason | None:
        if self.unused:
            return NotBatchUsed(self.unused)
        if not edge.fits:
            return SmallestFails(self.granularity)
        if self._model() is None:
            return BytesUnknown()
        if train_with is None:
            return NoHeadroom(self.granularity)
        if edge.fall is not None:
            smaller, larger = edge.fall
            return MemoryFalls(
                smaller.units * self.granularity,
                smaller.held_bytes,
                larger.units * self.granularity,
                larger.held_bytes,
            )
        return self._thrashing(edge)

    def _thrashing(self, edge: EdgeSearch) -> Thrashes | None:
        probe = self._probe_at(edge.fits, Outcome.MEASURED)
        if probe is None or not probe.retries:
            return None
        return Thrashes(probe.batch, probe.retries)

    def _is_near(self, batch: int) -> bool:
        """Whether the batch is predicted to be near the limit; True without a prediction."""
        model = self._model()
        if model is None:
            return True
        near_bytes = NEAR_RATIO * self.runner.budget.limit_bytes
        return model.predict_bytes(Point(batch, STEPS)) > near_bytes

    def _next(self, edge: EdgeSearch) -> int | None:
        """The search's proposal, with the memory model only where its bytes can be trusted."""
        known = [t.units for t in edge.tries if t.size_bytes is not None]
        # without the bytes of the largest fit the bracket is divided instead
        units = edge.propose(self._model() if max(known, default=0) == edge.fits else None)
        if units is None or len(known) != 1 or edge.fails is not None:
            return units
        return min(units, FIRST_LEAP * known[0])

    def _model(self) -> MemoryModel | None:
        return MemoryModel.fit(
            Sample(Point(probe.batch, STEPS), probe.peak_bytes)
            for probe in self.runner.history
            if probe.peak_bytes is not None and not probe.is_warm_up and not probe.retries
        )

    def _try(self, probe: Probe) -> Try:
        units = probe.batch // self.granularity
        known = (probe.peak_bytes, probe.allocated_bytes, probe.retries)
        return Try(units, probe.outcome, *known)

    def _probe_at(self, units: int | None, outcome: Outcome) -> Probe | None:
        return next(
            (
                probe
                for probe in reversed(self.runner.history)
                if units is not None
                and probe.batch == units * self.granularity
                and probe.outcome is outcome
            ),
            None,
        )


def _status(edge: EdgeSearch) -> EdgeStatus:
    if edge.contradiction is not None:
        return EdgeStatus.NON_MONOTONE
    if not edge.fits:
        return EdgeStatus.NOTHING_FITS
    return EdgeStatus.CAPPED if edge.fails is None else EdgeStatus.CERTIFIED


def _check(
    at_most: int, granularity: int, headroom: float, confirm_steps: int, start: int | None
) -> None:
    if granularity < 1:
        raise BadInputError(f"granularity={granularity}: must be at least 1")
    if at_most < granularity:
        raise BadInputError(f"at_most={at_most}: must be at least the granularity, {granularity}")
    if confirm_steps < 1:
        raise BadInputError(f"confirm_steps={confirm_steps}: must be at least 1")
    if not 0 <= headroom < 1:
        raise BadInputError(f"headroom={headroom}: must be a share of the limit, from 0 to below 1")
    if start is not None and not 1 <= start <= at_most // granularity * granularity:
        raise BadInputError(f"start={start}: must be from 1 to at_most in whole granularities")


def _bytes(size: int | str | None) -> int | None:
    if size is None:
        return None
    try:
        return parse_size(size) if isinstance(size, str) else parse_bytes(str(size))
    except ValueError as error:
        raise BadInputError(f"memory_limit={size!r}: {error}") from None
