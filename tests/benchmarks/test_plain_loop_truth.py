"""The benchmark of the plain loop on a simulated GPU: its rows, judged without one."""

from __future__ import annotations

import ast
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.performance import plain_loop_truth as benchmark
from benchmarks.performance.plain_loop_truth import CASES, QUICK, SCRIPT, Case, Ran, Row

CASE = Case("t4", "lstm", "native", "2GiB", "default")
FITS = Ran(784, 30, "", 2 << 30, 1 << 30)
OOM = Ran(785, 1, "OutOfMemoryError: CUDA out of memory.", 2 << 30, None)
EQUAL = Row(CASE, 784, 2 << 30, 824, FITS, OOM)


def test_there_are_48_rows_and_two_quick_ones() -> None:
    assert len({case.name for case in CASES}) == 48
    assert [
        case.name for case in benchmark.chosen(benchmark.CASES, benchmark.QUICK, None, quick=True)
    ] == [*QUICK]
    assert len(benchmark.chosen(benchmark.CASES, benchmark.QUICK, ["gru-fused"], quick=False)) == 8
    with pytest.raises(SystemExit, match="no such row"):
        benchmark.chosen(benchmark.CASES, benchmark.QUICK, ["lstm-loop"], quick=False)


@pytest.mark.parametrize(
    ("row", "is_equal"),
    [
        (EQUAL, True),
        (replace(EQUAL, at=OOM), False),
        (replace(EQUAL, above=FITS), False),
        (replace(EQUAL, above=replace(OOM, error="RuntimeError: other")), False),
        (Row(CASE, None, note="indeterminate: why"), False),
    ],
)
def test_equal_is_fits_at_the_answer_and_out_of_memory_above(row: Row, is_equal: bool) -> None:
    assert row.is_equal is is_equal


def test_the_last_line_counts_the_equal_rows() -> None:
    said = benchmark.report([EQUAL, Row(CASE, None, note="indeterminate: why")]).splitlines()
    assert said[1].split() == [
        *("t4", "lstm", "native", "2GiB", "default", "784", "fits"),
        *("OOM,", "step", "2", "yes", "824", "fits"),
    ]
    assert said[-2:] == ["t4-lstm-native-2GiB-default: indeterminate: why", "equal in 1 of 2"]


def test_the_script_knows_nothing_of_rnnprof() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported == {"ctypes", "itertools", "json", "os", "sys", "torch", "typing"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


def test_an_answer_is_read_from_the_commands_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edge = {"status": "certified", "reason": None, "batch": 784, "fits": {"peak_bytes": 5}}
    told = {"frontier": [edge], "step_function": [{"batch": 824, "fits": True}]}
    ended = subprocess.CompletedProcess([], 0, json.dumps(told), "")
    monkeypatch.setattr(benchmark, "run", lambda *_: ended)
    assert benchmark.ask(CASE, tmp_path) == Row(CASE, 784, 5, 824)
    edge["status"] = "indeterminate"
    ended.stdout = json.dumps(told)
    assert benchmark.ask(CASE, tmp_path).batch is None
    ended.stdout, ended.stderr = "", "what went wrong"
    assert "what went wrong" in benchmark.ask(CASE, tmp_path).note
