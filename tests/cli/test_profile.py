"""The command as its users run it: real processes, the answer, the exit code, the file."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import FACTORIES, INTERRUPTIBLE, CommandLine
from rnnprof.runfile import journal
from rnnprof.runfile.observations import Calibration
from rnnprof.runfile.points import Outcome

SMALL = (
    "--hidden-size", "32", "--input-size", "16", "--batch", "2,4", "--time-steps", "4,8",
    "--point-seconds", "0.05", "--memory-limit", "256MiB", "-o", "run.jsonl",
    "--no-certify",  # the edges have tests of their own
)  # fmt: skip
FACTORY = ("--factory", f"{FACTORIES}:make", *SMALL[4:])


def document(result: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert result.returncode in (0, 5), result.stderr
    parsed = json.loads(result.stdout)
    assert isinstance(parsed, dict)
    return parsed


def test_profile_answers_and_leaves_its_files(rnnprof: CommandLine, tmp_path: Path) -> None:
    result = rnnprof("profile", *SMALL, RNNPROF_NO_REPORT="0")
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "lstm 16->32" in result.stdout
    run = journal.load(tmp_path / "run.jsonl")
    assert run.is_finished
    assert {o.outcome for o in run.observations} == {Outcome.MEASURED}
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "run.svg").read_text()
    assert "</html>" in (tmp_path / "run.html").read_text()
    kinds = {file.suffix for file in tmp_path.iterdir() if file.stem == "run"}
    assert kinds == {".jsonl", ".png", ".svg", ".html"}
    assert len(list(tmp_path.iterdir())) == len(kinds)


def test_json_is_one_document_and_an_oom_is_a_good_answer(warm: CommandLine) -> None:
    result = warm(
        "profile", "--hidden-size", "64", "--batch", "2,512,1024", "--time-steps", "64,128",
        "--memory-limit", "64MiB", "--point-seconds", "0.05", "-o", "run.jsonl", "--json", "-q",
        "--no-certify",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    points = {(p["batch"], p["time_steps"]): p for p in document(result)["points"]}
    assert len(points) == 6
    assert points[2, 64]["outcome"] == "measured"
    assert points[2, 64]["breakdown_bytes"]["weights"] > 0
    large = {points[b, t]["outcome"] for b in (512, 1024) for t in (64, 128)}
    assert large <= {"oom", "implied_oom"}
    oom = next(p for p in points.values() if p["outcome"] == "oom")
    assert oom["phase"] in ("data", "forward", "backward")
    assert "out of memory" in oom["reason"]


@pytest.mark.slow
def test_nothing_that_fits_is_exit_5(warm: CommandLine) -> None:
    result = warm(
        "profile", "--batch", "4", "--time-steps", "4", "--memory-limit", "1MiB", "-o", "run.jsonl"
    )
    assert result.returncode == 5
    assert "OOM" in result.stdout


def test_a_failing_point_is_exit_5_and_keeps_the_rest(warm: CommandLine) -> None:
    result = warm(
        "profile",
        *FACTORY,
        "--json",
        "--factory-arg",
        "fault=sigkill",
        "--factory-arg",
        "at_batch=4",
    )
    assert result.returncode == 5
    points = {(p["batch"], p["time_steps"]): p["outcome"] for p in document(result)["points"]}
    assert points == {(2, 4): "measured", (2, 8): "measured", (4, 4): "crashed", (4, 8): "crashed"}


@pytest.mark.slow
def test_a_nan_loss_is_measured_with_a_warning(warm: CommandLine) -> None:
    result = warm("profile", *FACTORY, "--json", "--factory-arg", "loss=nan")
    assert result.returncode == 0
    for point in document(result)["points"]:
        assert point["outcome"] == "measured"
        assert point["warnings"] == ["the loss is nan"]


def test_a_timeout_is_an_outcome(warm: CommandLine) -> None:
    result = warm(
        "profile", *FACTORY, "--factory-arg", "fault=hang", "--factory-arg", "at_batch=4",
        "--timeout", "3", "--time-steps", "4", "--json",
    )  # fmt: skip
    assert result.returncode == 5
    outcomes = {p["batch"]: (p["outcome"], p["phase"]) for p in document(result)["points"]}
    assert outcomes == {2: ("measured", None), 4: ("timeout", "forward")}


@pytest.mark.slow
def test_a_finished_file_is_kept_extended_or_begun_anew(warm: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    small = (*SMALL, "--batch", "2")
    assert warm("profile", *small).returncode == 0
    before = path.read_bytes()

    refused = warm("profile", *small)
    assert refused.returncode == 2
    assert "--extend" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert path.read_bytes() == before

    other = warm("profile", *small, "--extend", "--hidden-size", "33")
    assert other.returncode == 2
    assert "workload.hidden_size: 32 in the file, 33 now" in other.stderr
    assert path.read_bytes() == before

    extended = warm("profile", *small, "--extend", "--time-steps", "4,16")
    assert extended.returncode == 0, extended.stderr
    assert path.read_bytes().startswith(before)
    observed = journal.load(path).observations
    assert len({o.point for o in observed if not isinstance(o, Calibration)}) == 3

    anew = warm("profile", *small, "--overwrite")
    assert anew.returncode == 0
    assert len(journal.load(path).requests) == 1


@pytest.mark.slow
def test_another_limit_or_source_is_refused(warm: CommandLine, tmp_path: Path) -> None:
    source = tmp_path / "train.py"
    source.write_text(FACTORIES.read_text())
    (tmp_path / "leaving.py").write_text(FACTORIES.with_name("leaving.py").read_text())
    command = ("profile", "--factory", f"{source}:make", *SMALL[4:])
    assert warm(*command).returncode == 0
    limit = warm(*command, "--extend", "--memory-limit", "128MiB")
    assert limit.returncode == 2
    assert "limit_bytes: 268435456 in the file, 134217728 now" in limit.stderr
    source.write_text(FACTORIES.read_text() + "\n# changed\n")
    changed = warm(*command, "--extend")
    assert changed.returncode == 2
    assert "train.py has changed" in changed.stderr


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_stopped_and_given_again_nothing_is_lost_or_done_twice(
    tmp_path: Path, number: int, code: int
) -> None:
    command = [*INTERRUPTIBLE, "profile", *SMALL, "--no-report", "--point-seconds", "0.4"]
    path = tmp_path / "run.jsonl"
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_for_records(path, 9)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    if number != signal.SIGKILL:
        assert "To resume: rnnprof profile --hidden-size 32" in told
    before = journal.load(path)
    assert not before.is_finished

    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    run = journal.load(path)
    assert run.is_finished
    assert run.observations[: len(before.observations)] == before.observations
    passes = [
        (o.point, type(o), o.process_index)
        for o in run.observations
        if o.role == "grid" and o.outcome is Outcome.MEASURED
    ]
    repeated = {key for key in passes if passes.count(key) > 1}
    assert all(key[1].__name__ == "Timing" for key in repeated), "only a noisy timing repeats"
    assert len({key[0] for key in passes}) == 4


def wait_for_records(path: Path, count: int) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} did not reach {count} records")


def test_two_writers_are_one_too_many(tmp_path: Path, rnnprof: CommandLine) -> None:
    command = [*INTERRUPTIBLE, "profile", *SMALL, "--point-seconds", "2"]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_for_records(tmp_path / "run.jsonl", 3)
    second = rnnprof("profile", *SMALL)
    first.send_signal(signal.SIGINT)
    first.wait(20)
    assert second.returncode == 2
    assert "is being written by another rnnprof" in second.stderr


def test_configuration_by_file_and_environment(warm: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "rnnprof.toml").write_text(
        'batch = "2"\ntime-steps = 4\nhidden-size = 8\npoint-seconds = 0.05\noutput = "a.jsonl"\n'
    )
    result = warm("profile", "--json", "--time-steps", "5", RNNPROF_HIDDEN_SIZE="9")
    assert result.returncode == 0, result.stderr
    run = journal.load(tmp_path / "a.jsonl")
    assert run.grid.batch == (2,)
    assert run.grid.time_steps == (5,)
    assert run.header.workload.hidden_size == 9
