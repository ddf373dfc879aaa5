"""Two sides in turn: who is timed when, and whether an interpreter may take part."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import HEADER, FakeClock
from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.errors import BadInputError
from rnnprof.gate import paired as alternate
from rnnprof.gate.budget import Asked
from rnnprof.gate.paired import Side, check_python, measure_in_turn
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Run, Settings
from rnnprof.workload import Workload


def side(name: str, processes: int = 4, **changes: Any) -> Side:
    settings, path = Settings(processes=processes), Path(f"{name}.jsonl")
    order = Order(Workload(), Grid((), ()), settings, path, overwrite=True)
    return Side(order, **changes)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """The orders as they are carried out."""
    orders: list[Order] = []

    def profile(order: Order, *_: object) -> Run:
        orders.append(order)
        header = replace(HEADER, limit_bytes=1000 + len(orders))
        return Run(header, path=f"{order.path.stem} {len(orders)}")

    monkeypatch.setattr(alternate, "run_order", profile)
    return orders


def asked(*points: Point, edges: tuple[int, ...] = ()) -> Asked:
    return Asked(points, points, points, edges)


def test_processes_come_in_the_order_a_b_b_a(done: list[Order]) -> None:
    measure_in_turn(asked(Point(8, 16)), side("a"), side("b"), Listener())
    assert "".join(order.path.stem for order in done) == "abbaabba"
    assert [order.settings.processes for order in done] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_both_sides_have_the_limit_that_the_first_has_resolved(done: list[Order]) -> None:
    measure_in_turn(asked(Point(8, 16)), side("a", 1), side("b", 1), Listener())
    assert [order.kept_limit_bytes for order in done] == [None, 1001]


def test_each_length_is_timed_on_both_sides_before_the_next(done: list[Order]) -> None:
    points = (Point(8, 16), Point(4, 32), Point(8, 32))
    measure_in_turn(asked(*points), side("a", 2), side("b", 2), Listener())
    told = [(order.path.stem, order.grid.batch, order.grid.time_steps) for order in done]
    assert told == [
        (name, batch, time_steps)
        for names in ("ab", "ba")
        for batch, time_steps in (((8,), (16,)), ((4, 8), (32,)))
        for name in names
    ]


def test_each_file_is_begun_anew_once_and_then_added_to(done: list[Order]) -> None:
    both = asked(Point(8, 16), edges=(64,))
    runs = measure_in_turn(both, side("a", 2), side("b", 2), Listener())
    assert [order.command for order in done] == ["max-batch"] * 2 + ["profile"] * 4
    assert [(order.overwrite, order.extend) for order in done] == (
        [(True, False)] * 2 + [(False, True)] * 4
    )
    assert [folded.run.path for folded in runs] == [
        "a 6",
        "b 5",
    ]  # the newest of each, whoever came last


def test_two_more_a_side_while_it_is_open(done: list[Order]) -> None:
    verdicts = iter([False, False, True])
    measure_in_turn(
        asked(Point(8, 16)), side("a", 1), side("b", 1), Listener(),
        lambda *_: next(verdicts), max_seconds=60.0,
    )  # fmt: skip
    assert [order.settings.processes for order in done] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_no_more_than_the_time_allows(done: list[Order]) -> None:
    clock = FakeClock()

    def never(*_: object) -> bool:
        clock.advance(31.0)
        return False

    measure_in_turn(
        asked(Point(8, 16)), side("a", 1), side("b", 1), Listener(), never, 60.0, clock
    )  # fmt: skip
    assert [order.settings.processes for order in done] == [1, 1, 2, 2, 3, 3]


def test_edges_alone_are_found_once(done: list[Order]) -> None:
    edges = Asked((), (), (), (64, 128))
    measure_in_turn(edges, side("a"), side("b"), Listener(), lambda *_: False, 60.0)
    assert [order.path.stem for order in done] == ["a", "b"]


def script(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 9.9.9", "has rnnprof 9.9.9"),
        ("echo 'No module named rnnprof' >&2; exit 1", "No module named rnnprof"),
        ("exit 1", "it said nothing"),
    ],
)
def test_an_interpreter_without_this_rnnprof_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        check_python(side("a", python=script(tmp_path, text)))


def test_an_interpreter_that_does_not_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be started"):
        check_python(side("a", python=str(tmp_path / "none")))


def test_this_interpreter_by_another_name_may_take_part(tmp_path: Path) -> None:
    check_python(side("a", python=script(tmp_path, f'exec {sys.executable} "$@"')))
