"""Runs built by hand, for the tests of the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rnnprof.advice.advise import Advice, advise
from rnnprof.maxbatch.certify import Proof
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.report.model import RunReport, grid_points
from rnnprof.report.words import say
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.observations import Breakdown
from rnnprof.runfile.points import Grid, Outcome, Point
from rnnprof.runfile.records import SCHEMA, Finished, Header, Host, Request, Run, Settings
from rnnprof.study.trainability import trainability_of
from rnnprof.workload import FactorySource, Workload

MIB = 1 << 20
LIMIT_BYTES = 512 * MIB
HOSTILE = "tr$a_{i}n\\frac$.py:ma<k>e&'\"--x\x1b[31m"
"""Mathtext, markup, an end of comment, a quote and a terminal's escape."""


@dataclass(frozen=True, slots=True)
class Said(Reason):
    """A reason that is its own sentence: renderers are tested with words of the test."""

    text: str


@say.register
def _(reason: Said) -> str:
    return reason.text


Sample = tuple[Run, dict[Point, Measurement]]


def run_of(
    batch: Iterable[int],
    time_steps: Iterable[int],
    workload: Workload | None = None,
    environment: dict[str, object] | None = None,
) -> Run:
    facts = {"device_name": "AMD EPYC 7B13, 2 processors", "torch": "2.13.0+cpu"}
    header = Header(
        schema=SCHEMA,
        run_id="0123456789abcdef",
        workload=workload or Workload(),
        environment=facts if environment is None else environment,
        limit_bytes=LIMIT_BYTES,
    )
    grid = Grid(tuple(batch), tuple(time_steps))
    request = Request("r1", "profile", grid, Settings(), "2026-11-23T12:00:00Z")
    host = Host("r1", LIMIT_BYTES, "0.1.0")
    return Run(header, requests=(request,), hosts=(host,), path="runs/sample.jsonl")


def measured(batch: int, time_steps: int, **changes: object) -> Measurement:
    """A point as it might have been measured: time and memory grow with B*T."""
    size = batch * time_steps
    step_time_s = 2e-3 + time_steps * 1e-4 + size * 6e-5
    known: dict[str, object] = {
        "step_time_s": step_time_s,
        "step_time_within_ci_s": (step_time_s * 0.99, step_time_s * 1.012),
        "converged": True,
        "sequences_per_s": batch / step_time_s,
        "time_steps_per_s": size / step_time_s,
        "phase_times_s": {"forward": step_time_s * 0.4, "backward": step_time_s * 0.6},
        "peak_allocated_bytes": 24 * MIB + size * 35_000,
        "peak_process_bytes": 224 * MIB + size * 36_000,
        "peak_charged_bytes": 30 * MIB + size * 36_000,
        "breakdown": Breakdown(6, 6, 12, 2, 0, 20, 0, 4, 1, "backward"),
        "implementation": "fused",
    }
    return Measurement(Point(batch, time_steps), Outcome.MEASURED, **(known | changes))  # type: ignore[arg-type]


def ended(
    outcome: Outcome, batch: int, time_steps: int, phase: str | None = None, **changes: object
) -> Measurement:
    """A point that was not measured."""
    known: dict[str, object] = {"reason": f"the {outcome.value} of a test"}
    return Measurement(Point(batch, time_steps), outcome, phase, **(known | changes))  # type: ignore[arg-type]


def grid_sample(batch: Iterable[int], time_steps: Iterable[int], oom_above: int = 12_000) -> Sample:
    """A whole grid: out of memory above so many B*T, implied where that is dominated."""
    run = run_of(batch, time_steps)
    measurements: dict[Point, Measurement] = {}
    for point in run.points():
        measurements[point] = _by_size(point, measurements, oom_above)
    return run, measurements


def _by_size(point: Point, known: dict[Point, Measurement], oom_above: int) -> Measurement:
    if point.batch * point.time_steps <= oom_above:
        return measured(point.batch, point.time_steps)
    causes = [
        p for p, m in known.items()
        if m.outcome is Outcome.OOM and p.batch <= point.batch and p.time_steps <= point.time_steps
    ]  # fmt: skip
    if causes:
        reason = f"{causes[0]} was out of memory"
        return ended(Outcome.IMPLIED_OOM, point.batch, point.time_steps, reason=reason)
    return ended(Outcome.OOM, point.batch, point.time_steps, "forward")


def mixed() -> Sample:
    """Six by four, with every outcome, both flags, warnings and a point never reached."""
    run, measurements = grid_sample((4, 8, 16, 32, 64, 128), (16, 32, 64, 128), 5_000)
    changed = [
        ended(Outcome.CRASHED, 4, 128, "backward", reason="signal 11 (SIGSEGV)"),
        ended(Outcome.TIMEOUT, 16, 16, "forward", reason="no answer within 60 s"),
        ended(Outcome.UNSUPPORTED, 8, 128, "forward", reason="could not create a primitive"),
        ended(Outcome.FAILED, 32, 32, "build", reason="ValueError: " + "no good " * 30),
        measured(8, 16, converged=False),
        measured(16, 32, noisy=Said("others used 0.9 of 2 processors")),
        measured(8, 64, converged=False, noisy=Said("throttled for 0.4 s")),
        measured(4, 32, warnings=("the loss of the last step was nan",)),
        measured(8, 32, warnings=("the loss of the last step was nan",)),
    ]
    measurements |= {m.point: m for m in changed}
    del measurements[Point(4, 64)]
    return run, measurements


def one_point() -> Sample:
    return grid_sample((64,), (128,))


def all_oom() -> Sample:
    return grid_sample((64, 128, 256), (64, 128, 256), 0)


def one_row() -> Sample:
    return grid_sample((4, 8, 16, 32, 64, 128, 256, 512), (64,))


def one_column() -> Sample:
    return grid_sample((64,), (16, 32, 64, 128, 256, 512))


def twenty_by_twenty() -> Sample:
    return grid_sample(range(8, 168, 8), range(10, 210, 10))


def untouched() -> Sample:
    """Interrupted before its first point."""
    return run_of((4, 8), (16, 32)), {}


def non_monotone() -> Sample:
    """A fit seen above an OOM."""
    run, measurements = grid_sample((16, 32, 64), (64, 128))
    measurements[Point(32, 128)] = ended(Outcome.OOM, 32, 128, "backward")
    return run, measurements


def hostile() -> Sample:
    """Names and reasons written to break a terminal, mathtext and markup."""
    factory = FactorySource(HOSTILE, {"size$": "$x^{2}$ <b>"})
    workload = Workload(cell=None, factory=factory)
    environment: dict[str, object] = {"device_name": "$\\beta$ <script>\n\x1b[2J" + "W" * 90}
    run = run_of((4, 8), (16, 32), workload, environment)
    measurements = {p: measured(p.batch, p.time_steps) for p in run.points()}
    reason = "\x1b[31m$broken$\n" + "深" * 60
    measurements[Point(8, 32)] = ended(Outcome.FAILED, 8, 32, "forward", reason=reason)
    return run, measurements


SAMPLES = {
    sample.__name__: sample
    for sample in (
        mixed, one_point, all_oom, one_row, one_column, twenty_by_twenty, untouched,
        non_monotone, hostile,
    )
}  # fmt: skip


def report_from(
    sample: Sample,
    frontier: Iterable[Proof] = (),
    name: str = "sample",
    *,
    advice: Advice | None = None,
    effective_batch: int | None = None,
) -> RunReport:
    """The report of a sample; its measurements are taken as they are, not folded again."""
    run, measurements = sample
    folded = FoldedRun(run, measurements, tuple(frontier))
    trained = trainability_of(run)
    return RunReport(
        name=name,
        run=run,
        points=grid_points(run, measurements),
        measurements=measurements,
        frontier=folded.frontier,
        advice=advise(folded, trained, effective_batch) if advice is None else advice,
        limit_bytes=folded.limit_bytes,
        headroom_ratio=folded.headroom_ratio,
        model=folded.model,
        drift=folded.drift,
        trainability=trained,
    )


def finished(report: RunReport) -> RunReport:
    """The same, of a run that came to its end."""
    done = Finished(report.run.requests[-1].request, "2026-11-23T12:10:00Z", 600.0)
    return replace(report, run=replace(report.run, finished=(done,)))


def certified(time_steps: int, batch: int, **changes: object) -> Proof:
    """The proof of a largest batch."""
    known: dict[str, object] = {
        "status": EdgeStatus.CERTIFIED, "granularity": 1, "at_most": 4096, "batch": batch,
    }  # fmt: skip
    return Proof(time_steps=time_steps, **(known | changes))  # type: ignore[arg-type]
