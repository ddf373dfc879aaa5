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
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.errors import WorkerStartError
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.points import Outcome, Point
from rnnprof.workload import FactorySource, Workload

GIB = 1 << 30

PHASES = ("build", "data", "forward", "backward", "optimizer")
FAULTS = {
    "sigkill": (Outcome.CRASHED, "SIGKILL"),
    "sigsegv": (Outcome.CRASHED, "SIGSEGV"),
    "sigterm": (Outcome.CRASHED, "SIGTERM"),
    "leave": (Outcome.CRASHED, "code 3"),
    "sys_exit": (Outcome.FAILED, "the code called sys.exit("),
    "error": (Outcome.FAILED, "the user's own words"),
    "oom": (Outcome.OOM, "requesting"),
    "memory_error": (Outcome.OOM, "out of memory"),
}
FAULT_IN_PHASE = [(fault, "forward") for fault in FAULTS] + [
    (fault, where)
    for fault, where in zip(("error", "sigkill", "oom", "leave"), PHASES[:2] + PHASES[3:],
                            strict=True)
]  # fmt: skip
"""Each fault in one phase, and each other phase once: a worker goes the same way in all."""


def ask(
    supervisor: Supervisor,
    do: str = "fit",
    deadline_s: float = 60,
    function: str = "make",
    **args: object,
) -> Answer:
    """Run one pass of a factory of ``faulty.py``."""
    source = FactorySource(f"faulty.py:{function}", dict(args))
    task = Task(
        do=do,
        workload=Workload(cell=None, factory=source),
        factory_path=f"{FACTORIES}:{function}",
        point=Point(4, 4),
        limit_bytes=GIB,
        guard_bytes=2 * GIB,
        point_seconds=0.05,
    )
    return supervisor.ask(task, deadline_s)


def own_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.is_running()]


@pytest.mark.parametrize(("fault", "where"), FAULT_IN_PHASE)
def test_a_fault_is_judged_and_its_phase_named(
    supervisor: Supervisor, fault: str, where: str
) -> None:
    check_fault(supervisor, fault, where)


@pytest.mark.slow
@pytest.mark.parametrize("where", PHASES)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_in_each_phase(supervisor: Supervisor, fault: str, where: str) -> None:
    check_fault(supervisor, fault, where)


def check_fault(supervisor: Supervisor, fault: str, where: str) -> None:
    outcome, words = FAULTS[fault]
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
    assert answer.findings["train_steps_run"] == 2


@pytest.mark.alone
@pytest.mark.parametrize(
    "fault", ["hang_hard", "hang_with_child", pytest.param("hang", marks=pytest.mark.slow)]
)
def test_a_hang_is_ended_with_all_it_started(supervisor: Supervisor, fault: str) -> None:
    ask(supervisor)  # the template stays
    before = {process.pid for process in own_processes()}
    answer = ask(supervisor, fault=fault, where="backward", at_batch=4, deadline_s=3)
    assert answer.evidence is not None
    assert classify(answer.evidence).outcome is Outcome.TIMEOUT
    assert answer.evidence.phase == "backward"
    assert "about to hang" in answer.evidence.log_tail
    left = [process for process in own_processes() if process.pid not in before]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not alive


@pytest.mark.alone
def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from engine_parent import hold\nhold(sys.argv[2])\n"
    )
    (tmp_path / "engine_parent.py").write_text(
        "from rnnprof.engine.supervisor import Supervisor\n"
        "from rnnprof.protocol import Task\n"
        "from rnnprof.runfile.points import Point\n"
        "from rnnprof.workload import FactorySource, Workload\n"
        "def hold(path):\n"
        "    source = FactorySource('faulty.py:make', {'fault': 'hang_with_child'})\n"
        "    task = Task(do='timing', workload=Workload(cell=None, factory=source),\n"
        "                factory_path=path, point=Point(4, 4))\n"
        "    with Supervisor() as crew:\n"
        "        crew.ask(task, 600)\n"
    )
    parent = subprocess.Popen([sys.executable, script, tmp_path, f"{FACTORIES}:make"])
    started = wait_for_descendants(parent.pid, 3)
    assert len(started) >= 3, "template, worker and the worker's own child"
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(started, timeout=30)
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
    with Supervisor() as supervisor, pytest.raises(WorkerStartError, match="no torch here"):
        supervisor.start()


def test_the_parent_holds_no_torch() -> None:
    code = (
        "import sys\n"
        "import rnnprof, rnnprof.api, rnnprof.cli.main, rnnprof.cli.profile\n"
        "import rnnprof.engine.job, rnnprof.report.text.table, rnnprof.report.export.document\n"
        "heavy = {'torch', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
