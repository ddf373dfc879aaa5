"""The evidence script: budgets, parts that fail or hang, packing, and a dry run of real parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from benchmarks.gpu import evidence as gpu_evidence
from benchmarks.gpu.commands import breakdown_verdict
from benchmarks.gpu.evidence import (
    CARD,
    IDENTITY,
    MAX_FILES,
    MOST_BUDGETS_S,
    PARTS,
    ROOT,
    TOTAL_S,
    Campaign,
    Part,
    chosen,
    parse_arguments,
)

from rnnprof.runfile.observations import Breakdown, Memory
from rnnprof.runfile.points import Outcome, Role

PARTS_OF_OURS = """
import os
import signal
import subprocess
import sys
import time


def good(stage):
    stage.keep(answer=42)


def bad(stage):
    stage.keep(answer=1)
    raise ValueError("the part's own words")


def dies(stage):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(stage):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    stage.keep(child=child.pid)
    time.sleep(600)


def card_alone(stage):
    stage.needs_cuda()


def writes(stage):
    for folder in ("runs", "charts"):
        for number in range(20):
            (stage.folder / folder / f"{number}.txt").write_text("x")
    (stage.folder / "cudnn-sizes.json").write_text("{}")
"""


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """Campaign whose parts may come from the module above."""
    (tmp_path / "parts_of_ours.py").write_text(PARTS_OF_OURS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT / 'src'}")
    folder = tmp_path / "scratch"
    for inner in ("runs", "charts"):
        (folder / inner).mkdir(parents=True)
    return Campaign("cpu", folder, tmp_path / "out")


def ours(name: str, budget_s: float = 20) -> Part:
    return Part(name, f"parts_of_ours:{name}", budget_s)


def test_the_budgets_leave_room_for_killing_and_packing() -> None:
    assert sum(part.budget_s for part in PARTS) <= MOST_BUDGETS_S < TOTAL_S
    assert len({part.name for part in PARTS}) == len(PARTS)


def test_one_part_can_be_chosen_and_the_identity_comes_with_it() -> None:
    assert chosen(parse_arguments([])) == list(PARTS)
    assert [p.name for p in chosen(parse_arguments(["--only", "breakdown"]))] == [
        "identity",
        "breakdown",
    ]
    rest = chosen(parse_arguments(["--skip", "profiles"]))
    assert len(rest) == len(PARTS) - 1


def test_each_part_gets_what_the_later_ones_do_not_need(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    def run_part(_self: Campaign, part: Part, seconds: float) -> dict[str, Any]:
        given[part.name] = seconds
        return {"status": "ok", "figures": {}}

    monkeypatch.setattr(Campaign, "run_part", run_part)
    campaign.run([ours("good", 100), ours("bad", 300), Part("absent", "x:y", 50, "no/such/file")])
    assert given["good"] == pytest.approx(TOTAL_S - 300, abs=1)
    assert given["bad"] == pytest.approx(TOTAL_S, abs=1)
    given.clear()
    campaign.total_s = TOTAL_S / 2
    campaign.run([ours("good", 100), ours("bad", 300)])
    assert given["good"] == pytest.approx(TOTAL_S / 2 - 150, abs=1)


def test_parts_that_fail_or_die_do_not_stop_the_rest(campaign: Campaign) -> None:
    absent, typo = Part("absent", "x:y", 9, "no/such/file"), Part("typo", "no_such_module:f", 9)
    parts = [ours("bad"), ours("dies"), ours("card_alone"), ours("good"), absent, typo]
    campaign.run(parts)
    summary = json.loads((campaign.output / "summary.json").read_text())
    found = summary["parts"]
    statuses = {name: part["status"] for name, part in found.items()}
    assert statuses == {
        "bad": "failed", "dies": "failed", "card_alone": "skipped", "good": "ok",
        "absent": "skipped", "typo": "failed",
    }  # fmt: skip
    assert found["bad"]["reason"] == "ValueError: the part's own words"
    assert found["bad"]["figures"] == {"answer": 1}
    assert found["dies"]["exit_code"] == -9
    assert found["card_alone"]["reason"] == "needs CUDA"
    assert found["good"]["figures"] == {"answer": 42}
    assert "the part's own words" in (campaign.output / "log.txt").read_text()


@pytest.mark.alone
def test_a_part_that_hangs_is_ended_with_what_it_started(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_evidence, "KILL_GRACE_S", 0.5)
    campaign.total_s = 30.0
    found = campaign.run_part(ours("hangs"), 4.0)
    assert found["status"] == "timeout"
    child = found["figures"]["child"]
    assert ends(child), "SIGKILL was sent; a busy machine may take a moment to carry it out"
    assert campaign.run_part(ours("good"), 20.0)["status"] == "ok"


def ends(pid: int) -> bool:
    """Whether a process is gone, or nobody's zombie, within half a minute."""
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_whatever_the_parts_write_comes_in_a_few_files(campaign: Campaign) -> None:
    campaign.run([ours("writes"), ours("good")])
    names = sorted(path.name for path in campaign.output.iterdir())
    assert names == [
        "charts.tar.gz", "cudnn-sizes.json", "log.txt", "runs.tar.gz", "summary.json",
    ]  # fmt: skip
    assert len(names) <= MAX_FILES
    with tarfile.open(campaign.output / "runs.tar.gz") as tar:
        assert len(tar.getnames()) == 20
        assert "runs/7.txt" in tar.getnames()


def test_the_folder_is_named_by_the_card(campaign: Campaign, tmp_path: Path) -> None:
    campaign.output = tmp_path / CARD / "today"
    campaign._know({"gpu": "NVIDIA H200 (141 GB)", "torch": "2"})
    assert campaign.output == tmp_path / "nvidia-h200-141-gb" / "today"
    assert campaign.summary["torch"] == "2"


@pytest.mark.parametrize(
    ("peak_bytes", "outcome", "has_breakdown", "expected"),
    [
        (45, Outcome.MEASURED, True, "equal"),
        (46, Outcome.MEASURED, True, "unequal"),
        (45, Outcome.MEASURED, False, "no breakdown"),
        (None, Outcome.OOM, False, "not measured"),
    ],
)
def test_a_breakdown_is_held_against_the_allocators_peak(
    peak_bytes: int | None, outcome: Outcome, has_breakdown: bool, expected: str
) -> None:
    memory = Memory(
        attempt="a", batch=1, time_steps=1, role=Role.GRID, worker=0, process_index=0, request="r",
        outcome=outcome, wall_s=0.0, peak_allocated_bytes=peak_bytes,
        breakdown=Breakdown(*range(1, 10), phase="backward") if has_breakdown else None,
    )  # fmt: skip
    assert breakdown_verdict(memory) == expected


@pytest.mark.slow
def test_a_dry_run_of_real_parts_is_packed_with_its_identity(tmp_path: Path) -> None:
    only = [
        word
        for name in ("sizes", "breakdown", "profiles", "account", "cost")
        for word in ("--only", name)
    ]
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu"), "--dry-run"]
    ended = subprocess.run(
        [*command, *only, "--output", str(tmp_path / "out"), "--commit", "abc", "--seconds", "200"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["commit"], summary["device"]) == ("abc", "cpu")
    assert summary["torch"]
    statuses = {name: part["status"] for name, part in summary["parts"].items()}
    assert statuses == {
        IDENTITY.name: "ok", "sizes": "skipped", "breakdown": "ok", "profiles": "ok",
        "account": "ok", "cost": "ok",
    }  # fmt: skip
    assert summary["parts"]["breakdown"]["figures"]["counts"] == {"equal": 4}
    assert summary["parts"]["profiles"]["figures"]["lstm"]["points"][0]["outcome"] == "measured"
    assert summary["parts"]["account"]["figures"]["counts"] == {"equal": 1}
    assert summary["parts"]["cost"]["figures"]["lstm"]["over_the_least"] > 1
    with tarfile.open(tmp_path / "out" / "runs.tar.gz") as tar:
        assert tar.getnames() == ["runs/lstm.jsonl"]
