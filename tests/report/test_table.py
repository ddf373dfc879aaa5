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
    all_oom,
    ended,
    grid_sample,
    hostile,
    measured,
    mixed,
    non_monotone,
    one_point,
    one_row,
    run_of,
    twenty_by_twenty,
    untouched,
)
from rnnprof.records import Outcome, Point, Settings
from rnnprof.report.table import (
    MAX_NOTES,
    WIDTH,
    clip,
    edge_in_words,
    fastest,
    half_interval_ratio,
    one_line,
    peak_kind,
    seen_edges,
    table,
)

ANSI = re.compile(r"\x1b\[\d*m")


def columns(line: str) -> int:
    """How many columns a terminal gives to *line*."""
    return sum(2 if ord(char) >= 0x2E80 else 1 for char in line)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_line_is_wider_than_a_terminal(name: str) -> None:
    lines = table(*SAMPLES[name]()).splitlines()
    assert [line for line in lines if columns(line) > WIDTH] == []
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("name", SAMPLES)
def test_colour_changes_no_character(name: str) -> None:
    run, measurements = SAMPLES[name]()
    painted = table(run, measurements, colour=True)
    assert ANSI.sub("", painted) == table(run, measurements)


@pytest.mark.parametrize("name", SAMPLES)
def test_without_colour_there_is_no_escape(name: str) -> None:
    assert "\x1b" not in table(*SAMPLES[name]())


def test_bold_marks_the_fastest_and_red_what_was_out_of_memory() -> None:
    painted = table(*mixed(), colour=True)
    bold = re.findall(r"\x1b\[1m(.*?)\x1b\[0m", painted)
    red = re.findall(r"\x1b\[31m(.*?)\x1b\[0m", painted)
    assert [text.strip() for text in bold] == ["16.3k*", "161M"]
    assert set(red) == {"OOM"}
    assert len(red) == 4, "two points in two matrices; implied ones were not run"


def test_a_row_is_painted_whole() -> None:
    painted = table(*one_row(), colour=True).splitlines()
    assert any("OOM in forward" in line and line.strip().startswith("\x1b[31m") for line in painted)
    assert any(line.endswith("*\x1b[0m") for line in painted)


def matrix_rows(text: str, heading: str) -> dict[int, list[str]]:
    """The cells of each T of the matrix below *heading*."""
    block = text.split(f"\n{heading}")[1].split("\n\n")[0]
    rows = re.findall(r"^T=(\d+)(.*)$", block, re.MULTILINE)
    return {int(steps): cells.split() for steps, cells in rows}


def test_the_matrices_say_how_every_point_ended() -> None:
    text = table(*mixed())
    assert matrix_rows(text, "time steps/s") == {
        16: ["8.60k", "11.3k~", "timeout", "14.9k", "15.7k", "16.2k"],
        32: ["9.94k", "12.5k", "14.3k!", "failed", "16.0k", "16.3k*"],
        64: ["-", "13.1k~!", "14.7k", "15.6k", "16.1k", "OOM"],
        128: ["crashed", "unsupp.", "14.9k", "15.7k", "OOM", "implied"],
    }
    assert matrix_rows(text, "peak allocated memory")[64] == [
        "-", "41.1M", "58.2M", "92.4M", "161M", "OOM",
    ]  # fmt: skip


def test_the_digits_of_a_column_stand_below_each_other() -> None:
    lines = [line for line in table(*mixed()).splitlines() if line.startswith(("T=16 ", "T=32 "))]
    plain, flagged = lines[0].index("11.3k~"), lines[1].index("12.5k")
    assert plain == flagged


def test_a_matrix_too_wide_is_continued_below() -> None:
    run, measurements = twenty_by_twenty()
    text = table(run, measurements)
    for steps in run.grid.steps:
        rows = re.findall(rf"^T={steps} .*$", text, re.MULTILINE)
        cells = [cell for row in rows for cell in row.split()[1:]]
        assert len(cells) == 2 * len(run.grid.batch)
    heads = re.findall(r"B=(\d+)", text.split("peak allocated")[0])
    assert [int(head) for head in heads] == list(run.grid.batch)
    assert len(text.splitlines()) < 200


def test_one_point_is_a_row_with_everything() -> None:
    lines = table(*one_point()).splitlines()
    row = next(line for line in lines if "measured" in line)
    assert row.split() == [
        "128", "64", "measured", "506", "ms", "±1.1%", "16.2", "k/s",
        "297", "MiB", "505", "MiB", "*",
    ]  # fmt: skip


def test_rows_say_the_phase_and_the_cause_of_an_oom() -> None:
    text = table(*one_row())
    assert re.search(r"^ +64 +256  OOM in forward$", text, re.MULTILINE)
    assert re.search(r"^ +64 +512  implied OOM by B=256$", text, re.MULTILINE)


def test_points_that_were_not_run_share_a_row() -> None:
    text = table(*all_oom())
    assert re.search(r"^ +64 +64  OOM in forward$", text, re.MULTILINE)
    assert re.search(r"^ +64 +>=128  implied OOM by B=64$", text, re.MULTILINE)
    assert re.search(r"^ +256 +>=64  implied OOM by B=64 T=64$", text, re.MULTILINE)
    assert "Highest throughput: none" in text


def test_a_stretch_inside_a_row_names_both_ends() -> None:
    run, measurements = grid_sample((1, 2, 4, 8), (16,))
    for batch in (2, 4):
        del measurements[Point(batch, 16)]
    assert re.search(r"^ +16 +2  to 4: not measured$", table(run, measurements), re.MULTILINE)


def test_a_sparse_grid_is_no_matrix_of_holes() -> None:
    run, measurements = grid_sample((1, 2, 4, 8, 16, 32), (16,))
    other, more = grid_sample((64,), (32, 64, 128, 256, 512))
    both = replace(run, requests=(*run.requests, *other.requests))
    text = table(both, measurements | more)
    assert "steps  batch  outcome" in text
    assert len(re.findall(r"^ +\d+ +\d+  (?:measured|OOM|implied)", text, re.MULTILINE)) == 11


@pytest.mark.parametrize(("mark", "used"), [("~", "converged"), ("!", "disturbed")])
def test_the_legend_explains_only_what_is_used(mark: str, used: str) -> None:
    assert re.search(rf"^{re.escape(mark)}  .*{used}", table(*mixed()), re.MULTILINE)
    assert not re.search(rf"^{re.escape(mark)}  ", table(*one_point()), re.MULTILINE)


def test_what_went_wrong_comes_before_remarks() -> None:
    lines = table(*mixed()).splitlines()
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
    text = table(run, measurements)
    assert len(re.findall(r"^B=\d+ T=16: warning", text, re.MULTILINE)) == MAX_NOTES
    assert "and 5 more notes in the run file" in text


def summary(text: str) -> list[str]:
    return text.split("Seen on the grid:\n")[1].splitlines()


def test_the_last_lines_say_what_fits_and_what_is_fastest() -> None:
    assert summary(table(*mixed())) == [
        "  T=16: 128 fits, the largest tried",
        "  T=32: 128 fits, the largest tried",
        "  T=64: 64 fits, 128 is out of memory",
        "  T=128: 32 fits, 64 is out of memory",
        "Highest throughput: 16.3 k time steps/s at B=128 T=32",
        "  a step takes 251 ms ±1.1%; peak 161 MiB allocated, 365 MiB process",
    ]


def test_the_summary_claims_no_more_than_was_seen() -> None:
    assert summary(table(*non_monotone()))[1] == "  T=128: 64 fits, yet 32 is out of memory"
    assert summary(table(*hostile()))[1] == "  T=32: 4 fits, nothing larger was measured"
    assert summary(table(*untouched()))[0] == "  T=16: nothing was measured"
    assert summary(table(*all_oom()))[1] == "  T=128: none fits, 64 is out of memory (implied)"


def test_a_batch_above_the_edge_that_was_measured_later_is_not_hidden() -> None:
    run, measurements = grid_sample((16, 32, 64), (128,), 3_000)
    edge = seen_edges(run, measurements)[0]
    assert (edge.fits, edge.fails and edge.fails.point.batch) == (16, 32)
    measurements[Point(64, 128)] = measured(64, 128)
    assert edge_in_words(seen_edges(run, measurements)[0]) == "64 fits, yet 32 is out of memory"


def test_the_fastest_is_the_smallest_of_equals_and_has_a_number() -> None:
    points = [measured(b, 16, time_steps_per_s=5.0) for b in (8, 4)]
    points += [measured(16, 16, time_steps_per_s=math.nan)]
    points += [measured(32, 16, time_steps_per_s=None)]
    points += [ended(Outcome.OOM, 64, 16, time_steps_per_s=9.0)]
    best = fastest({m.point: m for m in points})
    assert best is not None
    assert best.point == Point(4, 16)


def test_the_process_peak_stands_in_where_the_allocator_gives_none() -> None:
    run, measurements = mixed()
    assert peak_kind(measurements) == "allocated"
    without = {p: replace(m, peak_allocated_bytes=None) for p, m in measurements.items()}
    text = table(run, without)
    assert matrix_rows(text, "peak process memory")[16][0] == "226M"


@pytest.mark.parametrize(
    ("device", "source"), [("cuda", "NVML, with the context"), ("cpu", "the operating system")]
)
def test_the_legend_names_who_tells_the_process_memory(device: str, source: str) -> None:
    run, _ = one_point()
    environment = run.header.environment | {"device": device}
    run = replace(run, header=replace(run.header, environment=environment))
    point = measured(64, 128)
    assert f"process  peak memory by {source}; allocated" in table(run, {point.point: point})


def test_the_peak_shown_is_the_one_known_at_more_points() -> None:
    _, measurements = mixed()
    point = next(p for p, m in measurements.items() if m.peak_allocated_bytes is not None)
    measurements[point] = replace(measurements[point], peak_allocated_bytes=None)
    assert peak_kind(measurements) == "process"


def test_the_wider_interval_is_told() -> None:
    within = measured(4, 16, step_time_s=1.0, step_time_within_ci_s=(0.99, 1.01))
    assert half_interval_ratio(within) == pytest.approx(0.01)
    between = replace(within, step_time_ci_s=(0.9, 1.1))
    assert half_interval_ratio(between) == pytest.approx(0.1)
    assert half_interval_ratio(replace(within, step_time_within_ci_s=None)) is None


def test_the_matrix_claims_a_precision_only_if_every_time_has_one() -> None:
    run, measurements = grid_sample((4, 8, 16), (16, 32, 64))
    assert "±1.1% or better" in table(run, measurements)
    measurements[Point(4, 16)] = measured(4, 16, step_time_within_ci_s=None)
    assert "or better" not in table(run, measurements)


def test_hostile_names_stay_on_their_line_and_drive_no_terminal() -> None:
    text = table(*hostile())
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text.startswith("tr$a_{i}n\\frac$.py:ma<k>e&'\"--x?[31m(")
    assert text.splitlines()[1].endswith("..., limit 512 MiB")


def test_what_is_set_aside_stands_beside_the_limit_of_training() -> None:
    run, measurements = mixed()
    request = replace(run.requests[0], settings=Settings(reserve_bytes=112 << 20))
    title = table(replace(run, requests=(request,)), measurements).splitlines()[1]
    assert title.endswith(", limit 400 MiB, 112 MiB set aside")


def test_clip_counts_wide_characters_twice() -> None:
    assert clip("深" * 10, 20) == "深" * 10
    assert clip("深" * 11, 20) == "深" * 8 + "..."
    assert clip("a" * 81) == "a" * 77 + "..."
    assert one_line("a\n\tb\x07\u202ec") == "a b??c"


OUTCOMES = st.sampled_from([None, *Outcome])
BATCHES = st.lists(st.integers(1, 1 << 20), min_size=1, max_size=12, unique=True)
STEPS = st.lists(st.integers(1, 1 << 20), min_size=1, max_size=6, unique=True)


@given(batches=BATCHES, steps=STEPS, data=st.data())
def test_any_run_fits_the_terminal_and_names_every_t(
    batches: list[int], steps: list[int], data: st.DataObject
) -> None:
    run = run_of(sorted(batches), sorted(steps))
    measurements = {}
    for point in run.points():
        outcome = data.draw(OUTCOMES)
        if outcome is Outcome.MEASURED:
            flags = {"converged": data.draw(st.booleans()), "disturbed": data.draw(st.text())}
            measurements[point] = measured(point.batch, point.steps, **flags)
        elif outcome is not None:
            phase = data.draw(st.sampled_from([None, "optimizer"]))
            measurements[point] = ended(outcome, point.batch, point.steps, phase)
    text = table(run, measurements)
    assert max(map(len, text.split("\n"))) <= WIDTH
    assert [int(t) for t in re.findall(r"^  T=(\d+): ", text, re.MULTILINE)] == sorted(steps)


@pytest.mark.parametrize("module", ["rnnprof.report.table", "rnnprof.report.document"])
def test_neither_text_nor_json_needs_matplotlib(module: str) -> None:
    code = f"import {module}, sys; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


REASON = "the matrix products would take 61% of the step, the least traffic about 20%"


def speed_lines(**speed: object) -> list[str]:
    """What stands below the step time of the fastest point."""
    run, _ = one_point()
    point = measured(128, 64, **speed)
    lines = table(run, {point.point: point}).splitlines()
    assert max(map(columns, lines)) <= WIDTH
    start = next(i for i, line in enumerate(lines) if line.startswith("  a step takes"))
    return lines[start + 1 :]


def test_the_speed_of_the_fastest_point_is_told_with_what_bounds_it() -> None:
    speed = {"flop_per_s": 78.1e9, "matmul_share_ratio": 0.61, "bound_reason": REASON}
    assert speed_lines(**speed, bound="compute") == [
        "  it runs at 78.1 GFLOP/s, 61% of a matrix product's rate: compute-bound",
        f"  {REASON}",
    ]
    assert speed_lines(**speed)[0] == "  it runs at 78.1 GFLOP/s, 61% of a matrix product's rate"


def test_what_is_not_known_of_the_speed_is_left_out() -> None:
    assert speed_lines() == []
    assert speed_lines(bound_reason=REASON) == []
    assert speed_lines(flop_per_s=78.1e9, bound_reason=REASON) == ["  it runs at 78.1 GFLOP/s"]
    launch = speed_lines(flop_per_s=78.1e9, bound="launch", bound_reason="深" * 60)
    assert launch[0] == "  it runs at 78.1 GFLOP/s: launch-bound"
    assert launch[1].startswith("  深")


def test_a_long_reason_is_clipped() -> None:
    lines = speed_lines(flop_per_s=1.0, matmul_share_ratio=0.1, bound_reason="why " * 40)
    assert lines[1].endswith("...")
