"""Nothing that a worker started outlives it, its template or its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leaving import WAYS, noted
from light_template import EARLY, python_in, task_of
from rnnprof.device import orphans
from rnnprof.engine.supervisor import Supervisor

GRACE_S = 10.0

LEAVE = f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\nimport leaving\nleaving.{{}}()\n"


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(python=python_in(tmp_path), folder=tmp_path) as supervisor:
        yield supervisor
    check_nothing_left(tmp_path)


def check_nothing_left(folder: Path) -> None:
    until_s = time.monotonic() + GRACE_S
    while (left := noted(folder)) and time.monotonic() < until_s:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


FAST = ("daemon", "clears_environment")


@pytest.mark.parametrize(
    "way", [way if way in FAST else pytest.param(way, marks=pytest.mark.slow) for way in WAYS]
)
def test_it_is_ended_with_the_worker(light: Supervisor, tmp_path: Path, way: str) -> None:
    """Before the answer is given: the next measurement has the machine for itself."""
    answer = light.ask(task_of(LEAVE.format(way) + "found = 1"), 60)
    assert answer.findings == {"found": 1}, answer
    assert (tmp_path / "left-behind.txt").read_text(), "it was there"
    assert noted(tmp_path) == []
    assert light.ask(task_of("found = 2"), 60).findings == {"found": 2}


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["os.kill(os.getpid(), 9)", "os._exit(0)", "1 / 0"])
def test_however_the_worker_ends(light: Supervisor, tmp_path: Path, ends: str) -> None:
    answer = light.ask(task_of(LEAVE.format("daemon") + ends), 60)
    assert answer.evidence is not None
    assert noted(tmp_path) == []


FOUND_BY_TOKEN = sorted(WAYS.keys() - {"clears_environment"})


@pytest.mark.parametrize(
    "way",
    [
        way if way == "daemon" else pytest.param(way, marks=pytest.mark.slow)
        for way in FOUND_BY_TOKEN
    ],
)
def test_it_is_ended_though_the_template_is_killed(
    light: Supervisor, tmp_path: Path, way: str
) -> None:
    """Its token is in the environment of all that it started."""
    text = LEAVE.format(way) + "os.kill(os.getppid(), 9)\nimport time; time.sleep(20)"
    assert light.ask(task_of(text), 60).evidence is not None
    assert noted(tmp_path) == []


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from light_template import task_of
from rnnprof.engine.supervisor import Supervisor
with Supervisor(python=sys.argv[2]) as supervisor:
    supervisor.ask(task_of(sys.argv[3]), 600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("way", ["daemon", "clears_environment"])
def test_it_is_ended_though_the_parent_is(tmp_path: Path, way: str, number: int) -> None:
    tests = str(Path(__file__).parents[1])
    text = LEAVE.format(way) + "open('ready', 'w')\nimport time; time.sleep(300)"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tests, python_in(tmp_path), text],
        cwd=tmp_path, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until_s = time.monotonic() + 60
    while not (tmp_path / "ready").exists() and time.monotonic() < until_s:
        time.sleep(0.02)
    assert noted(tmp_path)
    parent.send_signal(number)
    parent.wait(60)
    check_nothing_left(tmp_path)


def test_a_workers_own_children_live_as_long_as_it(light: Supervisor) -> None:
    """A process that another has ended meanwhile, and was the template's, is reaped alone."""
    text = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0: os._exit(0)  # becomes the template's child, and ends\n"
        "    os._exit(0)\n"
        "time.sleep(0.3)\n"
        "found = child.poll() is None\n"
    )
    assert light.ask(task_of(text), 60).findings == {"found": True}


def test_without_the_subreaper_it_would_stay(
    light: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the tests above can fail; the parent still finds it by its token in the end."""
    early = "from rnnprof.device import orphans\norphans.adopt_orphans = lambda: None"
    monkeypatch.setenv(EARLY, early)
    light.ask(task_of(LEAVE.format("daemon")), 60)
    assert noted(tmp_path)
    light.close()
    assert noted(tmp_path) == []


def test_a_worker_within_a_worker_is_found_by_both_tokens() -> None:
    outer = orphans.with_token({"A": "1"}, "t1")
    assert outer == {"A": "1", orphans.MARK_VARIABLE: "t1"}
    assert orphans.with_token(outer, "t2")[orphans.MARK_VARIABLE] == "t1:t2"
