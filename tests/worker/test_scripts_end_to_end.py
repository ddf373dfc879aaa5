"""The scripts of tests/scripts, unchanged, through a real worker."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.performance.script_cases import CASES, SCRIPTS, Case

from conftest import CommandLine
from rnnprof import protocol
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import DATA_ENDED_TYPE, classify
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import MIB
from rnnprof.workload import ScriptPlace, ScriptSource, workload_of_script

GUARD_BYTES = 8 << 30
DEADLINE_S = 120.0
BATCH = 24
QUICK = {"constants", "word_lm", "gan"}
EVENTS = {"gan": 3}
STEP_ENDS = {"word_lm": "weights"}
TIME_STEPS = 20


@pytest.fixture(scope="module")
def here() -> Iterator[Supervisor]:
    """Workers that start in the scripts' folder, where the package is."""
    with Supervisor(folder=SCRIPTS) as supervisor:
        yield supervisor


def fit(here: Supervisor, place: ScriptPlace, time_steps: int, **changes: Any) -> Answer:
    source = ScriptSource(
        Path(place.target).name, place.is_module, place.argv, {}, dict(place.assignments)
    )
    options = {"confirm_steps": 4, "limit_bytes": 2048 * MIB, "guard_bytes": GUARD_BYTES}
    task = protocol.Task(
        "fit", workload_of_script(source), Point(BATCH, time_steps), script=place,
        **{**options, **changes},
    )  # fmt: skip
    return here.ask(task, changes.get("deadline_s", DEADLINE_S))


def place_of(case: Case) -> ScriptPlace:
    target = case.target if case.is_module else str(SCRIPTS / case.target)
    given = dict(each.split("=", 1) for each in case.assigned)
    return ScriptPlace(target, case.is_module, case.words, {}, given)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if case.name in QUICK else (pytest.mark.slow,))
        for case in CASES
    ],
)
def test_a_script_trains_at_the_size_that_it_is_given(
    request: pytest.FixtureRequest, case: Case
) -> None:
    pytest.importorskip(case.needs)
    here = request.getfixturevalue("here" if case.is_module else "supervisor")
    answer = fit(here, place_of(case), case.time_steps)
    assert answer.evidence is None, answer.evidence
    found: Any = answer.findings
    assert found["train_steps_run"] == 4
    assert found["step_end"] == STEP_ENDS.get(case.name, "optimizer")
    assert found["events_per_step"] == EVENTS.get(case.name, 1)
    assert {each["batch"] for each in found["seen"]} == {BATCH}
    lengths = {each["time_steps"] for each in found["seen"]}
    if case.name == "packed":  # as long as the longest sequence in the batch
        assert max(lengths) <= case.time_steps < 2 * min(lengths)
    else:
        assert lengths == {case.time_steps}
    assert found["warnings"] == []


def awkward(supervisor: Supervisor, name: str, *words: str, **changes: Any) -> Answer:
    place = ScriptPlace(str(SCRIPTS / "awkward" / name), False, words)
    return fit(supervisor, place, TIME_STEPS, **changes)


def refused(answer: Answer) -> str:
    assert answer.evidence is not None
    return str(answer.evidence.message)


def test_a_script_that_ends_early_says_after_how_many_steps(supervisor: Supervisor) -> None:
    answer = awkward(supervisor, "ends_early.py", "{batch}", "{time_steps}")
    assert answer.evidence is not None
    assert answer.evidence.error_type == DATA_ENDED_TYPE
    assert "ended after 3 training steps at B=24" in refused(answer)


def test_a_script_that_exits_before_it_trains(supervisor: Supervisor) -> None:
    assert "without a training step" in refused(awkward(supervisor, "exits.py"))


def test_a_child_that_trains_is_named(supervisor: Supervisor) -> None:
    answer = awkward(supervisor, "trains_in_child.py", "{batch}", "{time_steps}")
    assert "only the training of the script's own process is measured" in refused(answer)


def test_an_out_of_memory_that_the_script_catches_counts(supervisor: Supervisor) -> None:
    answer = awkward(
        supervisor,
        "catches_oom.py",
        "{batch}",
        "{time_steps}",
        limit_bytes=1 * MIB,
        confirm_steps=2,
    )
    assert answer.evidence is not None
    assert classify(answer.evidence).outcome is Outcome.OOM


def test_a_batch_that_the_script_ignores_is_seen(supervisor: Supervisor) -> None:
    found: Any = awkward(supervisor, "ignores_batch.py", "--batch-size", "{batch}").findings
    assert [each["batch"] for each in found["seen"]] == [32, 32]


def test_what_asks_on_the_terminal_gets_an_end_of_file(supervisor: Supervisor) -> None:
    answer = awkward(supervisor, "insists_on_stdin.py")
    assert answer.evidence is not None
    assert answer.evidence.error_type == "EOFError"


@pytest.mark.parametrize("name", ["reads_stdin.py", "changes_folder.py", "signal_handlers.py"])
def test_what_is_no_hindrance(supervisor: Supervisor, name: str) -> None:
    answer = awkward(supervisor, name, "{batch}", "{time_steps}")
    assert answer.evidence is None
    assert answer.findings["train_steps_run"] == 4


@pytest.mark.slow
def test_no_training_step_within_the_deadline_is_a_build_that_took_too_long(
    supervisor: Supervisor,
) -> None:
    place = ScriptPlace(str(SCRIPTS / "awkward" / "no_training_step.py"))
    source = ScriptSource("no_training_step.py")
    task = protocol.Task(
        "fit", workload_of_script(source), Point(BATCH, TIME_STEPS), script=place,
        limit_bytes=512 * MIB, guard_bytes=GUARD_BYTES,
    )  # fmt: skip
    answer = supervisor.ask(task, 4.0)
    assert answer.evidence is not None
    assert answer.evidence.timed_out
    assert answer.evidence.phase == "build"


@pytest.mark.slow
def test_constants_are_set_and_the_largest_batch_is_proven(rnnprof: CommandLine) -> None:
    case = next(case for case in CASES if case.name == "constants")
    words = [str(SCRIPTS / word) if word == case.target else word for word in case.typed]
    ended = rnnprof(
        "max-batch", "--json", "-q", "-T", "10", "--memory-limit", "24MiB", "-o", "run.jsonl",
        *words,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (edge,) = json.loads(ended.stdout)["frontier"]
    assert (edge["status"], edge["fails"]["batch"]) == ("certified", edge["batch"] + 1)


@pytest.mark.slow
def test_a_computed_constant_is_refused(rnnprof: CommandLine) -> None:
    ended = rnnprof(
        "max-batch", "-T", "10", "--memory-limit", "24MiB", "--set", "BATCH={batch}", "--",
        sys.executable, str(SCRIPTS / "awkward" / "computed_batch.py"),
    )  # fmt: skip
    assert ended.returncode == 2
    assert "BATCH" in ended.stderr
    assert "PER_WORKER * WORKERS" in ended.stderr
