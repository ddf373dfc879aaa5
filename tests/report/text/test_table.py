"""The table: its width, what it says of every point, and the facts under it."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report_samples import (
    SAMPLES,
    Said,
    all_oom,
    ended,
    grid_sample,
    hostile,
    measured,
    mixed,
    non_monotone,
    one_point,
    one_row,
    report_from,
    run_of,
    twenty_by_twenty,
    untouched,
)
from rnnprof.maxbatch.certify import Proof
from rnnprof.plain_text import WIDTH, clip, one_line
from rnnprof.report.model import fastest, memory_bytes
from rnnprof.report.text.table import MAX_NOTES, half_interval_ratio, table
from rnnprof.report.words.certificates import edge_in_words
from rnnprof.report.words.figures import phase_times_in_words
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Finished, Settings

ANSI = re.compile(r"\x1b\[\d*m")


def columns(line: str) -> int:
    """How many columns a terminal gives to *line*."""
    return sum(2 if ord(char) >= 0x2E80 else 1 for char in line)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_line_is_wider_than_a_terminal(name: str) -> None:
    lines = table(report_from(SAMPLES[name]())).splitlines()
    assert [line for line in lines if columns(line) > WIDTH] == []
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("name", SAMPLES)
def test_colour_changes_no_character(name: str) -> None:
    run, measurements = SAMPLES[name]()
    painted = table(report_from((run, measurements)), colour=True)
    assert ANSI.sub("", painted) == table(report_from((run, measurements)))


@pytest.mark.parametrize("name", SAMPLES)
def test_without_colour_there_is_no_escape(name: str) -> None:
    assert "\x1b" not in table(report_from(SAMPLES[name]()))


def test_bold_marks_the_fastest_and_red_what_was_out_of_memory() -> None:
    painted = table(report_from(mixed()), colour=True)
    bold = re.findall(r"\x1b\[1m(.*?)\x1b\[0m", painted)
    red = re.findall(r"\x1b\[31m(.*?)\x1b\[0m", painted)
    assert [text.strip() for text in bold] == ["16.3k*", "171M"]
    assert set(red) == {"OOM"}
    assert len(red) == 4, "two points in two matrices; implied ones were not run"


def test_a_row_is_painted_whole() -> None:
    painted = table(report_from(one_row()), colour=True).splitlines()
    assert any("OOM in forward" in line and line.strip().startswith("\x1b[31m") for line in painted)
    assert any(line.endswith("*\x1b[0m") for line in painted)


def matrix_rows(text: str, heading: str) -> dict[int, list[str]]:
    """The cells of each T of the matrix below *heading*."""
    block = text.split(f"\n{heading}")[1].split("\n\n")[0]
    rows = re.findall(r"^T=(\d+)(.*)$", block, re.MULTILINE)
    return {int(time_steps): cells.split() for time_steps, cells in rows}


def test_the_matrices_say_how_every_point_ended() -> None:
    text = table(report_from(mixed()))
    assert matrix_rows(text, "time steps/s") == {
        16: ["8.60k", "11.3k~", "timeout", "14.9k", "15.7k", "16.2k"],
        32: ["9.94k", "12.5k", "14.3k!", "failed", "16.0k", "16.3k*"],
        64: ["-", "13.1k~!", "14.7k", "15.6k", "16.1k", "OOM"],
        128: ["crashed", "unsupp.", "14.9k", "15.7k", "OOM", "implied"],
    }
    assert matrix_rows(text, "memory (M: MiB)")[64] == [
        "-", "47.6M", "65.2M", "100M", "171M", "OOM",
    ]  # fmt: skip


def test_the_digits_of_a_column_stand_below_each_other() -> None:
    lines = [
        line
        for line in table(report_from(mixed())).splitlines()
        if line.startswith(("T=16 ", "T=32 "))
    ]
    plain, flagged = lines[0].index("11.3k~"), lines[1].index("12.5k")
    assert plain == flagged


def test_a_matrix_too_wide_is_continued_below() -> None:
    run, measurements = twenty_by_twenty()
    text = table(report_from((run, measurements)))
    for time_steps in run.grid.time_steps:
        rows = re.findall(rf"^T={time_steps} .*$", text, re.MULTILINE)
        cells = [cell for row in rows for cell in row.split()[1:]]
        assert len(cells) == 2 * len(run.grid.batch)
    heads = re.findall(r"B=(\d+)", text.split("\nmemory (M: MiB)")[0])
    assert [int(head) for head in heads] == list(run.grid.batch)
    assert len(text.splitlines()) < 200


def test_one_point_is_a_row_with_everything() -> None:
    lines = table(report_from(one_point())).splitlines()
    assert lines[3:5] == [
        "  T   B     step time   fwd/bwd/opt  seq/s  time steps/s   memory",
        "128  64  506 ms ±1.1%  203/304/- ms    126         16.2k  311 MiB  *",
    ]


def test_words_of_a_row_stand_over_the_columns_of_its_numbers() -> None:
    lines = table(report_from(one_row())).splitlines()
    assert lines[3:5] == [
        " T    B      step time   fwd/bwd/opt  seq/s  time steps/s    memory",
        "64    4  23.8 ms ±1.1%   9.5/14/- ms    168         10.8k  38.8 MiB",
    ]
    assert lines[10:12] == ["64  256  OOM in forward", "64  512  implied OOM by B=256"]


def test_words_of_a_row_make_no_column_of_numbers_wider() -> None:
    lines = table(report_from(all_oom())).splitlines()
    assert lines[3] == "  T      B  step time  fwd/bwd/opt  seq/s  time steps/s  memory"


def test_rows_say_the_phase_and_the_cause_of_an_oom() -> None:
    text = table(report_from(one_row()))
    assert re.search(r"^64 +256  OOM in forward$", text, re.MULTILINE)
    assert re.search(r"^64 +512  implied OOM by B=256$", text, re.MULTILINE)


def test_points_that_were_not_run_share_a_row() -> None:
    text = table(report_from(all_oom()))
    assert re.search(r"^ +64 +64  OOM in forward$", text, re.MULTILINE)
    assert re.search(r"^ +64 +>=128  implied OOM by B=64$", text, re.MULTILINE)
    assert re.search(r"^256 +>=64  implied OOM by B=64 T=64$", text, re.MULTILINE)
    assert "Highest throughput: none" in text


def test_a_stretch_inside_a_row_names_both_ends() -> None:
    run, measurements = grid_sample((1, 2, 4, 8), (16,))
    for batch in (2, 4):
        del measurements[Point(batch, 16)]
    assert re.search(
        r"^16 +2  to 4: not measured$", table(report_from((run, measurements))), re.MULTILINE
    )


def test_a_sparse_grid_is_no_matrix_of_holes() -> None:
    run, measurements = grid_sample((1, 2, 4, 8, 16, 32), (16,))
    other, more = grid_sample((64,), (32, 64, 128, 256, 512))
    both = replace(run, requests=(*run.requests, *other.requests))
    text = table(report_from((both, measurements | more)))
    assert re.search(r"^ +T +B +step time +fwd/bwd/opt +seq/s ", text, re.MULTILINE)
    assert len(re.findall(r"^ *\d+ +\d+ +\d[\d.]* ms ±", text, re.MULTILINE)) == 9
    assert len(re.findall(r"^ *\d+ +\d+  (?:OOM|implied)", text, re.MULTILINE)) == 2


@pytest.mark.parametrize(("mark", "used"), [("~", "converged"), ("!", "noisy")])
def test_the_legend_explains_only_what_is_used(mark: str, used: str) -> None:
    assert re.search(rf"^{re.escape(mark)}  .*{used}", table(report_from(mixed())), re.MULTILINE)
    assert not re.search(rf"^{re.escape(mark)}  ", table(report_from(one_point())), re.MULTILINE)


def test_what_went_wrong_comes_before_remarks() -> None:
    lines = table(report_from(mixed())).splitlines()
    found = [line for line in lines if re.match(r"B=\d+ T=\d+", line)]
    assert found[0] == "B=16 T=16: timeout in forward: no answer within 60 s"
    assert found[1].startswith("B=32 T=32: failed in build: ValueError: no good")
    assert found[1].endswith("...")
    assert found[2] == "B=4 T=128: crashed in backward: signal 11 (SIGSEGV)"
    assert found[3].startswith("B=8 T=128: unsupported in forward")
    assert found[-1] == "B=4 T=32 and 1 other: the loss of the last step was nan"


def test_many_notes_end_in_a_count() -> None:
    run, measurements = grid_sample(range(1, 14), (16,))
    measurements = {
        point: replace(measurement, warnings=(f"warning {point.batch}",))
        for point, measurement in measurements.items()
    }
    text = table(report_from((run, measurements)))
    assert len(re.findall(r"^B=\d+ T=16: warning", text, re.MULTILINE)) == MAX_NOTES
    assert "and 5 more notes in the run file" in text


def summary(text: str) -> list[str]:
    return text.split("Seen on the grid:\n")[1].splitlines()


def test_the_last_lines_say_what_fits_and_what_is_fastest() -> None:
    assert summary(table(report_from(mixed()))) == [
        "  T=16: 128 fits, the largest tried",
        "  T=32: 128 fits, the largest tried",
        "  T=64: 64 fits, 128 is out of memory",
        "  T=128: 32 fits, 64 is out of memory",
        "Highest throughput: 16.3 k time steps/s at B=128 T=32",
        "  training step 251 ms ±1.1% (forward/backward/optimizer 100/151/- ms)",
        "  510 sequences/s; memory 171 MiB",
        "Recommended batch: T=16: B=64; T=32: B=16 or 64, not decided; T=64: B=8, 32 or",
        "    64, not decided; T=128: B=16 or 32, not decided",
        UNFINISHED_LINE,
    ]


UNFINISHED_LINE = "The run was stopped before its end: what is missing may change the answer"


def test_only_a_run_that_was_stopped_says_so() -> None:
    run, measurements = one_point()
    done = Finished(run.requests[-1].request, "2026-11-23T12:05:00Z", 300.0)
    whole = table(report_from((replace(run, finished=(done,)), measurements)))
    assert summary(whole)[-1] == "Recommended batch: T=128: B=64"
    assert summary(table(report_from((run, measurements)))) == [*summary(whole), UNFINISHED_LINE]


def test_a_long_reason_of_an_edge_is_wrapped() -> None:
    reason = "memory differs from training step to step: the peak grew by up to 4.1%"
    edge = Proof(128, EdgeStatus.CAPPED, 1, 64, 64, reason=Said(reason), horizon=10)
    lines = table(report_from(one_point(), (edge,))).splitlines()
    assert max(map(columns, lines)) <= WIDTH
    at = next(i for i, line in enumerate(lines) if line.startswith("  T=128: 64 fits over 10"))
    assert lines[at + 1].startswith("    ")
    told = f"T=128: 64 fits over 10 training steps, the largest tried: {reason}"
    assert f"{lines[at].strip()} {lines[at + 1].strip()}" == told


def test_where_nothing_may_be_recommended_it_says_none() -> None:
    run, _ = one_point()
    tight = measured(64, 128, peak_charged_bytes=511 << 20)
    lines = summary(table(report_from((run, {tight.point: tight}))))
    assert lines[-2:] == ["Recommended batch: T=128: none", UNFINISHED_LINE]


def test_without_times_nothing_is_said_of_a_recommended_batch() -> None:
    assert not [line for line in summary(table(report_from(untouched()))) if "ecommended" in line]


def test_the_summary_claims_no_more_than_was_seen() -> None:
    assert (
        summary(table(report_from(non_monotone())))[1]
        == "  T=128: 64 fits, yet 32 is out of memory"
    )
    assert (
        summary(table(report_from(hostile())))[1] == "  T=32: 4 fits, nothing larger was measured"
    )
    assert summary(table(report_from(untouched())))[0] == "  T=16: nothing was measured"
    assert (
        summary(table(report_from(all_oom())))[1]
        == "  T=128: none fits, 64 is out of memory (implied)"
    )


def test_a_batch_above_the_edge_that_was_measured_later_is_not_hidden() -> None:
    run, measurements = grid_sample((16, 32, 64), (128,), 3_000)
    edge = report_from((run, measurements)).edges[0]
    assert (edge.fits, edge.fails and edge.fails.point.batch) == (16, 32)
    measurements[Point(64, 128)] = measured(64, 128)
    assert (
        edge_in_words(report_from((run, measurements)).edges[0])
        == "64 fits, yet 32 is out of memory"
    )


def test_the_fastest_is_the_smallest_of_equals_and_has_a_number() -> None:
    points = [measured(b, 16, time_steps_per_s=5.0) for b in (8, 4)]
    points += [measured(16, 16, time_steps_per_s=math.nan)]
    points += [measured(32, 16, time_steps_per_s=None)]
    points += [ended(Outcome.OOM, 64, 16, time_steps_per_s=9.0)]
    best = fastest({m.point: m for m in points})
    assert best is not None
    assert best.point == Point(4, 16)


def test_memory_that_is_not_known_is_shown_so_whatever_else_is_known() -> None:
    run, measurements = mixed()
    measurements[Point(4, 16)] = unknown = measured(4, 16, peak_charged_bytes=None)
    assert unknown.peak_allocated_bytes
    assert unknown.peak_process_bytes
    rows = matrix_rows(table(report_from((run, measurements))), "memory (M: MiB)")
    assert rows[16] == ["-", "34.4M", "timeout", "47.6M", "65.2M", "100M"]


def test_without_any_memory_neither_row_nor_summary_has_a_size() -> None:
    run, _ = one_point()
    point = measured(64, 128, peak_charged_bytes=None)
    text = table(report_from((run, {point.point: point})))
    assert re.search(r"^128  64  506 ms .* 16\.2k +-  \*$", text, re.MULTILINE)
    assert "  126 sequences/s; memory -" in summary(text)
    assert "Recommended batch: T=128: none" in summary(text)
    assert re.findall(r"\d+ [KMG]iB", text) == ["512 MiB"], "the limit alone"


def test_memory_is_what_the_limit_counts_at_a_point_that_was_measured() -> None:
    assert memory_bytes(measured(4, 16)) == measured(4, 16).peak_charged_bytes
    assert memory_bytes(measured(4, 16, peak_charged_bytes=None)) is None
    assert memory_bytes(ended(Outcome.OOM, 4, 16, peak_charged_bytes=1 << 20)) is None


@pytest.mark.parametrize(
    ("facts", "charged"),
    [
        ({"device": "cuda"}, "reserved by the caching allocator"),
        ({"device": "cpu"}, "address space above the baseline"),
        ({}, "address space above the baseline"),
        ({"device": "cuda", "simulated": {}}, "reserved by a simulated caching allocator"),
    ],
)
def test_the_legend_names_what_the_limit_counts(facts: dict[str, object], charged: str) -> None:
    for run, measurements in (one_point(), mixed()):
        environment = run.header.environment | facts
        told = replace(run, header=replace(run.header, environment=environment))
        lines = table(report_from((told, measurements))).splitlines()
        assert f"memory  peak of what the limit counts: {charged}" in lines
        assert max(map(columns, lines)) <= WIDTH


def test_the_legend_names_the_phases_where_they_have_a_column() -> None:
    phases = "fwd/bwd/opt  times of forward, backward and optimizer"
    assert phases in table(report_from(one_point())).splitlines()
    assert "fwd/bwd/opt" not in table(report_from(mixed()))


@pytest.mark.parametrize(
    ("times_s", "words"),
    [
        ((0.254, 0.026, 0.00011), "254/26/0.11 ms"),
        ((0.0026, 0.0039, 0.0000114), "2.6/3.9/0.011 ms"),
        ((0.002, 0.00996, 0.0001), "2.0/10/0.10 ms"),
        ((182e-6, 221.4e-6, 9.94e-6), "182/221/9.9 µs"),
        ((1.25, 2.5, 0.012), "1.2/2.5/0.012 s"),
        ((1.0, 0.9, 0.00002), "1.0/0.90/<0.0001 s"),
        ((0.9996, 0.5, 0.1), "1.0/0.50/0.10 s"),
        ((0.254, 0.026, None), "254/26/- ms"),
        ((0.254, None, None), "254/-/- ms"),
        ((None, None, 0.00011), "-/-/110 µs"),
        ((None, None, None), ""),
    ],
)
def test_the_times_of_the_phases_have_one_unit_and_two_digits(
    times_s: tuple[float | None, ...], words: str
) -> None:
    named = zip(("forward", "backward", "optimizer"), times_s, strict=True)
    known = {phase: time_s for phase, time_s in named if time_s is not None}
    assert phase_times_in_words(measured(4, 16, phase_times_s=known)) == words
    others = known | {"data": 7.0, "build": 9.0}
    assert phase_times_in_words(measured(4, 16, phase_times_s=others)) == words


def test_a_row_of_wide_numbers_keeps_its_marks_within_the_terminal() -> None:
    run = run_of((65536, 65537, 65538), (65536,))
    wide = measured(
        65536, 65536, step_time_s=9.99e-3, step_time_within_ci_s=(9.98e-3, 9.9984e-3),
        phase_times_s={"forward": 999e-6, "backward": 998e-6, "optimizer": 1e-12},
        sequences_per_s=123_456.0, time_steps_per_s=430e6, peak_charged_bytes=1007 << 20,
        converged=False, noisy=Said("throttled"),
    )  # fmt: skip
    more = [ended(Outcome.OOM, batch, 65536, "backward") for batch in (65537, 65538)]
    lines = table(report_from((run, {m.point: m for m in (wide, *more)}))).splitlines()
    assert lines[3:6] == [
        "    T       B       step time        fwd/bwd/opt seq/s time steps/s   memory",
        "65536   65536 9.99 ms ±0.092% 999/998/<0.0001 µs  123k         430M 0.98 GiB ~!*",
        "65536 >=65537 OOM in backward",
    ]
    assert len(lines[4]) == WIDTH
    best = "  training step 9.99 ms ±0.092% (forward/backward/optimizer 999/998/<0.0001 µs)"
    assert best in lines
    assert max(map(columns, lines)) == WIDTH


def test_the_wider_interval_is_told() -> None:
    within = measured(4, 16, step_time_s=1.0, step_time_within_ci_s=(0.99, 1.01))
    assert half_interval_ratio(within) == pytest.approx(0.01)
    between = replace(within, step_time_ci_s=(0.9, 1.1))
    assert half_interval_ratio(between) == pytest.approx(0.1)
    assert half_interval_ratio(replace(within, step_time_within_ci_s=None)) is None


def test_the_matrix_claims_a_precision_only_if_every_time_has_one() -> None:
    run, measurements = grid_sample((4, 8, 16), (16, 32, 64))
    assert "±1.1% or better" in table(report_from((run, measurements)))
    measurements[Point(4, 16)] = measured(4, 16, step_time_within_ci_s=None)
    assert "or better" not in table(report_from((run, measurements)))


def test_hostile_names_stay_on_their_line_and_drive_no_terminal() -> None:
    text = table(report_from(hostile()))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text.startswith("tr$a_{i}n\\frac$.py:ma<k>e&'\"--x?[31m(")
    assert text.splitlines()[1].endswith("..., limit 512 MiB")


def test_what_is_set_aside_stands_beside_the_limit_of_training() -> None:
    run, measurements = mixed()
    request = replace(run.requests[0], settings=Settings(reserve_bytes=112 << 20))
    title = table(report_from((replace(run, requests=(request,)), measurements))).splitlines()[1]
    assert title.endswith(", limit 400 MiB, 112 MiB set aside")


def test_clip_counts_wide_characters_twice() -> None:
    assert clip("深" * 10, 20) == "深" * 10
    assert clip("深" * 11, 20) == "深" * 8 + "..."
    assert clip("a" * 81) == "a" * 77 + "..."
    assert one_line("a\n\tb\x07\u202ec") == "a b??c"


OUTCOMES = st.sampled_from([None, *Outcome])
BATCHES = st.lists(st.integers(1, 1 << 20), min_size=1, max_size=12, unique=True)
STEPS = st.lists(st.integers(1, 1 << 20), min_size=1, max_size=6, unique=True)


@given(batches=BATCHES, time_steps=STEPS, data=st.data())
def test_any_run_fits_the_terminal_and_names_every_t(
    batches: list[int], time_steps: list[int], data: st.DataObject
) -> None:
    run = run_of(sorted(batches), sorted(time_steps))
    measurements = {}
    for point in run.points():
        outcome = data.draw(OUTCOMES)
        if outcome is Outcome.MEASURED:
            flags = {"converged": data.draw(st.booleans()), "noisy": Said(data.draw(st.text()))}
            measurements[point] = measured(point.batch, point.time_steps, **flags)
        elif outcome is not None:
            phase = data.draw(st.sampled_from([None, "optimizer"]))
            measurements[point] = ended(outcome, point.batch, point.time_steps, phase)
    text = table(report_from((run, measurements)))
    assert max(map(len, text.split("\n"))) <= WIDTH
    assert [int(t) for t in re.findall(r"^  T=(\d+): ", text, re.MULTILINE)] == sorted(time_steps)


@pytest.mark.parametrize("module", ["rnnprof.report.text.table", "rnnprof.report.export.document"])
def test_neither_text_nor_json_needs_matplotlib(module: str) -> None:
    code = f"import {module}, sys; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


REASON = "the matrix products would take 61% of the step, the least traffic about 20%"


def speed_lines(**speed: object) -> list[str]:
    """What stands below the step time and the memory of the fastest point."""
    run, _ = one_point()
    point = measured(128, 64, **speed)
    lines = table(report_from((run, {point.point: point}))).splitlines()
    assert max(map(columns, lines)) <= WIDTH
    start = next(i for i, line in enumerate(lines) if line.startswith("  training step"))
    assert lines[-2:] == ["Recommended batch: T=64: B=128", UNFINISHED_LINE]
    return lines[start + 2 : -2]


def test_the_speed_of_the_fastest_point_is_told_with_what_bounds_it() -> None:
    speed = {"flop_per_s": 78.1e9, "matmul_share_ratio": 0.61, "bound_reason": Said(REASON)}
    assert speed_lines(**speed, bound="compute") == [
        "  it runs at 78.1 GFLOP/s, 61% of a matrix product's rate: compute-bound",
        f"  {REASON}",
    ]
    assert speed_lines(**speed)[0] == "  it runs at 78.1 GFLOP/s, 61% of a matrix product's rate"


def test_what_is_not_known_of_the_speed_is_left_out() -> None:
    assert speed_lines() == []
    assert speed_lines(bound_reason=Said(REASON)) == []
    assert speed_lines(flop_per_s=78.1e9, bound_reason=Said(REASON)) == [
        "  it runs at 78.1 GFLOP/s"
    ]
    launch = speed_lines(flop_per_s=78.1e9, bound="launch", bound_reason=Said("深" * 60))
    assert launch[0] == "  it runs at 78.1 GFLOP/s: launch-bound"
    assert launch[1].startswith("  深")


def test_a_long_reason_is_clipped() -> None:
    lines = speed_lines(flop_per_s=1.0, matmul_share_ratio=0.1, bound_reason=Said("why " * 40))
    assert lines[1].endswith("...")
