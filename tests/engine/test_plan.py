"""The order of points, their expected cost, and deadlines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.engine.plan import (
    DEADLINE_FACTOR,
    FIRST_DEADLINE_S,
    MIN_DEADLINE_S,
    Cost,
    anchor_of,
    deadline_s,
    remaining_s,
    shuffled,
)
from rnnprof.points.implied import dominating_oom
from rnnprof.runfile.points import Grid, Point

SIZES = st.integers(1, 64)
POINTS = st.builds(Point, SIZES, SIZES)
CLOSE_POINTS = st.builds(Point, st.integers(1, 4), st.integers(1, 4))
COSTS = st.lists(st.builds(Cost, st.integers(1, 10_000), st.floats(0.01, 500)), max_size=6)
AXIS = st.sets(SIZES, min_size=1, max_size=6).map(lambda values: tuple(sorted(values)))
GRIDS = st.builds(Grid, AXIS, AXIS)


@given(grid=GRIDS, seed=st.integers(0, 99))
def test_the_order_is_a_permutation_that_the_seed_decides(grid, seed):
    order = shuffled(grid.points(), seed)
    assert sorted(order) == sorted(grid.points())
    assert order == shuffled(reversed(grid.points()), seed)


def test_the_order_is_not_that_of_size():
    points = Grid(tuple(range(1, 9)), tuple(range(1, 9))).points()
    order = [point.batch * point.time_steps for point in shuffled(points, 0)]
    assert order != sorted(order)
    assert shuffled(points, 0) != shuffled(points, 1)


@given(GRIDS)
def test_the_anchor_is_a_point_with_at_most_a_quarter_below_it(grid):
    points = grid.points()
    anchor = anchor_of(points)
    assert anchor in points
    smaller = [p for p in points if p.batch * p.time_steps < anchor.batch * anchor.time_steps]
    assert len(smaller) <= len(points) / 4


@given(point=CLOSE_POINTS, ooms=st.lists(CLOSE_POINTS, max_size=6))
def test_a_dominating_oom_really_dominates(point, ooms):
    found = dominating_oom(point, ooms)
    dominates = [
        o
        for o in ooms
        if o != point and o.batch <= point.batch and o.time_steps <= point.time_steps
    ]
    assert (found is None) == (not dominates)
    if found is not None:
        assert found in dominates
        assert all(found.batch * found.time_steps <= o.batch * o.time_steps for o in dominates)


def test_the_smallest_dominating_oom_is_named():
    ooms = [Point(8, 64), Point(16, 8), Point(64, 64), Point(4, 128)]
    assert dominating_oom(Point(64, 64), ooms) == Point(16, 8)
    assert dominating_oom(Point(16, 8), ooms) is None


def test_before_anything_is_known_the_deadline_is_generous():
    assert deadline_s(Point(1, 1), []) == FIRST_DEADLINE_S


@given(point=POINTS, other=POINTS, costs=COSTS)
def test_the_deadline_grows_with_size(point, other, costs):
    small, large = sorted((point, other), key=lambda p: p.batch * p.time_steps)
    assert MIN_DEADLINE_S <= deadline_s(small, costs) <= deadline_s(large, costs)


@given(size=st.integers(1, 10_000), wall_s=st.floats(0.01, 500), factor=st.integers(1, 100))
def test_a_pass_as_slow_as_the_slowest_seen_is_never_given_up(size, wall_s, factor):
    expected_s = wall_s * factor
    limit_s = deadline_s(Point(size, factor), [Cost(size, wall_s)])
    assert limit_s == pytest.approx(max(MIN_DEADLINE_S, DEADLINE_FACTOR * expected_s))


def test_the_overhead_of_a_tiny_point_is_not_taken_for_a_rate():
    costs = [Cost(size=1, wall_s=5.0), Cost(size=10_000, wall_s=10.0)]
    assert deadline_s(Point(100, 100), costs) == DEADLINE_FACTOR * 10.0
    assert deadline_s(Point(200, 100), costs) == DEADLINE_FACTOR * 20.0


@given(
    done=st.lists(st.tuples(POINTS, st.floats(0.01, 100)), min_size=1, max_size=6),
    left=st.lists(POINTS, max_size=6),
)
def test_what_remains_is_positive_until_nothing_is_left(done, left):
    sizes = [*left, *(point for point, _ in done)]
    seconds = remaining_s(left, done, sizes)
    assert seconds is not None
    assert (seconds > 0) == bool(left)


def test_before_the_first_point_nothing_is_known_of_the_time():
    assert remaining_s([Point(1, 1)], [], [Point(1, 1)]) is None


def test_a_large_point_is_expected_to_take_longer():
    sizes = [Point(1, 10), Point(1, 20), Point(1, 30)]
    done = [(Point(1, 20), 4.0)]  # weight 2: a fixed share, and its size over the typical
    assert remaining_s([Point(1, 20)], done, sizes) == pytest.approx(4.0)
    assert remaining_s([Point(1, 30)], done, sizes) == pytest.approx(5.0)
    assert remaining_s([Point(1, 10), Point(1, 30)], done, sizes) == pytest.approx(8.0)


def test_a_scripts_start_is_added_to_a_deadline_and_does_not_scale() -> None:
    costs = [Cost(1000, 10.0)]
    for point in (Point(1, 1), Point(100, 100)):
        more = deadline_s(point, costs, 5.0) - deadline_s(point, costs)
        assert more == pytest.approx(DEADLINE_FACTOR * 5.0)
