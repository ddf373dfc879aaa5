"""A job's first passes, with a supervisor that answers as it is told."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, cast

import pytest

from rnnprof import protocol
from rnnprof.engine.job import DESCRIBE_ATTEMPTS, _described
from rnnprof.engine.order import Order
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import Evidence
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Settings
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
