"""The Markdown of a pull request."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from report_samples import (
    HOSTILE,
    SAMPLES,
    Said,
    hostile,
    measured,
    mixed,
    one_point,
    report_from,
    run_of,
)
from rnnprof.advice.advise import LargestSafe
from rnnprof.advice.recommendation import Recommendation
from rnnprof.maxbatch.certify import Proof
from rnnprof.plain_text import escaped
from rnnprof.report.model import RunReport
from rnnprof.report.text.summary import summary
from rnnprof.report.words.decision import decision
from rnnprof.runfile.certificates import EdgeFit, EdgeOom, EdgeStatus
from rnnprof.workload import FactorySource, Workload


def text_of(report: RunReport) -> str:
    return summary(report, ("report.html",))


def tables(text: str) -> list[list[str]]:
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    return [block.splitlines() for block in blocks]


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row)) - 1


@pytest.mark.parametrize("name", SAMPLES)
def test_every_row_has_as_many_cells_as_its_head(name):
    text = text_of(report_from(SAMPLES[name]()))
    for rows in tables(text):
        assert len({cells(row) for row in rows}) == 1
    assert text.startswith("## rnnprof: sample\n\n**")


def test_the_answer_stands_first_and_the_points_below():
    report = report_from(mixed())
    text = text_of(report)
    assert text.index(escaped(decision(report)[0])) < text.index("UNFINISHED") < text.index("| T |")
    assert "OOM (implied)" in text
    assert "not reached" in text
    assert "\\~" in text


def test_a_point_has_its_rate_and_the_memory_that_the_limit_counts():
    run, measurements = one_point()
    (point,) = measurements
    text = text_of(report_from((run, measurements)))
    assert "| **128** | 16.2k<br>311 MiB |" in text
    assert "\n\nTime steps/s and peak memory; `~` did not settle, `!` noisy." in text
    unknown = measured(point.batch, point.time_steps, peak_charged_bytes=None)
    assert unknown.peak_allocated_bytes
    assert unknown.peak_process_bytes
    assert "| **128** | 16.2k<br>- |" in text_of(report_from((run, {point: unknown})))


def test_the_edge_the_recommended_batch_and_the_largest_safe_one():
    edge = Proof(
        time_steps=128, status=EdgeStatus.CERTIFIED, granularity=1, at_most=99, batch=64, probes=5,
        fits=EdgeFit(64, "a1"), fails=EdgeOom(65, "a2"),
    )  # fmt: skip
    report = report_from(one_point(), (edge,))
    text = text_of(report)
    assert " | Recommended batch | Largest safe batch | Probes |" in text
    assert "| 128 | 64 is the largest, 65 is out of memory | 64 | - | 5 |" in text
    tied = Recommendation(128, None, (32, 64), (32, 64), reasons=(Said("it is open"),))
    safe = LargestSafe(128, 64, 61, is_measured=False, peak_bytes=480 << 20)
    advice = replace(report.advice, recommendations=(tied,), largest_safe=(safe,))
    text = text_of(replace(report, advice=advice))
    assert " is out of memory | 32 or 64 | 61 (480 MiB, predicted) | 5 |" in text


@pytest.mark.parametrize("sign", list("`*_[]#|<>~&@$\\"))
def test_nothing_in_a_name_is_markup(sign):
    assert escaped(f"a{sign}b") == f"a\\{sign}b"


def test_hostile_names_neither_break_a_line_nor_the_terminal():
    text = text_of(report_from(hostile(), name=HOSTILE))
    assert "\x1b" not in text
    prose = re.sub(r"```sh\n.*?\n```", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<(?!br>)", prose)
    assert text.splitlines()[0] == f"## rnnprof: {escaped(HOSTILE)}"


def test_a_command_with_backticks_stays_within_its_fence():
    factory = FactorySource("a```b.py:make", {})
    run = run_of((4,), (16,), Workload(cell=None, factory=factory))
    text = text_of(report_from((run, {})))
    assert "\n````sh\nrnnprof profile --factory 'a```b.py:make'" in text
    assert "\n````\n" in text


def test_a_large_grid_is_left_to_the_page():
    text = text_of(report_from(SAMPLES["twenty_by_twenty"]()))
    assert "400 points: see the page." in text
    assert len(text) < 4000
