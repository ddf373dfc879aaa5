"""``rnnprof check`` and ``rnnprof compare``, as a CI job runs them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import CommandLine
from fakes import FakeProbe, run_into
from rnnprof.cli.main import run
from rnnprof.runfile.journal import load
from rnnprof.runfile.observations import Timing
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Settings

GRID = Grid((8, 16, 64), (16, 32))
HEAD = "version = 1\n"


@dataclass(slots=True)
class Slower(FakeProbe):
    """Each step takes so many times as long; processes differ by a tenth of a percent.

    A fit runs as many steps as a proof.
    """

    factor: float = 1.0

    def _timing(self, point: Point) -> dict[str, Any]:
        found = FakeProbe._timing(self, point)
        noise = 1 + 0.001 * (sum(task.do == "timing" for task, _ in self.asked) % 3)
        found["samples_s"] = [each * self.factor * noise for each in found["samples_s"]]
        return found


def a_run(path: Path, factor: float = 1.0, processes: int = 5) -> Path:
    settings = Settings(processes=processes, certify=False)
    run_into(path, Slower(factor=factor, least_steps=10), GRID, settings)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    a_run(tmp_path / "run.jsonl")
    return tmp_path


def budget(folder: Path, text: str) -> str:
    (folder / "budget.toml").write_text(HEAD + text)
    return "budget.toml"


FITS = "[[fits]]\nbatch = 16\ntime-steps = 32\n"
TIGHT = '[[peak]]\nbatch = 16\ntime-steps = 32\nat-most = "1MiB"\n'

Told = Callable[[list[str]], tuple[int, str, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    def check(arguments: list[str]) -> tuple[int, str, str]:
        code = run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return check


def test_what_is_kept_passes(folder: Path, told: Told) -> None:
    code, out, _ = told(["check", "run.jsonl", "--budget", budget(folder, FITS)])
    assert code == 0
    assert "PASS" in out
    assert "FAIL" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_not_kept_fails(folder: Path, told: Told) -> None:
    code, out, _ = told(["check", "run.jsonl", "--budget", budget(folder, FITS + TIGHT)])
    assert code == 1
    assert "FAIL" in out
    assert "peak B=16 T=32" in out


def test_a_variable_never_beats_a_budget(
    folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a budget states is judged, whatever the job's environment says."""
    monkeypatch.setenv("RNNPROF_MEMORY_LIMIT", "32MiB")
    monkeypatch.setenv("RNNPROF_CELL", "gru")
    text = '[workload]\ncell = "lstm"\n[measure]\nmemory-limit = "64MiB"\n' + FITS
    assert told(["check", "run.jsonl", "--budget", budget(folder, text)])[0] == 0
    assert os.environ["RNNPROF_MEMORY_LIMIT"] == "32MiB"


def test_the_measurements_of_a_budget_are_held_against_a_run(folder: Path, told: Told) -> None:
    text = '[measure]\nmemory-limit = "32MiB"\n' + FITS
    code, out, _ = told(["check", "run.jsonl", "--budget", budget(folder, text)])
    assert code == 3
    assert "memory-limit is 64.0 MiB, the budget has 32.0 MiB" in " ".join(out.split())


def test_a_baseline_is_neither_the_run_nor_written_over(folder: Path, told: Told) -> None:
    before = (folder / "run.jsonl").read_bytes()
    text = budget(folder, '[measure]\ndevice = "cpu"\nmemory-limit = "64MiB"\n' + FITS)
    code, out, _ = told(["check", "run.jsonl", "--budget", text, "--baseline", "run.jsonl"])
    assert code == 3
    assert "the baseline is the run itself" in " ".join(out.split())
    code, _, said = told(["check", "--budget", text, "--baseline", "run.jsonl", "-o", "run.jsonl"])
    assert code == 2
    assert "-o run.jsonl would overwrite --baseline run.jsonl" in said
    assert (folder / "run.jsonl").read_bytes() == before


def test_a_point_that_is_missing_fails(folder: Path, told: Told) -> None:
    text = "[[fits]]\nbatch = 999\ntime-steps = 32\n"  # a larger batch that fits would answer
    assert told(["check", "run.jsonl", "--budget", budget(folder, text)])[0] == 1


def test_growth_over_a_baseline(folder: Path, told: Told) -> None:
    a_run(folder / "slow.jsonl", 1.3)
    same = ["--budget", budget(folder, FITS), "--baseline", "run.jsonl"]
    a_run(folder / "again.jsonl", 1.0)
    assert told(["check", "again.jsonl", *same])[0] == 0
    code, out, _ = told(["check", "slow.jsonl", *same])
    assert code == 1
    assert "time_growth" in out or "time growth" in out


def test_one_process_tells_nothing_of_time(folder: Path, told: Told) -> None:
    a_run(folder / "one.jsonl", processes=1)
    arguments = ["check", "one.jsonl", "--budget", budget(folder, FITS), "--baseline", "run.jsonl"]
    code, out, _ = told(arguments)
    assert code == 0
    assert "INCONCLUSIVE" in out
    assert told([*arguments, "--strict"])[0] == 3


def test_another_workload_is_not_comparable(folder: Path, told: Told) -> None:
    text = '[workload]\ncell = "gru"\n' + FITS
    code, out, _ = told(["check", "run.jsonl", "--budget", budget(folder, text)])
    assert code == 3
    assert "NOT COMPARABLE" in out
    assert "cell is 'lstm', the budget has 'gru'" in " ".join(out.split())


def test_every_form_is_written(folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(folder / "output"))
    code, out, _ = told(
        ["check", "run.jsonl", "--budget", budget(folder, TIGHT), "--json", "--github", "--junit",
         "a/junit.xml", "--markdown", "a.md", "--benchmark-json", "a.json"]
    )  # fmt: skip
    assert code == 1
    document = json.loads(out)
    assert (document["verdict"], document["exit_code"]) == ("FAIL", 1)
    assert "<failure" in (folder / "a" / "junit.xml").read_text()
    assert "FAIL" in (folder / "a.md").read_text()
    assert json.loads((folder / "a.json").read_text())[0]["unit"]
    assert "FAIL" in (folder / "summary").read_text()
    assert "exit-code" in (folder / "output").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[fitts]]\nbatch = 1\ntime-steps = 1\n", "fits"),
        ("[[fits]]\nbatch = 16\n", "time-steps"),
        ("[[fits]\n", "not valid TOML"),
        ("[workload]\ncel = 'gru'\n" + FITS, "did you mean 'cell'"),
        (FITS + FITS, "fits[2] names the same as fits[1]"),
        ("", "budget.toml"),
        ("a = " + "[" * 5000, "TOML"),
    ],
)
def test_a_budget_that_is_none_is_exit_2(folder: Path, told: Told, text: str, said: str) -> None:
    code, out, err = told(["check", "run.jsonl", "--budget", budget(folder, text)])
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_it_measures_what_the_budget_asks_for(warm: CommandLine, tmp_path: Path) -> None:
    text = """
[workload]
hidden-size = 16
input-size = 8
[measure]
memory-limit = "64MiB"
point-seconds = 0.05
at-most = 4
processes = 1
[[max-batch]]
time-steps = 4
at-least = 4
[[fits]]
batch = 3
time-steps = 8
headroom = "5%"
[[peak]]
batch = 2
time-steps = 4
at-most = "32MiB"
"""
    result = warm("check", "--budget", budget(tmp_path, text), "-o", "made.jsonl", "-q")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("PASS") >= 3
    made = load(tmp_path / "made.jsonl")
    assert [request.command for request in made.requests] == ["max-batch", "profile", "fits"]
    assert {o.outcome for o in made.observations} == {Outcome.MEASURED}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--budget", "good.toml"], 0),
        (["--budget", "tight.toml"], 1),
        (["--budget", "none.toml"], 2),
        (["--budget", "other.toml"], 3),
    ],
)
def test_every_exit_code_by_a_real_process(
    rnnprof: CommandLine, folder: Path, arguments: list[str], code: int
) -> None:
    (folder / "good.toml").write_text(HEAD + FITS)
    (folder / "tight.toml").write_text(HEAD + TIGHT)
    (folder / "other.toml").write_text(HEAD + '[workload]\ncell = "gru"\n' + FITS)
    assert rnnprof("check", "run.jsonl", *arguments).returncode == code


# compare


def test_compare_tells_each_point_and_the_headline(folder: Path, told: Told) -> None:
    a_run(folder / "slow.jsonl", 1.3)
    code, out, _ = told(["compare", "run.jsonl", "slow.jsonl"])
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "same workload, limit and environment" in out
    headline = "Step time: +30.0% over the baseline (geometric mean of 5 points)"
    assert headline in " ".join(out.split())
    document = json.loads(told(["compare", "run.jsonl", "slow.jsonl", "--json"])[1])
    assert document["time_ratio"] == pytest.approx(1.3, rel=0.01)
    assert len(document["points"]) == 6


def test_compare_of_a_missing_file_is_exit_2(folder: Path, told: Told) -> None:
    code, out, err = told(["compare", "run.jsonl", "none.jsonl"])
    assert (code, out) == (2, "")
    assert "none.jsonl" in err


STEP = """
import torch
from torch import nn

from rnnprof import Training

EXTRA_BYTES = 0


def make(batch, steps, device):
    model = nn.LSTM(8, 16)
    optimizer = torch.optim.Adam(model.parameters())

    def step(phase):
        kept = torch.zeros(EXTRA_BYTES, dtype=torch.uint8)
        optimizer.zero_grad()
        loss = model(torch.randn(steps, batch, 8))[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach() + kept.numel()

    return Training(step, model=model, optimizer=optimizer)
"""


@pytest.fixture
def checkouts(tmp_path: Path) -> Path:
    """Two folders with the same factory; the second one's takes 4 MiB more."""
    for name, extra in (("old", 0), ("new", 4 << 20)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(STEP.replace("= 0", f"= {extra}", 1))
    return tmp_path


@pytest.mark.slow
def test_two_checkouts_in_turn(rnnprof: CommandLine, checkouts: Path) -> None:
    result = rnnprof(
        "compare", "old", "new", "--factory", "train.py:make", "--batch", "2", "--time-steps", "4",
        "--processes", "2", "--point-seconds", "0.05", "--memory-limit", "256MiB", "--json", "-q",
        "-o", "both.jsonl",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert [each["name"] for each in document["differences"]] == ["source train.py"]
    [point] = document["points"]
    assert point["allocated_bytes"]["new"] - point["allocated_bytes"]["base"] >= 4 << 20
    assert point["verdict"]["memory"] == "more"
    runs = [load(checkouts / name) for name in ("both-base.jsonl", "both.jsonl")]
    for run_ in runs:
        timings = [o for o in run_.observations if isinstance(o, Timing) and o.role is Role.GRID]
        assert {o.process_index for o in timings} == {0, 1}
    again = rnnprof("compare", "both-base.jsonl", "both.jsonl", "--json")
    assert json.loads(again.stdout)["points"] == document["points"]


@pytest.mark.slow
def test_a_gate_against_a_checkout(rnnprof: CommandLine, checkouts: Path) -> None:
    text = """
[workload]
factory = "train.py:make"
[measure]
memory-limit = "256MiB"
point-seconds = 0.05
processes = 1
[growth]
batch = 2
time-steps = 4
"""
    here = budget(checkouts / "new", text)
    result = rnnprof("check", "--budget", f"new/{here}", "--against", "old", "-q")
    assert result.returncode == 2  # no train.py in this folder
    assert "no file train.py" in result.stderr
    (checkouts / "train.py").write_text((checkouts / "new" / "train.py").read_text())
    result = rnnprof(
        "check", "--budget", f"new/{here}", "--against", "old", "-q", "--max-seconds", "0.1"
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert "FAIL" in result.stdout
    assert "memory_growth B=2 T=4" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "run.jsonl", "."], "give two of one kind"),
        (["compare", ".", "."], "give --batch and --time-steps"),
        (["compare", ".", "nowhere"], "neither a run file"),
        (["compare", "run.jsonl", "run.jsonl", "--batch", "8"], "is for checkouts"),
        (["check", "run.jsonl", "--budget", "b.toml", "--against", "."], "leave RUN out"),
        (
            ["check", "--budget", "b.toml", "--baseline", "run.jsonl", "--against", "."],
            "--baseline",
        ),
        (
            ["check", "--budget", "b.toml", "--against", "run.jsonl"],
            "give a run file to --baseline",
        ),
        (["check", "--budget", "grown.toml", "--against", "."], "names no point"),
    ],
)
def test_what_cannot_be_measured_in_turn_is_exit_2(
    folder: Path, told: Told, arguments: list[str], said: str
) -> None:
    (folder / "b.toml").write_text(HEAD + FITS)
    (folder / "grown.toml").write_text(HEAD + "[growth]\n")
    code, out, err = told(arguments)
    assert (code, out) == (2, "")
    assert said in err
