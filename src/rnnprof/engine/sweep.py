"""The sweep: every point of the grid, each pass in a fresh worker, each record in the journal.

It knows no process and no file: it takes a *probe* that runs a task, a *record* that keeps what
was seen, and a clock.  The same code runs against real workers and against a fake.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from rnnprof import protocol
from rnnprof.analysis.disturbance import judge
from rnnprof.analysis.fold import by_point, fold, missing_passes, rates_of, was_crowded_out
from rnnprof.analysis.outcomes import Evidence, classify, is_suspect
from rnnprof.analysis.plan import Cost, anchor_of, deadline_s, dominating_oom, remaining_s, shuffled
from rnnprof.codec import DecodeError, decode, encode
from rnnprof.engine.plausible import check
from rnnprof.records import (
    KINDS,
    Calibration,
    Failure,
    Fit,
    Measurement,
    Memory,
    Observation,
    Outcome,
    Point,
    Record,
    Request,
    Role,
    Run,
    Started,
    Timing,
)

MIN_POINTS_FOR_ANCHOR: Final = 3
"""With fewer points there is no time in which the machine could drift."""


RATES_POINT: Final = Point(1, 1)
"""Rates belong to the device and to no point."""

KIND_OF_PASS: Final = {"rates": "calibration"}
"""The record of a pass, where it has another name."""


class Answer(Protocol):
    """What a probe returns; see :class:`rnnprof.engine.supervisor.Answer`."""

    @property
    def worker(self) -> int: ...
    @property
    def findings(self) -> dict[str, Any]: ...
    @property
    def evidence(self) -> Evidence | None: ...
    @property
    def wall_s(self) -> float: ...


Probe = Callable[[protocol.Task, float], Answer]


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer whose evidence a second, smaller attempt has completed."""

    worker: int
    findings: dict[str, Any]
    evidence: Evidence | None
    wall_s: float


class Listener:
    """Told how the sweep goes; the base class keeps silent."""

    def begun(self, todo: int, total: int) -> None:
        """*todo* of *total* points are still to run."""

    def entering(self, point: Point, observes: str) -> None:
        """A pass begins."""

    def ended(self, measurement: Measurement, done: int, left_s: float | None) -> None:
        """A point is complete; *left_s* is the time that the rest will take."""

    def noted(self, text: str) -> None:
        """Something that the reader should know."""

    def closed(self) -> None:
        """Nothing more follows."""


@dataclass(slots=True)
class Sweep:
    """One invocation's way over the grid.

    Attributes:
        task: what every worker is told; point, pass and limits are filled in.
    """

    task: protocol.Task
    request: Request
    limit_bytes: int
    probe: Probe
    record: Callable[[Record], None]
    listener: Listener
    guard_bytes: Callable[[], int]
    clock: Callable[[], float] = time.monotonic
    seen: dict[Point, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    costs: dict[str, list[Cost]] = field(default_factory=lambda: defaultdict(list))
    done: list[tuple[Point, float]] = field(default_factory=list)
    calibrations: list[Observation] = field(default_factory=list)

    def recall(self, run: Run) -> None:
        """Take up what earlier invocations observed; what a full machine stopped is run again."""
        for point, observations in by_point(run.observations).items():
            self.seen[point] += [o for o in observations if not was_crowded_out(o)]
        for observation in run.observations:
            self._learn_cost(observation)
        self.calibrations += [o for o in run.observations if isinstance(o, Calibration)]

    def run(self) -> None:
        """Run every point that is not complete, the anchor first, midway and last."""
        points = self.request.grid.points()
        anchor = anchor_of(points)
        order = [anchor, *(p for p in shuffled(points, self.request.settings.seed) if p != anchor)]
        todo = [point for point in order if self._missing(point)]
        self.listener.begun(len(todo), len(points))
        if todo:
            self._measure_rates()
        for index, point in enumerate(todo):
            self._run_point(point, todo[index + 1 :])
            if index + 1 == (len(todo) + 1) // 2:
                self._time_anchor(anchor, len(todo))
        self._time_anchor(anchor, len(todo))
        self.listener.closed()

    def _measure_rates(self) -> None:
        """The device's own rates, in this very run; a disturbed measurement is repeated once."""
        if judge(self.observe(RATES_POINT, "rates", Role.PROBE).conditions):
            self.observe(RATES_POINT, "rates", Role.PROBE)

    def _missing(self, point: Point) -> list[str]:
        if not self.seen[point] and self._implied_by(point) is not None:
            return []
        return missing_passes(self.seen[point], self.request.settings.processes)

    def _implied_by(self, point: Point) -> Point | None:
        if not self.request.settings.prune:
            return None
        return dominating_oom(point, [p for p, group in self.seen.items() if _is_oom(group)])

    def _run_point(self, point: Point, rest: Sequence[Point]) -> None:
        began_s = self.clock()
        while missing := self._missing(point):
            self._observe_well(point, missing[0])
        self.done.append((point, self.clock() - began_s))
        left = [p for p in rest if self._missing(p)]
        observed = [(p, wall_s) for p, wall_s in self.done if self.seen[p]]  # not the implied
        left_s = remaining_s(left, observed, self.request.grid.points())
        self.listener.ended(self._measurement(point), len(self.done), left_s)

    def _measurement(self, point: Point) -> Measurement:
        if self.seen[point]:
            return fold(point, self.seen[point], self.task.workload, rates_of(self.calibrations))
        reason = f"{self._implied_by(point)} was out of memory"
        return Measurement(point, Outcome.IMPLIED_OOM, reason=reason)

    def _observe_well(self, point: Point, name: str) -> None:
        """Observe, and tell where a disturbance makes it necessary again."""
        observation = self.observe(point, name)
        text = judge(observation.conditions) if isinstance(observation, Timing) else None
        if text and name in self._missing(point):
            self.listener.noted(f"{point}: {text} while it was timed; timing it again")

    def _time_anchor(self, anchor: Point, todo: int) -> None:
        measured = self.seen[anchor] and fold(anchor, self.seen[anchor]).outcome is Outcome.MEASURED
        if not measured or todo < MIN_POINTS_FOR_ANCHOR:
            return
        timing = self.observe(anchor, "timing:0", Role.ANCHOR)
        if judge(timing.conditions):
            self.observe(anchor, "timing:0", Role.ANCHOR)

    def observe(self, point: Point, name: str, role: Role = Role.GRID) -> Observation:
        """Run one pass in a fresh worker and record what was seen."""
        observes, _, index = name.partition(":")
        self.listener.entering(point, observes)
        started = Started(
            attempt=uuid.uuid4().hex[:12],
            observes=observes,
            batch=point.batch,
            steps=point.steps,
            role=role,
            process_index=int(index or 0),
            request=self.request.request,
            at_utc=utc_now(),
        )
        self.record(started)
        deadline = self.request.settings.timeout_s or deadline_s(point, self.costs[observes])
        answer = self._ask(self._task(point, observes), deadline)
        observation = observation_of(started, answer, self.limit_bytes)
        self.record(observation)
        if role is Role.GRID:
            self.seen[point].append(observation)
        if isinstance(observation, Calibration):
            self.calibrations.append(observation)
        self._learn_cost(observation)
        return observation

    def _ask(self, task: protocol.Task, deadline: float) -> Answer:
        """Probe; where a library did not come up, see whether half the batch lets it."""
        answer = self.probe(task, deadline)
        if answer.evidence is None or not is_suspect(answer.evidence):
            return answer
        smaller = self.probe(replace(task, batch=max(1, task.batch // 2)), deadline)
        evidence = replace(answer.evidence, smaller_passed=smaller.evidence is None)
        return Judged(answer.worker, answer.findings, evidence, answer.wall_s + smaller.wall_s)

    def _task(self, point: Point, observes: str) -> protocol.Task:
        return replace(
            self.task,
            do=observes,
            batch=point.batch,
            steps=point.steps,
            limit_bytes=self.limit_bytes,
            guard_bytes=self.guard_bytes(),
            seed=self.request.settings.seed,
            point_seconds=self.request.settings.point_seconds,
        )

    def _learn_cost(self, observation: Observation) -> None:
        if observation.outcome is Outcome.MEASURED:
            size = observation.batch * observation.steps
            kind = type(observation).__name__.lower()
            self.costs[kind].append(Cost(size, observation.wall_s))


def observation_of(started: Started, answer: Answer, limit_bytes: int) -> Observation:
    """The record of an attempt: what the worker found, and the judgement of how it ended."""
    fields = {
        "attempt": started.attempt,
        "batch": started.batch,
        "steps": started.steps,
        "role": started.role.value,
        "process_index": started.process_index,
        "request": started.request,
        "worker": answer.worker,
        "wall_s": answer.wall_s,
    }
    if started.observes == "fit":
        fields["limit_bytes"] = limit_bytes
    try:
        observation = _decoded(started.observes, {**answer.findings, **fields}, answer.evidence)
        _check_complete(observation)
        check(observation)
    except DecodeError as error:
        return _decoded(started.observes, fields, Evidence(nonsense=str(error)))
    return observation


def _check_complete(observation: Observation) -> None:
    """A pass that came through has found what it is for.

    Raises:
        DecodeError: names what is missing.
    """
    if observation.outcome is not Outcome.MEASURED:
        return
    if isinstance(observation, Timing) and not (
        observation.samples_s and min(observation.samples_s) > 0
    ):
        raise DecodeError("timing.samples_s: no sample above zero")
    if isinstance(observation, Calibration) and not (observation.figures or observation.warnings):
        raise DecodeError("calibration.figures: no rate was found")
    if isinstance(observation, (Fit, Memory)) and observation.steps_run < 1:
        raise DecodeError("steps_run: no step was run")


def _decoded(observes: str, fields: dict[str, Any], evidence: Evidence | None) -> Observation:
    ending: dict[str, Any] = {"outcome": Outcome.MEASURED.value}
    if evidence is not None:
        verdict = classify(evidence)
        failure = Failure(
            phase=evidence.phase,
            error_type=evidence.error_type,
            message=evidence.message,
            requested_bytes=verdict.requested_bytes,
            signal=evidence.signal,
            exit_code=evidence.exit_code,
            log_tail=evidence.log_tail,
        )
        ending = {"outcome": verdict.outcome.value, "reason": verdict.reason, "failure": failure}
    kind = KINDS[KIND_OF_PASS.get(observes, observes)]
    return decode(kind, encode({**fields, **ending}), observes)  # type: ignore[no-any-return]


def utc_now() -> str:
    """The wall clock for people; no duration is taken from it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_oom(observations: Sequence[Observation]) -> bool:
    fits = [o for o in observations if isinstance(o, Fit)]
    return bool(fits) and fits[-1].outcome is Outcome.OOM
