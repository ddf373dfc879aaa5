"""Stand-ins for what is handed in: a clock, a probe with a memory law of its own, observations.

Everything above the device is tested with these; no process is started and torch is not imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rnnprof import protocol
from rnnprof.engine.listener import Listener
from rnnprof.engine.observer import Observer, Probe
from rnnprof.engine.supervisor import Answer
from rnnprof.engine.sweep import Sweep
from rnnprof.outcomes import Evidence
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.runfile.codec import encode
from rnnprof.runfile.journal import open_journal
from rnnprof.runfile.observations import (
    Calibration,
    Conditions,
    Fit,
    Gradient,
    Learning,
    Memory,
    Observation,
    Timing,
)
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import SCHEMA, Finished, Header, Record, Request, Run, Settings
from rnnprof.workload import Workload

MIB = 1 << 20
AT_UTC = "2026-11-23T12:00:00Z"

HEADER = Header(
    schema=SCHEMA,
    run_id="0123456789ab",
    workload=Workload(),
    environment={"device_name": "a processor of the tests", "processors": 2, "torch": "2.13.0"},
    limit_bytes=64 * MIB,
)


class FakeClock:
    """Stands still until it is advanced."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass(frozen=True, slots=True)
class MemoryLaw:
    """Bytes that training takes: ``fixed + per_sequence * B + per_time_step * B * T``."""

    fixed_bytes: int = 8 * MIB
    per_sequence_bytes: int = 1 << 16
    per_time_step_bytes: int = 1 << 15

    def bytes_at(self, point: Point) -> int:
        return sum(self.breakdown_at(point).values())

    def breakdown_at(self, point: Point) -> dict[str, int]:
        quarter = self.fixed_bytes // 4
        return {
            "weights": quarter,
            "gradients": quarter,
            "optimizer_state": self.fixed_bytes - 2 * quarter,
            "input": self.per_sequence_bytes * point.batch,
            "saved": self.per_time_step_bytes * point.batch * point.time_steps,
            **dict.fromkeys(("weight_casts", "library", "temporaries", "rounding"), 0),
        }


def step_time_s(point: Point) -> float:
    """The median of what :class:`FakeProbe` reports."""
    return 2e-3 + 1e-5 * point.batch * point.time_steps


def conditions(wall_s: float = 1.0, others_s: float = 0.0) -> Conditions:
    """Two processors, of which others took *others_s*."""
    return Conditions(wall_s, 2, wall_s, wall_s + others_s, 0.0, 0.0)


Twist = Callable[[Answer], Answer]
"""What befalls one attempt: the answer that it would have given, changed."""


def fine(answer: Answer) -> Answer:
    return answer


def dies(answer: Answer) -> Answer:
    return replace(answer, findings={}, evidence=Evidence(phase="backward", signal=11))


def crowded_out(answer: Answer) -> Answer:
    """Other processes have taken the memory that the limit promised."""
    evidence = Evidence(phase="baseline", error_type="MachineShortError", message="none left")
    return replace(answer, findings={}, evidence=evidence)


def hangs(answer: Answer) -> Answer:
    evidence = Evidence(phase="forward", timed_out=True, deadline_s=60.0)
    return replace(answer, findings={}, evidence=evidence, wall_s=60.0)


def is_noisy(answer: Answer) -> Answer:
    """Another process took one of the two processors."""
    busy = encode(conditions(others_s=1.0))
    return replace(answer, findings={**answer.findings, "conditions": busy})


def finds(**findings: object) -> Twist:
    """The worker's findings hold these instead."""
    return lambda answer: replace(answer, findings={**answer.findings, **findings})


Script = Mapping[tuple[int, int, str], Sequence[Twist]]
"""By batch, steps and pass: what befalls its first attempt, its second, and so on."""


@dataclass(slots=True)
class FakeProbe:
    """Answers as a worker would on a machine whose memory follows a law.

    Attributes:
        asked: every task with its deadline, in order.
        attempts: how often each pass at each point has been tried, to find its place in *script*.
        least_steps: training steps of a fit pass, where more than asked for.
    """

    limit_bytes: int = HEADER.limit_bytes
    law: MemoryLaw = field(default_factory=MemoryLaw)
    script: Script = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    asked: list[tuple[protocol.Task, float]] = field(default_factory=list)
    attempts: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    least_steps: int = 0

    def __call__(self, task: protocol.Task, deadline_s: float) -> Answer:
        self.asked.append((task, deadline_s))
        key = (task.point.batch, task.point.time_steps, task.do)
        twists = self.script.get(key, ())
        twist = twists[self.attempts[key]] if self.attempts[key] < len(twists) else fine
        self.attempts[key] += 1
        answer = twist(self._untroubled(task))
        self.clock.advance(answer.wall_s)
        return answer

    def went_through(self, observations: Iterable[Observation]) -> FakeProbe:
        """Go on where a run was cut: what it observed has happened."""
        self.attempts.update(
            (o.batch, o.time_steps, type(o).__name__.lower()) for o in observations
        )
        return self

    def _untroubled(self, task: protocol.Task) -> Answer:
        point = task.point
        wall_s = 1.0 + 100 * step_time_s(point)
        if task.do == "fit" and self.law.bytes_at(point) > self.limit_bytes:
            asked = {"train_steps_run": 0, "train_steps": task.confirm_steps}
            return Answer(len(self.asked), asked, self._oom(point), wall_s)
        passes = {
            "fit": self._fit,
            "timing": self._timing,
            "memory": self._memory,
            "rates": self._rates,
        }
        findings = passes[task.do](point)
        if task.do == "fit":
            count = max(task.confirm_steps, self.least_steps)
            findings |= {"train_steps_run": count, "train_steps": count}
        done = protocol.from_line(protocol.to_line(protocol.Done(findings)))
        assert isinstance(done, protocol.Done)
        return Answer(len(self.asked), done.findings, None, wall_s)

    def _oom(self, point: Point) -> Evidence:
        saved = self.law.breakdown_at(point)["saved"]
        return Evidence(
            phase="forward",
            error_type="RuntimeError",
            message=f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {saved} "
            "bytes. Error code 12 (Cannot allocate memory)",
            charged_bytes=self.law.bytes_at(point) - saved,
            limit_bytes=self.limit_bytes,
        )

    def _rates(self, _point: Point) -> dict[str, Any]:
        return {
            "what": "rates",
            "parameters": {"dtype": "float32", "cache_bytes": 32 * MIB},
            "figures": {"matmul_flop_per_s": 1e12, "copy_bytes_per_s": 1e11},
            "conditions": conditions(),
        }

    def _fit(self, point: Point) -> dict[str, Any]:
        return {
            "train_steps_run": 3,
            "baseline_bytes": 100 * MIB,
            "peak_process_bytes": 200 * MIB + self.law.bytes_at(point),
            "peak_charged_bytes": self.law.bytes_at(point),
            "loss": 0.5,
        }

    def _timing(self, point: Point) -> dict[str, Any]:
        step_s = step_time_s(point)
        return {
            "samples_s": [step_s * (1 + tenths / 1000) for tenths in (3, -2, 0, 1, -1, 2, -3)],
            "warmup_samples_s": [2 * step_s, step_s, step_s],
            "converged": True,
            "phase_samples_s": {"forward": [0.4 * step_s] * 3, "backward": [0.6 * step_s] * 3},
            "phase_step_samples_s": [step_s] * 3,
            "sequences_per_step": point.batch,
            "conditions": conditions(),
            "loss": 0.5,
        }

    def _memory(self, point: Point) -> dict[str, Any]:
        breakdown = self.law.breakdown_at(point)
        return {
            "train_steps_run": 3,
            "optimizer_steps": 3,
            "peak_allocated_bytes": self.law.bytes_at(point),
            "breakdown": {**breakdown, "phase": "backward"},
            "net_bytes_per_step": 0,
            "ops": ["aten::mkldnn_rnn_layer"],
            "implementation": "fused",
        }


@dataclass(slots=True)
class FakeListener(Listener):
    """Keeps what it was told."""

    measurements: list[Measurement] = field(default_factory=list)
    left_s: list[float | None] = field(default_factory=list)
    notes: list[Reason | str] = field(default_factory=list)
    todo: int | None = None

    def begun(self, todo: int, total: int) -> None:
        self.todo = todo

    def ended(self, measurement: Measurement, done: int, left_s: float | None) -> None:
        self.measurements.append(measurement)
        self.left_s.append(left_s)

    def noted(self, what: Reason | str) -> None:
        self.notes.append(what)


def a_request(grid: Grid, settings: Settings | None = None, request: str = "r1") -> Request:
    return Request(request, "profile", grid, settings or Settings(), AT_UTC)


def a_sweep(
    probe: Probe,
    request: Request,
    record: Callable[[Record], None],
    listener: Listener | None = None,
) -> Sweep:
    """The sweep of *request* against *probe*."""
    return Sweep(
        an_observer(probe, request, record),
        listener or Listener(),
        getattr(probe, "clock", FakeClock()),
    )


def an_observer(probe: Probe, request: Request, record: Callable[[Record], None]) -> Observer:
    """Passes by *probe* under the header's limit."""
    return Observer(
        task=protocol.Task(do="fit", workload=HEADER.workload),
        request=request,
        limit_bytes=HEADER.limit_bytes,
        probe=probe,
        record=record,
        guard_bytes=lambda: 1 << 30,
    )


def run_into(
    path: Path, probe: Probe, grid: Grid, settings: Settings | None = None, request: str = "r1"
) -> Run:
    """What ``profile`` does with a run file, without a process: begin or resume, sweep, finish."""
    with open_journal(path) as journal:
        if journal.run is None:
            journal.append(HEADER)
        journal.append(a_request(grid, settings, request))
        assert journal.run is not None
        sweep = a_sweep(probe, journal.run.requests[-1], journal.append)
        sweep.recall(journal.run)
        sweep.run()
        journal.append(Finished(request, AT_UTC, 12.5))
        return journal.run


def _observed(point: Point, changes: dict[str, Any]) -> dict[str, Any]:
    common = {
        "attempt": "a1",
        "batch": point.batch,
        "time_steps": point.time_steps,
        "role": Role.GRID,
        "worker": 1,
        "process_index": 0,
        "request": "r1",
        "outcome": Outcome.MEASURED,
        "wall_s": 1.5,
    }
    return common | changes


def a_fit(point: Point, **changes: Any) -> Fit:
    return Fit(**_observed(point, {"limit_bytes": HEADER.limit_bytes} | changes))


def a_timing(point: Point, *samples_s: float, **changes: Any) -> Timing:
    return Timing(**_observed(point, {"samples_s": samples_s, "converged": True} | changes))


def a_memory(point: Point, **changes: Any) -> Memory:
    return Memory(**_observed(point, changes))


def a_calibration(**changes: Any) -> Calibration:
    figures = {"matmul_flop_per_s": 1e9, "copy_bytes_per_s": 1e9}
    defaults = {"role": Role.PROBE, "figures": figures, "parameters": {"cache_bytes": 32 * MIB}}
    return Calibration(**_observed(Point(1, 1), defaults | changes))


def a_gradient(point: Point, **changes: Any) -> Gradient:
    return Gradient(**_observed(point, {"role": Role.PROBE} | changes))


def a_learning(point: Point, **changes: Any) -> Learning:
    return Learning(**_observed(point, {"role": Role.PROBE} | changes))


def a_run(observations: Iterable[Observation], *grids: Grid) -> Run:
    """A run that asked for *grids* and observed this."""
    requests = tuple(a_request(grid, request=f"r{i}") for i, grid in enumerate(grids, 1))
    return Run(HEADER, requests, observations=tuple(observations))
