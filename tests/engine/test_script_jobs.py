"""Jobs of a user's script, with a supervisor that answers as a worker would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from fakes import MIB, FakeListener, FakeProbe, MemoryLaw
from rnnprof import protocol
from rnnprof.defaults import FIRST_UNITS
from rnnprof.engine.job import asking
from rnnprof.engine.order import Order
from rnnprof.engine.reasons import ScriptChecked, SetupRuns
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.errors import BadInputError, MachineError, RunFileError
from rnnprof.jobs import run_order
from rnnprof.maxbatch.certify import frontier_of
from rnnprof.outcomes import DATA_ENDED_TYPE, Evidence
from rnnprof.points.reasons import HoldsBefore, StartTakes
from rnnprof.redaction import Secrets
from rnnprof.report.words import say
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.loading import load
from rnnprof.runfile.observations import Fit, Memory, Timing
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Run, Settings
from rnnprof.workload import ScriptPlace, ScriptSource, workload_of_script

FACTS = {"device": "cpu", "device_name": "a processor of the tests", "torch": "2.13.0"}
SOURCES = {"train.py": "ab" * 32}
LIMIT = 64 * MIB
BOTH = ("--batch", "{batch}", "--bptt", "{time_steps}")

Twist = Callable[[Answer], Answer]


@dataclass
class Workers:
    """A supervisor whose workers run a script that takes the memory of a law.

    Attributes:
        asked: the tasks, in order.
        seen: time steps that recurrent layers see where T was requested.
        twists: what befalls passes, by (batch, T, pass).
    """

    law: MemoryLaw = field(default_factory=MemoryLaw)
    facts: dict[str, Any] = field(default_factory=lambda: {"threads": 2})
    seen: Callable[[Point], Point] = lambda point: point
    twists: Mapping[tuple[int, int, str], Twist] = field(default_factory=dict)
    held_bytes: int = MIB
    found: dict[str, Any] = field(default_factory=dict)
    asked: list[protocol.Task] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    restarted: Any = None
    folder: Path | None = None

    def ask(self, task: protocol.Task, deadline_s: float) -> Answer:
        self.asked.append(task)
        self.deadlines.append(deadline_s)
        if task.do == "describe":
            return Answer(1, {"facts": dict(FACTS), "sources": {}}, None, 0.1)
        answer = FakeProbe(task.limit_bytes or LIMIT, self.law)(task, deadline_s)
        if task.do == "fit":
            answer = replace(answer, findings=answer.findings | self._of_start(task.point))
            if answer.evidence is None:
                answer = replace(answer, findings=answer.findings | self._of_steps(task))
        if task.is_timed:
            timing = FakeProbe()(replace(task, do="timing"), 1.0)
            answer = replace(answer, findings={**answer.findings, "timing": timing.findings})
        twist = self.twists.get((task.point.batch, task.point.time_steps, task.do))
        return twist(answer) if twist else answer

    def _of_start(self, _: Point) -> dict[str, Any]:
        weights = self.held_bytes // 2
        return {"start_s": 0.5, "held_bytes": self.held_bytes, "held_weight_bytes": weights}

    def _of_steps(self, task: protocol.Task) -> dict[str, Any]:
        at = self.seen(task.point)
        size = {"sequences": at.batch, "positions": at.batch * at.time_steps, "elements": at.batch}
        sight = {"step": 1, "batch": at.batch, "time_steps": at.time_steps, **size}
        return {"facts": self.facts, "sources": SOURCES, "seen": [sight]}

    def does(self) -> list[str]:
        return [task.do for task in self.asked]


def an_order(
    path: Path,
    grid: Grid,
    *,
    argv: tuple[str, ...] = BOTH,
    command: str = "profile",
    settings: Settings | None = None,
    **changes: Any,
) -> Order:
    script = ScriptSource("train.py", argv=argv)
    source = {name: changes.pop(name) for name in ("setup", "prepare") if name in changes}
    return Order(
        workload_of_script(replace(script, **source)),
        grid,
        settings or Settings(memory_limit=LIMIT, certify=False),
        path,
        command,
        script=ScriptPlace("/somewhere/train.py", argv=argv),
        **changes,
    )


def carry_out(order: Order, workers: Workers) -> tuple[Run, FakeListener]:
    listener = FakeListener()
    return run_order(order, listener, cast("Supervisor", workers)), listener


def fits_of(run: Run) -> list[Fit]:
    return [o for o in run.observations if isinstance(o, Fit)]


def failing(evidence: Evidence, **findings: Any) -> Twist:
    return lambda answer: replace(answer, findings=findings, evidence=evidence)


OOM = failing(Evidence("forward", "RuntimeError", "DefaultCPUAllocator: can't allocate memory"))


def test_a_sweep_takes_its_check_as_its_first_fit_pass(tmp_path: Path) -> None:
    workers = Workers()
    run, listener = carry_out(an_order(tmp_path / "a.jsonl", Grid((4, 8), (16,))), workers)
    assert workers.does() == ["describe", "fit", "rates", "memory", "fit", "memory"]
    assert all(task.is_timed for task in workers.asked if task.do == "memory")
    assert workers.asked[1].point == Point(4, 16)
    assert run.header.sources == SOURCES
    assert run.header.environment["threads"] == 2
    assert run.header.environment["torch"] == "2.13.0"
    assert {o.point for o in run.observations if isinstance(o, Timing)} == {*run.points()}
    assert {o.point for o in run.observations if isinstance(o, Memory)} == {*run.points()}
    assert {fit.role for fit in fits_of(run)} == {Role.GRID}
    assert ScriptChecked(Point(4, 16)) in listener.notes
    [cost] = [note for note in listener.notes if isinstance(note, StartTakes)]
    assert (cost.start_s, cost.starts) == (0.5, 3)
    assert load(tmp_path / "a.jsonl").observations == run.observations


def test_more_processes_are_timed_alone(tmp_path: Path) -> None:
    workers = Workers()
    settings = Settings(memory_limit=LIMIT, certify=False, processes=3)
    carry_out(an_order(tmp_path / "a.jsonl", Grid((4,), (16,)), settings=settings), workers)
    assert workers.does()[3:] == ["memory", "timing", "timing"]
    assert [task.is_timed for task in workers.asked[3:]] == [True, False, False]


def test_a_process_that_dies_before_it_is_timed_is_timed_in_another(tmp_path: Path) -> None:
    workers = Workers(twists={(4, 16, "memory"): failing(Evidence(error_type="E", message="no"))})
    run, _ = carry_out(an_order(tmp_path / "a.jsonl", Grid((4,), (16,))), workers)
    assert workers.does()[3:] == ["memory", "timing"]
    [memory] = [o for o in run.observations if isinstance(o, Memory)]
    assert memory.outcome is Outcome.FAILED


def test_a_failure_while_it_is_timed_leaves_the_memory_pass(tmp_path: Path) -> None:
    def fails(answer: Answer) -> Answer:
        ending = Evidence("other", DATA_ENDED_TYPE, "the script ended in a timing pass")
        return replace(answer, findings={**answer.findings, "timing": {}}, evidence=ending)

    workers = Workers(twists={(4, 16, "memory"): fails})
    run, _ = carry_out(an_order(tmp_path / "a.jsonl", Grid((4,), (16,))), workers)
    ends = {type(o): o.outcome for o in run.observations}
    assert ends[Memory] is Outcome.MEASURED
    assert ends[Timing] is Outcome.FAILED


def test_a_search_begins_with_the_check_and_needs_few_probes(tmp_path: Path) -> None:
    workers = Workers(MemoryLaw(fixed_bytes=4 * MIB))
    order = an_order(tmp_path / "a.jsonl", Grid((), (16, 32)), command="max-batch")
    run, _ = carry_out(order, workers)
    assert workers.asked[1].point == Point(FIRST_UNITS, 16)
    assert workers.asked[1].confirm_steps == order.settings.confirm_steps
    proofs = frontier_of(run)
    assert [proof.status for proof in proofs] == [EdgeStatus.CERTIFIED] * 2
    assert len(fits_of(run)) <= 8
    assert fits_of(run)[0].role is Role.PROBE
    assert sum(proof.probes for proof in proofs) == len(fits_of(run))


def test_without_a_placeholder_t_is_what_the_layers_saw(tmp_path: Path) -> None:
    workers = Workers(seen=lambda point: Point(point.batch, 35))
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (1,)), argv=("--batch={batch}",))
    run, _ = carry_out(order, workers)
    assert run.grid == Grid((4,), (35,))
    assert {fit.time_steps for fit in fits_of(run)} == {35}
    again, _ = carry_out(replace(order, extend=True, grid=Grid((4, 8), (1,))), Workers())
    assert again.grid == Grid((4, 8), (35,))


def test_a_t_that_the_script_does_not_train_with_is_told(tmp_path: Path) -> None:
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (64,)), argv=("--batch={batch}",))
    _, listener = carry_out(order, Workers(seen=lambda point: Point(point.batch, 35)))
    notes = [say(each) for each in listener.notes]
    assert notes[0] == "train.py --batch={batch} on cpu, within 64.0 MiB"
    assert notes[1] == "B=4: starting the script to see whether it trains"
    assert notes[2].startswith("the script trains with T=35, whatever -T says")


def test_another_command_line_is_refused_before_anything_runs(tmp_path: Path) -> None:
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (16,)))
    carry_out(order, Workers())
    other = an_order(order.path, order.grid, argv=(*BOTH, "--lr", "1"), setup="true")
    for again in (other, replace(other, extend=True)):
        workers = Workers()
        with pytest.raises(RunFileError, match=r"the script's words: nothing in .*, --lr 1 now"):
            carry_out(again, workers)
        assert workers.does() == []


def test_without_recurrent_layers_a_single_t_is_a_label(tmp_path: Path) -> None:
    workers = Workers(
        twists={(4, 64, "fit"): lambda a: replace(a, findings=a.findings | {"seen": []})}
    )
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (64,)), argv=("--batch={batch}",))
    assert carry_out(order, workers)[0].grid == Grid((4,), (64,))


def test_a_gate_must_name_the_t_that_the_script_has(tmp_path: Path) -> None:
    order = an_order(
        tmp_path / "a.jsonl", Grid((4,), (64,)), argv=("--batch={batch}",), for_gate=True
    )
    with pytest.raises(BadInputError, match=r"^train.py trains with T=35, not with T=64: "):
        carry_out(order, Workers(seen=lambda point: Point(point.batch, 35)))
    assert not order.path.exists()


def test_a_resumed_run_repeats_the_check_and_drops_it(tmp_path: Path) -> None:
    order = an_order(tmp_path / "a.jsonl", Grid((4, 8), (16,)))

    def stop(_: Answer) -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(order, Workers(twists={(8, 16, "fit"): stop}))
    resumed = Workers()
    run, _ = carry_out(order, resumed)
    assert resumed.does() == ["describe", "fit", "fit", "memory"]
    assert len(fits_of(run)) == 2
    assert run.is_finished


def test_a_check_that_says_more_is_recorded_and_drew_other_data(tmp_path: Path) -> None:
    first, second = Workers(), Workers()
    order = an_order(tmp_path / "a.jsonl", Grid((16,), (16,)))
    carry_out(order, first)
    search = replace(order, command="max-batch", grid=Grid((), (16,)), extend=True)
    run, _ = carry_out(search, second)
    at = [fit for fit in fits_of(run) if fit.batch == 16]
    assert [fit.train_steps_run for fit in at] == [2, 10]
    assert second.asked[1].seed != first.asked[1].seed
    third, _ = carry_out(replace(order, grid=Grid((16, 32), (16,)), extend=True), Workers())
    assert len([fit for fit in fits_of(third) if fit.batch == 16]) == 2


@pytest.mark.parametrize("changed", [{"threads": 1}, {"cudnn_benchmark": True}])
def test_another_environment_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (16,)))
    carry_out(order, Workers())
    with pytest.raises(RunFileError, match="holds another run"):
        carry_out(replace(order, extend=True), Workers(facts=changed))


def test_a_second_order_of_the_same_workers_is_not_checked_again(tmp_path: Path) -> None:
    workers = Workers()
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (16,)), setup="true")
    carry_out(order, workers)
    count = len(workers.asked)
    run, listener = carry_out(replace(order, grid=Grid((8,), (16,)), extend=True), workers)
    assert workers.does()[count:] == ["describe", "fit", "memory"]
    assert not listener.notes
    assert run.header.sources == SOURCES


ENDED = f"{DATA_ENDED_TYPE}"


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        (
            Evidence("build", "ValueError", "no such file (at train.py:3)", log_tail="reading\n"),
            ("train.py at B=4 T=16: raised before its first training step: ValueError: no such "
            "file (at train.py:3)\nlast lines printed:\n  reading"),
        ),
        (
            Evidence("build", "SystemExit", "2", log_tail="usage: train.py\nunknown --bptt\n"),
            ("train.py at B=4 T=16: the code called sys.exit(2) before its first training step\n"
            "last lines printed:\n  usage: train.py\n  unknown --bptt"),
        ),
        (
            Evidence("build", timed_out=True, deadline_s=60.0, log_tail="epoch 1\n"),
            ("train.py at B=4 T=16: no training step within 60 s (--timeout): a training step ends "
            "where an optimizer has stepped, or backward() where there is none; what a child "
            "process trains is not seen\nlast lines printed:\n  epoch 1"),
        ),
        (
            Evidence("other", ENDED, "the script ended after 3 training steps: no data"),
            "train.py at B=4 T=16: the script ended after 3 training steps: no data",
        ),
        (
            Evidence("build", ENDED, "the script ended before its first training step"),
            "train.py at B=4 T=16: the script ended before its first training step",
        ),
    ],
)  # fmt: skip
def test_a_script_that_does_not_train_is_bad_input(
    tmp_path: Path, evidence: Evidence, message: str
) -> None:
    workers = Workers(twists={(4, 16, "fit"): failing(evidence)})
    order = an_order(tmp_path / "a.jsonl", Grid((4, 8), (16, 32)))
    with pytest.raises(BadInputError) as failed:
        carry_out(order, workers)
    assert str(failed.value) == message
    assert workers.does() == ["describe", "fit"]
    assert not order.path.exists()


def test_a_script_that_ends_its_process_before_it_trains_is_bad_input(tmp_path: Path) -> None:
    left = failing(Evidence("build", exit_code=0))
    order = an_order(tmp_path / "a.jsonl", Grid((), (16,)), command="max-batch")
    both = Workers(twists={(16, 16, "fit"): left, (1, 16, "fit"): left})
    with pytest.raises(BadInputError, match="exited before its first training step with code 0"):
        carry_out(order, both)
    assert both.does() == ["describe", "fit", "fit"]
    later = failing(Evidence("optimizer", exit_code=0))
    run, _ = carry_out(order, Workers(twists={(16, 16, "fit"): later, (1, 16, "fit"): later}))
    assert [proof.status for proof in frontier_of(run)] == [EdgeStatus.INDETERMINATE]


def test_a_step_that_raises_at_the_shortest_t_is_tried_at_the_longest(tmp_path: Path) -> None:
    short = failing(Evidence("forward", "ValueError", "too short"))
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (2, 32)))
    run, _ = carry_out(order, Workers(twists={(4, 2, "fit"): short}))
    assert [fit.outcome for fit in fits_of(run)] == [Outcome.FAILED, Outcome.MEASURED]
    both = Workers(twists={(4, 2, "fit"): short, (4, 32, "fit"): short})
    with pytest.raises(BadInputError, match="at B=4 T=2: raised in forward: ValueError: too short"):
        carry_out(replace(order, path=tmp_path / "b.jsonl"), both)


def test_out_of_memory_at_the_check_is_a_result_and_the_smallest_batch_is_tried(
    tmp_path: Path,
) -> None:
    order = an_order(tmp_path / "a.jsonl", Grid((), (16,)), command="max-batch")
    run, _ = carry_out(order, Workers(MemoryLaw(fixed_bytes=61 * MIB)))
    assert [fit.batch for fit in fits_of(run)[:2]] == [16, 1]
    assert run.header.sources == SOURCES
    [proof] = frontier_of(run)
    assert (proof.status, proof.batch) == (EdgeStatus.CERTIFIED, 5)
    none, _ = carry_out(
        replace(order, path=tmp_path / "b.jsonl"), Workers(MemoryLaw(fixed_bytes=64 * MIB))
    )
    assert [fit.batch for fit in fits_of(none)] == [16, 1]
    assert [proof.status for proof in frontier_of(none)] == [EdgeStatus.NOTHING_FITS]
    assert none.header.sources == {}
    assert none.header.environment["torch"] == "2.13.0"


def test_a_machine_that_is_short_of_memory_is_no_result(tmp_path: Path) -> None:
    crowded = failing(Evidence("baseline", "MachineShortError", "only 1 MiB free"))
    workers = Workers(twists={(batch, 16, "fit"): crowded for batch in (4, 1)})
    with pytest.raises(MachineError, match="only 1 MiB free"):
        carry_out(an_order(tmp_path / "a.jsonl", Grid((4,), (16,))), workers)


def test_what_a_script_holds_is_told_when_it_is_large(tmp_path: Path) -> None:
    workers = Workers(MemoryLaw(fixed_bytes=40 * MIB), held_bytes=36 * MIB)
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (16,)))
    _, listener = carry_out(order, workers)
    assert HoldsBefore(36 * MIB, LIMIT, 18 * MIB) in listener.notes
    _, quiet = carry_out(replace(order, path=tmp_path / "b.jsonl"), Workers())
    assert not any(isinstance(note, HoldsBefore) for note in quiet.notes)


def test_the_users_commands_run_once_and_before_each_start(tmp_path: Path) -> None:
    workers = Workers(folder=tmp_path)
    order = an_order(
        tmp_path / "a.jsonl",
        Grid((4, 8), (16,)),
        setup="echo once >> setup",
        prepare="echo {batch} {time_steps} $(cat setup) >> prepared",
    )
    _, listener = carry_out(order, workers)
    assert (tmp_path / "setup").read_text() == "once\n"
    prepared = (tmp_path / "prepared").read_text().splitlines()
    assert prepared == ["4 16 once", "4 16 once", "8 16 once", "8 16 once"]
    assert SetupRuns("echo once >> setup") in listener.notes


def test_a_failing_setup_starts_nothing(tmp_path: Path) -> None:
    workers = Workers()
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (16,)), setup="echo no; exit 7")
    with pytest.raises(BadInputError, match="--setup 'echo no; exit 7' failed with exit code 7"):
        carry_out(order, workers)
    assert workers.does() == ["describe"]
    assert not order.path.exists()


def test_secrets_are_struck_from_what_a_script_said(tmp_path: Path) -> None:
    said = Evidence("build", "ValueError", "bad key hunter2hunter2", log_tail="hunter2hunter2")
    workers = Workers(twists={(4, 16, "fit"): failing(said)})
    order = an_order(
        tmp_path / "a.jsonl", Grid((4,), (16,)), secrets=Secrets(texts=("hunter2hunter2",))
    )
    with pytest.raises(BadInputError) as failed:
        carry_out(order, workers)
    assert "hunter2" not in str(failed.value)


def test_deadlines_have_room_for_the_starts(tmp_path: Path) -> None:
    def slow(answer: Answer) -> Answer:
        return replace(answer, findings=answer.findings | {"start_s": 30.0}, wall_s=31.0)

    workers = Workers(twists={(4, 16, "fit"): slow})
    carry_out(an_order(tmp_path / "a.jsonl", Grid((4, 8), (16,))), workers)
    later = [
        deadline
        for task, deadline in zip(workers.asked, workers.deadlines, strict=True)
        if task.do in ("fit", "memory")
    ][1:]
    assert min(later) >= 20 * 30 + 60
    rates = workers.does().index("rates")
    assert workers.deadlines[rates] == 300


def test_only_passes_that_run_the_script_are_prepared(tmp_path: Path) -> None:
    order = an_order(tmp_path / "a.jsonl", Grid((4,), (16,)), prepare="exit 9")
    ask = asking(cast("Supervisor", Workers()), order)
    ask(order.task("rates"), 1.0)
    with pytest.raises(BadInputError, match="--prepare 'exit 9' failed with exit code 9"):
        ask(order.task("timing"), 1.0)
