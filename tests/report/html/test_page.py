"""The page as text: what stands in it, in which order, and that names stay names."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from page_samples import CHARTS, a_certificate, a_grid, a_report, large, observed
from report_samples import (
    HOSTILE,
    MIB,
    SAMPLES,
    Said,
    all_oom,
    grid_sample,
    hostile,
    measured,
    mixed,
    one_point,
    report_from,
    run_of,
    untouched,
)
from rnnprof.report.html.blocks import PageRun
from rnnprof.report.html.page import HEAT_MAPS, page
from rnnprof.report.model import RunReport
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Point

VOID = frozenset({"meta", "input", "br", "path", "circle", "use", "rect", "image"})


class Reader(HTMLParser):
    """Tables by id, texts by section, and whether every element is closed in its order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str]] = []
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self.texts: dict[str, list[str]] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()
        assert self.open == [], "an element was not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.tags.append((tag, known))
        if tag in VOID:
            return
        self.open.append((tag, known.get("id", "").removeprefix("section-")))
        if tag == "table":
            self.tables[known["id"]] = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append(("", known.get("data-value") or known.get("data-key", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        names = [tag for tag, _ in self.open]
        if {"td", "th"} & set(names):
            text, value = self.rows[-1][-1]
            self.rows[-1][-1] = (re.sub("[ \n]+", " ", text + data), value)
        section = next((name for tag, name in self.open if tag == "section"), names[-1:])
        where = section if isinstance(section, str) else "header"
        if not {"style", "script", "svg"} & set(names):
            self.texts.setdefault(where, []).append(data)

    @property
    def rows(self) -> list[list[tuple[str, str]]]:
        return list(self.tables.values())[-1]

    def text(self, section: str) -> str:
        return " ".join(" ".join(self.texts[section]).split())

    def column(self, table: str, head: str) -> list[str]:
        """What a column shows, without its heads."""
        return [row[self.place(table, head)][0] for row in self.body(table)]

    def values(self, table: str, key: str) -> list[str]:
        """What it is sorted by and downloaded as."""
        heads = self.heads(table)
        place = [value for _, value in heads].index(key)
        return [row[place][1] or row[place][0] for row in self.body(table)]

    def heads(self, table: str) -> list[tuple[str, str]]:
        return next(row for row in self.tables[table] if all(value for _, value in row))

    def body(self, table: str) -> list[list[tuple[str, str]]]:
        rows = self.tables[table]
        return rows[rows.index(self.heads(table)) + 1 :]

    def place(self, table: str, head: str) -> int:
        return [text for text, _ in self.heads(table)].index(head)


def read(*reports: RunReport, **changes: object) -> Reader:
    """The page of these runs, with every chart."""
    return Reader(page([replace(a_report(report), **changes) for report in reports]))  # type: ignore[arg-type]


@cache
def usual() -> Reader:
    """The page of a small grid; tests look and do not touch."""
    return read(a_grid())


@cache
def pair() -> str:
    other = a_grid("the other")
    environment = {**other.run.header.environment, "torch": "2.12.0"}
    slower = {
        point: replace(m, step_time_s=(m.step_time_s or 0) * 2 if m.step_time_s else None)
        for point, m in other.measurements.items()
        if point != Point(4, 16)
    }
    run = replace(other.run, header=replace(other.run.header, environment=environment))
    other = replace(other, run=run, measurements=slower)
    return page([a_report(a_grid()), a_report(other, verdict="NOISY")])


# --- the whole -----------------------------------------------------------------------------------


def test_the_sections_stand_in_their_order():
    ids = [known["id"] for tag, known in usual().tags if tag == "section"]
    titles = [each.removeprefix("section-") for each in ids]
    assert titles == [
        "grid", "frontier", "slices", "memory", "time", "certificates", "advice", "conditions",
        "provenance", "points",
    ]  # fmt: skip
    links = [known["href"] for tag, known in usual().tags if tag == "a"]
    assert links == ["#main", *(f"#{each}" for each in ids)]


def test_headings_go_down_by_one():
    for reader in (usual(), Reader(pair())):
        levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(below <= above + 1 for above, below in pairwise(levels))


def test_ids_are_unique():
    for reader in (usual(), Reader(pair())):
        ids = [known["id"] for _, known in reader.tags if "id" in known]
        assert len(ids) == len(set(ids))
        named = [
            known[key] for _, known in reader.tags for key in known if key == "aria-labelledby"
        ]
        assert len(named) > 20
        assert set(named) <= set(ids)


def test_nothing_may_be_loaded_and_one_script_may_run():
    text = page([a_report(a_grid())])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}';" in policy
    assert len(script) < 5_000
    assert not re.search(r"https?://|src=|@import|<link", text)


def test_the_pages_inks_by_day_are_the_charts_own():
    assert ":root { --paper: #fefefe; --ink: #1a1a1b; --muted: #5a5a5b;" in page(
        [a_report(a_grid())]
    )


def test_a_page_of_no_run_is_refused():
    with pytest.raises(ValueError, match="one run or more"):
        page([])


def test_a_page_of_four_hundred_points_stays_small():
    reader = read(report_from(large()))
    assert len(reader.body("points-table")) == 400
    assert len(page([a_report(report_from(large()))])) < 700_000, "the real charts take the rest"


def test_the_same_run_gives_the_same_page():
    assert page([a_report(a_grid())]) == page([a_report(a_grid())])


# --- what is said first --------------------------------------------------------------------------


def test_the_decision_comes_first_then_how_far_to_trust_it():
    text = usual().text("header").partition("Skip to the report")[2]
    order = [
        "Report by rnnprof 0.1.0",
        "lstm 256->512, 1 layer, fp32, adam on AMD EPYC 7B13, 2 processors",
        "Use B=8, T=32: it takes 24.1 MiB.",
        "What would change it: nothing.",
        "VALID",
        "all points were answered",
        "sample.jsonl",
        "0123456789abcdef",
        "512 MiB (536 870 912 bytes)",
    ]
    places = [text.index(each) for each in order]
    assert places == sorted(places)


@pytest.mark.parametrize("verdict", ["VALID", "NOISY", "UNFINISHED"])
def test_the_verdict_is_a_word_and_a_shape(verdict: str):
    text = page([a_report(a_grid(), verdict=verdict)])
    (badge,) = re.findall(r'<span class="badge .*?</span>', text, re.DOTALL)
    assert badge.startswith(f'<span class="badge {verdict.lower()}">')
    assert badge.endswith(f"</svg>{verdict}</span>")
    shapes = {"VALID": "M4.5 8.5l", "NOISY": "M8 1l7.5", "UNFINISHED": "M8 1.5a6.5"}
    assert [name for name, shape in shapes.items() if shape in badge] == [verdict]


# --- charts --------------------------------------------------------------------------------------


def test_every_chart_stands_in_its_section_with_its_finding():
    text = page([a_report(a_grid())])
    places = [text.index(f'<svg id="{name}"') for name in CHARTS]
    assert places == sorted(places)
    for name in CHARTS:
        assert f"It shows 12.5 MiB in {name} of B=4.</figcaption>" in text


def test_the_heat_maps_have_a_switch_and_all_are_there_without_it():
    switches = [known for tag, known in usual().tags if tag == "fieldset"]
    assert switches == [{"class": "switch", "hidden": ""}], "it shows by script alone"
    radios = [known for tag, known in usual().tags if tag == "input"]
    assert [radio["value"] for radio in radios] == list(HEAT_MAPS)
    assert ["checked" in radio for radio in radios] == [True, False, False, False, False]
    choices = [known["data-choice"] for _, known in usual().tags if "data-choice" in known]
    assert choices == list(HEAT_MAPS)


def test_one_heat_map_needs_no_switch():
    text = page([a_report(a_grid(), "heatmap-memory")])
    assert "<fieldset" not in text
    assert '<svg id="heatmap-memory"' in text


def test_a_section_with_nothing_to_draw_says_so():
    page_run = replace(a_report(report_from(untouched())), charts={})
    reader = Reader(page([page_run]))
    assert "there is nothing to draw" in reader.text("grid")
    assert "There is no certificate to draw" in reader.text("frontier")
    assert "no slice to draw" in reader.text("slices")
    assert "No memory pass" in reader.text("memory")
    assert "No training step was timed" in reader.text("time")
    assert "max-batch, to certify the largest batch at each T" in reader.text("certificates")
    assert "none recorded its conditions" in reader.text("conditions")
    assert "<figure" not in page([page_run])


# --- certificates --------------------------------------------------------------------------------


def test_a_certificate_says_both_sides_and_what_proves_them():
    reader = usual()
    shown = {
        (head, key): cell[0]
        for (head, key), cell in zip(
            reader.heads("certificates-table"), reader.body("certificates-table")[0], strict=True
        )
    }
    assert shown == {
        ("T", "time_steps"): "32",
        ("status", "status"): "certified",
        ("largest B", "batch"): "12",
        ("B", "fits_batch"): "12",
        ("peak MiB", "fits_peak_bytes"): "60.0",
        ("attempt", "fits_attempt"): "f1f1f1f10032",
        ("B", "fails_batch"): "13",
        ("in", "fails_phase"): "backward",
        ("requested MiB", "fails_requested_bytes"): "5.00",
        ("error message", "fails_message"): "can't <allocate>",
        ("attempt", "fails_attempt"): "a0a0a0a00032",
        ("probes", "probes"): "7",
        ("OOMs", "ooms"): "2",
        ("training steps", "training_steps"): "11",
        ("workers passed", "workers_passed"): "3",
    }


def test_a_certificate_without_sides_has_blanks_and_its_reason():
    unknown = replace(
        a_certificate(), status=EdgeStatus.NOTHING_FITS, batch=None, fits=None, fails=None,
        reason="B=1 was out of memory",
    )  # fmt: skip
    reader = read(report_from(one_point(), (unknown,)))
    assert reader.column("certificates-table", "status") == ["nothing fits"]
    assert reader.column("certificates-table", "largest B") == ["–"]
    assert reader.column("certificates-table", "remarks") == ["B=1 was out of memory"]


# --- advice --------------------------------------------------------------------------------------


def test_predictions_are_marked():
    report = a_grid()
    advice = replace(
        report.advice, reasons=(Said("it was measured"),), predictions=(Said("B=3 would fit"),)
    )
    text = page([a_report(replace(report, advice=advice))])
    assert "<li>it was measured</li>" in text
    assert '<li><span class="mark">predicted</span> B=3 would fit</li>' in text


def test_advice_names_the_batch_at_each_t():
    text, reader = usual().text("advice"), usual()
    assert "The recommended batch at each T, and why." in text
    assert "T=16: train with B=8. 11.3 k time steps/s, the best at this T; it takes 34.4" in text
    assert reader.column("batches", "T") == ["16", "32"]
    assert reader.column("batches", "recommended B") == ["8", "4"]
    assert reader.column("batches", "largest safe B") == ["–", "–"]
    assert reader.column("batches", "largest B") == ["–", "12"]


def test_where_speed_is_open_the_advice_has_the_command_that_decides():
    reader = read(report_from(grid_sample((32, 64, 128), (64,))))
    text = reader.text("advice")
    assert "T=64: memory is decided, speed is not. B=32 or B=64 is the smallest batch" in text
    assert reader.column("batches", "recommended B") == ["32 or 64"]
    assert "--batch 32,64,128 --time-steps 64" in text
    assert "--processes 5" in text
    assert "--processes" not in usual().text("advice")


def test_a_run_without_times_and_a_simulated_one_say_so():
    assert "This run recommends no batch." in read(report_from(all_oom())).text("advice")
    run = run_of((4,), (16,), environment={"device": "cuda", "simulated": "t4"})
    text = read(report_from((run, {}))).text("advice")
    assert "A simulated GPU gives no recommendation: it gives the largest safe batch." in text


# --- conditions ----------------------------------------------------------------------------------


def test_noisy_passes_are_told_with_their_attempts():
    reader = read(observed(), charts={})
    text = reader.text("conditions")
    assert "1 of 3 timed passes was noisy from something else on the machine; 2 did not" in text
    assert "The anchor B=4 T=16, timed several times over the run, took 10.0 ms" in text
    assert "10.0 ms, 10.5 ms per training step: a drift of 5%." in text
    assert reader.column("noisy-table", "attempt") == ["71b000000002"]
    assert reader.column("noisy-table", "pass") == ["timing"]
    assert reader.column("noisy-table", "role") == ["replicate"]


# --- provenance ----------------------------------------------------------------------------------


def test_what_was_run_is_told_in_full():
    text = read(observed()).text("provenance")
    for fact in (
        "run file observed.jsonl",
        "run id 0123456789ab",
        "limit 64.0 MiB (67 108 864 bytes)",
        "hidden_size 512",
        "bidirectional no",
        "device_name a processor of the tests",
        "headroom_ratio 0.05",
        "memory_limit none",
        "2026-11-23T12:05:00Z",
        "5 min 00 s",
        "rnnprof profile --batch 4,8 \\ --time-steps 16,32",
    ):
        assert fact in text


def test_the_command_stands_as_it_is_typed():
    text = page([a_report(a_grid())])
    assert "<code>rnnprof profile --batch 4,8 \\\n    --time-steps 16,32</code>" in text
    assert "<code>" not in page([replace(a_report(a_grid()), command="")])


def test_nested_facts_are_named_by_their_path():
    report = a_grid()
    environment = {"flags": {"tf32": True, "sizes": [1, 2]}, "cache_bytes": 4 * MIB}
    run = replace(report.run, header=replace(report.run.header, environment=environment))
    text = read(replace(report, run=run)).text("provenance")
    assert "flags.tf32 yes flags.sizes [1, 2] cache_bytes 4.00 MiB (4 194 304 bytes)" in text


# --- points --------------------------------------------------------------------------------------


def test_points_are_in_the_order_of_the_grid_with_their_units():
    reader = usual()
    assert reader.column("points-table", "T") == ["16"] * 3 + ["32"] * 3
    assert reader.column("points-table", "B") == ["4", "8", "16"] * 2
    expected = measured(4, 16)
    assert reader.column("points-table", "step time ms")[0] == f"{expected.step_time_s * 1e3:.2f}"  # type: ignore[operator]
    assert reader.values("points-table", "step_time_s")[0] == f"{expected.step_time_s:.9g}"
    assert reader.values("points-table", "peak_charged_bytes")[0] == str(
        expected.peak_charged_bytes
    )


def test_a_point_has_the_times_of_its_phases_and_every_peak():
    run, measurements = grid_sample((4, 8), (16,))
    phases = {"forward": 0.0025, "backward": 0.00375, "optimizer": 0.000125, "data": 0.5}
    measurements[Point(4, 16)] = measured(
        4, 16, phase_times_s=phases, peak_charged_bytes=40 * MIB, peak_allocated_bytes=20 * MIB,
        peak_reserved_bytes=30 * MIB, peak_process_bytes=50 * MIB,
    )  # fmt: skip
    reader = read(report_from((run, measurements)))
    heads = reader.heads("points-table")
    phase_heads = [
        ("forward ms", "forward_s"), ("backward ms", "backward_s"), ("optimizer µs", "optimizer_s"),
    ]  # fmt: skip
    memory_heads = [
        ("memory MiB", "peak_charged_bytes"), ("allocated MiB", "peak_allocated_bytes"),
        ("reserved MiB", "peak_reserved_bytes"), ("process MiB", "peak_process_bytes"),
    ]  # fmt: skip
    for expected in (phase_heads, memory_heads):
        start = heads.index(expected[0])
        assert heads[start : start + len(expected)] == expected
    shown = dict(zip(heads, reader.body("points-table")[0], strict=True))
    assert [shown[head] for head in phase_heads] == [
        ("2.50", "0.0025"), ("3.75", "0.00375"), ("125", "0.000125"),
    ]  # fmt: skip
    assert [shown[head][0] for head in memory_heads] == ["40.0", "20.0", "30.0", "50.0"]
    assert [shown[head][1] for head in memory_heads] == [
        str(size * MIB) for size in (40, 20, 30, 50)
    ]
    assert "Memory: the peak of what the limit counts; allocated, reserved and process: " in (
        reader.text("points")
    )


def test_memory_that_is_not_known_is_blank_whatever_else_is_known():
    run, measurements = grid_sample((4, 8), (16,))
    measurements[Point(4, 16)] = unknown = measured(4, 16, peak_charged_bytes=None)
    assert unknown.peak_allocated_bytes
    assert unknown.peak_process_bytes
    reader = read(report_from((run, measurements)))
    assert reader.column("points-table", "memory MiB") == ["–", "34.4"]
    assert "–" not in reader.column("points-table", "allocated MiB")
    assert "–" not in reader.column("points-table", "process MiB")


def test_how_a_point_ended_is_told_in_words():
    reader = read(report_from(mixed()))
    outcomes = dict(
        zip(
            zip(*(reader.column("points-table", head) for head in "BT"), strict=True),
            reader.column("points-table", "outcome"),
            strict=True,
        )
    )
    assert outcomes["4", "128"] == "crashed"
    assert outcomes["16", "16"] == "timeout"
    assert outcomes["8", "128"] == "unsupported"
    assert outcomes["4", "64"] == "not reached"
    assert {"OOM", "OOM (implied)", "measured", "failed"} <= set(outcomes.values())
    assert set(reader.column("points-table", "flag")) == {"", "~", "!", "~!"}
    remarks = " ".join(reader.column("points-table", "remarks"))
    for text in ("signal 11 (SIGSEGV)", "throttled for 0.4 s", "the loss of the last step was nan"):
        assert text in remarks


def test_a_point_cites_its_attempts():
    reader = read(observed())
    assert reader.column("points-table", "attempts") == [
        "fit f10000000001, timing 71b000000001, memory b3b000000001", "fit f10000000002",
    ]  # fmt: skip
    assert reader.column("points-table", "in") == ["", "backward"]


def test_what_is_known_nowhere_is_left_out_and_named():
    reader = usual()
    heads = [text for text, _ in reader.heads("points-table")]
    assert not any("reserved" in head for head in heads)
    left_out = "left out: optimizer, of matmul rate, reserved."
    assert left_out in reader.text("points")


@pytest.mark.parametrize(
    ("sizes", "unit", "shown"),
    [
        ((24 * MIB, 3000 * MIB, 3001 * MIB), "GiB", ["0.02", "2.93", "2.93"]),
        ((24 * MIB, 300 * MIB, 3000 * MIB), "MiB", ["24.0", "300.0", "3\u202f000.0"]),
        ((500, 900, 1200), "KiB", ["0.49", "0.88", "1.17"]),
    ],
)
def test_a_column_has_one_unit_and_one_precision(
    sizes: tuple[int, ...], unit: str, shown: list[str]
):
    run, measurements = grid_sample((4, 8, 16), (16,))
    changed = {
        point: replace(m, peak_charged_bytes=size)
        for (point, m), size in zip(sorted(measurements.items()), sizes, strict=True)
    }
    reader = read(report_from((run, changed)))
    assert reader.column("points-table", f"memory {unit}") == shown
    assert reader.values("points-table", "peak_charged_bytes") == [f"{n:.9g}" for n in sizes]


# --- several runs --------------------------------------------------------------------------------


def test_several_runs_stand_side_by_side():
    reader = Reader(pair())
    charts = [
        known["id"] for tag, known in reader.tags if (tag, known.get("role")) == ("svg", "img")
    ]
    assert charts == [f"{name}-{number}" for name in CHARTS for number in (1, 2)]
    header = reader.text("header")
    assert "2 runs side by side" in header
    places = [header.index(word) for word in ("sample", "VALID", "the other", "NOISY")]
    assert places == sorted(places)
    assert header.count("Use B=8, T=32") == 2
    assert {"certificates-table-1", "certificates-table-2", "points-table-2"} <= set(reader.tables)


def test_a_chart_that_one_run_lacks_is_named():
    page_runs = [a_report(a_grid(), "frontier"), a_report(a_grid("b"), "frontier", "slices-batch")]
    assert "Slices batch: this run has nothing to draw it from." in Reader(page(page_runs)).text(
        "slices"
    )


def test_what_tells_the_runs_apart_comes_before_what_was_measured():
    reader = Reader(pair())
    assert "The runs differ in 1 of the facts that were set" in reader.text("header")
    assert reader.body("identity-table") == [
        [("environment.torch", ""), ("2.13.0+cpu", ""), ("2.12.0", "")]
    ]
    names = list(reader.tables)
    assert names.index("identity-table") + 1 == names.index("differences-table")


def test_points_in_common_are_compared_with_the_first_run():
    reader = Reader(pair())
    assert list(zip(*(reader.column("differences-table", head) for head in "TB"), strict=True)) == [
        ("16", "8"), ("16", "16"), ("32", "4"), ("32", "8"), ("32", "16"),
    ]  # fmt: skip
    ratios = reader.values("differences-table", "step_time_s_ratio_2")
    assert ratios == ["–" if r == "–" else "2" for r in ratios]
    assert ratios[0] == "2"
    assert reader.values("differences-table", "peak_charged_bytes_ratio_2")[0] == "1"
    ended = reader.column("differences-table", "step time, the other ms")
    assert ended[-1].startswith("OOM")


def test_runs_that_agree_say_so_and_runs_that_share_nothing_too():
    away = replace(report_from(grid_sample((5,), (7,))), name="away")
    assert "Fingerprint, environment, workload, limit and settings agree." in (
        read(a_grid(), a_grid("twin")).text("differences")
    )
    assert "No point was measured in all of these runs." in (
        read(a_grid(), away).text("differences")
    )


def test_memory_that_one_run_does_not_know_is_compared_with_nothing():
    run, measurements = grid_sample((4, 8), (16,))
    measurements[Point(4, 16)] = unknown = measured(4, 16, peak_charged_bytes=None)
    assert unknown.peak_allocated_bytes
    assert unknown.peak_process_bytes
    reader = read(a_grid(), report_from((run, measurements), name="b"))
    heads = [text for text, _ in reader.heads("differences-table")]
    assert heads[2:5] == ["memory, sample MiB", "memory, b MiB", "ratio ×"]
    assert not any(word in head for head in heads for word in ("allocated", "process"))
    assert reader.column("differences-table", "memory, sample MiB") == ["32.2", "34.4"]
    assert reader.column("differences-table", "memory, b MiB") == ["–", "34.4"]
    assert reader.values("differences-table", "peak_charged_bytes_ratio_2") == ["–", "1"]


# --- names ---------------------------------------------------------------------------------------


def test_hostile_names_are_shown_and_do_nothing():
    report = replace(report_from(hostile()), name=HOSTILE)
    page_run = replace(
        a_report(report), decision=(HOSTILE,), verdict_reasons=(HOSTILE,), command=HOSTILE
    )
    text = page([page_run, page_run])
    clean = HOSTILE.replace("\x1b", "?")
    assert text.count("<script") == 1
    assert "\x1b" not in text
    assert "ma<k>" not in text
    assert clean in Reader(text).text("header")
    assert clean in Reader(text).text("provenance")


def test_text_cannot_turn_its_direction():
    report = replace(a_grid(), name="a\u202egpj.exe")
    text = page([a_report(report), a_report(a_grid())])
    assert "\u202e" not in text
    assert "a?gpj.exe" in text


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_makes_a_page(name: str):
    report = report_from(SAMPLES[name]())
    reader = read(report)
    assert len(reader.body("points-table")) == len(report.points)


Change = Callable[[PageRun], PageRun]


@pytest.mark.parametrize(
    "change",
    [
        lambda page_run: replace(page_run, verdict_reasons=()),
        lambda page_run: replace(page_run, decision=()),
        lambda page_run: replace(
            page_run,
            report=replace(
                page_run.report, run=replace(page_run.report.run, requests=(), path=None)
            ),
        ),
        lambda page_run: replace(
            page_run, report=replace(page_run.report, points=(), measurements={})
        ),
    ],
)
def test_what_is_missing_does_not_break_the_page(change: Change):
    Reader(page([change(a_report(a_grid()))]))
