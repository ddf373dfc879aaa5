"""Two runs side by side: intervals that hold what they promise; what makes two incomparable."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import HEADER, MIB, a_fit, a_memory, a_run, a_timing, conditions
from rnnprof.compare import comparison
from rnnprof.compare.comparison import (
    LEAST_S,
    Change,
    Changed,
    PointComparison,
    ProcessMedians,
    RunComparison,
    compare_frontiers,
    compare_times,
    differences,
    judge_points,
)
from rnnprof.compare.reasons import Affects, NoInterval, TooFewProcesses
from rnnprof.maxbatch.certify import conclude
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.terms import Terms
from rnnprof.runfile.codec import encode
from rnnprof.runfile.observations import Observation
from rnnprof.runfile.points import Grid, Outcome, Point
from rnnprof.runfile.records import Host, Run
from rnnprof.stats.estimate import (
    NOISE_FLOOR_RATIO,
    Estimate,
    geometric_mean,
    holm,
    smallest_detectable_ratio,
)
from rnnprof.workload import FactorySource, ScriptSource, Workload, workload_of_script

POINT = Point(64, 128)
seconds = st.floats(1e-6, 1e3)


def noisy(random_: random.Random, count: int, sigma: float, typical_s: float = 1e-2) -> list[float]:
    return [typical_s * random_.lognormvariate(0.0, sigma) for _ in range(count)]


def compare(base: Run, new: Run, *, in_turn: bool = False) -> RunComparison:
    return comparison.compare(FoldedRun.of(base), FoldedRun.of(new), in_turn=in_turn)


def medians(*values_s: float) -> ProcessMedians:
    return ProcessMedians(values_s)


@given(st.lists(seconds, min_size=3, max_size=9), st.lists(seconds, min_size=3, max_size=9))
def test_the_estimate_is_consistent_with_itself(base: list[float], new: list[float]) -> None:
    estimate = Estimate.of_ratio(base, new)
    low, high = estimate.interval()
    assert low < estimate.ratio < high
    assert min(len(base), len(new)) - 1 - 1e-9 <= estimate.degrees_of_freedom
    assert estimate.degrees_of_freedom <= len(base) + len(new) - 2 + 1e-9
    back = Estimate.of_ratio(new, base)
    assert back.ratio == pytest.approx(1 / estimate.ratio)
    assert back.interval() == pytest.approx((1 / high, 1 / low))


@given(st.lists(seconds, min_size=3, max_size=6), st.floats(0.5, 2.0))
def test_the_p_value_meets_the_one_sided_bound(base: list[float], factor: float) -> None:
    estimate = Estimate.of_ratio(base, [value * factor for value in base[::-1]])
    lower = estimate.bound(0.05)
    assert estimate.p_above(lower - 1) == pytest.approx(0.05)
    assert estimate.p_above(lower * 0.99 - 1) < 0.05 < estimate.p_above(lower * 1.01 - 1)


def test_welch_as_scipy_has_it() -> None:
    """Against scipy.stats.ttest_ind(equal_var=False) of the logarithms, scipy 1.17.1."""
    ours = Estimate.of_ratio([1.00, 1.02, 0.99, 1.01], [1.10, 1.04, 1.17, 1.06, 1.12])
    assert ours.log_mean / ours.standard_error == pytest.approx(4.037178462009278)
    assert ours.degrees_of_freedom == pytest.approx(4.745115874398555)
    assert ours.p_above(0.0) == pytest.approx(0.011076044592177078 / 2)
    assert ours.interval() == pytest.approx((1.0314287083426992, 1.1554116025558325))


@pytest.mark.parametrize(("base_sigma", "new_sigma"), [(0.03, 0.03), (0.005, 0.05)])
def test_the_interval_holds_the_true_ratio_in_95_of_100(
    base_sigma: float, new_sigma: float
) -> None:
    random_ = random.Random(7)
    held = 0
    for _ in range(1000):
        base, new = noisy(random_, 5, base_sigma), noisy(random_, 5, new_sigma, 1.1e-2)
        low, high = Estimate.of_ratio(base, new).interval()
        held += low <= 1.1 <= high
    assert 930 <= held <= 970


def test_the_smallest_change_found_is_found_in_four_of_five() -> None:
    random_ = random.Random(3)
    spread = Estimate(0.0, 0.02 * math.sqrt(2 / 5), 8)
    true = 1 + smallest_detectable_ratio(spread, 0.05)
    assert 1.08 < true < 1.10  # the limit and three to four standard errors
    called = sum(
        Estimate.of_ratio(noisy(random_, 5, 0.02), noisy(random_, 5, 0.02, 1e-2 * true)).p_above(
            0.05
        )
        <= 0.05
        for _ in range(1000)
    )
    assert 750 <= called <= 850


def test_more_points_at_once_find_less() -> None:
    estimate = Estimate.of_ratio([1.0, 1.01, 0.99], [1.0, 1.02, 0.98])
    alone, among_ten = (smallest_detectable_ratio(estimate, 0.05, 0.05 / m) for m in (1, 10))
    assert 0.05 < alone < among_ten


def test_equal_medians_do_not_make_an_interval_of_no_width() -> None:
    estimate = Estimate.of_ratio([1.0] * 3, [1.0] * 3)
    assert estimate.standard_error == pytest.approx(NOISE_FLOOR_RATIO * math.sqrt(2 / 3))
    low, high = estimate.interval()
    assert 0.997 < low < 0.999 < 1.001 < high < 1.003


def test_holm_goes_on_until_the_first_that_stands() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.02]) == [True]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_bonferroni_and_none(p_values: list[float]) -> None:
    for p, rejected in zip(p_values, holm(p_values), strict=True):
        assert rejected or p > 0.05 / len(p_values)
        assert not rejected or p <= 0.05


@pytest.mark.parametrize("few", [1, 2])
def test_below_three_processes_there_is_a_ratio_without_an_interval(few: int) -> None:
    change = compare_times(POINT, medians(1.0, 1.0, 1.0), medians(*[1.1] * few))
    assert change.ratio == pytest.approx(1.1)
    assert (change.interval, change.estimate) == (None, None)
    assert change.processes == (3, few)
    assert change.reason == NoInterval(None, TooFewProcesses(few, 3))


def test_without_times_there_is_no_ratio() -> None:
    change = compare_times(POINT, medians(), medians(1.0, 1.0, 1.0))
    assert (change.base_s, change.ratio) == (None, None)
    assert change.reason == NoInterval(TooFewProcesses(0, 3), None)


def test_the_ratio_lies_within_its_interval_and_is_of_the_times_shown() -> None:
    change = compare_times(POINT, medians(1.0, 1.1, 0.9), medians(2.0, 2.1, 1.9))
    assert change.interval is not None
    assert change.ratio is not None
    assert change.interval[0] < change.ratio < change.interval[1]
    assert change.ratio == pytest.approx((change.new_s or 0) / (change.base_s or 1))


def test_the_process_is_the_unit_and_a_noisy_one_does_not_count() -> None:
    found = ProcessMedians.of(
        [
            a_timing(POINT, 1.0, 2.0, 9.0, process_index=0),
            a_timing(POINT, 3.0, process_index=1, conditions=conditions(1.0, others_s=0.9)),
            a_timing(POINT, process_index=2, outcome=Outcome.CRASHED, reason="it died"),
            a_timing(POINT, 4.0, process_index=3),
            a_fit(POINT),
        ]
    )
    assert found.medians_s == (2.0, 4.0)
    shortage = found.shortage()
    assert shortage is not None
    assert (shortage.quiet, shortage.least, len(shortage.noisy)) == (2, 3, 1)


def test_a_step_of_more_sequences_counts_by_its_share() -> None:
    found = ProcessMedians.of([a_timing(POINT, 8.0, sequences_per_step=4 * POINT.batch)])
    assert found.medians_s == (2.0,)


def test_a_time_that_cannot_be_keeps_the_logarithm_finite() -> None:
    assert ProcessMedians.of([a_timing(POINT, 5e-324)]).medians_s == (LEAST_S,)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_the_geometric_mean_does_not_care_which_run_is_the_base(ratios: list[float]) -> None:
    forward, backward = geometric_mean(ratios), geometric_mean([1 / ratio for ratio in ratios])
    assert forward is not None
    assert backward is not None
    assert forward * backward == pytest.approx(1)
    assert min(ratios) * 0.999 <= forward <= max(ratios) * 1.001


def test_the_geometric_mean_of_nothing_is_unknown() -> None:
    assert geometric_mean([]) is None


def with_facts(**facts: Any) -> Run:
    return Run(replace(HEADER, environment={**HEADER.environment, **facts}))


@pytest.mark.parametrize(
    ("name", "base", "new", "affects"),
    [
        ("device_name", "NVIDIA A", "NVIDIA B", Affects.EVERYTHING),
        ("driver", "570.1", "575.2", Affects.EVERYTHING),
        ("driver", None, "575.2", Affects.EVERYTHING),
        ("torch", "2.12.0", "2.13.0", Affects.EVERYTHING),
        ("cudnn", 91000, 91100, Affects.EVERYTHING),
        ("cudnn_allow_tf32", True, False, Affects.EVERYTHING),
        ("allocator_settings", {}, {"PYTORCH_ALLOC_CONF": "x"}, Affects.EVERYTHING),
        ("threads", 2, 4, Affects.EVERYTHING),
        ("cpu_capability", "AVX2", "AVX512", Affects.EVERYTHING),
        ("processor_name", "one", "other", Affects.TIME),
        ("processors", 2, 16, Affects.TIME),
        ("device_uuid", "GPU-1", "GPU-2", Affects.NOTHING),
        ("kernel", "Linux 6.1", "Linux 6.8", Affects.NOTHING),
        ("python", "3.11.1", "3.11.2", Affects.NOTHING),
        ("a_fact_of_tomorrow", 1, 2, Affects.NOTHING),
    ],
)
def test_facts_that_differ(name: str, base: Any, new: Any, affects: Affects) -> None:
    (found,) = differences(with_facts(**{name: base}), with_facts(**{name: new}))
    assert (found.name, found.base, found.new, found.affects) == (name, base, new, affects)


def test_a_fact_that_one_run_lacks_is_unknown_there() -> None:
    (found,) = differences(Run(HEADER), with_facts(driver="575.2"))
    assert (found.base, found.new) == (None, "575.2")
    assert found.affects is Affects.EVERYTHING


def test_equal_headers_do_not_differ() -> None:
    other_identity = Run(replace(HEADER, run_id="another"))
    assert differences(Run(HEADER), other_identity) == ()


def test_workload_and_limit_come_in_order_of_weight() -> None:
    gru = Workload(cell="gru", dtype="bf16")
    other = Run(replace(HEADER, workload=gru, limit_bytes=1), hosts=(Host("r1", 1, "9"),))
    assert [(each.name, each.affects) for each in differences(Run(HEADER), other)] == [
        ("workload.cell", Affects.EVERYTHING),
        ("workload.dtype", Affects.EVERYTHING),
        ("limit_bytes", Affects.LIMIT),
        ("rnnprof_version", Affects.NOTHING),
    ]


def test_the_source_of_a_factory_may_change_and_its_arguments_may_not() -> None:
    def made(sha256: str, **args: Any) -> Run:
        source = FactorySource("train.py:make", args)
        workload = Workload(cell=None, factory=source)
        return Run(replace(HEADER, workload=workload, sources={"train.py": sha256}))

    found = differences(made("aa", hidden=1), made("bb", hidden=2))
    assert {each.name: each.affects for each in found} == {
        "source train.py": Affects.NOTHING,
        "workload.factory.args": Affects.EVERYTHING,
    }
    assert differences(Run(HEADER), made("aa"))[0].affects is Affects.EVERYTHING


def test_the_source_of_a_script_may_change_and_what_it_is_given_may_not() -> None:
    def made(sha256: str, **more: Any) -> Run:
        workload = workload_of_script(ScriptSource("train.py", argv=("{batch}",), **more))
        return Run(replace(HEADER, workload=workload, sources={"train.py": sha256}))

    found = differences(made("aa", env={"A": "1"}), made("bb", env={"A": "2"}))
    assert {each.name: each.affects for each in found} == {
        "source train.py": Affects.NOTHING,
        "workload.script.env": Affects.EVERYTHING,
    }
    names = {each.name for each in differences(Run(HEADER), made("aa"))}
    assert {"workload.cell", "workload.script.target", "workload.script.argv"} <= names


def observed(points: Iterable[Point], scale: float = 1.0, processes: int = 3) -> list[Observation]:
    """A law of bytes and of time, the same for every process up to a per mille."""
    found: list[Observation] = []
    for point in points:
        size = point.batch * point.time_steps
        peak = int((8 * MIB + 4096 * size) * scale)
        found += [
            a_fit(point, peak_charged_bytes=2 * peak),
            a_memory(point, peak_allocated_bytes=peak),
        ]
        found += [
            a_timing(point, 1e-5 * size * scale * (1 + index / 1000), process_index=index)
            for index in range(processes)
        ]
    return found


def run_of(batch: Sequence[int], time_steps: Sequence[int], scale: float = 1.0) -> Run:
    grid = Grid(tuple(batch), tuple(time_steps))
    return a_run(observed(grid.points(), scale), grid)


def test_two_runs_side_by_side() -> None:
    base, new = run_of((4, 8, 16), (16, 32)), run_of((8, 16, 32), (16, 32), scale=1.5)
    found = compare(base, new)
    assert [str(each.point) for each in found.points] == [
        f"B={batch} T={time_steps}" for time_steps in (16, 32) for batch in (4, 8, 16, 32)
    ]
    assert found.points_timed == 4
    assert found.time_ratio == pytest.approx(1.5)
    both = found.points[1]
    assert both.allocated_bytes.ratio == pytest.approx(1.5, rel=1e-5)
    assert both.charged_bytes.base == 2 * (both.allocated_bytes.base or 0)
    # of what is charged, which the sample makes twice what is allocated
    assert both.bytes_per_time_step.base == pytest.approx(2 * (8 * MIB / 128 + 4096))
    assert found.slope_bytes.base == pytest.approx(2 * 4096, rel=1e-3)
    assert found.slope_bytes.ratio == pytest.approx(1.5, rel=1e-3)


def test_each_point_has_a_verdict_on_time_and_on_memory() -> None:
    base = run_of((4, 8), (16, 32))
    verdicts = [each.verdict for each in compare(base, run_of((4, 8), (16, 32), 1.5)).points]
    assert {each.time for each in verdicts if each} == {Changed.MORE}
    assert {each.memory for each in verdicts if each} == {Changed.MORE}
    assert all(0 < (each.detectable_ratio or 0) < 0.05 for each in verdicts if each)
    alike = [each.verdict for each in compare(base, run_of((4, 8), (16, 32))).points]
    assert {(each.time, each.memory) for each in alike if each} == {(Changed.ALIKE, Changed.ALIKE)}
    less = [each.verdict for each in compare(run_of((4, 8), (16, 32), 1.5), base).points]
    assert {(each.time, each.memory) for each in less if each} == {(Changed.LESS, Changed.LESS)}


def test_too_few_processes_leave_time_open_and_memory_judged() -> None:
    few = a_run(observed([Point(8, 16)], processes=2), Grid((8,), (16,)))
    more = a_run(observed([Point(8, 16)], 1.5, processes=2), Grid((8,), (16,)))
    [point] = compare(few, more).points
    assert point.verdict is not None
    assert (point.verdict.time, point.verdict.memory) == (Changed.OPEN, Changed.MORE)
    assert point.verdict.detectable_ratio is None


@given(st.integers(0, 10**6))
def test_noise_of_five_processes_is_rarely_called_a_change(seed: int) -> None:
    """Holds for any seed in 95 of 100: so over twenty draws, not in five."""
    random_ = random.Random(seed)
    called = 0
    for _ in range(20):
        sides = [medians(*noisy(random_, 5, 0.03)) for _ in range(2)]
        point = PointComparison(
            Point(8, 16), Outcome.MEASURED, Outcome.MEASURED,
            compare_times(Point(8, 16), *sides), *(Change.of(None, None),) * 3,
        )  # fmt: skip
        verdict = judge_points([point])[0].verdict
        assert verdict is not None
        assert verdict.memory is Changed.OPEN
        called += verdict.time in (Changed.MORE, Changed.LESS)
    assert called <= 7


def test_runs_of_other_devices_are_not_judged() -> None:
    other = with_facts(device_name="another")
    base, new = run_of((4,), (16,)), replace(run_of((4,), (16,)), header=other.header)
    assert [each.verdict for each in compare(base, new).points] == [None]


def test_another_torch_is_what_is_compared_where_both_were_measured_in_turn() -> None:
    base, new = (
        run_of((4,), (16,)),
        replace(run_of((4,), (16,)), header=with_facts(torch="9.9").header),
    )
    assert differences(base, new)[0].affects is Affects.EVERYTHING
    found = compare(base, new, in_turn=True)
    assert [(each.name, each.affects) for each in found.differences] == [("torch", Affects.NOTHING)]
    assert found.points[0].verdict is not None


def test_a_point_of_one_run_alone_has_one_side() -> None:
    found = compare(run_of((4,), (16,)), run_of((8,), (16,)))
    only_base, only_new = found.points
    assert (only_base.base_outcome, only_base.new_outcome) == (Outcome.MEASURED, None)
    assert (only_new.base_outcome, only_new.new_outcome) == (None, Outcome.MEASURED)
    assert (found.time_ratio, found.points_timed) == (None, 0)
    assert only_base.allocated_bytes.ratio is None


@pytest.mark.parametrize(("batch", "time_steps"), [((4, 8), (16,)), ((4,), (16, 32))])
def test_one_batch_or_one_length_does_not_tell_the_slope(
    batch: tuple[int, ...], time_steps: tuple[int, ...]
) -> None:
    assert compare(run_of(batch, time_steps), run_of(batch, time_steps)).slope_bytes.base is None


def test_a_comparison_is_json() -> None:
    found = compare(run_of((4, 8), (16, 32)), run_of((4, 8), (16,), scale=0.5))
    again = json.loads(json.dumps(encode(found), allow_nan=False))
    assert again["points"][0]["time"]["ratio"] == pytest.approx(0.5)


def test_frontiers_stand_side_by_side() -> None:
    def edge(time_steps: int, batch: int) -> Any:
        passed = a_fit(Point(batch, time_steps), train_steps_run=10, peak_charged_bytes=1)
        failed = a_fit(Point(batch + 1, time_steps), outcome=Outcome.OOM)
        return conclude(time_steps, [passed, failed], Terms(HEADER.limit_bytes, 100))

    found = compare_frontiers([edge(16, 40), edge(32, 20)], [edge(32, 15), edge(64, 7)])
    assert [(each.time_steps, each.ratio) for each in found] == [(16, None), (32, 0.75), (64, None)]
    assert found[0].new is None
    assert found[2].base is None
