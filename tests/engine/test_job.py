"""A job's first passes, with a supervisor that answers as it is told."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from rnnprof import protocol
from rnnprof.engine.job import DESCRIBE_ATTEMPTS, _described, _refuse_early, carry_out
from rnnprof.engine.order import Order
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.errors import BadInputError, RunFileError
from rnnprof.outcomes import Evidence
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import SCHEMA, Finished, Header, Request, Run, Settings
from rnnprof.workload import Workload

KILLED = Evidence(signal=signal.SIGKILL)
ORDER = Order(Workload(), Grid((2,), (4,)), Settings(), Path("run.jsonl"), "profile")


class Scripted:
    """Answers with each evidence in turn, and then well."""

    def __init__(self, *evidence: Evidence) -> None:
        self._evidence = list(evidence)
        self.asked: list[str] = []

    def ask(self, task: protocol.Task, _deadline_s: float) -> Answer:
        self.asked.append(task.do)
        ending = self._evidence.pop(0) if self._evidence else None
        return Answer(len(self.asked), {}, ending, 0.1)


def described(supervisor: Scripted) -> Answer:
    answer: Any = _described("describe", ORDER, cast("Supervisor", supervisor))
    return cast("Answer", answer)


@pytest.mark.parametrize("kills", range(DESCRIBE_ATTEMPTS))
def test_a_worker_that_is_killed_as_it_describes_the_machine_costs_an_attempt(kills: int) -> None:
    supervisor = Scripted(*[KILLED] * kills)
    assert described(supervisor).evidence is None
    assert supervisor.asked == ["describe"] * (kills + 1)


def test_it_is_not_asked_without_end() -> None:
    supervisor = Scripted(*[KILLED] * 9)
    ending = described(supervisor).evidence
    assert ending is not None
    assert ending.signal == signal.SIGKILL
    assert len(supervisor.asked) == DESCRIBE_ATTEMPTS


@pytest.mark.parametrize(
    "ending", [Evidence(signal=signal.SIGSEGV), Evidence(error_type="OddError", message="no")]
)
def test_a_fault_of_its_own_is_not_tried_again(ending: Evidence) -> None:
    supervisor = Scripted(ending)
    answer = described(supervisor)
    assert answer.evidence is not None
    assert len(supervisor.asked) == 1


@pytest.mark.parametrize(("lacks_report", "batch"), [(True, 2), (False, 1), (False, 2)])
def test_a_finished_run_is_taken_up_for_its_missing_report_alone(
    lacks_report: bool, batch: int
) -> None:
    request = Request("r", "profile", Grid((1,), (4,)), Settings(), "2026-01-01T00:00:00Z")
    header = Header(SCHEMA, "run", Workload(), {})
    run = Run(header, (request,), finished=(Finished("r", request.at_utc, 1.0),))
    order = Order(Workload(), Grid((batch,), (4,)), Settings(), Path("run.jsonl"))
    with pytest.raises(RunFileError, match="holds a finished run"):
        _refuse_early(run, replace(order, lacks_report=lacks_report))


def test_the_same_request_makes_the_missing_report() -> None:
    request = Request("r", "profile", Grid((1,), (4,)), Settings(), "2026-01-01T00:00:00Z")
    header = Header(SCHEMA, "run", Workload(), {})
    run = Run(header, (request,), finished=(Finished("r", request.at_utc, 1.0),))
    order = Order(Workload(), request.grid, Settings(), Path("run.jsonl"), lacks_report=True)
    _refuse_early(run, order)


@pytest.mark.parametrize("for_gate", [(True,), (False,), (True, False)])
def test_a_gate_replaces_its_own_run_and_no_other(for_gate: tuple[bool, ...]) -> None:
    requests = tuple(
        Request(f"r{number}", "profile", Grid((1,), (4,)), Settings(), "2026-01-01T00:00:00Z", each)
        for number, each in enumerate(for_gate)
    )
    run = Run(Header(SCHEMA, "run", Workload(), {}), requests)
    order = Order(
        Workload(), Grid((2,), (4,)), Settings(), Path("run.jsonl"), overwrite=True, for_gate=True
    )
    if all(for_gate):
        _refuse_early(run, order)
    else:
        with pytest.raises(RunFileError, match="a gate does not replace: write to another file"):
            _refuse_early(run, order)


def test_a_removed_working_folder_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    order = Order(Workload(), Grid((1,), (4,)), Settings(), tmp_path / "run.jsonl")
    with pytest.raises(BadInputError, match="working folder is gone"):
        carry_out(order, lambda _: None, cast(Any, None), None)
    assert not order.path.exists()
