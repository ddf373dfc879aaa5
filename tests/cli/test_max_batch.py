"""``max-batch`` and ``advise`` as their users run them: real processes, edges that hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from conftest import FACTORIES, CommandLine
from rnnprof.cli.main import run
from rnnprof.device.malloc import as_shell
from rnnprof.runfile import journal
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Role

TINY = ("--cell", "lstm", "--input-size", "32", "--hidden-size", "64", "-o", "run.jsonl", "-q")
LIMIT = ("--memory-limit", "24MiB")

STEADY = ("--input-size", "64", "--hidden-size", "256", "--memory-limit", "63MiB", "-q")
"""A sequence takes ten times what the heap of one invocation differs from another's; 64 MiB would
be just what 40 sequences take."""

LINE = re.compile(
    r"T=(\d+): (\d+) is the largest, (\d+) is out of memory"
    r"(?:: B=\d+ fitted in one run and ran out of memory in another: it counts as out of memory)?"
    r"; largest safe batch (\d+) \([\d.]+ MiB, (measured|predicted)\)"
)


def test_the_edge_at_each_length_in_a_line_and_it_holds(
    warm: CommandLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = warm("max-batch", *STEADY, "--time-steps", "32,64", "-o", "run.jsonl")
    assert result.returncode == 0, result.stderr
    assert result.stderr == "wrote\n  run.jsonl\n"
    *lines, proven, charged, first, last = result.stdout.splitlines()
    assert proven == "Proven over 10 training steps in a plain loop"
    assert charged.startswith("The limit counts address space. To train within it, put before")
    assert f"{first.strip()} {last.strip()}".replace(" \\ ", " ") == as_shell()
    whole = "\n".join(lines).replace(";\n  ", "; ").splitlines()
    found = [LINE.fullmatch(line) for line in whole]
    assert all(found), result.stdout
    edges = {int(line[1]): int(line[2]) for line in found if line}
    assert list(edges) == [32, 64]
    assert 20 < edges[64] < edges[32] < 500
    for line in found:
        assert line is not None
        batch, beyond, safe = (int(line[group]) for group in (2, 3, 4))
        assert beyond == batch + 1
        assert 0.8 * batch < safe < batch

    seen = journal.load(tmp_path / "run.jsonl")
    assert seen.is_finished
    assert {type(o) for o in seen.observations} == {Fit}
    assert {o.role for o in seen.observations} == {Role.PROBE}
    assert len(seen.observations) <= 24
    check_against_profile(warm, edges[64], tmp_path / "again.jsonl", capsys)
    check_advise(tmp_path / "run.jsonl", result.stdout, capsys)


def check_against_profile(
    warm: CommandLine, batch: int, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sweep's own passes agree, as near as one heap is to another; ``advise`` repeats it."""
    below, above = round(0.95 * batch), round(1.05 * batch)
    result = warm(
        "profile", *STEADY, "--batch", f"{below},{above}", "--time-steps", "64",
        "--point-seconds", "0.05", "--headroom", "0", "--json", "-o", path.name,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    swept = json.loads(result.stdout)
    points = {p["batch"]: p["outcome"] for p in swept["points"]}
    assert points == {below: "measured", above: "oom"}
    [edge] = swept["frontier"]
    assert edge["status"] == "certified"
    assert below <= edge["batch"] < above
    lines = advised(capsys, path).splitlines()
    assert lines[0] == f"T=64: train with B={below}"
    assert lines[1].endswith("the only usable batch timed at this T")
    assert max(map(len, lines)) <= 80
    largest = edge["batch"]
    assert f"T=64: {largest} is the largest, {largest + 1} is out of memory; " in " ".join(lines)
    assert json.loads(advised(capsys, path, "--json"))["advice"] == swept["advice"]


def check_advise(path: Path, edges: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What it says of the file is what the search said, without a point to advise."""
    advice, _, said = advised(capsys, path).partition("\n\n")
    assert said == edges
    lines = advice.splitlines()
    assert lines[:2] == [
        "Train with: not known from this run",
        "  - no point was timed that fits with headroom: profile smaller batches",
    ]
    assert lines[2] == "Predicted, not measured:"
    assert lines[3].startswith("  - under 31.5 MiB the largest batches would be T=32: about ")
    whole = json.loads(advised(capsys, path, "--json", "--effective-batch", "999"))
    assert whole["advice"]["effective_batch"] == 999
    assert [at["time_steps"] for at in whole["advice"]["largest_safe"]] == [32, 64]
    assert all(at["accumulation_steps"] > 1 for at in whole["advice"]["largest_safe"])
    assert [edge["status"] for edge in whole["frontier"]] == ["certified", "certified"]


def advised(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> str:
    """The answer of ``advise``, and nothing else beside it."""
    assert run(["advise", str(path), *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_the_document(warm: CommandLine, tmp_path: Path) -> None:
    command = (
        "max-batch",
        *TINY,
        *LIMIT,
        "--time-steps",
        "16",
        "--at-most",
        "40",
        "--lengths",
        "4,8",
    )
    result = warm(*command, "--granularity", "8", "--confirm", "2", "--reserve", "2MiB", "--json")
    assert result.returncode == 0, result.stderr
    whole = json.loads(result.stdout)
    assert list(whole) == [
        "run",
        "frontier",
        "loop",
        "step_function",
        "advice",
        "limit_bytes",
        "training_limit_bytes",
        "environment",
    ]
    (edge,) = whole["frontier"]
    assert (edge["time_steps"], edge["status"], edge["batch"]) == (16, "capped", 40)
    assert (edge["granularity"], edge["at_most"], edge["fails"]) == (8, 40, None)
    assert edge["fits"]["batch"] == 40
    assert 0 < edge["fits"]["peak_bytes"] < 22 << 20
    assert edge["fits"]["train_steps_run"] == 12  # whole rounds over three lengths
    assert (edge["confirmations"], edge["ooms"]) == (2, 0)
    fits = journal.load(tmp_path / "run.jsonl").observations
    assert edge["probes"] == len(edge["attempts"]) == len(fits)
    assert {fit.limit_bytes for fit in fits if isinstance(fit, Fit)} == {22 << 20}
    assert (whole["limit_bytes"], whole["training_limit_bytes"]) == (24 << 20, 22 << 20)
    assert whole["advice"]["largest_safe"][0]["batch"] == 40
    assert whole["advice"]["recommendations"] == []

    refused = warm(*command)
    assert refused.returncode == 2
    assert "holds a finished run: --extend adds points to it" in refused.stderr
    assert refused.stdout == ""


def test_nothing_that_fits_is_exit_5(warm: CommandLine, tmp_path: Path) -> None:
    # below the weights: memory is short while they are built, before oneDNN can meet it
    limit = ("--hidden-size", "512", "--memory-limit", "2MiB")
    result = warm("max-batch", *TINY, "--time-steps", "16", *limit)
    assert result.returncode == 5, result.stderr
    said = "T=16: nothing fits: B=1 is out of memory before its first training step\n"
    assert result.stdout == said
    outcomes = {o.batch: o.outcome for o in journal.load(tmp_path / "run.jsonl").observations}
    assert outcomes == {16: Outcome.OOM, 1: Outcome.OOM}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at-most", "8", "--granularity", "16"], "--at-most 8 is below --granularity 16"),
        (["--at-most", "0"], "at-most"),
        (["--lengths", "8,17"], "--lengths 17 is longer than --time-steps 16"),
        (["--lengths", "0"], "between 1 and"),
        (["--lengths", "4", "--factory", f"{FACTORIES}:make"], "your code has its own lengths"),
        (["--reserve", "0"], "above zero"),
        (["--headroom", "2"], "'2' is not a share from 0 to below 1"),
        (["--headroom", "-1%"], "is not a share"),
        (["--confirm", "0"], "confirm"),
        (["--confirm-steps", "0"], "confirm-steps"),
        (["--gpu-memory", "8GiB"], "--gpu-memory describes another CUDA GPU"),
        (["--gpu-memory", "8GiB", "--memory-limit", "8MiB"], "exclude each other"),
        (["--effective-batch", "0"], "effective-batch"),
        (["--batch", "8"], "--batch"),
        (["-o", "run.json"], "NAME.jsonl"),
    ],
)
def test_bad_input(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["max-batch", "--device", "cpu", "--time-steps", "16,32", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_reserve_that_leaves_nothing_is_refused(warm: CommandLine) -> None:
    result = warm("max-batch", *TINY, *LIMIT, "--time-steps", "16", "--reserve", "24MiB")
    assert result.returncode == 2
    assert "--reserve 24.0 MiB leaves nothing of the limit of 24.0 MiB" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("content", "words"), [("", "is empty"), ("{}\n", "is not an rnnprof")])
def test_advise_refuses_what_is_no_run(
    content: str, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(content)
    assert run(["advise", str(path)]) == 2
    assert words in capsys.readouterr().err


def test_advise_of_a_missing_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["advise", str(tmp_path / "none.jsonl")]) == 2
    captured = capsys.readouterr()
    assert "no run file" in captured.err
    assert captured.out == ""
