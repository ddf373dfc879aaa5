"""``export`` as its users run it: the file, what it refuses, and what it does not import."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import CommandLine
from rnnprof.cli.main import run
from rnnprof.runfile.journal import load, to_line
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Request, Settings

GOLDEN = Path(__file__).parents[1] / "golden" / "run-2.jsonl"


@pytest.fixture
def run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a run in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.jsonl").write_bytes(GOLDEN.read_bytes())
    return "run.jsonl"


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line in which ``export`` refuses."""
    assert run(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    *usage, line = captured.err.strip().splitlines()
    assert all(each.startswith(("Usage:", "Try ")) or not each for each in usage)
    return line


def unmeasured(grid: Grid) -> bytes:
    """A run file that asked for *grid* and observed nothing."""
    request = Request("r1", "profile", grid, Settings(), "2026-11-23T12:00:00Z")
    return to_line(load(GOLDEN).header) + to_line(request)


# --- real processes ------------------------------------------------------------------------------


def test_csv_is_what_comes_out_of_the_pipe(rnnprof: CommandLine, run_file: str) -> None:
    result = rnnprof("export", run_file)
    assert (result.returncode, result.stderr) == (0, "")
    frame = pd.read_csv(io.StringIO(result.stdout))
    assert len(frame) == 9
    assert set(frame["run"]) == {"run.jsonl"}
    assert frame.loc[0, ["batch", "time_steps", "outcome"]].tolist() == [8, 16, "measured"]


def test_json_is_what_profile_prints(rnnprof: CommandLine, run_file: str) -> None:
    result = rnnprof("export", run_file, "--format", "json")
    assert (result.returncode, result.stderr) == (0, "")
    whole = json.loads(result.stdout)
    assert list(whole) == [
        "run",
        "points",
        "frontier",
        "loop",
        "step_function",
        "advice",
        "environment",
    ]
    assert len(pd.DataFrame(whole["points"])) == 9


def test_parquet_through_a_pipe(run_file: str) -> None:
    command = [sys.executable, "-m", "rnnprof", "export", run_file, "--format", "parquet"]
    result = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert result.stderr == b""
    assert len(pd.read_parquet(io.BytesIO(result.stdout))) == 9


def test_parquet_on_a_terminal_is_refused(run_file: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rnnprof", "export", run_file, "--format", "parquet"]
    result = subprocess.run(
        command, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    with pytest.raises(OSError):  # noqa: PT011 - the terminal's other end is gone, or it is empty
        os.read(ours, 1)
    os.close(ours)
    assert result.returncode == 2
    assert result.stderr == ("rnnprof: parquet is binary: name a file with -o\n")


def test_without_pyarrow(rnnprof: CommandLine, run_file: str, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError('No module named pyarrow')\n")
    result = rnnprof("export", run_file, "-o", "run.parquet", PYTHONPATH=str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == ("rnnprof: parquet needs pyarrow: pip install 'rnnprof[parquet]'\n")
    assert not (tmp_path / "run.parquet").exists()
    assert rnnprof("export", run_file, PYTHONPATH=str(tmp_path)).returncode == 0


def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    # so few bytes that Python holds them back, and would try again as it takes itself down
    (tmp_path / "run.jsonl").write_bytes(unmeasured(Grid((4,), (16,))))
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "rnnprof", "export", "run.jsonl"], cwd=tmp_path, env=environment,
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == "rnnprof: cannot write the answer to stdout: No space left on device\n"


def test_help_and_csv_import_nothing_heavy(run_file: str, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from rnnprof.cli.main import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "heavy = {'matplotlib', 'numpy', 'pandas', 'pyarrow', 'torch'} & sys.modules.keys()\n"
        "print(*sorted(heavy), file=sys.stderr)\n"
    )
    for arguments in (["--help"], [run_file], [run_file, "--format", "json"]):
        result = subprocess.run(
            [sys.executable, "-c", script, "export", *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (result.returncode, result.stderr) == (0, "\n")


# --- the file ------------------------------------------------------------------------------------


def test_the_ending_of_the_file_chooses(run_file: str, tmp_path: Path) -> None:
    for name in ("run.csv", "run.json", "run.parquet", "run.txt"):
        assert run(["export", run_file, "-o", name]) == 0
    assert len(pd.read_csv("run.csv")) == len(pd.read_parquet("run.parquet")) == 9
    assert json.loads((tmp_path / "run.json").read_text())["run"] == "run.jsonl"
    assert (tmp_path / "run.txt").read_bytes() == (tmp_path / "run.csv").read_bytes()


def test_the_format_given_beats_the_ending(run_file: str, tmp_path: Path) -> None:
    assert run(["export", run_file, "--format", "csv", "-o", "run.json"]) == 0
    assert (tmp_path / "run.json").read_bytes().startswith(b"batch,time_steps,outcome,")


def test_an_older_export_is_replaced(
    run_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.csv").write_text("old")
    assert run(["export", run_file, "-o", "run.csv"]) == 0
    assert (tmp_path / "run.csv").read_bytes().startswith(b"batch,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.csv", "run.jsonl"]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_dash_is_stdout(
    run_file: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(["export", run_file, "-o", "-"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"batch,time_steps,")
    assert not (tmp_path / "-").exists()


def test_several_runs_are_one_table(run_file: str, tmp_path: Path) -> None:
    (tmp_path / "again.jsonl").write_bytes(GOLDEN.read_bytes())
    for name in ("both.csv", "both.parquet"):
        assert run(["export", run_file, "again.jsonl", "-o", name]) == 0
    for frame in (pd.read_csv("both.csv"), pd.read_parquet("both.parquet")):
        assert frame["run"].tolist() == ["run.jsonl"] * 9 + ["again.jsonl"] * 9
    text = (tmp_path / "both.csv").read_text()
    assert text.count("batch,time_steps") == 1
    assert len(list(csv.reader(io.StringIO(text)))) == 19


def test_a_run_without_a_grid_says_where_its_edges_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edges.jsonl").write_bytes(unmeasured(Grid((), (16, 32))))
    assert run(["export", "edges.jsonl"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert captured.err == (
        "edges.jsonl has no grid points, so no rows; its largest batches are in --format json\n"
    )


# --- what is refused -----------------------------------------------------------------------------


def test_json_holds_one_run(run_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal([run_file, run_file, "--format", "json"], capsys)
    assert said.startswith("rnnprof: --format json holds one run, 2 were given")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument 'RUN...'"),
        (["run.jsonl", "--format", "xlsx"], "'xlsx' is not one of 'csv', 'json', 'parquet'"),
        (["none.jsonl"], "rnnprof: no run file none.jsonl"),
        (["."], "is a directory"),
        (["run.jsonl", "-o", "."], "is a directory"),
        (["run.jsonl", "-o", "none/run.csv"], "cannot write none/run.csv: No such file"),
        (["run.jsonl", "-o", "run.jsonl/run.csv"], "cannot write run.jsonl/run.csv: Not a dir"),
        (["run.jsonl", "-o", "x" * 300], "File name too long"),
        (["run.jsonl", "-o", "run.jsonl"], "a run file would be overwritten"),
        (["run.jsonl", "-o", "other.jsonl"], "a run file would be overwritten"),
    ],
)
def test_bad_input(
    arguments: list[str], words: str, run_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(arguments, capsys)
    assert Path(run_file).read_bytes() == GOLDEN.read_bytes()
    assert [path.name for path in Path.cwd().iterdir()] == ["run.jsonl"]


def test_the_run_is_kept_whatever_its_names(
    run_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link.csv").symlink_to(run_file)
    assert "a run file would be overwritten" in refusal([run_file, "-o", "link.csv"], capsys)
    assert (tmp_path / run_file).read_bytes() == GOLDEN.read_bytes()


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"batch,time_steps\r\n", "is not an rnnprof run file"),
        (b'{"kind":"header","schema":99,"checksum":"0123456789abcdef"}\n', "upgrade rnnprof"),
        (GOLDEN.read_bytes().replace(b'"batch":8', b'"batch":9', 1), "line 4: its checksum"),
    ],
)
def test_what_is_no_run(
    content: bytes, words: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_bytes(content)
    said = refusal(["bad.jsonl", "--format", kind, "-o", f"out.{kind}"], capsys)
    assert words in said
    assert "bad.jsonl" in said
    assert not Path(f"out.{kind}").exists()
