"""The decision and the verdict: what a report says first."""

from __future__ import annotations

from dataclasses import replace

from fakes import HEADER, a_fit, a_request
from report_samples import (
    MIB,
    all_oom,
    certified,
    grid_sample,
    measured,
    mixed,
    one_point,
    report_from,
    untouched,
)
from rnnprof.advice.advise import LargestSafe
from rnnprof.report.model import report_of
from rnnprof.report.words.decision import decision
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Run, Settings
from study_samples import studied

# the decision


def test_it_names_the_point_its_memory_its_speed_and_the_edge():
    sample = grid_sample((4, 8, 16), (16, 32))
    report = report_from(sample, (certified(32, 21),))
    assert report.advice.point == Point(16, 32)
    first, second = decision(report)
    # 30 MiB + 16 * 32 * 36,000 bytes, as the samples have it
    assert first.startswith("Use B=16, T=32: it takes 47.6 MiB, 9.3% of the limit of 512 MiB")
    assert "100% of the best measured at this T; " in first
    assert first.endswith("B=21 is proven to fit there, B=22 to be out of memory.")
    assert second == "Recommended batch at each T: T=16: B=16; T=32: B=16."


def test_a_share_of_the_best_is_told_with_the_best():
    run, measurements = grid_sample((4, 8), (16,))
    measurements |= {m.point: m for m in (rated(4, 970.0), rated(8, 1000.0))}
    first = decision(report_from((run, measurements)))[0]
    assert "Use B=4, T=16" in first
    assert "97% of the best measured at this T (B=8)" in first


def rated(batch, rate, half=0.001):
    """A point at T=16 with so many time steps/s, known to *half*."""
    at = batch * 16 / rate
    interval = (at * (1 - half), at * (1 + half))
    return measured(
        batch, 16, time_steps_per_s=rate, step_time_s=at, step_time_within_ci_s=interval
    )


def test_where_the_times_decide_nothing_it_says_that_memory_is_decided():
    run, measurements = grid_sample((4, 8), (16,))
    measurements |= {m.point: m for m in (rated(4, 960.0, 0.03), rated(8, 1000.0))}
    report = report_from((run, measurements))
    tied = "B=4 or B=8 is the smallest batch within 5% of the best: times are known only to 3%"
    assert decision(report) == (f"At T=16 memory is decided, speed is not: {tied}.",)
    safe = LargestSafe(16, 21, 20, is_measured=False, peak_bytes=48 * MIB)
    told = replace(report, advice=replace(report.advice, largest_safe=(safe,)))
    with_safe = f"{tied}; largest safe batch 20 (48.0 MiB, predicted)"
    assert decision(told) == (f"At T=16 memory is decided, speed is not: {with_safe}.",)


def test_an_open_t_stands_beside_one_that_is_decided():
    run, measurements = grid_sample((4, 8), (16, 32))
    measurements |= {m.point: m for m in (rated(4, 960.0, 0.03), rated(8, 1000.0))}
    first, second = decision(report_from((run, measurements)))
    assert first.startswith("Use B=8, T=32: ")
    assert second == "Recommended batch at each T: T=16: B=4 or 8, not decided; T=32: B=8."


def test_without_times_the_edges_answer():
    fits = [a_fit(Point(b, 16), attempt=f"a{b}", peak_charged_bytes=b * MIB) for b in (8, 60)]
    request = replace(a_request(Grid((), (16,))), command="max-batch")
    edge = certified(16, 60, attempts=())
    report = report_of(Run(HEADER, (request,), (), tuple(fits)), "a")
    report = replace(report, frontier=(edge,), advice=report_from((report.run, {}), (edge,)).advice)
    first = decision(replace(report, measurements={}))[0]
    assert first == (
        "At T=16 B=60 is the largest safe batch: it takes 60.0 MiB (measured) of the limit of 64.0 "
        "MiB; B=60 is proven to fit there, B=61 to be out of memory. No step was timed in this "
        "run, so no batch is recommended."
    )


def test_where_nothing_fits_or_nothing_was_run_it_says_so():
    assert decision(report_from(all_oom())) == (
        "Nothing that was tried fits under the limit of 512 MiB.",
    )
    assert decision(report_from(untouched())) == (
        "This run does not show yet what to use: no point was measured.",
    )


def test_a_point_without_headroom_is_not_advised():
    run, _ = one_point()
    point = run.points()[0]
    tight = {point: measured(point.batch, point.time_steps, peak_charged_bytes=511 * MIB)}
    assert decision(report_from((run, tight))) == (
        "No point is known to leave 5% of the limit of 512 MiB free.",
    )
    assert Settings().headroom_ratio == 0.05


def test_a_point_whose_memory_is_not_known_is_not_advised_for_its_allocated_bytes():
    run, _ = one_point()
    point = run.points()[0]
    unknown = measured(point.batch, point.time_steps, peak_charged_bytes=None)
    assert unknown.peak_allocated_bytes
    assert decision(report_from((run, {point: unknown}))) == (
        "No point is known to leave 5% of the limit of 512 MiB free.",
    )


def test_goodput_that_says_another_batch_is_told_beside_the_decision():
    report, run = report_from(mixed()), studied()
    [known] = report_of(run).advice.goodput
    point = report.advice.point
    assert point is not None
    other = replace(known, time_steps=point.time_steps, batch=point.batch + 1)
    beside = decision(replace(report, advice=replace(report.advice, goodput=(other,))))
    assert beside[0] == decision(report)[0]
    assert beside[1] == decision(report)[1]
    assert beside[2].startswith(f"By goodput B={other.batch} is the better batch there: ")
    same = replace(other, batch=point.batch)
    assert decision(replace(report, advice=replace(report.advice, goodput=(same,)))) == decision(
        report
    )
