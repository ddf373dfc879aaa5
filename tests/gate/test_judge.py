"""A gate: each limit from both sides, what is missing, and how often noise misleads it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import HEADER, MIB, a_fit, a_memory, a_timing, conditions
from gate_samples import (
    CROWDED,
    LIMIT,
    POINT,
    STEADY,
    a_run,
    edge,
    fit,
    measured,
    ooms,
    timings,
)
from rnnprof.compare.reasons import NoInterval, TooFewProcesses
from rnnprof.gate import judge
from rnnprof.gate.budget import (
    Budget,
    Growth,
    LeastBatch,
    LeastThroughput,
    MostPeak,
    MustFit,
)
from rnnprof.gate.growth import judge_growth
from rnnprof.gate.judge import judge_budget
from rnnprof.gate.reasons import (
    BaselineIsEmpty,
    BetweenMultiples,
    Comparable,
    DoesNotFit,
    EdgeNotSearched,
    Ended,
    FitsAboveOom,
    FitsWithoutHeadroom,
    FitsWithUnknownPeak,
    KeyDiffers,
    LargestBatch,
    MachineShort,
    NotComparable,
    NothingFits,
    NotMeasured,
    NotRunItself,
    NotTheBudgetsRun,
    OnlyInBaseline,
    OnlyNoisy,
    PeakAndHeadroom,
    PeakAndLimit,
    PeakGrowth,
    PeakUnknown,
    SameRun,
    StoppedAtCap,
    Throughput,
    ThroughputOfFew,
    TimeGrowth,
    TimesOfFew,
)
from rnnprof.gate.seen import JudgedRun, judge_estimates
from rnnprof.gate.verdicts import Finding, Gate, Verdict
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Fit, Observation
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Header, Run
from rnnprof.stats.estimate import Estimate


def only(budget: Budget, run: Run) -> Finding:
    (finding,) = judge_budget(budget, JudgedRun.of(FoldedRun.of(run), budget.required))
    return finding


def gate(
    budget: Budget, run: Run, base: Run | None = None, differing: Sequence[Reason] = ()
) -> Gate:
    other = None if base is None else FoldedRun.of(base)
    return judge.gate(budget, FoldedRun.of(run), other, differing)


# fits


def fits(run: Run, headroom: float = 0.0, batch: int = 64) -> Finding:
    return only(Budget(fits=(MustFit(Point(batch, POINT.time_steps), headroom),)), run)


@pytest.mark.parametrize(
    ("headroom", "verdict"),
    [(0.0, Verdict.PASS), (0.375, Verdict.PASS), (0.38, Verdict.FAIL)],
)
def test_headroom_is_a_share_of_the_limit(headroom: float, verdict: Verdict) -> None:
    finding = fits(a_run(fit(peak=40 * MIB)), headroom)
    assert finding.verdict is verdict
    assert (finding.measured, finding.limit) == (40 * MIB, pytest.approx(LIMIT * (1 - headroom)))
    assert finding.reason == PeakAndHeadroom(64, 40 * MIB, LIMIT, headroom)


def test_out_of_memory_fails_in_its_own_words() -> None:
    finding = fits(a_run(ooms()))
    assert finding.verdict is Verdict.FAIL
    assert finding.reason == DoesNotFit("out of memory in forward", 64, "tried to allocate 9 MiB")


def test_of_two_passes_the_larger_peak_counts() -> None:
    run = a_run(fit(peak=60 * MIB), fit(peak=40 * MIB))
    assert fits(run, 0.1).verdict is Verdict.FAIL


def test_a_batch_that_went_both_ways_does_not_fit() -> None:
    assert fits(a_run(fit(), ooms())).verdict is Verdict.FAIL
    assert fits(a_run(ooms(), fit())).verdict is Verdict.INCONCLUSIVE


def test_an_unknown_peak_fits_and_leaves_the_headroom_open() -> None:
    run = a_run(fit(peak=None, peak_charged_reason="the probe died"))
    assert fits(run).verdict is Verdict.PASS
    assert fits(run, 0.1).verdict is Verdict.INCONCLUSIVE
    assert fits(run, 0.1).reason == FitsWithUnknownPeak(64, "the probe died", 0.1)


def test_a_step_that_fits_by_emptying_the_cache_has_no_headroom() -> None:
    """Its reserved peak is the lower for it."""
    thrashing = a_run(fit(peak=40 * MIB, retries=9))
    assert fits(thrashing).verdict is Verdict.PASS
    finding = fits(thrashing, 0.1)
    assert finding.verdict is Verdict.FAIL
    assert finding.reason == FitsWithoutHeadroom(64, 9, 0.1)
    assert fits(a_run(fit(peak=40 * MIB, retries=0)), 0.1).verdict is Verdict.PASS


def test_a_larger_batch_that_fits_answers_as_far_as_it_does() -> None:
    run = a_run(fit(96, 50 * MIB, role=Role.PROBE))
    assert fits(run, 0.2).verdict is Verdict.PASS
    assert fits(run, 0.3).verdict is Verdict.INCONCLUSIVE
    above = PeakAndHeadroom(96, 50 * MIB, LIMIT, 0.3)
    assert fits(run, 0.3).reason == NotRunItself(above, 64)
    assert fits(run, batch=128).verdict is Verdict.FAIL


def test_a_smaller_batch_or_length_out_of_memory_answers_too() -> None:
    assert fits(a_run(ooms(32, role=Role.PROBE))).verdict is Verdict.FAIL
    points = [Point(64, 64), POINT]
    run = a_run(ooms(64, time_steps=64), points=points)
    reason = fits(run).reason
    assert isinstance(reason, DoesNotFit)
    assert reason.cause == FoldedRun.of(run).measurements[POINT].reason


def test_a_contradiction_is_inconclusive() -> None:
    finding = fits(a_run(ooms(32), fit(64)))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason == FitsAboveOom(64, 32)


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.TIMEOUT, Outcome.FAILED,
                                     Outcome.UNSUPPORTED])  # fmt: skip
def test_a_pass_that_did_not_come_through_is_missing(outcome: Outcome) -> None:
    finding = fits(a_run(fit(peak=None, outcome=outcome, reason="it did not go well")))
    assert finding.verdict is Verdict.FAIL
    assert finding.reason == Ended(outcome, "it did not go well")


def test_a_crash_before_a_pass_that_fits_is_forgiven() -> None:
    run = a_run(fit(outcome=Outcome.CRASHED, reason="signal"), fit())
    assert fits(run).verdict is Verdict.PASS


def test_memory_that_others_hold_is_not_the_models_fault() -> None:
    crowded = fit(peak=None, outcome=Outcome.CRASHED, reason="others hold it", failure=CROWDED)
    for limits in (
        {"fits": (MustFit(POINT),)},
        {"peak": (MostPeak(POINT, MIB),)},
        {"throughput": (LeastThroughput(POINT, 1.0),)},
    ):
        finding = only(Budget(**limits), a_run(crowded))  # type: ignore[arg-type]
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.reason == MachineShort("others hold it")


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(fits=(MustFit(Point(7, 128)),)), NotMeasured(Point(7, 128))),
        (Budget(peak=(MostPeak(Point(7, 128), 1 << 40),)), NotMeasured(Point(7, 128))),
        (Budget(throughput=(LeastThroughput(Point(7, 128), 1.0),)), NotMeasured(Point(7, 128))),
        (Budget(max_batch=(LeastBatch(7, 1),)), EdgeNotSearched(7)),
    ],
)
def test_what_the_run_does_not_have_fails(budget: Budget, reason: Reason) -> None:
    finding = only(budget, a_run(ooms(8), points=[Point(8, 128)]))
    assert (finding.verdict, finding.reason) == (Verdict.FAIL, reason)


# max_batch


def at_edge(run: Run, at_least: int) -> Finding:
    finding = only(Budget(max_batch=(LeastBatch(POINT.time_steps, at_least),)), run)
    assert finding.limit == at_least
    return finding


def max_batch(run: Run, at_least: int) -> tuple[Verdict, float | None]:
    finding = at_edge(run, at_least)
    return finding.verdict, finding.measured


@pytest.mark.parametrize(
    ("at_least", "verdict"),
    [(64, Verdict.PASS), (100, Verdict.PASS), (101, Verdict.FAIL), (2000, Verdict.FAIL)],
)
def test_a_certified_edge_answers_either_way(at_least: int, verdict: Verdict) -> None:
    run = edge(fit(100), ooms(101))
    assert max_batch(run, at_least) == (verdict, 100)
    assert at_edge(run, at_least).reason == LargestBatch(100, at_least)


@pytest.mark.parametrize(
    ("at_least", "verdict"),
    [(96, Verdict.PASS), (97, Verdict.INCONCLUSIVE), (103, Verdict.INCONCLUSIVE),
     (104, Verdict.FAIL)],
)  # fmt: skip
def test_between_two_multiples_nothing_is_known(at_least: int, verdict: Verdict) -> None:
    finding = at_edge(edge(fit(96), ooms(104), granularity=8), at_least)
    assert finding.verdict is verdict
    known = LargestBatch(96, at_least)
    is_open = verdict is Verdict.INCONCLUSIVE
    assert finding.reason == (BetweenMultiples(known, 104) if is_open else known)


def test_a_capped_search_fails_nothing() -> None:
    capped = edge(fit(200, 60 * MIB), at_most=200)
    assert max_batch(capped, 200)[0] is Verdict.PASS
    assert max_batch(capped, 201)[0] is Verdict.INCONCLUSIVE
    assert at_edge(capped, 201).reason == StoppedAtCap(LargestBatch(200, 201))


def test_where_nothing_fits_no_batch_is_large_enough() -> None:
    finding = at_edge(edge(ooms(1)), 1)
    assert finding.verdict is Verdict.FAIL
    assert isinstance(finding.reason, NothingFits)


def test_a_search_that_was_stopped_passes_what_it_has_shown() -> None:
    stopped = edge(fit(64), ooms(512))
    assert max_batch(stopped, 64)[0] is Verdict.PASS
    assert max_batch(stopped, 65)[0] is Verdict.INCONCLUSIVE


def test_a_contradicted_search_is_inconclusive() -> None:
    assert max_batch(edge(fit(8), ooms(16), fit(32)), 20)[0] is Verdict.INCONCLUSIVE


def test_unsupported_is_missing() -> None:
    run = edge(fit(1, None, outcome=Outcome.UNSUPPORTED, reason="no such kernel"))
    finding = at_edge(run, 1)
    assert finding.verdict is Verdict.FAIL
    assert isinstance(finding.reason, Ended)
    assert finding.reason.outcome is Outcome.UNSUPPORTED


@pytest.mark.parametrize(
    ("passes", "verdict", "reason"),
    [
        ([fit(64)], Verdict.PASS, LargestBatch),
        ([fit(32), ooms(64)], Verdict.FAIL, DoesNotFit),
        ([fit(32)], Verdict.FAIL, EdgeNotSearched),
        ([ooms(32), fit(64)], Verdict.INCONCLUSIVE, FitsAboveOom),
    ],
)
def test_without_a_search_the_grid_answers(
    passes: list[Fit], verdict: Verdict, reason: type[Reason]
) -> None:
    finding = at_edge(a_run(*passes), 64)
    assert (finding.verdict, type(finding.reason)) == (verdict, reason)


# peak


def peak(run: Run, at_most: int, of: str = "allocated") -> Finding:
    return only(Budget(peak=(MostPeak(POINT, at_most, of),)), run)


@pytest.mark.parametrize(
    ("at_most", "verdict"), [(32 * MIB, Verdict.PASS), (32 * MIB - 1, Verdict.FAIL)]
)
def test_a_peak_is_held_against_its_limit_as_it_is(at_most: int, verdict: Verdict) -> None:
    finding = peak(a_run(*measured(1.0)), at_most)
    assert (finding.verdict, finding.measured, finding.limit) == (verdict, 32 * MIB, at_most)
    assert finding.reason == PeakAndLimit("allocated", 32 * MIB, at_most)
    assert finding.detectable_ratio is None


def test_a_peak_of_each_kind() -> None:
    run = a_run(
        fit(peak_process_bytes=5 * MIB, peak_charged_bytes=3 * MIB),
        a_memory(POINT, peak_allocated_bytes=1 * MIB, peak_reserved_bytes=2 * MIB),
    )
    peaks = {of: peak(run, MIB, of).measured for of in ("allocated", "reserved", "process",
                                                        "charged")}  # fmt: skip
    assert peaks == {"allocated": MIB, "reserved": 2 * MIB, "process": 5 * MIB, "charged": 3 * MIB}


def test_an_unknown_peak_is_inconclusive_with_its_reason() -> None:
    run = a_run(fit(peak_process_reason="NVML hides it"), a_memory(POINT, peak_allocated_bytes=1))
    assert peak(run, MIB, "process").verdict is Verdict.INCONCLUSIVE
    assert peak(run, MIB, "process").reason == PeakUnknown("process", "NVML hides it")
    assert peak(run, MIB, "reserved").verdict is Verdict.INCONCLUSIVE
    assert peak(run, MIB, "reserved").reason == PeakUnknown("reserved", None)


def test_a_peak_without_its_pass_is_missing() -> None:
    crashed = a_memory(POINT, outcome=Outcome.CRASHED, reason="signal 11")
    for run in (a_run(fit()), a_run(fit(), crashed), a_run(ooms())):
        assert peak(run, 1 << 40).verdict is Verdict.FAIL


# throughput


def throughput(run: Run, at_least: float) -> Finding:
    return only(Budget(throughput=(LeastThroughput(POINT, at_least),)), run)


RATE = 64 * 128 / 0.5


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.9, Verdict.PASS), (1.0, Verdict.INCONCLUSIVE), (1.1, Verdict.FAIL)],
)
def test_throughput_by_the_interval_over_processes(share: float, verdict: Verdict) -> None:
    run = a_run(*measured(0.5, 0.505, 0.495, 0.502, 0.498))
    finding = throughput(run, share * RATE)
    assert finding.verdict is verdict
    assert finding.measured == pytest.approx(RATE, rel=1e-3)
    assert finding.interval is not None
    assert finding.interval[0] < RATE < finding.interval[1]
    assert finding.measured is not None
    assert finding.reason == Throughput(finding.measured, finding.interval, share * RATE)
    assert finding.detectable_ratio is not None
    assert 0 < finding.detectable_ratio < 0.05


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.49, Verdict.PASS), (0.6, Verdict.INCONCLUSIVE), (1.9, Verdict.INCONCLUSIVE),
     (2.1, Verdict.FAIL)],
)  # fmt: skip
def test_few_processes_tell_a_factor_of_two(processes: int, share: float, verdict: Verdict) -> None:
    finding = throughput(a_run(*measured(*[0.5] * processes)), share * RATE)
    assert (finding.verdict, finding.detectable_ratio) == (verdict, 0.5)
    few = TooFewProcesses(processes, 3)
    assert finding.reason == ThroughputOfFew(pytest.approx(RATE), share * RATE, few, 2.0)


def test_noisy_processes_prove_nothing() -> None:
    noise = conditions(1.0, others_s=0.9)
    slow = [a_timing(POINT, 9.0, process_index=i, conditions=noise) for i in range(5)]
    finding = throughput(a_run(*measured(), *slow), RATE)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert isinstance(finding.reason, OnlyNoisy)
    assert finding.reason.cause


def test_a_point_that_was_not_timed_is_missing() -> None:
    crashed = a_timing(POINT, outcome=Outcome.CRASHED, reason="signal 9")
    for run in (a_run(*measured()), a_run(*measured(), crashed), a_run(ooms())):
        assert throughput(run, 1.0).verdict is Verdict.FAIL


# growth


def growth(base: Run, new: Run, **limits: Any) -> list[Finding]:
    return list(judge_growth(Growth(**limits), FoldedRun.of(base), JudgedRun.of(FoldedRun.of(new))))


def of(findings: Sequence[Finding], kind: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.kind == kind]
    return finding


def slower(factor: float) -> list[Observation]:
    return measured(*(value * factor for value in STEADY))


@given(st.integers(1 * MIB, 1 << 40))
def test_memory_may_grow_by_the_larger_of_the_two(base: int) -> None:
    most = base + max(0.005 * base, 2 * MIB)
    for new, verdict in ((int(most), Verdict.PASS), (int(most) + 1, Verdict.FAIL)):
        runs = a_run(*measured(peak=base)), a_run(*measured(peak=new))
        finding = of(growth(*runs), "memory_growth")
        assert finding.verdict is verdict
        assert (finding.measured, finding.limit, finding.baseline) == (new, most, base)
        assert finding.reason == PeakGrowth("allocated", new, base, max(0.005 * base, 2 * MIB))


@given(st.integers(1024, 1 << 40))
def test_one_percent_more_memory_never_passes_half_a_percent(base: int) -> None:
    runs = a_run(*measured(peak=base)), a_run(*measured(peak=base + base // 100))
    assert of(growth(*runs, memory_bytes=0), "memory_growth").verdict is Verdict.FAIL


def test_an_unknown_peak_of_the_baseline_is_inconclusive_and_of_the_run_too() -> None:
    known = a_run(*measured())
    unknown = a_run(a_fit(POINT), a_memory(POINT), *timings())
    assert of(growth(unknown, known), "memory_growth").verdict is Verdict.INCONCLUSIVE
    assert of(growth(known, unknown), "memory_growth").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(0.5, Verdict.PASS), (1.0, Verdict.PASS), (1.045, Verdict.INCONCLUSIVE),
     (1.2, Verdict.FAIL)],
)  # fmt: skip
def test_time_by_the_interval_of_the_ratio(factor: float, verdict: Verdict) -> None:
    finding = of(growth(a_run(*slower(1)), a_run(*slower(factor))), "time_growth")
    assert finding.verdict is verdict
    assert finding.interval is not None
    assert finding.interval[0] < factor < finding.interval[1]
    assert isinstance(finding.reason, TimeGrowth)
    assert finding.reason.ratio == pytest.approx(factor)
    assert finding.reason.interval == finding.interval
    assert finding.reason.allowed_ratio == 0.05
    assert finding.detectable_ratio is not None
    assert 0.05 < finding.detectable_ratio < 0.1


def test_one_process_leaves_time_open_and_memory_judged() -> None:
    base, new = a_run(*measured(1.0)), a_run(*measured(9.0, peak=64 * MIB))
    findings = growth(base, new)
    assert of(findings, "time_growth").verdict is Verdict.INCONCLUSIVE
    assert of(findings, "time_growth").interval is None
    few = TooFewProcesses(1, 3)
    times = (pytest.approx(9.0), pytest.approx(1.0))
    assert of(findings, "time_growth").reason == TimesOfFew(NoInterval(few, few), *times)
    assert of(findings, "memory_growth").verdict is Verdict.FAIL


def test_what_the_baseline_timed_and_the_run_did_not_is_missing() -> None:
    findings = growth(a_run(*slower(1)), a_run(*measured()))
    assert of(findings, "time_growth").verdict is Verdict.FAIL
    findings = growth(a_run(*measured()), a_run(*slower(1)))
    assert of(findings, "time_growth").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("observations", "cause"),
    [
        ([], NotMeasured(POINT)),
        ([ooms()], DoesNotFit("out of memory in forward")),
        ([fit(outcome=Outcome.CRASHED, reason="signal")], Ended(Outcome.CRASHED, "signal")),
        (
            [*measured(), a_timing(POINT, outcome=Outcome.TIMEOUT, reason="slow")],
            Ended(Outcome.TIMEOUT, "slow"),
        ),
    ],
)
def test_a_point_that_only_the_baseline_measured_fails(
    observations: list[Observation], cause: Reason
) -> None:
    findings = growth(a_run(*slower(1)), a_run(*observations))
    finding = of(findings, "memory_growth")
    assert finding.verdict is Verdict.FAIL
    assert finding.reason == OnlyInBaseline(cause)


def test_out_of_memory_under_a_smaller_limit_is_no_growth() -> None:
    smaller = replace(HEADER, limit_bytes=LIMIT // 2)
    findings = growth(a_run(*slower(1)), a_run(ooms(), header=smaller))
    finding = of(findings, "memory_growth")
    assert finding.verdict is Verdict.NOT_COMPARABLE
    assert isinstance(finding.reason, OnlyInBaseline)
    assert finding.reason.is_limit_smaller


def test_a_point_of_the_run_alone_is_listed_not_judged() -> None:
    more = Point(64, 256)
    new = a_run(*slower(1), *measured(point=more), points=[POINT, more])
    findings = growth(a_run(*slower(1)), new)
    assert [finding.where for finding in findings] == ["", str(POINT), str(POINT)]
    assert findings[0].reason == Comparable(1, (), (more,))


def with_facts(**facts: Any) -> Header:
    return replace(HEADER, environment={**HEADER.environment, **facts})


def test_another_device_is_not_comparable_and_nothing_else_is_judged() -> None:
    other = with_facts(device_name="another GPU", driver="9")
    (finding,) = growth(a_run(*slower(1)), a_run(*slower(9), header=other))
    assert (finding.kind, finding.verdict) == ("comparable", Verdict.NOT_COMPARABLE)
    assert isinstance(finding.reason, NotComparable)
    assert {each.name for each in finding.reason.differences} == {"device_name", "driver"}


def test_another_host_processor_leaves_memory_to_be_judged() -> None:
    base, new = (
        a_run(*slower(1), header=with_facts(processor_name=name)) for name in ("one", "other")
    )
    findings = growth(base, new)
    assert of(findings, "time_growth").verdict is Verdict.NOT_COMPARABLE
    assert of(findings, "memory_growth").verdict is Verdict.PASS


def test_a_baseline_without_points_shows_nothing() -> None:
    findings = growth(a_run(ooms()), a_run(*slower(1)))
    assert [finding.verdict for finding in findings] == [Verdict.INCONCLUSIVE]
    assert findings[0].reason == BaselineIsEmpty()


# the gate as a whole


def test_a_budget_for_another_workload_judges_nothing() -> None:
    other_cell = KeyDiffers("cell", "gru", "lstm")
    found = gate(Budget(fits=(MustFit(POINT),)), a_run(ooms()), differing=[other_cell])
    assert [finding.kind for finding in found.findings] == ["comparable"]
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.findings[0].reason == NotTheBudgetsRun((other_cell,))


def test_an_unfinished_run_never_passes_and_its_missing_points_fail() -> None:
    budget = Budget(fits=(MustFit(POINT),))
    assert gate(budget, a_run(fit(), is_finished=False)).verdict is Verdict.INCONCLUSIVE
    assert gate(budget, a_run(is_finished=False)).verdict is Verdict.FAIL


def test_an_unfinished_baseline_never_passes() -> None:
    base = a_run(*slower(1), is_finished=False)
    found = gate(Budget(growth=Growth()), a_run(*slower(1)), base)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert [f.kind for f in found.findings if f.verdict is not Verdict.PASS] == ["finished"]


def test_growth_without_a_baseline_never_passes() -> None:
    budget = Budget(fits=(MustFit(POINT),), growth=Growth())
    assert gate(budget, a_run(fit())).verdict is Verdict.INCONCLUSIVE
    assert gate(replace(budget, growth=None), a_run(fit())).verdict is Verdict.PASS


def test_a_baseline_without_growth_limits_is_judged_by_the_defaults() -> None:
    budget = Budget(fits=(MustFit(POINT),))
    base, new = a_run(*slower(1)), a_run(*slower(1.5))
    assert gate(budget, new).verdict is Verdict.PASS
    assert gate(budget, new, base).verdict is Verdict.FAIL


def test_a_budget_of_fits_alone_holds_bytes_against_a_baseline_and_no_times() -> None:
    budget = Budget(fits=(MustFit(POINT),))
    base = a_run(fit(role=Role.GRID, peak=40 * MIB))
    new = a_run(fit(role=Role.GRID, peak=41 * MIB))
    assert [f.kind for f in gate(budget, new, base).findings] == [
        "fits", "comparable", "memory_growth",
    ]  # fmt: skip
    assert gate(budget, new, base).verdict is Verdict.PASS
    grown = a_run(fit(role=Role.GRID, peak=43 * MIB))
    assert gate(budget, grown, base).verdict is Verdict.FAIL
    asked = replace(budget, growth=Growth())
    assert gate(asked, new, base).verdict is Verdict.INCONCLUSIVE


def test_a_run_is_no_baseline_of_itself() -> None:
    run = a_run(*slower(1))
    found = gate(Budget(growth=Growth()), run, run)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.findings[0].reason == SameRun()


def test_findings_come_in_the_order_of_the_budget() -> None:
    budget = Budget(
        fits=(MustFit(POINT), MustFit(Point(32, 128))),
        max_batch=(LeastBatch(128, 1),),
        peak=(MostPeak(POINT, MIB),),
        throughput=(LeastThroughput(POINT, 1.0),),
    )
    names = [finding.name for finding in gate(budget, a_run(*slower(1))).findings]
    assert names == [
        "fits B=64 T=128", "fits B=32 T=128", "max_batch T=128", "peak B=64 T=128",
        "throughput B=64 T=128",
    ]  # fmt: skip


# how often noise misleads it

POINTS = 8
RUNS = 200
LIMIT_RATIO = 0.05


def simulated(seed: int, sigma: float, change: float, processes: int = 5) -> list[list[Verdict]]:
    """Verdicts on runs of POINTS points, all truly slower by *change*."""
    random_ = random.Random(seed)

    def side(typical_s: float) -> list[float]:
        return [typical_s * random_.lognormvariate(0.0, sigma) for _ in range(processes)]

    return [
        judge_estimates(
            [Estimate.of_ratio(side(1.0), side(1.0 + change)) for _ in range(POINTS)],
            LIMIT_RATIO,
        )
        for _ in range(RUNS)
    ]


def share(runs: list[list[Verdict]], verdict: Verdict) -> float:
    """Of the runs, those with such a verdict at any point."""
    return sum(verdict in verdicts for verdicts in runs) / len(runs)


@pytest.mark.parametrize("processes", [3, 5])
@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.05])
def test_without_a_change_noise_fails_hardly_any_run(sigma: float, processes: int) -> None:
    assert share(simulated(1, sigma, 0.0, processes), Verdict.FAIL) < 0.05


@pytest.mark.parametrize("sigma", [0.005, 0.03])
def test_at_the_limit_itself_fewer_than_one_run_in_twenty_fails(sigma: float) -> None:
    """Holm's promise, over all eight points; three standard errors of 200 runs are 4.6%."""
    assert share(simulated(2, sigma, LIMIT_RATIO), Verdict.FAIL) < 0.05 + 0.046


@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.03])
def test_four_times_the_limit_fails_every_run(sigma: float) -> None:
    assert share(simulated(3, sigma, 4 * LIMIT_RATIO), Verdict.FAIL) == 1.0


@pytest.mark.parametrize("processes", [3, 5])
@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.05])
def test_twice_the_limit_hardly_ever_passes(sigma: float, processes: int) -> None:
    runs = simulated(4, sigma, 2 * LIMIT_RATIO, processes)
    passed = sum(verdicts.count(Verdict.PASS) for verdicts in runs)
    assert passed / (RUNS * POINTS) < 0.05


def test_low_noise_passes_what_did_not_change() -> None:
    runs = simulated(5, 0.005, 0.0)
    assert all(verdict is Verdict.PASS for verdicts in runs for verdict in verdicts)
