"""The sweep against a probe with a law of its own: what is run, in which order, and how often."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import (
    HEADER,
    FakeListener,
    FakeProbe,
    MemoryLaw,
    Script,
    a_request,
    a_sweep,
    crowded_out,
    dies,
    finds,
    fine,
    hangs,
    is_noisy,
    run_into,
    step_time_s,
)
from rnnprof.engine.observer import proof_seed
from rnnprof.engine.plan import FIRST_DEADLINE_S, MIN_DEADLINE_S, anchor_of
from rnnprof.engine.reasons import PassesLeftOut, PredictedLargest, TimedAgain
from rnnprof.engine.sweep import RATES_POINT
from rnnprof.outcomes import Evidence
from rnnprof.points.fold import anchor_drift, fold_run
from rnnprof.points.known import MIN_SAMPLES, PRECISION_RATIO, KnownPeaks
from rnnprof.points.noise import judge
from rnnprof.points.reasons import PeakKnownWithout, ProcessorTaken, Taker
from rnnprof.runfile.journal import load, run_of, to_line
from rnnprof.runfile.observations import BREAKDOWN_PARTS, Fit, Observation, Timing
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Record, Run, Settings

GRID = Grid((4, 8, 16, 32), (16, 32, 64))
SMALL = Grid((4, 8), (16, 32))
AMPLE = 1 << 40
PASSES = ("fit", "timing", "memory")


def swept(
    probe: FakeProbe,
    grid: Grid = GRID,
    settings: Settings | None = None,
    listener: FakeListener | None = None,
) -> Run:
    """Sweep *grid*; every record can be written, and in order."""
    records: list[Record] = [HEADER, a_request(grid, settings)]

    def record(item: Record) -> None:
        to_line(item)
        records.append(item)

    a_sweep(probe, records[1], record, listener).run()
    run = run_of(records, Path("none"))
    assert run is not None
    return run


def outcomes(run: Run) -> dict[Point, Outcome]:
    return {point: measurement.outcome for point, measurement in fold_run(run).items()}


def truth(grid: Grid, law: MemoryLaw, limit_bytes: int) -> dict[Point, Outcome]:
    fits = {point: law.bytes_at(point) <= limit_bytes for point in grid.points()}
    return {point: Outcome.MEASURED if fits[point] else Outcome.OOM for point in fits}


def kind_of(observation: Observation) -> str:
    kind = type(observation).__name__.lower()
    return "rates" if kind == "calibration" else kind


def passes_at(run: Run, point: Point, role: Role = Role.GRID) -> list[str]:
    return [kind_of(o) for o in run.observations if o.point == point and o.role is role]


# what comes out


def test_every_point_gets_all_its_passes():
    run = swept(FakeProbe(limit_bytes=AMPLE))
    for point in GRID.points():
        assert passes_at(run, point) == ["fit", "timing", "memory"]


def test_the_numbers_are_those_of_the_law():
    probe = FakeProbe(limit_bytes=AMPLE)
    for point, measurement in fold_run(swept(probe)).items():
        assert measurement.outcome is Outcome.MEASURED
        assert measurement.step_time_s == pytest.approx(step_time_s(point))
        assert measurement.peak_charged_bytes == probe.law.bytes_at(point)
        assert sum(measurement.breakdown.parts().values()) == measurement.peak_allocated_bytes
        assert tuple(measurement.breakdown.parts()) == BREAKDOWN_PARTS


def test_each_attempt_is_announced_before_it_is_observed():
    run = swept(FakeProbe())
    assert len(run.started) == len(run.observations)
    assert len({started.attempt for started in run.started}) == len(run.started)
    for started, observation in zip(run.started, run.observations, strict=True):
        assert started.attempt == observation.attempt
        assert started.observes == kind_of(observation)
        assert (started.batch, started.time_steps) == (observation.batch, observation.time_steps)
        assert (started.role, started.process_index) == (
            observation.role,
            observation.process_index,
        )
        assert started.request == observation.request == "r1"


@given(
    law=st.builds(MemoryLaw, *[st.integers(0, 1 << 24)] * 3),
    limit_bytes=st.integers(1, 1 << 33),
    seed=st.integers(0, 99),
    prune=st.booleans(),
)
def test_whatever_the_law_each_point_ends_as_it_must(law, limit_bytes, seed, prune):
    run = swept(FakeProbe(limit_bytes, law), SMALL, Settings(seed=seed, prune=prune))
    found, expected = outcomes(run), truth(SMALL, law, limit_bytes)
    assert set(found) == set(expected)
    for point, outcome in found.items():
        if outcome is Outcome.IMPLIED_OOM:
            assert prune
            assert expected[point] is Outcome.OOM
            assert passes_at(run, point) == []
        else:
            assert outcome is expected[point]


EDGE = {Point(32, 16), Point(16, 32), Point(8, 64)}
"""The smallest points of the grid that do not fit 20 MiB."""


def test_points_above_an_oom_are_not_run():
    probe = FakeProbe(limit_bytes=20 << 20)
    found = outcomes(swept(probe))
    assert Counter(found.values())[Outcome.MEASURED] == 6
    assert {point for point, outcome in found.items() if outcome is Outcome.OOM} >= EDGE
    implied = {point for point, outcome in found.items() if outcome is Outcome.IMPLIED_OOM}
    assert implied
    assert not implied & {task.point for task, _ in probe.asked}


def test_without_pruning_every_point_is_run():
    found = outcomes(swept(FakeProbe(limit_bytes=20 << 20), settings=Settings(prune=False)))
    assert found == truth(GRID, MemoryLaw(), 20 << 20)
    assert Counter(found.values()) == {Outcome.MEASURED: 6, Outcome.OOM: 6}


def test_an_oom_ends_a_point():
    run = swept(FakeProbe(limit_bytes=1))
    for point, outcome in outcomes(run).items():
        assert passes_at(run, point) == ([] if outcome is Outcome.IMPLIED_OOM else ["fit"])
    oom = next(o for o in run.observations if isinstance(o, Fit))
    assert oom.failure.requested_bytes == MemoryLaw().breakdown_at(oom.point)["saved"]
    assert oom.reason.startswith("out of memory in forward, requesting ")
    assert isinstance(oom, Fit)
    assert oom.limit_bytes == HEADER.limit_bytes


# the order


def test_the_anchor_comes_first_midway_and_last():
    run = swept(FakeProbe(limit_bytes=AMPLE))
    anchor = anchor_of(GRID.points())
    roles = [(started.role, Point(started.batch, started.time_steps)) for started in run.started]
    assert roles[:2] == [(Role.PROBE, RATES_POINT), (Role.GRID, anchor)]
    again = [index for index, (role, _) in enumerate(roles) if role is Role.ANCHOR]
    assert [roles[index][1] for index in again] == [anchor, anchor]
    assert [run.started[index].observes for index in again] == ["timing", "timing"]
    # twelve points of three passes: six before the second time, six between it and the third
    assert again == [19, 38]
    assert len(anchor_drift(run).medians_s) == 3


def test_the_order_is_shuffled_by_the_seed():
    def order(seed: int) -> list[Point]:
        run = swept(FakeProbe(limit_bytes=AMPLE), settings=Settings(seed=seed))
        return list(dict.fromkeys(o.point for o in run.observations))

    assert order(0) == order(0) != order(1)
    sizes = [point.batch * point.time_steps for point in order(0)]
    assert sizes != sorted(sizes)


@pytest.mark.parametrize(
    ("grid", "times"), [(Grid((4,), (16, 32)), 0), (Grid((4, 8, 16), (8,)), 2)]
)
def test_below_three_points_no_anchor_is_timed_again(grid, times):
    run = swept(FakeProbe(limit_bytes=AMPLE), grid)
    assert sum(o.role is Role.ANCHOR for o in run.observations) == times


def test_an_anchor_that_does_not_fit_is_not_timed_again():
    run = swept(FakeProbe(limit_bytes=1))
    assert not [o for o in run.observations if o.role is Role.ANCHOR]


# what goes wrong

BAD = (16, 32)
BAD_POINT = Point(*BAD)


def scripted(do: str, *twists, **settings) -> tuple[Run, FakeListener]:
    """Sweep with *twists* befalling the first attempts of a pass at one point."""
    listener = FakeListener()
    probe = FakeProbe(limit_bytes=AMPLE, script={(*BAD, do): twists})
    run = swept(probe, settings=Settings(**settings), listener=listener)
    for point in GRID.points():  # the others are none the worse
        if point != BAD_POINT:
            assert passes_at(run, point).count("fit") == 1
            assert fold_run(run)[point].outcome is Outcome.MEASURED
    return run, listener


def test_a_noisy_timing_is_repeated_once_and_the_clean_one_counts():
    run, listener = scripted("timing", is_noisy)
    assert passes_at(run, BAD_POINT) == ["fit", "timing", "timing", "memory"]
    assert fold_run(run)[BAD_POINT].noisy is None
    again = [note for note in listener.notes if isinstance(note, TimedAgain)]
    assert again == [TimedAgain(BAD_POINT, ProcessorTaken(Taker.OTHERS, 1.0))]


def test_a_timing_noisy_again_is_kept_with_its_flag():
    run, _ = scripted("timing", is_noisy, is_noisy, is_noisy)
    assert passes_at(run, BAD_POINT) == ["fit", "timing", "timing", "memory"]
    measurement = fold_run(run)[BAD_POINT]
    assert measurement.outcome is Outcome.MEASURED
    assert measurement.noisy == ProcessorTaken(Taker.OTHERS, 1.0)


def test_each_process_is_repeated_for_itself():
    run, _ = scripted("timing", is_noisy, fine, is_noisy, fine, processes=2)
    timings = [o for o in run.observations if isinstance(o, Timing) and o.point == BAD_POINT]
    assert [o.process_index for o in timings] == [0, 0, 1, 1]
    assert [judge(o.conditions) is None for o in timings] == [False, True, False, True]


@pytest.mark.parametrize("do", PASSES)
def test_a_crash_is_tried_once_more(do):
    run, _ = scripted(do, dies)
    assert Counter(passes_at(run, BAD_POINT)) == Counter([*PASSES, do])
    measurement = fold_run(run)[BAD_POINT]
    assert measurement.outcome is Outcome.MEASURED
    assert measurement.breakdown is not None


@pytest.mark.parametrize("do", PASSES)
def test_a_point_that_crashed_twice_is_set_aside(do):
    run, _ = scripted(do, dies, dies, dies)
    assert passes_at(run, BAD_POINT).count(do) == 2
    measurement = fold_run(run)[BAD_POINT]
    if do == "memory":  # the time stands, and the breakdown says why it does not
        assert measurement.outcome is Outcome.MEASURED
        assert measurement.breakdown is None
        assert "SIGSEGV" in measurement.breakdown_reason
    else:
        assert measurement.outcome is Outcome.CRASHED
        assert measurement.phase == "backward"
        assert "SIGSEGV" in measurement.reason


def test_a_hang_is_not_tried_again():
    run, _ = scripted("fit", hangs)
    assert passes_at(run, BAD_POINT) == ["fit"]
    measurement = fold_run(run)[BAD_POINT]
    assert measurement.outcome is Outcome.TIMEOUT
    assert measurement.reason == "no answer in forward within 60 s"


@pytest.mark.parametrize(
    ("do", "findings", "words"),
    [
        ("fit", {"train_steps_run": "three"}, "fit.train_steps_run: expected int"),
        ("fit", {"conditions": []}, "fit.conditions: expected object"),
        ("timing", {"samples_s": 5}, "timing.samples_s: expected array"),
        ("timing", {"samples_s": [0.5, None]}, "timing.samples_s[1]: expected float"),
        ("timing", {"samples_s": [float("inf")]}, "timing.samples_s[0]"),
        ("timing", {"loss": float("nan")}, "timing.loss"),
        ("memory", {"breakdown": {"weights": 1}}, "memory.breakdown"),
    ],
)
def test_findings_that_make_no_sense_are_a_crash(do, findings, words):
    run, _ = scripted(do, finds(**findings), finds(**findings))
    broken = [o for o in run.observations if o.point == BAD_POINT and kind_of(o) == do]
    assert [o.outcome for o in broken] == [Outcome.CRASHED] * 2
    assert f"is unusable: {words}" in broken[0].reason


def test_findings_do_not_say_which_point_was_observed():
    run, _ = scripted("fit", finds(batch=999, attempt="x", outcome="oom", limit_bytes=1))
    assert outcomes(run)[BAD_POINT] is Outcome.MEASURED
    assert {o.point for o in run.observations if o.role is Role.GRID} == set(GRID.points())


# what the probe is asked


def test_the_task_says_all_that_a_worker_needs():
    probe = FakeProbe(limit_bytes=AMPLE)
    swept(probe, SMALL, Settings(point_seconds=0.5, seed=7))
    for task, _ in probe.asked:
        assert task.workload == HEADER.workload
        assert task.limit_bytes == HEADER.limit_bytes
        assert task.guard_bytes == 1 << 30
        assert task.point_seconds == 0.5
        is_proof = task.do == "fit"
        assert task.seed == (proof_seed(7, task.point, 0) if is_proof else 7)


def test_the_deadline_follows_what_was_seen():
    probe = FakeProbe(limit_bytes=AMPLE)
    swept(probe)
    deadlines: dict[str, list[float]] = {do: [] for do in (*PASSES, "rates")}
    for task, deadline_s in probe.asked:
        deadlines[task.do].append(deadline_s)
    assert deadlines.pop("rates") == [FIRST_DEADLINE_S]
    for first, *later in deadlines.values():
        assert first == FIRST_DEADLINE_S
        assert min(later) >= MIN_DEADLINE_S
        assert max(later) < FIRST_DEADLINE_S


def test_a_hang_does_not_slow_the_rest_down():
    """The minute that it was waited for is no rate of the machine."""
    probe = FakeProbe(limit_bytes=AMPLE, script={(4, 16, "fit"): [hangs]})
    swept(probe)
    assert [task.do for task, deadline_s in probe.asked if deadline_s > FIRST_DEADLINE_S] == []


def test_a_deadline_of_the_users_own_overrules():
    probe = FakeProbe(limit_bytes=AMPLE)
    swept(probe, settings=Settings(timeout_s=7.5))
    assert {deadline_s for _, deadline_s in probe.asked} == {7.5}


# the first answer


def test_three_points_of_a_length_predict_its_largest_batch_once():
    probe, listener = FakeProbe(), FakeListener()
    run = swept(probe, Grid((4, 8, 16, 32), (16, 32)), Settings(), listener)
    told = {n.time_steps: n for n in listener.notes if isinstance(n, PredictedLargest)}
    assert [*sorted(told)] == [16, 32]
    assert len([n for n in listener.notes if isinstance(n, PredictedLargest)]) == 2
    for time_steps, note in told.items():
        truth = (run.limit_bytes - probe.law.fixed_bytes) // (
            probe.law.per_sequence_bytes + probe.law.per_time_step_bytes * time_steps
        )
        assert note.batch == pytest.approx(truth, rel=0.01)
        assert note.points == 3


def test_two_points_predict_nothing():
    listener = FakeListener()
    swept(FakeProbe(), Grid((4, 8), (16, 32)), Settings(), listener)
    assert not any(isinstance(note, PredictedLargest) for note in listener.notes)


# with --fast


@dataclass(frozen=True, slots=True)
class SquareLaw(MemoryLaw):
    """Memory that no plane describes."""

    def breakdown_at(self, point: Point) -> dict[str, int]:
        breakdown = MemoryLaw.breakdown_at(self, point)
        return {**breakdown, "saved": breakdown["saved"] * point.batch}


def test_fast_leaves_out_the_memory_passes_whose_peak_is_known():
    probe, listener = FakeProbe(limit_bytes=AMPLE), FakeListener()
    grid = Grid((4, 8, 16, 32, 64), (16, 32, 64, 128))
    run = swept(probe, grid, Settings(fast=True), listener)
    folded = fold_run(run)
    assert {m.outcome for m in folded.values()} == {Outcome.MEASURED}
    assert all(m.step_time_s and m.peak_charged_bytes for m in folded.values())
    left_out = {point: m for point, m in folded.items() if m.peak_allocated_bytes is None}
    assert 5 <= len(left_out) <= len(folded) - MIN_SAMPLES
    for point, measurement in left_out.items():
        assert "memory" not in passes_at(run, point)
        assert measurement.breakdown is None
        known = KnownPeaks.of(run.observations).at(point)
        assert known is not None
        assert isinstance(measurement.breakdown_reason, PeakKnownWithout)
        assert measurement.breakdown_reason == known.reason()
        assert known.peak_bytes == pytest.approx(probe.law.bytes_at(point), rel=1e-6)
    assert listener.notes[-1] == PassesLeftOut(len(left_out), 20, PRECISION_RATIO)


def test_fast_measures_what_no_model_tells():
    probe, listener = FakeProbe(limit_bytes=AMPLE, law=SquareLaw()), FakeListener()
    run = swept(probe, GRID, Settings(fast=True), listener)
    assert all("memory" in passes_at(run, point) for point in GRID.points())
    assert not any(isinstance(note, PassesLeftOut) for note in listener.notes)


def test_fast_leaves_nothing_out_beyond_what_was_measured():
    run = swept(FakeProbe(limit_bytes=AMPLE), GRID, Settings(fast=True))
    largest = Point(max(GRID.batch), max(GRID.time_steps))
    smallest = Point(min(GRID.batch), min(GRID.time_steps))
    assert "memory" in passes_at(run, largest)
    assert "memory" in passes_at(run, smallest)


def test_what_answers_show_is_broken_down_after_all():
    """At each T the largest batch, and the smallest near the best throughput."""
    grid = Grid((4, 8, 16, 32, 64, 128), (16, 32, 64, 128))
    run = swept(FakeProbe(limit_bytes=AMPLE), grid, Settings(fast=True))
    folded = fold_run(run)
    for time_steps in grid.time_steps:
        here = [m for point, m in folded.items() if point.time_steps == time_steps]
        best = max(m.time_steps_per_s for m in here)
        near = min(m.point.batch for m in here if m.time_steps_per_s >= 0.95 * best)
        for batch in (near, 128):
            assert folded[Point(batch, time_steps)].breakdown is not None
    assert any(measurement.breakdown is None for measurement in folded.values())


def test_without_fast_nothing_is_left_out():
    run = swept(FakeProbe(limit_bytes=AMPLE), GRID)
    assert all("memory" in passes_at(run, point) for point in GRID.points())


# what is told


def test_the_listener_hears_of_every_point():
    listener = FakeListener()
    run = swept(FakeProbe(limit_bytes=20 << 20), listener=listener)
    assert listener.todo == len(GRID.points())
    assert {m.point: m.outcome for m in listener.measurements} == outcomes(run)
    assert listener.left_s[-1] == 0


def test_what_is_left_is_told_as_it_comes():
    """Where cost grows with size as the forecast takes it to, the forecast is exact."""
    grid = Grid((10,), (60, 90, 120, 150, 180))
    listener = FakeListener()
    swept(FakeProbe(limit_bytes=AMPLE), grid, listener=listener)
    point_s = [len(PASSES) * (1 + 100 * step_time_s(m.point)) for m in listener.measurements]
    for index, left_s in enumerate(listener.left_s):
        assert left_s == pytest.approx(sum(point_s[index + 1 :]))


def test_a_point_that_is_implied_does_not_make_the_rest_look_quick():
    """It takes no time, and says nothing of the time that the others take."""
    grid = Grid((1, 2, 4, 8, 64, 128, 256, 512), (16,))
    forecasts = []
    for seed in range(5):
        listener = FakeListener()
        swept(FakeProbe(limit_bytes=20 << 20), grid, Settings(seed=seed), listener)
        forecasts += [
            (listener.left_s[index - 1], listener.left_s[index])
            for index, measurement in enumerate(listener.measurements)
            if measurement.outcome is Outcome.IMPLIED_OOM
        ]
    assert any(left_s > 0 for left_s, _ in forecasts)
    for before_s, after_s in forecasts:
        assert after_s == before_s


# resuming


TROUBLES: Script = {
    (8, 16, "fit"): [dies],
    (4, 32, "timing"): [is_noisy],
    (8, 32, "timing"): [is_noisy, is_noisy],
    (4, 64, "memory"): [dies, dies],
    (16, 16, "timing"): [dies, dies],
    (16, 32, "fit"): [hangs],
}
TROUBLED = Grid((4, 8, 16, 32), (16, 32, 64))
LIMIT_BYTES = 24 << 20


@pytest.fixture
def quick(monkeypatch):
    """Without waiting for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def troubled() -> FakeProbe:
    return FakeProbe(LIMIT_BYTES, script=TROUBLES)


def times_observed(run: Run) -> Counter[tuple[Point, str, int]]:
    return Counter(
        (o.point, kind_of(o), o.process_index) for o in run.observations if o.role is Role.GRID
    )


def resumed(path: Path, content: bytes) -> tuple[Run | None, Run]:
    """Cut a run to *content* and give the same command again: what was there, and the whole."""
    path.write_bytes(content)
    before = load(path) if b"\n" in content else None
    probe = troubled().went_through(before.observations if before else ())
    return before, run_into(path, probe, TROUBLED, request="r2")


@pytest.fixture
def uninterrupted(tmp_path, quick):
    path = tmp_path / "whole.jsonl"
    run = run_into(path, troubled(), TROUBLED)
    assert set(outcomes(run).values()) == {
        Outcome.MEASURED, Outcome.OOM, Outcome.IMPLIED_OOM, Outcome.CRASHED, Outcome.TIMEOUT,
    }  # fmt: skip
    return run, path.read_bytes()


def check_resumed(path: Path, content: bytes, whole: Run) -> None:
    before, after = resumed(path, content)
    assert outcomes(after) == outcomes(whole)
    # each pass as often as without the cut: what was observed is never observed again
    assert times_observed(after) == times_observed(whole)
    interrupted = len(before.started) - len(before.observations) if before else 0
    assert interrupted in (0, 1)
    assert len(after.started) - len(after.observations) == interrupted
    assert load(path) == after


def test_cut_between_any_two_records_a_run_is_completed(tmp_path, uninterrupted):
    whole, content = uninterrupted
    for end in re.finditer(b"\n", content):
        check_resumed(tmp_path / "cut.jsonl", content[: end.end()], whole)


def test_cut_at_any_byte_a_run_is_completed(tmp_path, uninterrupted):
    whole, content = uninterrupted
    for size in sorted(random.Random(0).sample(range(len(content)), 40)):
        check_resumed(tmp_path / "cut.jsonl", content[:size], whole)


def test_a_finished_run_leaves_nothing_to_do(tmp_path, uninterrupted):
    whole, content = uninterrupted
    before, after = resumed(tmp_path / "cut.jsonl", content)
    assert before.observations == after.observations == whole.observations


def test_more_processes_are_added_to_what_is_there(tmp_path, quick):
    path = tmp_path / "run.jsonl"
    run_into(path, FakeProbe(AMPLE), SMALL)
    run = run_into(path, FakeProbe(AMPLE), SMALL, Settings(processes=3), request="r2")
    assert set(times_observed(run).values()) == {1}
    assert {m.step_time_ci_s is not None for m in fold_run(run).values()} == {True}


def test_a_larger_grid_is_added_to_what_is_there(tmp_path, quick):
    path = tmp_path / "run.jsonl"
    run_into(path, FakeProbe(AMPLE), SMALL)
    run = run_into(path, FakeProbe(AMPLE), GRID, request="r2")
    assert set(times_observed(run).values()) == {1}
    assert set(fold_run(run)) == set(GRID.points())


def test_what_earlier_invocations_took_sets_the_first_deadline(tmp_path, quick):
    path = tmp_path / "run.jsonl"
    run_into(path, FakeProbe(AMPLE), SMALL)
    probe = FakeProbe(AMPLE)
    run_into(path, probe, GRID, request="r2")
    passes = [deadline_s for task, deadline_s in probe.asked if task.do in PASSES]
    assert max(passes) < FIRST_DEADLINE_S


def test_a_point_that_others_crowded_out_is_run_again_on_resume(tmp_path, quick):
    path = tmp_path / "run.jsonl"
    script = {(8, 32, "fit"): [crowded_out]}
    first = run_into(path, FakeProbe(AMPLE, script=script), SMALL)
    assert outcomes(first)[Point(8, 32)] is Outcome.FAILED
    again = run_into(path, FakeProbe(AMPLE), SMALL, request="r2")
    assert set(outcomes(again).values()) == {Outcome.MEASURED}
    assert times_observed(again)[Point(8, 32), "fit", 0] == 2


def test_an_interrupt_leaves_the_attempt_announced_and_unobserved(tmp_path):
    path = tmp_path / "run.jsonl"

    def interrupted(task, deadline_s):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_into(path, interrupted, SMALL)
    run = load(path)
    assert not run.is_finished
    assert [started.observes for started in run.started] == ["rates"]
    assert run.observations == ()
    assert run_into(path, FakeProbe(AMPLE), SMALL, request="r2").is_finished


def suspect(answer):
    message = "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
    evidence = Evidence(phase="forward", error_type="RuntimeError", message=message)
    return replace(answer, findings={}, evidence=evidence)


def test_a_suspect_error_is_judged_by_half_the_batch():
    probe = FakeProbe(AMPLE, script={(8, 16, "fit"): [suspect]})
    run = swept(probe, Grid((8,), (16,)))
    (fit,) = [o for o in run.observations if isinstance(o, Fit)]
    assert fit.outcome is Outcome.OOM
    assert "a library could not start, but starts at half the batch" in (fit.reason or "")
    assert [t.point.batch for t, _ in probe.asked if t.do == "fit"] == [8, 4]


def test_a_library_that_never_comes_up_is_a_crash():
    probe = FakeProbe(AMPLE, script={(8, 16, "fit"): [suspect] * 9, (4, 16, "fit"): [suspect] * 9})
    run = swept(probe, Grid((8,), (16,)))
    assert outcomes(run) == {Point(8, 16): Outcome.CRASHED}
