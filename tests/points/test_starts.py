"""What the starts of a script take and hold, from the records of its fit passes."""

from __future__ import annotations

import pytest

from fakes import MIB, a_fit
from rnnprof.points.starts import fixed_bytes, start_s, train_step_s
from rnnprof.runfile.points import Point

POINT = Point(16, 35)


def test_a_start_is_the_median_of_those_known() -> None:
    fits = [a_fit(POINT, start_s=seconds) for seconds in (3.0, None, 1.0, 2.0)]
    assert start_s(fits) == 2.0
    assert start_s([a_fit(POINT)]) is None


def test_a_step_takes_what_the_start_leaves() -> None:
    assert train_step_s(a_fit(POINT, start_s=1.0, wall_s=3.0, train_steps_run=10)) == 0.2
    assert train_step_s(a_fit(POINT, start_s=1.0)) is None
    assert train_step_s(a_fit(POINT, train_steps_run=10)) is None


@pytest.mark.parametrize(
    ("live", "copies"),
    [((), 0), ((20 * MIB,), 0), ((21 * MIB, 24 * MIB), 1), ((0, 30 * MIB), 3), ((0, 90 * MIB), 3)],
)
def test_fixed_bytes_are_what_is_held_and_whole_copies_of_the_weights(
    live: tuple[int, ...], copies: int
) -> None:
    fit = a_fit(POINT, held_bytes=20 * MIB, held_weight_bytes=3 * MIB, live_bytes=live)
    assert fixed_bytes(fit) == (20 + 3 * copies) * MIB
    assert fixed_bytes(a_fit(POINT, live_bytes=live)) is None
