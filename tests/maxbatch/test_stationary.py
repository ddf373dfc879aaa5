"""What a training step leaves behind: suspected by its last steps, confirmed over more of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import HEADER, MIB
from rnnprof.maxbatch.reasons import PeakGrows, StepLeaves
from rnnprof.maxbatch.stationary import (
    LEAST_BYTES,
    LEAST_RATIO,
    batch_to_confirm,
    confirming_steps,
    explored_steps,
    grown_ratio,
    is_cleared,
    is_suspected,
    is_varying,
    leak_of,
    rise_of,
    spread_of,
)
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Role

LIMIT = HEADER.limit_bytes
KIB = 1 << 10


def a_fit(batch: int, live: Sequence[int], asked: int | None = None, **changes: object) -> Fit:
    fit = Fit(
        attempt=f"a{batch}-{len(live)}", batch=batch, time_steps=16, role=Role.PROBE, worker=1,
        process_index=0, request="r1", outcome=Outcome.MEASURED, wall_s=1.0, limit_bytes=LIMIT,
        train_steps_run=len(live), train_steps=len(live) if asked is None else asked,
        live_bytes=tuple(live), step_peak_bytes=tuple(live),
    )  # fmt: skip
    return replace(fit, **changes)  # type: ignore[arg-type]


def leaking(count: int, each: int = MIB) -> list[int]:
    return [10 * MIB + each * number for number in range(count)]


STEADY = [10 * MIB] * 10
PLATEAU = [*leaking(9), *[19 * MIB] * 21]


@pytest.mark.parametrize(
    ("live", "rise"),
    [
        ((), 0.0),
        ((5, 9), 0.0),
        ((5, 9, 9, 9, 9, 9, 9), 0.0),
        ((0, 8, 9, 10), 1.0),  # two steps after the first two, and both rose
        ((0, 8, 9), 0.0),
        ((0, 8, 10, 12, 14, 13, 18), 2.0),  # four of five
        ((0, 8, 10, 12, 11, 10, 18), 0.0),  # three of five
        ((0, 8, 6, 4, 3, 2, 1), 0.0),
        ((0, 8, 708, 712, 1412, 1416, 1420), 0.0),  # two caches, and pages between
        ((0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7), 0.0),  # growth that has ended
    ],
)
def test_live_bytes_that_rise_in_four_of_the_last_five_steps(live: tuple[int, ...], rise: float):
    assert rise_of(live) == rise


@pytest.mark.parametrize("lengths", [2, 3, 4])
def test_lengths_in_turn_are_no_leak(lengths: int) -> None:
    """Live bytes rise within each round and fall back; the last step is the longest."""
    live = [10 * MIB + MIB * (number % lengths) for number in range(12 * lengths)]
    assert rise_of(live[: 4 * lengths]) == 0
    assert leak_of([a_fit(8, live[: 4 * lengths]), a_fit(8, live)], 10) is None


@given(st.lists(st.integers(0, 1 << 40), max_size=40), st.integers(0, 1 << 40))
def test_a_rise_is_never_negative_and_does_not_hang_on_the_level(live: list[int], level: int):
    assert rise_of(live) >= 0
    assert rise_of([size + level for size in live]) == pytest.approx(rise_of(live))


@given(st.lists(st.integers(100, 300), min_size=6, max_size=40))
def test_what_rises_at_every_step_is_always_seen(rises: list[int]):
    assert rise_of(list(accumulate(rises))) > 0


def test_what_takes_a_hundredth_of_the_limit_in_a_thousand_steps_is_no_leak():
    for limit, least in ((LIMIT, LEAST_BYTES), (100 * LIMIT, int(LEAST_RATIO * 100 * LIMIT) + 1)):
        assert not is_suspected(a_fit(8, leaking(10, least - 1), limit_bytes=limit))
        assert is_suspected(a_fit(8, leaking(10, least), limit_bytes=limit))


def test_a_leak_is_confirmed_over_three_times_the_steps():
    short = a_fit(8, leaking(10))
    assert batch_to_confirm([short], 10) == 8
    assert leak_of([short], 10) is None
    long = a_fit(8, leaking(30))
    leak = leak_of([short, long], 10)
    assert leak is not None
    assert (leak.batch, leak.bytes_per_step) == (8, MIB)
    assert leak.lasts == 30 + (LIMIT - 39 * MIB) // MIB
    assert leak.reason == StepLeaves(MIB, 8, leak.lasts)


def test_what_ran_out_of_memory_by_it_is_part_of_the_reason():
    failed = a_fit(64, leaking(7), 10, outcome=Outcome.OOM)
    assert batch_to_confirm([failed], 10) == 16
    leak = leak_of([failed, a_fit(16, leaking(30))], 10)
    assert leak is not None
    assert leak.reason == StepLeaves(MIB, 16, leak.lasts, failed_batch=64, failed_steps=7)


def test_growth_that_ends_is_cleared():
    short = a_fit(8, PLATEAU[:9])
    assert batch_to_confirm([short], 10) == 8
    assert not is_cleared([short], 10)
    ended = [short, a_fit(8, PLATEAU)]
    assert batch_to_confirm(ended, 10) is None
    assert leak_of(ended, 10) is None
    assert is_cleared(ended, 10)


def test_growth_that_ends_with_the_long_pass_is_cleared():
    """As the history of L-BFGS, which is full after 26 training steps."""
    ends = a_fit(8, [*leaking(26), *[35 * MIB] * 4])
    assert leak_of([a_fit(8, leaking(10)), ends], 10) is None


def test_what_has_ended_at_one_batch_is_no_leak_at_another():
    """There it takes a step more."""
    ended = a_fit(8, [*leaking(28), *[37 * MIB] * 2])
    longer = a_fit(9, leaking(30))
    assert leak_of([longer], 10) is not None
    assert leak_of([ended, longer], 10) is None
    paused = a_fit(8, [*leaking(29), 38 * MIB])
    assert leak_of([paused, longer], 10) is not None


def test_a_long_pass_that_nobody_suspected_clears_nothing():
    assert not is_cleared([a_fit(8, STEADY), a_fit(8, PLATEAU)], 10)


def test_growth_that_died_before_it_could_end_confirms_nothing():
    """It is run again with more room, until it ends, or at the smallest batch."""
    short = a_fit(64, leaking(7), 10, outcome=Outcome.OOM)
    died = a_fit(16, leaking(25), 30, outcome=Outcome.OOM)
    assert leak_of([short, died], 10) is None
    assert batch_to_confirm([short, died], 10) == 4
    assert batch_to_confirm([short, died, a_fit(4, PLATEAU)], 10) is None
    assert is_cleared([short, died, a_fit(4, PLATEAU)], 10)
    again = a_fit(4, leaking(26), 30, outcome=Outcome.OOM)
    assert batch_to_confirm([short, died, again], 10) == 1
    assert batch_to_confirm([short, died, again], 10, granularity=2) == 2
    last = a_fit(1, leaking(27), 30, outcome=Outcome.OOM)
    fits = [short, died, again, last]
    assert batch_to_confirm(fits, 10) is None
    leak = leak_of(fits, 10)
    assert leak is not None
    assert (leak.batch, leak.lasts) == (1, 27)


def test_a_pass_that_ended_otherwise_is_not_run_again():
    short = a_fit(8, leaking(10))
    crashed = a_fit(8, leaking(12), 30, outcome=Outcome.CRASHED)
    assert batch_to_confirm([short, crashed], 10) is None


def test_a_long_pass_that_died_early_confirms_nothing():
    died = a_fit(1, leaking(9), 30, outcome=Outcome.OOM)
    assert leak_of([died], 10) is None


def test_where_it_failed_it_is_confirmed_with_room_for_more_steps():
    assert confirming_steps(10) == 30
    assert confirming_steps(1) == 15
    assert batch_to_confirm([a_fit(64, leaking(10))], 1) == 64
    failed = a_fit(64, leaking(5), 10, outcome=Outcome.OOM)
    assert batch_to_confirm([failed], 10) == 16
    assert batch_to_confirm([failed], 10, granularity=24) == 24


def test_short_passes_are_not_believed_once_longer_ones_took_more():
    short = a_fit(8, STEADY[:2])
    grown = a_fit(9, [*STEADY[:9], 11 * MIB])
    assert not is_varying([short, a_fit(9, STEADY)])
    assert is_varying([short, grown])
    assert explored_steps([grown, short]) == 2
    assert grown_ratio(grown, 2) == pytest.approx(0.1)
    assert spread_of([short, grown]) == PeakGrows(pytest.approx(0.1), 2)
    assert spread_of([short]) is None


def test_two_passes_that_died_late_say_so_too_and_one_does_not():
    short = a_fit(8, STEADY[:2])
    late = [
        a_fit(batch, STEADY[:3], 10, outcome=Outcome.OOM, step_peak_bytes=()) for batch in (20, 19)
    ]
    assert not is_varying([short, late[0]])
    assert is_varying([short, *late])
    early = [replace(fit, train_steps_run=1) for fit in late]
    assert not is_varying([short, *early])
    assert not is_varying([replace(fit, train_steps=0) for fit in late])  # a file of before
