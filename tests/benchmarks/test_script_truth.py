"""The benchmark of scripts against plain Python: cases, edits, rows, and the plain process."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.performance import script_truth as benchmark
from benchmarks.performance.plain_script import ENDED, FITS, OUT_OF_MEMORY
from benchmarks.performance.script_cases import CASES, QUICK, SCRIPTS, Case
from benchmarks.performance.script_truth import RUNNER, Ran, Row

from rnnprof.placeholders import filled

CONSTANTS = next(case for case in CASES if case.name == "constants")
AT = Ran(784, FITS, 30, "", 90 << 20, 1 << 20, 0.1)
ABOVE = Ran(785, OUT_OF_MEMORY, 1, "RuntimeError: can't allocate memory", None, 1 << 20, 0.1)
EDGE = {"batch": 784, "probes": 5, "fits": {"peak_bytes": 95 << 20}, "held_bytes": 1 << 20}
EQUAL = Row(CONSTANTS, EDGE, 12.0, AT, ABOVE, 784, 780)


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def test_no_script_and_no_plain_process_knows_rnnprof() -> None:
    files = [RUNNER, *SCRIPTS.rglob("*.py")]
    assert len(files) > 25
    for path in files:
        assert "rnnprof" not in imported(path)
        assert "rnnprof" not in path.read_text(encoding="utf-8") or path == RUNNER


def test_the_page_names_every_script_and_its_command() -> None:
    page = (SCRIPTS / "README.md").read_text(encoding="utf-8")
    for path in [*SCRIPTS.glob("*.py"), *(SCRIPTS / "awkward").glob("*.py")]:
        assert f"`{path.name}`" in page
    for case in CASES:
        command = " ".join(["python", *case.typed[case.typed.index("--") + 2 :]])
        assert f"--memory-limit {case.limit}" in page
        assert f"-- {command}`" in page


@pytest.mark.parametrize("case", [case for case in CASES if case.edits], ids=lambda each: each.name)
def test_a_person_edits_the_same_constants(case: Case, tmp_path: Path) -> None:
    case.copy_to(tmp_path, 77)
    edited = [filled(edit.edited, 77, case.time_steps) for edit in case.edits]
    for edit, line in zip(case.edits, edited, strict=True):
        assert line in (tmp_path / edit.file).read_text(encoding="utf-8").splitlines()
    assert any("77" in line for line in edited)


def test_an_edit_without_its_line_is_an_error(tmp_path: Path) -> None:
    wrong = replace(CONSTANTS, edits=(replace(CONSTANTS.edits[0], line="SEQ = 1"),))
    with pytest.raises(SystemExit, match="no line"):
        wrong.copy_to(tmp_path, 3)


@pytest.mark.parametrize(
    ("row", "is_equal"),
    [
        (EQUAL, True),
        (replace(EQUAL, at=replace(ABOVE, batch=784)), False),
        (replace(EQUAL, above=replace(AT, batch=785)), False),
        (replace(EQUAL, above=replace(ABOVE, exit_code=ENDED)), False),
        (Row(CONSTANTS, note="indeterminate: why"), False),
    ],
)
def test_equal_is_fits_at_the_answer_and_out_of_memory_above(row: Row, is_equal: bool) -> None:
    assert row.is_equal is is_equal


def test_the_last_line_counts_equal_rows_among_answers() -> None:
    said = benchmark.report([EQUAL, Row(CONSTANTS, note="indeterminate: why")]).splitlines()
    assert said[1].split()[:9] == [
        *("constants", "96MiB", "30", "784", "fits", "OOM,", "step", "2", "yes"),
    ]
    equal = "equal in 1 of 1 answers; apart by 0.00% (median), 0.00% (most)"
    assert said[-2:] == ["constants: indeterminate: why", equal]


def test_times_are_compared_between_processes() -> None:
    times = benchmark.Times(64, (0.0101, 0.0102, 0.0103), (0.0100, 0.0101, 0.0102))
    assert times.ratio.ratio == pytest.approx(1.0099, abs=1e-4)
    _, measured, own, ratio = benchmark._time_cells(times)
    assert (measured, own) == ("10.2 ms", "10.1 ms")
    assert ratio.startswith("1.010 (0.9")


def test_a_bisection_starts_from_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def fake(_case: Case, batch: int, *, arena: bool) -> Ran:
        ran.append(batch)
        return replace(AT, batch=batch, exit_code=FITS if batch <= 700 else OUT_OF_MEMORY)

    monkeypatch.setattr(benchmark, "train_plainly", fake)
    assert benchmark.largest_plainly(CONSTANTS, {784: False}, arena=True) == 700
    assert len(ran) < 14
    assert benchmark.largest_plainly(CONSTANTS, {690: True, 691: True}, arena=True) == 700
    ran.clear()
    assert benchmark.largest_plainly(CONSTANTS, {700: True, 701: False}, arena=True) == 700
    assert ran == []


def test_the_quick_cases_exist() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == 12
    assert set(QUICK) <= set(names)


@pytest.mark.slow
def test_the_plain_process_counts_steps_and_runs_out_of_memory() -> None:
    fits = benchmark.train_plainly(CONSTANTS, 40, arena=True)
    assert (fits.exit_code, fits.train_steps_run, len(fits.step_s)) == (FITS, 30, 29)
    fails = benchmark.train_plainly(CONSTANTS, 50_000, arena=False)
    assert (fails.exit_code, fails.train_steps_run) == (OUT_OF_MEMORY, 0)
    assert "memory" in fails.error
