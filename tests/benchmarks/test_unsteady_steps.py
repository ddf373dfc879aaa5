"""The benchmark of unsteady training steps: whom it asks, and what it makes of an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.performance import unsteady_steps
from benchmarks.performance.unsteady_steps import Case, Row, Trial

from rnnprof.runfile.certificates import EdgeStatus

ROW = Row(Case("a", Path(), "train.py:make", right=("certified",)), "certified", 16, 100)


def test_the_twelve_have_a_factory_and_a_right_status_each() -> None:
    assert len({case.name for case in unsteady_steps.OWN}) == 12
    there = set(unsteady_steps.factories_in(unsteady_steps.CASES, ""))
    assert {case.factory for case in unsteady_steps.OWN} <= there
    assert {status for case in unsteady_steps.OWN for status in case.right} <= set(EdgeStatus)
    assert all(case.right and case.why for case in unsteady_steps.OWN)


@pytest.mark.parametrize(
    ("last_line", "time_steps", "limit", "args", "variables"),
    [
        ("Nothing is said.", "24", "48MiB", (), ()),
        ("x --time-steps 24,48 --memory-limit 64MiB", "24,48", "64MiB", (), ()),
        ("--factory-arg a=1 [use=False] --time-steps 8; more", "8", "48MiB", ("a=1",), ()),
        ("--factory-arg a=1 b=x kind=... --time-steps 8", "8", "48MiB", ("a=1", "b=x"), ()),
        ("its lengths: LOG=file; two commands", "24", "48MiB", (), ("LOG",)),
        ("workers=2 / workers=0, --time-steps 24 --memory-limit 64MiB", "24", "64MiB", (), ()),
    ],
)
def test_options_stand_in_the_last_line(
    last_line: str, time_steps: str, limit: str, args: tuple[str, ...], variables: tuple[str, ...]
) -> None:
    assert unsteady_steps.options_of(f"--time-steps 99\n{last_line}\n") == {
        "time_steps": time_steps, "limit": limit, "args": args, "variables": variables,
    }  # fmt: skip


def test_a_folders_cases(tmp_path: Path) -> None:
    files = {
        "one/README": "--time-steps 8", "one/train.py": "def make(): ...\ndef helper(): ...",
        "two/README": "a script", "two/train.py": "print()",
        "three/README": "", "three/train.py": "from nets import make as make_net\ndef make(): ...",
        "notes/more.txt": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    cases = unsteady_steps.cases_in(tmp_path)
    assert [(case.name, case.factory, case.time_steps) for case in cases] == [
        ("one", "train.py:make", "8"),
        ("three train.py:make_net", "train.py:make_net", "24"),
        ("three train.py:make", "train.py:make", "24"),
        ("two", None, "24"),
    ]  # fmt: skip


def test_brute_force_looks_farther_where_an_edge_is_not_as_certified() -> None:
    def edge_at(largest: int) -> dict[int, str]:
        return unsteady_steps.truth_of(
            ROW, lambda batch: Trial(60, None) if batch <= largest else Trial(14, "oom")
        )

    assert edge_at(100) == {100: "60 pass", 101: "oom in step 15"}
    assert edge_at(90) == {95: "oom in step 15", 100: "oom in step 15", 101: "oom in step 15"}
    assert edge_at(103) == {100: "60 pass", 101: "60 pass", 107: "oom in step 15"}


@pytest.mark.parametrize("name", ["steps", "time_steps"])
def test_a_certificate_of_an_older_or_newer_rnnprof_has_a_row(name: str) -> None:
    row = unsteady_steps.row_of(ROW.case, {name: 16, "status": "not_stationary", "new": {}}, [])
    assert (row.time_steps, row.status, row.batch, row.is_right) == (
        16,
        "not_stationary",
        None,
        False,
    )
    line = unsteady_steps.table([row]).splitlines()[1]
    assert line.split()[5:8] == ["not_stationary", "no:", "certified"]
    assert unsteady_steps.summary([row, ROW]) == "1 of 2 statuses are right"
