"""Faults from outside, with real processes: liars, a full disk, the kernel's killer, the clock."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from campaigns.campaign import Ended
from campaigns.faults import Fault, Seen, all_faults, row_of, try_fault
from campaigns.stops import stop_often
from conftest import FACTORIES
from fakes import HEADER, a_fit, a_timing
from rnnprof.engine.observer import observation_of
from rnnprof.engine.supervisor import Supervisor
from rnnprof.engine.template_process import TemplateProcess
from rnnprof.protocol import Task
from rnnprof.runfile import journal
from rnnprof.runfile.codec import DecodeError
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Started
from rnnprof.workload import FactorySource, Workload

GIB = 1 << 30
STARTED = Started("a1", "fit", 4, 4, Role.GRID, 0, "r1", "2026-11-23T12:00:00Z")


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage writes a file of its own as a process ends: a fault would hit that instead."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nonsense", "not JSON: b'what?'"),
        ("too_much", "a line of more than 16777216 bytes"),
        ("twice", "it sent a message after its answer"),
        ("absurd", "fit.train_steps_run: expected int"),
        ("negative", "fit.peak_process_bytes: expected int >= 0"),
        ("beyond", "fit.peak_process_bytes: expected int <= "),
    ],
)
def test_a_worker_whose_answer_cannot_be(supervisor: Supervisor, fault: str, words: str) -> None:
    task = Task(
        do="fit",
        workload=Workload(cell=None, factory=FactorySource("faulty.py:make", {"fault": fault})),
        factory_path=f"{FACTORIES}:make",
        point=Point(4, 4),
        limit_bytes=GIB,
    )
    observation = observation_of(STARTED, supervisor.ask(task, 60), GIB)
    assert observation.outcome is Outcome.CRASHED
    assert words in (observation.reason or "")


FAULTS = {fault.name: fault for fault in all_faults()}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_ends_as_stated(name: str) -> None:
    row = try_fault(FAULTS[name])
    if isinstance(row, str):
        pytest.skip(row)
    assert row.is_good(), row.line()


@pytest.mark.parametrize(
    "seen",
    [
        Seen(Ended(5, "", "rnnprof: no", 0), None),
        Seen(Ended(2, "", "rnnprof: no", 0), None, lost=1),
        Seen(Ended(2, "", "rnnprof: no", 1), None),
        Seen(Ended(2, "", "Traceback (most recent call last)\nrnnprof: no", 0), None),
        Seen(Ended(2, "", "rnnprof: yes", 0), None),
    ],
)
def test_the_campaign_tells_what_is_not_as_stated(seen: Seen) -> None:
    fault = Fault("a", "b", None, 2, "no", lambda _: seen)
    assert row_of(fault, Seen(Ended(2, "", "rnnprof: no", 0), None)).is_good()
    assert not row_of(fault, seen).is_good()


@pytest.mark.slow
def test_stopped_at_random_moments_and_given_again() -> None:
    tally = stop_often(signal.SIGINT, 3, at_once=1)
    assert not any(tally.faults().values()), tally
    assert tally.stopped == 3
    assert tally.finished >= 1
    assert set(tally.by_records) != {0}


def test_ctrl_c_before_the_first_import_is_silent() -> None:
    """``rnnprof.cli`` is not there yet to catch it."""
    code = (
        "import builtins, sys\n"
        "real = builtins.__import__\n"
        "def interrupted(name, *rest):\n"
        "    if name == 'click':\n"
        "        raise KeyboardInterrupt\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = interrupted\n"
        "from rnnprof.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 130
    assert ended.stderr == ""


def test_a_template_that_still_imports_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C while torch is imported, which may take half a minute."""
    (tmp_path / "torch.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    supervisor = Supervisor()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TemplateProcess, "await_until", interrupt)
    with pytest.raises(KeyboardInterrupt):
        supervisor.start()
    assert supervisor._template is not None
    process = supervisor._template.process
    waits: list[float | None] = []
    wait = process.wait

    def waited(timeout: float | None = None) -> int:
        waits.append(timeout)
        return wait(timeout)

    monkeypatch.setattr(process, "wait", waited)
    supervisor.close()
    assert waits == [0, None], "not given a moment, then killed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peak_process_bytes": -1}, "fit.peak_process_bytes: expected int >= 0"),
        ({"limit_bytes": 1 << 63}, "fit.limit_bytes: expected int <= "),
        ({"wall_s": -0.5}, "fit.wall_s: expected float >= 0"),
    ],
)
def test_numbers_that_cannot_be(changes: dict[str, object], words: str) -> None:
    fit = a_fit(Point(4, 4), **changes)
    with pytest.raises(DecodeError, match=re.escape(words)):
        journal.from_line(journal.to_line(fit).rstrip(b"\n"))


def test_a_step_of_no_time_is_no_sample() -> None:
    timing = a_timing(Point(4, 4), 0.0)
    with pytest.raises(DecodeError, match=r"timing\.samples_s\[0\]: expected float > 0"):
        journal.from_line(journal.to_line(timing).rstrip(b"\n"))


def test_a_factorys_own_arguments_may_be_any_number() -> None:
    source = FactorySource("a:b", {"shift_s": -1, "key": 10**30})
    header = replace(HEADER, workload=Workload(cell=None, factory=source))
    assert journal.from_line(journal.to_line(header).rstrip(b"\n")) == header
