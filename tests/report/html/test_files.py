"""The report's files: all of them, whole, and nobody else's overwritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from report_samples import SAMPLES, mixed, one_point, report_from, run_of, untouched
from rnnprof.errors import BadInputError
from rnnprof.maxbatch.certify import Proof
from rnnprof.report.html.files import charts_of, file_name, write_page, write_report
from rnnprof.runfile.certificates import EdgeFit, EdgeOom, EdgeStatus

ALWAYS = {"report.html", "summary.md", "charts.pdf"}


def test_a_report_is_a_page_a_summary_and_every_chart(tmp_path):
    report = report_from(mixed())
    written = write_report([report], tmp_path / "deep" / "report")
    names = {path.name for path in written}
    assert all(path.stat().st_size > 100 for path in written)
    assert {path.name for path in (tmp_path / "deep" / "report").iterdir()} == names
    charts = {chart.name for chart in charts_of(report)}
    assert {"heatmap-memory", "heatmap-time-steps", "slices-batch"} <= charts
    assert names == ALWAYS | {f"{name}.{kind}" for name in charts for kind in ("png", "svg")}
    assert (tmp_path / "deep/report/charts.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["one_point", "all_oom", "one_row", "one_column", "untouched"])
def test_a_page_of_little_is_still_a_page(name, tmp_path):
    write_page([report_from(SAMPLES[name]())], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.rstrip().endswith("</html>")


def test_every_chart_tells_what_it_shows():
    for chart in charts_of(report_from(mixed())):
        assert chart.finding.endswith("."), chart.name
        assert len(chart.finding) > 30, chart.name
        assert chart.title, chart.name


@pytest.mark.slow
def test_the_same_run_gives_the_same_files(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for directory in (first, second):
        write_report([report_from(one_point())], directory)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_an_earlier_report_is_replaced(tmp_path):
    write_report([report_from(untouched())], tmp_path)
    before = (tmp_path / "report.html").read_text()
    write_report([report_from(one_point())], tmp_path)
    assert (tmp_path / "report.html").read_text() != before


def test_a_run_without_a_grid_has_its_frontier(tmp_path):
    edge = Proof(
        time_steps=16, status=EdgeStatus.CERTIFIED, granularity=1, at_most=99, batch=60,
        fits=EdgeFit(60, "a1"), fails=EdgeOom(61, "a2"),
    )  # fmt: skip
    report = report_from((run_of((), (16,)), {}), (edge,))
    names = {path.name for path in write_report([report], tmp_path)}
    assert names == ALWAYS | {"frontier.png", "frontier.svg"}
    assert "61" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ["report.html", "summary.md", "charts.pdf"])
def test_a_file_of_someone_else_is_not(name, tmp_path):
    (tmp_path / name).write_text("theirs")
    with pytest.raises(BadInputError, match=f"{name} is there and no report of rnnprof"):
        write_report([report_from(one_point())], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "theirs"


def test_files_that_are_not_in_the_way_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    write_report([report_from(one_point())], tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_several_runs_have_charts_under_their_names(tmp_path):
    report = report_from(one_point(), name="before")
    written = write_report([report, replace(report, name="after: 2")], tmp_path)
    names = {path.name for path in written}
    assert {"before-heatmap-memory.png", "after-2-heatmap-memory.png"} <= names
    assert names >= ALWAYS
    summary = (tmp_path / "summary.md").read_text()
    assert "## rnnprof: before" in summary
    assert "## rnnprof: after: 2" in summary


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lstm-1GiB", "lstm-1GiB"), ("../../etc", "etc"), ("深度 学习", "run"), ("a b/c", "a-b-c")],
)
def test_names_of_files_hold_nothing_odd(name, expected):
    assert file_name(name) == expected


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_page([report_from(one_point())], tmp_path / "file" / "page.html")
