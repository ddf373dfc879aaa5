"""``rnnprof report``, as its users run it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import CommandLine

GOLDEN = Path(__file__).parents[1] / "golden" / "run-2.jsonl"


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN, tmp_path / "first.jsonl"))


def test_the_page_goes_beside_the_run_and_its_path_to_stdout(
    rnnprof: CommandLine, run_file: Path
) -> None:
    result = rnnprof("report", "first.jsonl")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "first-report/report.html\n"
    assert "wrote\n" in result.stderr
    page = run_file.parent / result.stdout.strip()
    assert page.read_text().startswith("<!doctype html>")
    assert (page.parent / "summary.md").exists()


@pytest.mark.slow
def test_several_runs_in_one_report(warm: CommandLine, run_file: Path) -> None:
    shutil.copy(run_file, run_file.with_name("second.jsonl"))
    result = warm("report", "first.jsonl", "second.jsonl", "-o", "out", "-q")
    assert (result.returncode, result.stderr) == (0, "")
    text = (run_file.parent / "out" / "report.html").read_text()
    assert "first" in text
    assert "second" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.jsonl"], "missing.jsonl"),
        (["first.jsonl", "./first.jsonl"], "given twice"),
        (["newer.jsonl"], "newer"),
        (["first.jsonl", "-o", "first.jsonl"], "first.jsonl"),
        (["first.jsonl", "-o", "taken"], "report.html is there"),
        (["first.jsonl", "-o", "closed/in"], "cannot write the report to closed/in"),
        ([], "RUN"),
    ],
)
def test_wrong_input_is_one_clear_error(
    warm: CommandLine, run_file: Path, arguments: list[str], said: str
) -> None:
    folder = run_file.parent
    text = run_file.read_text()
    (folder / "newer.jsonl").write_text(text.replace('"schema":2', '"schema":99'))
    (folder / "taken").mkdir()
    (folder / "taken" / "report.html").write_text("theirs")
    (folder / "closed").write_text("no directory")
    result = warm("report", *arguments)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert (folder / "taken" / "report.html").read_text() == "theirs"
