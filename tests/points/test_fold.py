"""What a point's attempts say together."""

from __future__ import annotations

import pytest

from fakes import HEADER, MIB, a_calibration, a_fit, a_memory, a_run, a_timing, conditions
from rnnprof.breakdown.bounds import DeviceRates
from rnnprof.breakdown.flops import NO_FORMULA, step_flops
from rnnprof.breakdown.reasons import NoRates, NothingCompared, Shares
from rnnprof.points.fold import (
    anchor_drift,
    by_point,
    fold,
    fold_run,
    missing_passes,
    rates_of,
)
from rnnprof.points.reasons import ImpliedBy, ProcessorTaken, Taker
from rnnprof.runfile.observations import Breakdown, Failure
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.workload import FactorySource, Workload

POINT = Point(8, 16)
GRID = Grid((4, 8, 16), (16, 32))
BREAKDOWN = Breakdown(10, 10, 20, 5, 0, 40, 0, 10, 5, "backward")
BUSY = conditions(others_s=1.0)

FIT = a_fit(POINT, peak_process_bytes=300, peak_charged_bytes=110)
MEMORY = a_memory(POINT, peak_allocated_bytes=100, breakdown=BREAKDOWN, implementation="fused")


def oom_at(point: Point):
    return a_fit(
        point,
        outcome=Outcome.OOM,
        reason="out of memory in backward",
        failure=Failure(phase="backward"),
    )


def crash_of(observed):
    return observed(POINT, outcome=Outcome.CRASHED, reason="the worker died of SIGSEGV")


def test_a_measured_point_has_all_its_numbers():
    samples = (0.5, 0.4, 0.6, 0.5, 0.5, 0.7)
    timing = a_timing(POINT, *samples, phase_samples_s={"forward": (0.1, 0.3, 0.2), "backward": ()})
    measurement = fold(POINT, [FIT, timing, MEMORY])
    assert measurement.outcome is Outcome.MEASURED
    assert (measurement.phase, measurement.reason, measurement.noisy) == (None, None, None)
    assert measurement.step_time_s == 0.5
    assert measurement.step_time_within_ci_s == (0.4, 0.7)
    assert measurement.step_time_ci_s is None
    assert measurement.converged is True
    assert measurement.sequences_per_s == 16
    assert measurement.time_steps_per_s == 256
    assert measurement.phase_times_s == {"forward": 0.2}
    assert measurement.peak_process_bytes == 300
    assert measurement.peak_charged_bytes == 110
    assert measurement.peak_allocated_bytes == 100
    assert measurement.breakdown == BREAKDOWN
    assert measurement.implementation == "fused"


def test_throughput_is_honest_under_accumulation():
    timing = a_timing(POINT, *[0.5] * 6, sequences_per_step=4 * POINT.batch)
    measurement = fold(POINT, [FIT, timing])
    assert measurement.sequences_per_s == 64
    assert measurement.time_steps_per_s == 1024


def test_an_oom_has_its_phase_and_reason_and_no_time():
    measurement = fold(POINT, [oom_at(POINT)])
    assert measurement.outcome is Outcome.OOM
    assert measurement.phase == "backward"
    assert measurement.reason == "out of memory in backward"
    assert measurement.step_time_s is None


def test_what_an_oom_dominates_is_implied():
    folded = fold_run(a_run([oom_at(POINT), a_fit(Point(4, 16))], GRID))
    assert {point: m.outcome for point, m in folded.items()} == {
        Point(4, 16): Outcome.MEASURED,
        Point(8, 16): Outcome.OOM,
        Point(16, 16): Outcome.IMPLIED_OOM,
        Point(8, 32): Outcome.IMPLIED_OOM,
        Point(16, 32): Outcome.IMPLIED_OOM,
    }
    assert folded[Point(16, 32)].reason == ImpliedBy(POINT)


def test_what_was_run_overrules_what_is_implied():
    folded = fold_run(a_run([oom_at(POINT), a_fit(Point(16, 32))], GRID))
    assert folded[Point(16, 32)].outcome is Outcome.MEASURED


def test_only_an_oom_implies_anything():
    failed = a_fit(POINT, outcome=Outcome.FAILED, reason="no")
    assert list(fold_run(a_run([failed], GRID))) == [POINT]


def test_only_the_points_asked_for_are_folded_in_order_of_steps():
    run = a_run([a_fit(Point(8, 32)), a_fit(Point(16, 16)), a_fit(Point(5, 5))], GRID)
    assert list(fold_run(run)) == [Point(16, 16), Point(8, 32)]


def test_other_roles_are_no_part_of_a_point():
    anchor = a_timing(POINT, *[9.0] * 6, role=Role.ANCHOR)
    folded = fold_run(a_run([FIT, a_timing(POINT, *[1.0] * 6), anchor], GRID))
    assert folded[POINT].step_time_s == 1.0


def test_a_timing_pass_that_did_not_come_through_overrules_the_fit():
    timing = a_timing(POINT, outcome=Outcome.TIMEOUT, reason="no answer")
    measurement = fold(POINT, [FIT, timing, MEMORY])
    assert measurement.outcome is Outcome.TIMEOUT
    assert measurement.reason == "no answer"
    assert measurement.step_time_s is None
    assert measurement.peak_allocated_bytes == 100


def test_a_fit_that_failed_overrules_a_time():
    assert fold(POINT, [a_timing(POINT, *[1.0] * 6), oom_at(POINT)]).outcome is Outcome.OOM


def test_a_memory_pass_that_did_not_come_through_leaves_its_reason():
    memory = a_memory(POINT, outcome=Outcome.FAILED, reason="raised in build")
    measurement = fold(POINT, [FIT, a_timing(POINT, *[1.0] * 6), memory])
    assert measurement.outcome is Outcome.MEASURED
    assert measurement.breakdown is None
    assert measurement.breakdown_reason == "raised in build"


@pytest.mark.parametrize("clean_first", [True, False])
def test_of_a_repeated_timing_the_unnoisy_one_counts(clean_first):
    clean = a_timing(POINT, *[1.0] * 6, conditions=conditions())
    noisy = a_timing(POINT, *[3.0] * 6, conditions=BUSY)
    timings = [clean, noisy] if clean_first else [noisy, clean]
    measurement = fold(POINT, [FIT, *timings])
    assert measurement.step_time_s == 1.0
    assert measurement.noisy is None


def test_a_timing_noisy_twice_is_kept_and_flagged():
    timings = [a_timing(POINT, *[t] * 6, conditions=BUSY) for t in (3.0, 2.0)]
    measurement = fold(POINT, [FIT, *timings])
    assert measurement.outcome is Outcome.MEASURED
    assert measurement.step_time_s == 2.0
    assert measurement.noisy == ProcessorTaken(Taker.OTHERS, 1.0)


def test_three_processes_give_an_interval_between_processes():
    timings = [a_timing(POINT, *[t] * 6, process_index=i) for i, t in enumerate((1.0, 1.2, 0.9))]
    measurement = fold(POINT, [FIT, *timings])
    assert measurement.step_time_s == 1.0
    assert measurement.step_time_ci_s == (0.9, 1.2)
    assert measurement.step_time_within_ci_s is None


def test_two_processes_say_nothing_of_the_spread_between_them():
    timings = [a_timing(POINT, *[t] * 6, process_index=i) for i, t in enumerate((1.0, 1.2))]
    measurement = fold(POINT, [FIT, *timings])
    assert measurement.step_time_s == pytest.approx(1.1)
    assert measurement.step_time_ci_s is None


def test_one_process_that_did_not_converge_is_told():
    timings = [
        a_timing(POINT, *[1.0] * 6),
        a_timing(POINT, *[1.0] * 6, process_index=1, converged=False),
    ]
    assert fold(POINT, [FIT, *timings]).converged is False


def test_warnings_are_told_once():
    warned = [a_fit(POINT, warnings=("w1", "w2")), a_timing(POINT, 1.0, warnings=("w2",))]
    assert fold(POINT, warned).warnings == ("w1", "w2")


TIMING = a_timing(POINT, *[1.0] * 6, conditions=conditions())
CRASHED_FIT, CRASHED_TIMING = crash_of(a_fit), crash_of(a_timing)
NOISY = a_timing(POINT, *[1.0] * 6, conditions=BUSY)


@pytest.mark.parametrize(
    ("observations", "missing"),
    [
        ([], ["fit"]),
        ([FIT], ["timing:0", "memory"]),
        ([FIT, TIMING], ["memory"]),
        ([FIT, MEMORY], ["timing:0"]),
        ([FIT, TIMING, MEMORY], []),
        ([oom_at(POINT)], []),
        ([a_fit(POINT, outcome=Outcome.FAILED)], []),
        ([a_fit(POINT, outcome=Outcome.TIMEOUT)], []),
        ([CRASHED_FIT], ["fit"]),
        ([CRASHED_FIT, CRASHED_FIT], []),
        ([CRASHED_FIT, FIT, TIMING, MEMORY], []),
        ([FIT, CRASHED_TIMING, MEMORY], ["timing:0"]),
        ([FIT, CRASHED_TIMING, CRASHED_TIMING, MEMORY], []),
        ([FIT, CRASHED_TIMING, TIMING, MEMORY], []),
        ([FIT, TIMING, crash_of(a_memory)], ["memory"]),
        ([FIT, TIMING, crash_of(a_memory), crash_of(a_memory)], []),
        ([FIT, a_timing(POINT, outcome=Outcome.TIMEOUT), MEMORY], []),
        # a run that was cut after a noisy pass still owes its repetition
        ([FIT, NOISY, MEMORY], ["timing:0"]),
        ([FIT, NOISY, NOISY, MEMORY], []),
        ([FIT, NOISY, TIMING, MEMORY], []),
        ([FIT, NOISY, CRASHED_TIMING, MEMORY], ["timing:0"]),
        ([FIT, CRASHED_TIMING, NOISY, MEMORY], ["timing:0"]),
    ],
)
def test_which_passes_a_point_still_needs(observations, missing):
    assert missing_passes(observations, processes=1) == missing


def test_each_process_needs_its_own_timing():
    second = a_timing(POINT, *[1.0] * 6, process_index=1)
    assert missing_passes([FIT, MEMORY], 3) == ["timing:0", "timing:1", "timing:2"]
    assert missing_passes([FIT, second, MEMORY], 3) == ["timing:0", "timing:2"]


def test_a_point_that_crashed_twice_is_set_aside():
    measurement = fold(POINT, [CRASHED_FIT, CRASHED_FIT])
    assert measurement.outcome is Outcome.CRASHED
    assert measurement.reason == "the worker died of SIGSEGV"


def test_a_crash_that_did_not_recur_is_forgotten():
    assert fold(POINT, [CRASHED_FIT, FIT, TIMING]).outcome is Outcome.MEASURED
    assert fold(POINT, [FIT, CRASHED_TIMING, TIMING]).outcome is Outcome.MEASURED


def anchored(*medians_s: float, **changes):
    first, *later = medians_s
    return [
        a_timing(POINT, *[first] * 6),
        *(a_timing(POINT, *[m] * 6, role=Role.ANCHOR, **changes) for m in later),
    ]


def test_the_drift_is_that_of_the_anchor():
    other = a_timing(Point(4, 16), *[77.0] * 6)
    drift = anchor_drift(a_run([*anchored(1.0, 1.04, 0.98), other], GRID))
    assert drift is not None
    assert drift.point == POINT
    assert drift.medians_s == (1.0, 1.04, 0.98)
    assert drift.ratio == pytest.approx(1.04 / 0.98 - 1)


def test_without_an_anchor_timed_twice_there_is_no_drift():
    assert anchor_drift(a_run([a_timing(POINT, 1.0), a_timing(POINT, 1.1)], GRID)) is None
    crashed = a_timing(POINT, role=Role.ANCHOR, outcome=Outcome.CRASHED)
    assert anchor_drift(a_run([a_timing(POINT, 1.0), crashed], GRID)) is None


def test_a_noisy_pass_is_no_drift_of_the_machine():
    timings = anchored(1.0, 1.02) + anchored(1.0, 1.5, conditions=BUSY)[1:]
    drift = anchor_drift(a_run(timings, GRID))
    assert drift is not None
    assert drift.ratio == pytest.approx(0.02)


FLOPS = step_flops(HEADER.workload, POINT.batch, POINT.time_steps)[0] or 0
FACTORY = Workload(cell=None, factory=FactorySource("train.py:make"))
RATES = DeviceRates(matmul_flop_per_s=2.0 * FLOPS, copy_bytes_per_s=1e15)
SECOND = a_timing(POINT, *[1.0] * 6)


def test_no_share_of_a_device_is_more_than_all_of_it() -> None:
    """Then the product that it is compared with was slower than the device can be."""
    quick = a_timing(POINT, *[0.45] * 6)
    measurement = fold(POINT, [FIT, quick, MEMORY], HEADER.workload, RATES)
    assert measurement.flop_per_s == FLOPS / 0.45
    assert measurement.matmul_share_ratio is None
    assert measurement.bound == "compute"


def test_operations_a_second_are_those_of_the_formula_over_the_median() -> None:
    slow = a_timing(POINT, *[4.0] * 6)
    measurement = fold(POINT, [FIT, slow, MEMORY], HEADER.workload, RATES)
    assert measurement.flops_per_step == FLOPS
    assert measurement.flop_per_s == FLOPS / 4
    assert measurement.matmul_share_ratio == 0.125
    assert measurement.bound is None
    assert isinstance(measurement.bound_reason, Shares)
    assert measurement.bound_reason.products_ratio == 0.125


def test_a_step_at_half_the_products_rate_is_bound_by_arithmetic() -> None:
    assert fold(POINT, [FIT, SECOND, MEMORY], HEADER.workload, RATES).bound == "compute"


def test_a_device_that_waits_for_the_host_is_bound_by_launches() -> None:
    timings = [
        a_timing(POINT, *[1.0] * 6, process_index=i, host_enqueue_s=0.9 + i, block_wait_s=wait_s)
        for i, wait_s in enumerate((0.5, 0.02, 0.01))
    ]
    measurement = fold(POINT, [FIT, *timings, MEMORY], HEADER.workload, RATES)
    assert (measurement.host_enqueue_s, measurement.block_wait_s) == (1.9, 0.02)
    assert measurement.bound == "launch"


def test_on_a_cpu_there_is_no_time_to_enqueue() -> None:
    measurement = fold(POINT, [FIT, SECOND], HEADER.workload, RATES)
    assert (measurement.host_enqueue_s, measurement.block_wait_s) == (None, None)


def test_a_factory_has_the_operations_that_its_worker_counted() -> None:
    memory = a_memory(POINT, flops_per_step=FLOPS)
    measurement = fold(POINT, [FIT, SECOND, memory], FACTORY, RATES)
    assert measurement.flops_per_step == FLOPS
    assert measurement.matmul_share_ratio == 0.5
    assert measurement.bound == "compute"


def test_operations_that_could_not_be_counted_have_the_reason() -> None:
    memory = a_memory(POINT, flops_reason="no formula for the operations of aten._lstm_mps")
    measurement = fold(POINT, [FIT, SECOND, memory], FACTORY, RATES)
    assert (measurement.flops_per_step, measurement.flop_per_s) == (None, None)
    assert (measurement.bound, measurement.bound_reason) == (
        None, NothingCompared(memory.flops_reason),
    )  # fmt: skip
    unknown = fold(POINT, [FIT, SECOND], FACTORY, RATES)
    assert unknown.bound_reason == NothingCompared(NO_FORMULA)


def test_without_workload_and_rates_the_rest_is_folded_all_the_same() -> None:
    measurement = fold(POINT, [FIT, SECOND, MEMORY])
    assert measurement.step_time_s == 1.0
    assert (measurement.flops_per_step, measurement.bound) == (None, None)
    assert measurement.bound_reason == NoRates()


def test_what_was_not_timed_has_no_speed() -> None:
    measurement = fold(POINT, [oom_at(POINT)], HEADER.workload, RATES)
    assert (measurement.flop_per_s, measurement.bound, measurement.bound_reason) == (None,) * 3


def test_a_run_is_folded_with_its_own_workload_and_rates() -> None:
    figures = {"matmul_flop_per_s": 4.0 * FLOPS, "copy_bytes_per_s": 1e15}
    run = a_run([a_calibration(figures=figures), FIT, SECOND, MEMORY], GRID)
    measurement = fold_run(run)[POINT]
    assert measurement.flops_per_step == FLOPS
    assert measurement.matmul_share_ratio == 0.25


def test_the_last_unnoisy_rates_count() -> None:
    def rates(per_s: float, **changes):
        return a_calibration(figures={"matmul_flop_per_s": per_s}, **changes)

    assert rates_of([]) is None
    assert rates_of([rates(1.0, what="reserve")]) is None
    assert rates_of([rates(1.0, outcome=Outcome.CRASHED)]) is None
    assert rates_of([rates(1.0), rates(2.0)]) == DeviceRates(2.0, None, 32 * MIB)
    noisy = rates(3.0, conditions=BUSY)
    assert rates_of([rates(1.0), rates(2.0), noisy]) == DeviceRates(2.0, None, 32 * MIB)
    assert rates_of([noisy]) == DeviceRates(3.0, None, 32 * MIB)


def test_a_calibration_is_no_part_of_a_point() -> None:
    at_a_point = a_calibration(batch=POINT.batch, time_steps=POINT.time_steps)
    assert by_point([a_calibration(), at_a_point]) == {}
    assert fold_run(a_run([at_a_point], GRID)) == {}
    assert missing_passes([at_a_point, FIT, TIMING, MEMORY], 1) == []


def test_on_cuda_the_reserved_peak_is_that_of_plain_training() -> None:
    fit = a_fit(POINT, peak_charged_bytes=110, peak_allocated_bytes=90, retries=2)
    memory = a_memory(POINT, peak_allocated_bytes=100, peak_reserved_bytes=400)
    measurement = fold(POINT, [fit, SECOND, memory])
    assert measurement.peak_reserved_bytes == 110
    assert measurement.peak_allocated_bytes == 100
    assert measurement.retries == 2
    unknown = a_fit(POINT, peak_allocated_bytes=90)
    assert fold(POINT, [unknown, SECOND, memory]).peak_reserved_bytes == 400
    on_cpu = fold(POINT, [FIT, SECOND, MEMORY])
    assert (on_cpu.peak_reserved_bytes, on_cpu.peak_charged_bytes) == (None, 110)
    assert on_cpu.retries is None


def test_enough_unnoisy_processes_go_without_a_noisy_one():
    """So that more processes can decide what a noisy one left open."""
    noisy = a_timing(Point(8, 16), 0.9, process_index=0, conditions=conditions(others_s=1.5))
    times = enumerate((0.1, 0.11, 0.12), 1)
    clean = [a_timing(Point(8, 16), at, process_index=index) for index, at in times]
    few = fold(Point(8, 16), [a_fit(Point(8, 16)), noisy, *clean[:2]])
    assert few.noisy
    assert few.step_time_ci_s == (0.1, 0.9)
    enough = fold(Point(8, 16), [a_fit(Point(8, 16)), noisy, *clean])
    assert enough.noisy is None
    assert (enough.step_time_s, enough.step_time_ci_s) == (0.11, (0.1, 0.12))


def test_of_several_anchors_the_one_that_drifted_most_tells():
    def anchors(point: Point, *medians_s: float):
        return [
            a_timing(point, at, attempt=f"a{point.batch}{i}", role=Role.ANCHOR)
            for i, at in enumerate(medians_s)
        ]

    timed = [*anchors(Point(4, 16), 0.1, 0.1), *anchors(Point(8, 16), 0.2, 0.22)]
    drift = anchor_drift(a_run(timed, Grid((4, 8), (16,))))
    assert drift is not None
    assert (drift.point, drift.medians_s) == (Point(8, 16), (0.2, 0.22))
