"""One run through every output: the same recommended batches at each T, wherever they are told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import rnnprof
from fakes import AT_UTC, HEADER, MIB, a_fit, a_memory, a_request, a_timing
from report.html.test_page import Reader
from rnnprof.cli.main import run as command_line
from rnnprof.report.charts.heatmap import heatmaps
from rnnprof.report.charts.overview import finding, trade_off
from rnnprof.report.export.points import json_file
from rnnprof.report.html.files import write_report
from rnnprof.report.model import report_of
from rnnprof.report.text.table import table
from rnnprof.runfile.journal import open_journal
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Finished, Run

BATCHES = (8, 16, 32)
RATES = {
    16: (500, 1000, 1010),  # 16 is the smallest near the best
    32: (500, 955, 1000),  # 16 may be, or 32
    64: (None, None, None),  # timed, but nothing leaves the headroom
    128: (900, 910, 905),  # 8 is
}
"""Time steps/s by T; they are known to 1%."""

TRUE = {16: (16,), 32: (16, 32), 64: (), 128: (8,)}
"""The batches that every output names: one where it is decided, the tied ones where it is not."""

GRID = Grid(BATCHES, tuple(RATES))


def observed(point: Point, rate: float | None, number: int) -> list[object]:
    step_s = point.batch * point.time_steps / (rate or 1000.0)
    samples = [step_s * share for share in (0.99, 1.01) * 6]
    peak = point.batch * MIB // 4 if rate else HEADER.limit_bytes - 1
    name = f"{number:08x}"
    return [
        a_fit(point, attempt=f"f1{name}", peak_charged_bytes=peak, train_steps_run=10),
        a_timing(point, *samples, attempt=f"71{name}"),
        a_memory(point, attempt=f"3e{name}", peak_allocated_bytes=MIB),
    ]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "one.jsonl"
    with open_journal(path) as journal:
        journal.append(HEADER)
        journal.append(a_request(GRID))
        for number, point in enumerate(GRID.points()):
            rate = RATES[point.time_steps][BATCHES.index(point.batch)]
            for record in observed(point, rate, number):
                journal.append(record)  # type: ignore[arg-type]
        journal.append(Finished("r1", AT_UTC, 12.5))
    return path


@pytest.fixture(scope="module")
def run(path: Path) -> Run:
    return rnnprof.load(path)


@pytest.fixture(scope="module")
def report(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report([report_of(run, "one")], folder)
    return folder


def batches(words: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", words)))


def of_document(whole: dict[str, object]) -> dict[int, tuple[int, ...]]:
    advice = whole["advice"]
    assert isinstance(advice, dict)
    return {
        each["time_steps"]: tuple(each["tied"] or filter(None, [each["batch"]]))
        for each in advice["recommendations"]
    }


def test_in_the_api(run: Run) -> None:
    advice = report_of(run).advice
    found = {
        each.time_steps: each.tied or tuple(filter(None, [each.batch]))
        for each in advice.recommendations
    }
    assert found == TRUE
    assert advice.point == Point(8, 128)


def test_on_the_terminal(run: Run) -> None:
    text = table(report_of(run))
    line = text.partition("Recommended batch: ")[2].partition("\n\n")[0]
    parts = [part.partition(": ") for part in " ".join(line.split()).split("; ")]
    assert {int(head[2:]): batches(told) for head, _, told in parts} == TRUE
    assert [told.endswith(", not decided") for *_, told in parts] == [False, True, False, False]


def test_by_advise(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["advise", str(path)]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines()[:12])) <= 80
    found = {}
    for time_steps, told, reason in re.findall(
        r"^T=(\d+): (.*)\n  - (.*(?:\n    .*)*)", text, re.MULTILINE
    ):
        if told == "memory is decided, speed is not":
            found[int(time_steps)] = batches(reason.partition(" is the smallest")[0])
        else:
            found[int(time_steps)] = batches(told)
    assert found == TRUE
    assert "To decide it:\nrnnprof profile " in text
    assert "--batch 16,32 --time-steps 32 " in text.replace(" \\\n    ", " ")


def test_in_json(path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["advise", str(path), "--json"]) == 0
    assert of_document(json.loads(capsys.readouterr().out)) == TRUE
    assert of_document(json.loads(json_file(report_of(run)))) == TRUE


def test_in_the_title_of_the_picture(run: Run) -> None:
    title = finding(report_of(run))
    assert title.endswith("; recommended at T=128: B=8, 900 time steps/s")


def outlined(figure: Figure, name: str) -> dict[int, tuple[int, ...]]:
    found = dict.fromkeys(TRUE, ())
    for box in figure.findobj(Rectangle):
        head, _, row = str(box.get_gid()).partition("-recommended-")
        if row and head == name:
            column = round(box.get_x() + box.get_width() / 2)
            found[GRID.time_steps[int(row)]] = (BATCHES[column],)
    return found


def test_in_the_pictures(run: Run) -> None:
    decided = {time_steps: each if len(each) == 1 else () for time_steps, each in TRUE.items()}
    whole = trade_off(report_of(run))
    assert [outlined(whole, name) for name in ("memory", "rate")] == [decided, decided]
    charts = heatmaps(report_of(run, "one"))
    assert len(charts) > 1
    for chart in charts:
        assert outlined(chart.figure, chart.name) == decided


def test_on_the_page(report: Path) -> None:
    reader = Reader((report / "report.html").read_text())
    lengths = map(int, reader.column("batches", "T"))
    found = dict(zip(lengths, map(batches, reader.column("batches", "recommended B")), strict=True))
    assert found == TRUE
    text = " ".join(reader.text("advice").split())
    assert "T=16: train with B=16." in text
    assert "T=32: memory is decided, speed is not. B=16 or B=32 is the smallest batch" in text
    assert "T=64: nothing to recommend." in text
    assert "T=128: train with B=8." in text
    assert "--batch 16,32 --time-steps 32 " in text.replace(" \\ ", " ")


def test_in_the_summary(report: Path) -> None:
    text = (report / "summary.md").read_text()
    rows = re.findall(r"^\| (\d+) \| [^|]* \| ([^|]*) \| [^|]* \| [^|]* \|$", text, re.MULTILINE)
    assert {int(time_steps): batches(told) for time_steps, told in rows} == TRUE
    told = "T=16: B=16; T=32: B=16 or 32, not decided; T=64: none; T=128: B=8."
    assert f"Recommended batch at each T: {told}" in text
