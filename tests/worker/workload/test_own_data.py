"""Passes over factories with data of their own: what is seen, what is drawn, where it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.points import Outcome, Point
from rnnprof.worker.workload.signatures import takes_by_name
from rnnprof.workload import FactorySource, Workload

FILE = Path(__file__).parents[2] / "own_data.py"
GIB = 1 << 30


def ask(
    supervisor: Supervisor, function: str, do: str = "fit", seed: int = 0, **args: object
) -> Answer:
    workload = Workload(cell=None, factory=FactorySource(f"own_data.py:{function}", args))
    task = Task(
        do, workload, Point(6, 5), seed=seed, factory_path=f"{FILE}:{function}", limit_bytes=GIB,
        guard_bytes=4 * GIB, confirm_steps=4, point_seconds=0.05,
    )  # fmt: skip
    return supervisor.ask(task, 120)


def seen(answer: Answer) -> list[dict[str, Any]]:
    assert answer.evidence is None, answer.evidence
    found: Any = answer.findings["seen"]
    return found


def test_a_fit_pass_tells_what_its_first_and_last_step_saw(supervisor: Supervisor) -> None:
    first, last = seen(ask(supervisor, "limited"))
    assert (first["step"], last["step"]) == (1, 4)
    assert (first["batch"], first["time_steps"], first["elements"]) == (4, 5, 160)
    assert {**last, "step": 1} == first


@pytest.mark.slow
def test_built_in_workloads_see_what_was_requested(supervisor: Supervisor) -> None:
    workload = Workload(impl="loop", input_size=4, hidden_size=8)
    task = Task("fit", workload, Point(6, 5), limit_bytes=GIB, guard_bytes=4 * GIB)
    first, last = seen(supervisor.ask(task, 120))
    assert (first["batch"], first["time_steps"]) == (last["batch"], last["time_steps"]) == (6, 5)


@pytest.mark.parametrize(
    "by",
    [
        pytest.param("torch", marks=pytest.mark.slow),
        "numpy",
        pytest.param("random", marks=pytest.mark.slow),
    ],
)
def test_another_seed_draws_other_data_and_the_same_the_same(
    supervisor: Supervisor, by: str
) -> None:
    marks = [ask(supervisor, "drawn", seed=seed, by=by).findings["data_mark"] for seed in (1, 2, 1)]
    assert marks[0] == marks[2] != marks[1]


def test_a_factory_that_seeds_itself_draws_the_same(supervisor: Supervisor) -> None:
    one, other = (ask(supervisor, "drawn", seed=seed, by="itself") for seed in (1, 2))
    assert one.findings["data_mark"] == other.findings["data_mark"] is not None


@pytest.mark.parametrize(
    ("do", "worst"),
    [
        ("fit", True),
        pytest.param("memory", True, marks=pytest.mark.slow),
        pytest.param("timing", False, marks=pytest.mark.slow),
        ("check", False),
    ],
)
def test_the_worst_batch_is_for_memory_alone(supervisor: Supervisor, do: str, worst: bool) -> None:
    assert ask(supervisor, "told_worst", do, expected=worst).evidence is None


def test_worst_may_be_an_argument_of_the_users_own(supervisor: Supervisor) -> None:
    assert ask(supervisor, "own_worst", worst="mine").evidence is None


def test_who_takes_worst() -> None:
    assert takes_by_name(lambda batch, time_steps, device, worst: None, "worst")
    assert takes_by_name(lambda batch, time_steps, device, *, worst=False: None, "worst")
    assert not takes_by_name(lambda batch, time_steps, device: None, "worst")
    assert not takes_by_name(lambda batch, time_steps, device, **args: None, "worst")
    assert not takes_by_name(print, "worst")


@pytest.mark.parametrize(
    ("do", "args", "said"),
    [
        ("fit", {"after": 3}, "the data ended after 3 training steps at B=6"),
        ("fit", {"after": 1, "by": "generator"}, "the data ended after 1 training step at B=6"),
        ("check", {"after": 0}, "the data ended within the first training step at B=6"),
        ("memory", {"after": 2}, "the data ended after 2 training steps at B=6"),
        ("timing", {"after": 2}, "the data ended in a timing pass at B=6"),
        ("check", {"where": "build"}, "the data ended before the first training step at B=6"),
    ],
)
def test_data_that_ends(
    supervisor: Supervisor, do: str, args: dict[str, object], said: str
) -> None:
    answer = ask(supervisor, "ends", do, **args)
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith(f"{said} (at own_data.py:")
