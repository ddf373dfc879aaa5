"""One attempt, from its ``started`` record to its observation: a worker with a deadline."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from rnnprof import protocol
from rnnprof.breakdown.memory_model import MemoryModel, Sample, samples_of
from rnnprof.engine.plan import Cost, deadline_s
from rnnprof.outcomes import Evidence, classify, is_suspect
from rnnprof.ranges import MOST_TEXT
from rnnprof.runfile.codec import DecodeError, decode, encode
from rnnprof.runfile.observations import Calibration, Failure, Fit, Memory, Observation, Timing
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import KIND_OF, KINDS, Record, Request, Run, Started
from rnnprof.runfile.sanity import check_record

TIMING: Final = "timing"
"""Among the findings of a memory pass: those of the timing pass that followed in its process."""

KIND_OF_PASS: Final = {"rates": "calibration"}
"""The kind of a pass's record, where it differs from the name of the pass."""


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
    @property
    def earlier_tasks(self) -> int | None: ...
    @property
    def resting(self) -> protocol.Resting | None: ...


Probe = Callable[[protocol.Task, float], Answer]


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer whose evidence includes the result of a second, smaller attempt."""

    worker: int
    findings: dict[str, Any]
    evidence: Evidence | None
    wall_s: float
    earlier_tasks: int | None = None
    resting: protocol.Resting | None = None


SHARED_ROLES: Final = frozenset({Role.GRID, Role.ANCHOR})
"""Passes with other roles are proofs, or as exact as one."""


@dataclass(slots=True)
class Observer:
    """Runs passes in workers and records what was seen.

    Attributes:
        task: what all tasks have in common; each pass adds its point and limits.
        limit_bytes: of a fit pass.
        probe: runs a task in a fresh worker, within a deadline in seconds.
        record: appends a record to the run file.
        guard_bytes: returns the address space that a pass may use.
        costs: times of earlier passes, by the kind of their records; they give the deadlines.
        start_s: the longest start of a script, to its first training step; 0 without a script.
        proofs: fit passes at each point, of earlier invocations too: each draws other data.
        peaks: charged bytes of fit passes under this limit; predictions use them.
    """

    task: protocol.Task
    request: Request
    limit_bytes: int
    probe: Probe
    record: Callable[[Record], None]
    guard_bytes: Callable[[], int]
    costs: dict[str, list[Cost]] = field(default_factory=lambda: defaultdict(list))
    start_s: float = 0.0
    proofs: Counter[Point] = field(default_factory=Counter)
    peaks: list[Sample] = field(default_factory=list)

    def recall(self, run: Run) -> None:
        """Take over times, peaks and the number of proofs from earlier invocations."""
        for observation in run.observations:
            self._learn(observation)

    def observe(
        self,
        point: Point,
        name: str,
        role: Role = Role.GRID,
        deadline: float | None = None,
        **changes: Any,
    ) -> Observation:
        """Run one pass and record what it saw.

        Args:
            name: the pass, with a process index after a colon where it has one: ``timing:0``.
            deadline: seconds; by default scaled from the times of earlier passes.
            changes: fields of the task that differ from the usual ones.
        """
        observes, _, index = name.partition(":")
        started = self._begin(point, observes, role, int(index or 0))
        is_shared = self._may_share(observes, role)
        task = replace(self._task(point, observes), is_shared=is_shared, **changes)
        answer = self._ask(
            task, self._deadline_s(point, observes) if deadline is None else deadline
        )
        return self._keep(started, answer)

    def observe_both(self, point: Point, process_index: int) -> tuple[Memory, Timing | None]:
        """Run a memory pass of a script that goes on as a timing pass, and record both.

        Returns:
            The timing is None if the process ended before it came to it.
        """
        started = self._begin(point, "memory", Role.GRID, 0)
        task = replace(self._task(point, "memory"), is_timed=True)
        answer = self._ask(task, self._deadline_s(point, "memory"))
        memory_answer, timing_answer = split_answer(answer)
        memory = self._keep(started, memory_answer)
        assert isinstance(memory, Memory)
        if timing_answer is None:
            return memory, None
        timing = self._keep(self._begin(point, "timing", Role.GRID, process_index), timing_answer)
        assert isinstance(timing, Timing)
        return memory, timing

    def _begin(self, point: Point, observes: str, role: Role, process_index: int) -> Started:
        """Record that an attempt begins."""
        started = started_of(point, observes, role, self.request.request, process_index)
        self.record(started)
        return started

    def _keep(self, started: Started, answer: Answer) -> Observation:
        """Record what an attempt saw, and learn from it."""
        observation = observation_of(started, answer, self.limit_bytes)
        self.record(observation)
        self._learn(observation)
        return observation

    def _may_share(self, observes: str, role: Role) -> bool:
        """Whether a pass may run in a worker that serves other points, too.

        Its peak then proposes, and a proof decides.  What is compiled or run by a script changes
        its process; several timing processes are to differ; a gate compares with earlier ones.
        """
        is_alone = self.task.workload.compile or self.task.script is not None
        if self.task.device == "cpu" or is_alone or self.request.for_gate:
            return False
        differs = observes == "timing" and self.request.settings.processes > 1
        return role in SHARED_ROLES and not differs

    def _deadline_s(self, point: Point, observes: str) -> float:
        if self.request.settings.timeout_s:
            return self.request.settings.timeout_s
        start_s = 0.0 if observes == "rates" else self.start_s
        return deadline_s(point, self.costs[kind_of_pass(observes)], start_s)

    def _ask(self, task: protocol.Task, deadline: float) -> Answer:
        """Probe; if a library could not start, try it again at half the batch."""
        answer = self.probe(task, deadline)
        if answer.evidence is None or not is_suspect(answer.evidence):
            return answer
        half = replace(task.point, batch=max(1, task.point.batch // 2))
        smaller = self.probe(replace(task, point=half), deadline)
        evidence = replace(answer.evidence, smaller_passed=smaller.evidence is None)
        wall_s = answer.wall_s + smaller.wall_s
        return Judged(answer.worker, answer.findings, evidence, wall_s, answer.earlier_tasks)

    def _task(self, point: Point, observes: str) -> protocol.Task:
        guard_bytes = self.guard_bytes()
        # on the CPU the guard is the free memory: no prediction is needed if the limit is below it
        may_be_short = self.task.device != "cpu" or guard_bytes < self.limit_bytes
        predicts = observes == "fit" and may_be_short
        return replace(
            self.task,
            do=observes,
            point=point,
            limit_bytes=self.limit_bytes,
            predicted_bytes=self._predicted_bytes(point) if predicts else None,
            guard_bytes=guard_bytes,
            seed=self._seed(point) if observes == "fit" else self.request.settings.seed,
            point_seconds=self.request.settings.point_seconds,
        )

    def _seed(self, point: Point) -> int:
        return proof_seed(self.request.settings.seed, point, self.proofs[point])

    def _predicted_bytes(self, point: Point) -> int | None:
        """A lower bound of a fit pass's memory, by the model; None where too little is known.

        From a single batch the model cannot separate bytes per sequence from fixed bytes.
        """
        model = MemoryModel.fit(self.peaks)
        if model is None or len({sample.point.batch for sample in self.peaks}) == 1:
            return None
        return int(model.predict_bytes(point) / (1 + model.margin_ratio))

    def _learn(self, observation: Observation) -> None:
        if isinstance(observation, Fit):
            self.proofs[observation.point] += 1
            if observation.limit_bytes == self.limit_bytes:
                self.peaks += samples_of([observation])
            self.start_s = max(self.start_s, observation.start_s or 0.0)
        if observation.outcome is Outcome.MEASURED:
            size = observation.batch * observation.time_steps
            start_s = 0.0 if isinstance(observation, Calibration) else self.start_s
            training_s = max(0.0, observation.wall_s - start_s)
            self.costs[KIND_OF[type(observation)]].append(Cost(size, training_s))


def started_of(
    point: Point, observes: str, role: Role, request: str, process_index: int = 0
) -> Started:
    """The record of an attempt that begins now."""
    return Started(
        attempt=uuid.uuid4().hex[:12],
        observes=observes,
        batch=point.batch,
        time_steps=point.time_steps,
        role=role,
        process_index=process_index,
        request=request,
        at_utc=utc_now(),
    )


def split_answer(answer: Answer) -> tuple[Answer, Answer | None]:
    """The answers of a memory pass and of the timing pass that followed it in one process.

    Findings of a timing mean that the memory pass had ended well, so that a failure is the
    timing's.  Its seconds are those that its own conditions name.
    """
    memory = {name: found for name, found in answer.findings.items() if name != TIMING}
    timing = answer.findings.get(TIMING)
    if not isinstance(timing, dict):
        return Judged(answer.worker, memory, answer.evidence, answer.wall_s), None
    timed_s = _seconds_of(timing.get("conditions"), answer.wall_s)
    return (
        Judged(answer.worker, memory, None, answer.wall_s - timed_s),
        Judged(answer.worker, timing, answer.evidence, timed_s),
    )


def _seconds_of(conditions: Any, at_most: float) -> float:
    """The seconds of a pass by its conditions, which the worker sent; 0 where they are unusable."""
    wall_s = conditions.get("wall_s") if isinstance(conditions, dict) else None
    return min(max(0.0, wall_s), at_most) if isinstance(wall_s, (int, float)) else 0.0


def proof_seed(seed: int, point: Point, number: int) -> int:
    """The seed of fit pass *number* (from 0) at a point; it is the same on every machine."""
    text = f"{seed} {point.batch} {point.time_steps} {number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def observation_of(started: Started, answer: Answer, limit_bytes: int) -> Observation:
    """The record of an attempt: what the worker found, and how the attempt ended."""
    fields = {
        "attempt": started.attempt,
        "batch": started.batch,
        "time_steps": started.time_steps,
        "role": started.role.value,
        "process_index": started.process_index,
        "request": started.request,
        "worker": answer.worker,
        "wall_s": answer.wall_s,
        "earlier_tasks": answer.earlier_tasks,
    }
    if answer.resting is not None:
        fields["left_allocated_bytes"] = answer.resting.allocated_bytes
        fields["left_reserved_bytes"] = answer.resting.reserved_bytes
    if started.observes == "fit":
        fields["limit_bytes"] = limit_bytes
    try:
        observation = _decoded(started.observes, {**answer.findings, **fields}, answer.evidence)
        _check_complete(observation)
        check_record(observation, started.observes)
    except DecodeError as error:
        return _decoded(started.observes, fields, Evidence(nonsense=str(error)))
    return observation


def _check_complete(observation: Observation) -> None:
    """Check that a pass that ended well has its main result.

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
    if isinstance(observation, (Fit, Memory)) and observation.train_steps_run < 1:
        raise DecodeError("train_steps_run: no step was run")


def _decoded(observes: str, fields: dict[str, Any], evidence: Evidence | None) -> Observation:
    ending: dict[str, Any] = {"outcome": Outcome.MEASURED.value}
    if evidence is not None:
        verdict = classify(evidence)
        failure = Failure(
            phase=evidence.phase,
            error_type=evidence.error_type,
            message=evidence.message and evidence.message[:MOST_TEXT],
            requested_bytes=verdict.requested_bytes,
            signal=evidence.signal,
            exit_code=evidence.exit_code,
            log_tail=evidence.log_tail,
        )
        ending = {
            "outcome": verdict.outcome.value, "reason": verdict.reason, "failure": encode(failure),
        }  # fmt: skip
    kind = KINDS[kind_of_pass(observes)]
    return decode(kind, {**fields, **ending}, observes)  # type: ignore[no-any-return]


def kind_of_pass(observes: str) -> str:
    """The kind of record that a pass writes."""
    return KIND_OF_PASS.get(observes, observes)


def utc_now() -> str:
    """The current UTC time, for people; durations never use it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
