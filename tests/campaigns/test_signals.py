"""The campaign of signals, short; and with a planted fault, which it must report."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from campaigns.campaign import Ended
from campaigns.faults import all_faults, try_fault
from campaigns.signals import TARGETS, Sender, Tally, Unnoisy, send_signals
from campaigns.stops import unnoisy


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage writes a file of its own as a process ends: a signal would hit that instead."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def plant(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Let every Python that is started from here run *text* first."""
    (folder / "sitecustomize.py").write_text(text)
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *([path] if path else [])]))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_few_signals(target: str) -> None:
    table = send_signals(target, 2, unnoisy())
    assert table.is_good(), "\n".join(table.lines())
    assert sum(tally.counts["signals"] for tally in table.rows.values()) == 2


@pytest.mark.slow
def test_a_supervisor_that_does_not_repeat_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = unnoisy()
    plant(monkeypatch, tmp_path, "import rnnprof.engine.supervisor as s\ns.MAX_TEMPLATE_ENDS = 1\n")
    assert not send_signals("template", 1, whole).is_good()


@pytest.mark.slow
def test_a_template_without_the_subreaper_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant(
        monkeypatch, tmp_path,
        "from rnnprof.device import orphans\norphans.adopt_orphans = lambda: None\n",
    )  # fmt: skip
    (fault,) = [each for each in all_faults() if each.name == "clears_environment-forward"]
    row = try_fault(fault)
    assert not isinstance(row, str)
    assert row.orphans >= 1
    assert not row.is_good()


@pytest.mark.parametrize(
    ("ended", "fault"),
    [
        (Ended(70, "", "", 0), "wrong_codes"),
        (Ended(0, "", "", 1), "orphans"),
        (Ended(0, "", "Traceback (most recent call last)", 0), "tracebacks"),
        (Ended(0, "", "still running after 300 s", 0), "hangs"),
    ],
)
def test_what_must_not_be_is_counted(tmp_path: Path, ended: Ended, fault: str) -> None:
    sender = Sender(Unnoisy(1.0, 1, {}), random.Random(0), tmp_path)
    tally = Tally()
    sender._look(tally, None, None, ended, {0})
    assert {name for name, count in tally.counts.items() if count} == {fault}
    assert not tally.is_good()
    sender._look(good := Tally(), None, None, Ended(0, "", "", 0), {0})
    assert good.is_good()


def test_a_damaged_file_is_counted(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text("{}\n{}\n")
    sender = Sender(Unnoisy(1.0, 1, {}), random.Random(0), tmp_path)
    tally = Tally()
    sender._look(tally, None, None, Ended(0, "", "", 0), {0})
    assert tally.counts["damaged"] == 1
