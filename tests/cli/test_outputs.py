"""Outputs that would overwrite an input or another output, by any of their names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rnnprof.cli.main import run
from rnnprof.cli.outputs import check_outputs
from rnnprof.errors import BadInputError

GOLDEN = Path(__file__).parents[1] / "golden" / "run-2.jsonl"
BUDGET = "version = 1\n[[fits]]\nbatch = 8\ntime-steps = 32\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.jsonl").write_bytes(GOLDEN.read_bytes())
    (tmp_path / "budget.toml").write_text(BUDGET)
    (tmp_path / "link.toml").symlink_to("budget.toml")
    os.link("budget.toml", "hard.toml")
    return tmp_path


@pytest.mark.parametrize("flag", ["--junit", "--markdown", "--benchmark-json"])
@pytest.mark.parametrize("name", ["budget.toml", "./budget.toml", "link.toml", "hard.toml"])
def test_no_file_of_the_gate_replaces_its_budget(
    folder: Path, flag: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "run.jsonl", "--budget", "budget.toml", flag, name]) == 2
    assert "would overwrite --budget budget.toml" in capsys.readouterr().err
    assert (folder / "budget.toml").read_text() == BUDGET


def test_two_files_of_the_gate_have_two_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "run.jsonl", "--budget", "budget.toml", "--junit", "a", "--markdown", "./a"]
    assert run(words) == 2
    assert "--markdown a would overwrite what --junit writes" in capsys.readouterr().err
    assert not (folder / "a").exists()


def test_streams_may_be_named_twice(tmp_path: Path) -> None:
    null = Path(os.devnull)
    check_outputs({"--junit": null, "--markdown": null, "-o": None}, {"RUN": tmp_path / "run"})


def test_links_that_lead_back_to_themselves_are_compared(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    with pytest.raises(BadInputError, match="would overwrite"):
        check_outputs({"-o": folder / "loop"}, {"RUN": folder / "loop"})


def test_an_empty_name_is_not_the_working_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    assert run(["report", "run.jsonl", "-o", ""]) == 2
    assert "it is empty" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_the_variable_of_a_bad_value_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RNNPROF_CELL", "elephant")
    assert run(["profile"]) == 2
    assert "'--cell' (from RNNPROF_CELL)" in capsys.readouterr().err
