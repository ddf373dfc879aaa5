"""The Python API: the engine of the command line, called from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rnnprof
from rnnprof.analysis.certify import frontier_of
from rnnprof.errors import RunFileError
from rnnprof.records import EdgeStatus, Outcome, Point, Role, Settings
from rnnprof.workload import Workload


def test_profile_returns_what_load_reads(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = rnnprof.profile(
        Workload(cell="gru", input_size=8, hidden_size=8),
        batch=[2],
        steps="3,5",
        settings=Settings(memory_limit=256 << 20, point_seconds=0.05),
        output=path,
    )
    assert run == rnnprof.load(path)
    grid = [o for o in run.observations if o.role is not Role.PROBE]
    assert {o.point for o in grid} == {Point(2, 3), Point(2, 5)}
    assert {o.outcome for o in run.observations} == {Outcome.MEASURED}


def test_max_batch_returns_the_frontier_of_its_run(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    frontier = rnnprof.max_batch(
        Workload(cell="gru", input_size=8, hidden_size=8),
        steps=[3, 5],
        settings=Settings(memory_limit=256 << 20, at_most=2),
        output=path,
    )
    assert [(c.steps, c.status, c.batch) for c in frontier] == [
        (3, EdgeStatus.CAPPED, 2),
        (5, EdgeStatus.CAPPED, 2),
    ]
    assert frontier == frontier_of(rnnprof.load(path))


def test_an_error_is_an_exception_with_the_same_words(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="no run file"):
        rnnprof.load(tmp_path / "none.jsonl")


def test_the_version_is_told_once() -> None:
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{rnnprof.__version__}"' in pyproject


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        rnnprof.no_such_name  # noqa: B018


def test_importing_rnnprof_imports_nothing_heavy() -> None:
    code = (
        "import sys, rnnprof; rnnprof.Training; "
        "sys.exit(bool({'torch', 'numpy', 'matplotlib', 'click'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
