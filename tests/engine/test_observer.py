"""The observer: a deadline from what such passes have taken, and other data for every proof."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import HEADER, FakeProbe, a_request, a_run, an_observer
from rnnprof.engine.observer import Observer, proof_seed
from rnnprof.engine.plan import FIRST_DEADLINE_S, MIN_DEADLINE_S
from rnnprof.protocol import Task
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Grid, Point, Role
from rnnprof.runfile.records import Settings

POINT = Point(4, 16)


@pytest.mark.parametrize("name", ["fit", "timing:1", "memory", "rates"])
def test_each_pass_finds_the_cost_that_it_has_left(name: str) -> None:
    probe = FakeProbe()
    observer = Observer(
        task=Task("fit", HEADER.workload),
        request=a_request(Grid((4,), (16,))),
        limit_bytes=1 << 40,
        probe=probe,
        record=lambda _: None,
        guard_bytes=lambda: 1 << 40,
    )
    for _ in range(2):
        observer.observe(POINT, name)
    first_s, second_s = (deadline_s for _, deadline_s in probe.asked)
    assert first_s == FIRST_DEADLINE_S
    assert MIN_DEADLINE_S <= second_s < FIRST_DEADLINE_S


def an_observer_of(probe: FakeProbe, seed: int = 0) -> Observer:
    request = a_request(Grid((4,), (16,)), Settings(seed=seed))
    return an_observer(probe, request, lambda _: None)


def seeds_of(probe: FakeProbe) -> list[int]:
    return [task.seed for task, _ in probe.asked]


def test_each_proof_of_a_point_draws_other_data() -> None:
    probe = FakeProbe()
    observer = an_observer_of(probe)
    for point in (POINT, POINT, Point(5, 16), Point(4, 17)):
        observer.observe(point, "fit")
    assert len(set(seeds_of(probe))) == 4
    again = FakeProbe()
    an_observer_of(again).observe(POINT, "fit")
    assert seeds_of(again) == seeds_of(probe)[:1]


def test_the_seeds_hang_on_the_one_requested_and_other_passes_keep_it() -> None:
    probe, other = FakeProbe(), FakeProbe()
    for each, seed in ((probe, 3), (other, 4)):
        observer = an_observer_of(each, seed)
        observer.observe(POINT, "fit")
        observer.observe(POINT, "memory")
        observer.observe(POINT, "timing:0")
    assert seeds_of(probe)[1:] == [3, 3]
    assert seeds_of(probe)[0] != seeds_of(other)[0]


def test_a_resumed_run_goes_on_counting() -> None:
    probe, resumed = FakeProbe(), FakeProbe()
    observer = an_observer_of(probe)
    first = observer.observe(POINT, "fit")
    observer.observe(POINT, "fit")
    observer = an_observer_of(resumed)
    observer.recall(a_run([first], Grid((4,), (16,))))
    observer.observe(POINT, "fit")
    assert seeds_of(resumed) == seeds_of(probe)[1:]


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert proof_seed(0, POINT, 0) == 7558095061043876161
    assert 0 <= proof_seed((1 << 63) - 1, Point(1 << 20, 1 << 20), 99) < 1 << 63


def predictions(device: str, free_bytes: int) -> tuple[list[int | None], list[int]]:
    """What the tasks of four fit passes and a timing say, and what the four then took."""
    probe = FakeProbe()
    observer = replace(
        an_observer_of(probe),
        task=Task("fit", HEADER.workload, device=device),
        guard_bytes=lambda: free_bytes,
    )
    fits = [observer.observe(Point(batch, 16), "fit") for batch in (4, 8, 16, 32)]
    observer.observe(POINT, "timing:0")
    taken = [fit.peak_charged_bytes or 0 for fit in fits if isinstance(fit, Fit)]
    return [task.predicted_bytes for task, _ in probe.asked], taken


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_fit_pass_is_told_what_it_takes_where_less_may_be_free(device: str) -> None:
    (first, second, *later, timing), taken = predictions(device, HEADER.limit_bytes // 2)
    assert (first, second, timing) == (None, None, None)  # of one batch nothing is predicted
    assert later == [pytest.approx(size, rel=0.02) for size in taken[2:]]
    assert all((each or 0) <= size for each, size in zip(later, taken[2:], strict=True))


def test_where_the_limit_is_free_nothing_need_be_predicted() -> None:
    assert predictions("cpu", HEADER.limit_bytes)[0] == [None] * 5


def test_another_loop_around_the_layer_says_nothing_of_the_workloads_own() -> None:
    probe = FakeProbe()
    observer = replace(an_observer_of(probe), task=Task("fit", HEADER.workload, device="cuda"))
    for batch in (4, 8):
        observer.observe(Point(batch, 16), "fit", Role.STEP_FUNCTION)
    observer.observe(Point(16, 16), "fit")
    assert [task.predicted_bytes for task, _ in probe.asked] == [None] * 3
    assert [sample.point for sample in observer.peaks] == [Point(16, 16)]
