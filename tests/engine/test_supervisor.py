"""Real processes: every way in which a worker can end, and who is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from conftest import FACTORIES
from rnnprof.analysis.outcomes import classify
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.errors import WorkerStartError
from rnnprof.protocol import Task
from rnnprof.records import Outcome
from rnnprof.workload import FactorySource, Workload

pytestmark = pytest.mark.alone

GIB = 1 << 30


def ask(
    crew: Supervisor,
    do: str = "fit",
    deadline_s: float = 60,
    function: str = "make",
    **args: object,
) -> Answer:
    """Run one pass of a factory of ``faulty.py``."""
    source = FactorySource(f"faulty.py:{function}", "0", dict(args))
    task = Task(
        do=do,
        workload=Workload(cell=None, factory=source),
        factory_path=f"{FACTORIES}:{function}",
        batch=4,
        steps=4,
        limit_bytes=GIB,
        guard_bytes=2 * GIB,
        point_seconds=0.05,
    )
    return crew.ask(task, deadline_s)


def own_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.is_running()]


@pytest.mark.parametrize("where", ["build", "data", "forward", "backward", "optimizer"])
@pytest.mark.parametrize(
    ("fault", "outcome", "words"),
    [
        ("sigkill", Outcome.CRASHED, "SIGKILL"),
        ("sigsegv", Outcome.CRASHED, "SIGSEGV"),
        ("leave", Outcome.CRASHED, "code 3"),
        ("sys_exit", Outcome.FAILED, "SystemExit"),
        ("error", Outcome.FAILED, "the user's own words"),
        ("oom", Outcome.OOM, "asking for"),
        ("memory_error", Outcome.OOM, "out of memory"),
    ],
)
def test_each_fault_in_each_phase(
    supervisor: Supervisor, fault: str, outcome: Outcome, words: str, where: str
) -> None:
    answer = ask(supervisor, fault=fault, where=where, at_batch=4)
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is outcome
    assert answer.evidence.phase == where
    assert where in verdict.reason
    assert words in verdict.reason


def test_garbage_on_stdout_is_no_answer(supervisor: Supervisor) -> None:
    answer = ask(supervisor, fault="garbage", where="forward")
    assert answer.evidence is None
    assert answer.findings["steps_run"] == 2


@pytest.mark.parametrize("fault", ["hang", "hang_hard", "hang_with_child"])
def test_a_hang_is_ended_with_all_it_started(supervisor: Supervisor, fault: str) -> None:
    before = {process.pid for process in own_processes()}
    began_s = time.monotonic()
    answer = ask(supervisor, fault=fault, where="backward", at_batch=4, deadline_s=3)
    assert answer.evidence is not None
    assert classify(answer.evidence).outcome is Outcome.TIMEOUT
    assert answer.evidence.phase == "backward"
    assert "about to hang" in answer.evidence.log_tail
    assert time.monotonic() - began_s < 3 + 2 + 3
    time.sleep(0.2)
    assert {process.pid for process in own_processes()} <= before


def test_the_template_is_started_again_after_its_death(supervisor: Supervisor) -> None:
    assert ask(supervisor).evidence is None
    assert supervisor._template is not None
    supervisor._template.kill()
    supervisor._template.wait()
    assert ask(supervisor).evidence is None


def test_a_template_that_dies_midway_is_a_crash(supervisor: Supervisor) -> None:
    ask(supervisor)
    assert supervisor._template is not None
    killer = subprocess.Popen(
        ["/bin/sh", "-c", f"sleep 1; kill -9 {supervisor._template.pid}"], stdin=subprocess.DEVNULL
    )
    answer = ask(supervisor, fault="hang", where="forward", at_batch=4, deadline_s=30)
    killer.wait()
    assert answer.evidence is not None
    assert classify(answer.evidence).outcome is Outcome.CRASHED
    assert answer.wall_s < 15


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from engine_parent import hold\nhold(sys.argv[2])\n"
    )
    (tmp_path / "engine_parent.py").write_text(
        "from rnnprof.engine.supervisor import Supervisor\n"
        "from rnnprof.protocol import Task\n"
        "from rnnprof.workload import FactorySource, Workload\n"
        "def hold(path):\n"
        "    source = FactorySource('faulty.py:make', '0', {'fault': 'hang_with_child'})\n"
        "    task = Task(do='timing', workload=Workload(cell=None, factory=source),\n"
        "                factory_path=path, batch=4, steps=4)\n"
        "    with Supervisor() as crew:\n"
        "        crew.ask(task, 600)\n"
    )
    parent = subprocess.Popen([sys.executable, script, tmp_path, f"{FACTORIES}:make"])
    started = wait_for_descendants(parent.pid, 3)
    assert len(started) >= 3, "template, worker and the worker's own child"
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(started, timeout=5)
    for process in alive:
        process.kill()
    assert not alive, f"orphans: {alive}"


def wait_for_descendants(pid: int, count: int) -> list[psutil.Process]:
    until_s = time.monotonic() + 60
    found: list[psutil.Process] = []
    while len(found) < count and time.monotonic() < until_s:
        time.sleep(0.1)
        found = psutil.Process(pid).children(recursive=True)
    return found


def test_a_python_without_torch_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with Supervisor() as crew, pytest.raises(WorkerStartError, match="no torch here"):
        crew.start()


def test_the_parent_holds_no_torch() -> None:
    code = (
        "import sys\n"
        "import rnnprof, rnnprof.api, rnnprof.cli.main, rnnprof.cli.profile\n"
        "import rnnprof.engine.profile, rnnprof.report.table, rnnprof.report.document\n"
        "heavy = {'torch', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
