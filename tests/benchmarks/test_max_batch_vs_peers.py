"""The benchmark against the peers: truth from outcomes, the table, a missing peer, a quick run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from benchmarks.performance import max_batch_vs_peers as peers
from benchmarks.performance.finders import (
    AT_MOST,
    Ledger,
    Trial,
    Truth,
    in_words,
    missing_batch,
    truth_of,
)
from benchmarks.performance.max_batch_peers import PEERS, Case, Peer
from benchmarks.performance.max_batch_vs_peers import HEADER, Finding, row_of, table
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.units import MIB

CASE = Case("lstm", 64 * MIB, 32)


def outcomes(text: str, first: int = 1) -> dict[int, bool]:
    return {batch: mark == "+" for batch, mark in enumerate(text, first) if mark != " "}


@pytest.mark.parametrize(
    ("fits", "truth"),
    [
        (outcomes("+++--"), Truth(3)),
        (outcomes("---"), Truth(0)),
        (outcomes("++-+-"), Truth(2, (4,))),
        (outcomes("+-", first=30) | {50: True}, Truth(30, (50,))),
        (outcomes("+ -"), Truth(None, (), "B=3 was out of memory and B=2 was not run")),
        (outcomes("- ++", 4), Truth(None, (6, 7), "B=4 was out of memory and B=3 was not run")),
        (outcomes("++"), Truth(None, (), "no batch up to 2 was out of memory")),
        ({}, Truth(None, (), "no batch up to 0 was out of memory")),
    ],
)
def test_the_truth_is_the_largest_below_the_first_failure(
    fits: dict[int, bool], truth: Truth
) -> None:
    assert truth_of(fits) == truth


@given(edge=st.integers(0, 3000), tried=st.sets(st.integers(1, 4000), max_size=8))
def test_missing_batches_lead_to_the_edge(edge: int, tried: set[int]) -> None:
    fits = {batch: batch <= edge for batch in tried}
    for _ in range(40):
        batch = missing_batch(fits)
        if batch is None:
            break
        assert batch not in fits
        fits[batch] = batch <= edge
    assert truth_of(fits) == Truth(edge)


def test_a_search_without_failures_ends_at_the_cap() -> None:
    assert missing_batch({AT_MOST // 2: True}) == AT_MOST
    assert missing_batch({AT_MOST: True}) is None


def test_a_row_is_judged_by_the_truth() -> None:
    trials = {
        32: [Trial(8, fits=True, train_steps_run=3), Trial(16, fits=False, train_steps_run=1)]
    }
    row = row_of(CASE, Finding("x", {32: 12}, trials, 5.0, 2.0), {32: Truth(10)})
    assert (row.probes, row.ooms, row.train_steps_run) == (2, 1, 4)
    assert row.errors_ratio == (pytest.approx(0.2),)
    assert row.note == "B=12 does not fit; B=12 was never run"
    known = row_of(CASE, Finding("x", {32: 8}, trials, 5.0, 2.0), {32: Truth(None)})
    assert known.errors_ratio == (None,)
    assert known.note == ""


def test_a_peer_that_is_not_there_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Peer("no_such_package", lambda _case, _ledger: lambda: 1)
    monkeypatch.setitem(PEERS, "absent", absent)
    row = row_of(CASE, peers.ask_peer("absent", CASE), {32: Truth(10)})
    assert row.note == "not importable: no module named 'no_such_package'"
    assert (row.answers, row.probes, row.train_steps_run, row.wall_s) == ((None,), None, None, None)
    assert table([row]).splitlines()[1].split()[:11] == [
        "lstm", "64.0", "MiB", "32", "absent", "-", "10", "-", "-", "-", "-",
    ]  # fmt: skip


def test_the_table_is_aligned() -> None:
    short = row_of(CASE, Finding("a", {32: 9}, {}, 1.0, None), {32: Truth(10)})
    several = Finding("much longer", {32: 1000, 64: None}, {}, 100.25, 3.0, note="why")
    long = row_of(CASE, several, {32: Truth(1000), 64: Truth(None)})
    header, *lines = table([short, long]).splitlines()
    for name in ("answer", "truth", "error %", "probes", "OOMs", "steps run", "seconds", "search"):
        end = header.index(name) + len(name)
        assert all(line[end - 1] != " " and line[end : end + 1] in ("", " ") for line in lines)
    assert header.split("  ")[0] == HEADER[0]
    assert "32/64" in lines[1]
    assert "1000/-" in lines[1]
    assert "+0.0/-" in lines[1]
    assert "-10.0" in lines[0]


def test_a_trial_that_does_not_end_has_failed() -> None:
    ledger = Ledger()
    with suppress(RuntimeError), ledger.trial(16):
        ledger.stepped()
        raise RuntimeError
    with ledger.trial(8):
        ledger.stepped()
    assert ledger.trials == [
        Trial(16, fits=False, train_steps_run=1), Trial(8, fits=True, train_steps_run=1),
    ]  # fmt: skip


def test_an_error_of_short_memory_is_told_from_others() -> None:
    refused = RuntimeError("could not create a primitive\nmore")
    said = "raised RuntimeError: could not create a primitive"
    assert in_words(refused, 60 * MIB, 64 * MIB).startswith(f"{said} (an OOM")
    assert in_words(refused, 1 * MIB, 64 * MIB) == said
    assert in_words(ValueError(), None, 64 * MIB) == "raised ValueError: "


@pytest.mark.slow
def test_a_quick_run_of_our_own_row(tmp_path: Path) -> None:
    output = tmp_path / "found.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.performance.max_batch_vs_peers",
        "--quick",
        "--only",
        "lstm",
    ]
    done = subprocess.run(
        [*command, "--who", "rnnprof", "--output", str(output)],
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    ours, force = found["rows"]
    assert (ours["who"], force["who"]) == ("rnnprof", "brute force")
    assert ours["answers"] == ours["truths"] == force["answers"]
    assert ours["probes"] >= 2
    assert ours["ooms"] >= 1
    assert 0 < ours["search_s"] < ours["wall_s"]
    assert found["machine"]["processors"] >= 1
    assert len(found["brute_force"][0]["trials"]) >= 3
