"""Shared fixtures: a supervisor with a real template, and the command line as a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rnnprof.cli.main import run
from rnnprof.engine.supervisor import Supervisor

# how long an example takes says more of what else runs on the machine than of the code
ANY_SPEED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# the same examples each time, so that a change meets its own faults; `all` looks for new ones
settings.register_profile("dev", max_examples=50, derandomize=True, **ANY_SPEED)
settings.register_profile("all", max_examples=500, **ANY_SPEED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# a pool of compilers, each of which imports torch, is slower than one for a graph as small as these
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

FACTORIES = Path(__file__).with_name("faulty.py")

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


_HEAR_INTERRUPTS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from rnnprof.__main__ import main
main()
"""

INTERRUPTIBLE = (sys.executable, "-c", _HEAR_INTERRUPTS)
"""The command line, hearing Ctrl-C also where a shell started the tests in the background."""


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    """One template for the whole session: importing torch takes seconds, forking milliseconds."""
    with Supervisor() as supervisor:
        yield supervisor


@pytest.fixture
def rnnprof(tmp_path: Path) -> CommandLine:
    """Run ``rnnprof ARGUMENTS`` in an empty directory; a report is only written where asked for."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RNNPROF_")}
        return subprocess.run(
            [sys.executable, "-m", "rnnprof", *arguments],
            cwd=tmp_path,
            env={**kept, "RNNPROF_NO_REPORT": "1", **environment},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


@pytest.fixture
def one_template(monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor) -> None:
    """What this process measures, it measures with the session's template."""
    for module in ("engine.job", "gate.run"):
        monkeypatch.setattr(f"rnnprof.{module}.Supervisor", lambda **_: nullcontext(supervisor))


@pytest.fixture
def warm(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    one_template: None,
) -> CommandLine:
    """As :func:`rnnprof`, but in this process and without another import of torch.

    Workers are forked for each task all the same; they run in the folder of the tests, so that a
    factory needs its whole path.
    """

    def run_here(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in {"RNNPROF_NO_REPORT": "1", **environment}.items():
                patch.setenv(name, value)
            code = run(arguments)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run_here


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` skip with the reason where there is no GPU."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and (reason := _no_gpu()):
        for item in marked:
            item.add_marker(pytest.mark.skipif(True, reason=reason))


def _no_gpu() -> str | None:
    """Without importing torch: a bare CUDA build cannot be imported where there is no GPU."""
    from rnnprof.device.inspection import installed_torch
    from rnnprof.device.selection import find_place

    if installed_torch().cuda is None:
        return "torch is a build without CUDA"
    return None if find_place("auto").kind == "cuda" else "no CUDA device"
