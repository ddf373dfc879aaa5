"""The report's files: the page, the summary, and every chart as PNG, SVG and in one PDF."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from matplotlib.backends.backend_pdf import PdfPages

from rnnprof.atomic import write_folder, write_whole
from rnnprof.errors import BadInputError
from rnnprof.report.charts.conditions_chart import conditions
from rnnprof.report.charts.frontier import frontier_chart
from rnnprof.report.charts.heatmap import heatmaps
from rnnprof.report.charts.kit.scales import Scales, scales_for
from rnnprof.report.charts.kit.style import Chart, rendered, style
from rnnprof.report.charts.memory_parts import memory_parts
from rnnprof.report.charts.memory_phases import memory_phases
from rnnprof.report.charts.slices import slices_over_batch, slices_over_steps
from rnnprof.report.charts.time_chart import time_phases
from rnnprof.report.charts.trainability_chart import reach_chart, target_chart, worth_chart
from rnnprof.report.html.blocks import DrawnChart, PageRun
from rnnprof.report.html.names import BOOK, PAGE, SUMMARY
from rnnprof.report.html.page import page
from rnnprof.report.html.side_process import SideProcess
from rnnprof.report.model import RunReport
from rnnprof.report.text.summary import summary

GENERATOR: Final = b'<meta name="generator" content="rnnprof'
GENERATOR_WITHIN: Final = 4096
"""The mark of the page's maker stands in its head."""

NAME_COLUMNS: Final = 40


@dataclass(frozen=True, slots=True)
class Drawing:
    """A run's charts, each drawn once.

    Attributes:
        svg: by chart name.
    """

    report: RunReport
    charts: tuple[Chart, ...]
    svg: Mapping[str, bytes] = field(default_factory=dict)


CHARTS: Final = (
    frontier_chart, slices_over_batch, slices_over_steps, memory_parts, memory_phases, time_phases,
    reach_chart, worth_chart, target_chart, conditions,
)  # fmt: skip
"""Those behind the heat maps, in the order of the page."""


def charts_of(report: RunReport, scales: Scales | None = None) -> tuple[Chart, ...]:
    """Every chart that has something to show, in the order of the page.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    shared = scales_for(report, scales)
    drawn = [chart(report, shared) for chart in CHARTS]
    return (*heatmaps(report, shared), *(chart for chart in drawn if chart is not None))


def draw(reports: Sequence[RunReport]) -> tuple[Drawing, ...]:
    """Draw the charts of runs that are shown together, on common scales."""
    scales = Scales.of(reports)
    drawings = []
    with style():
        for report in reports:
            charts = charts_of(report, scales)
            svg = {chart.name: rendered(chart.figure, "svg") for chart in charts}
            drawings.append(Drawing(report, charts, svg))
    return tuple(drawings)


def page_of(drawings: Sequence[Drawing]) -> str:
    """The page of one run or several, as HTML."""
    return page([_page_run(drawing) for drawing in drawings])


def _page_run(drawing: Drawing) -> PageRun:
    svg = {name: file.decode() for name, file in drawing.svg.items()}
    return PageRun.of(
        drawing.report,
        {c.name: DrawnChart(c.name, c.title, c.finding, svg[c.name]) for c in drawing.charts},
    )


def write_page(reports: Sequence[RunReport], path: Path) -> None:
    """Write the page alone.

    Raises:
        BadInputError: a file that another program wrote is in the way.
        OSError: when it cannot be written.
    """
    refuse_other_page(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page_of(draw(reports)).encode())


def refuse_other_page(path: Path) -> None:
    """Refuse to replace a page of the user's own.

    Raises:
        BadInputError: names it.
    """
    if path.exists() and not _is_report(path):
        raise BadInputError(f"{path} is there and no report of rnnprof: move it away")


def write_report(reports: Sequence[RunReport], directory: Path) -> tuple[Path, ...]:
    """Write page, summary and charts into *directory*; nothing before there is room for all.

    Raises:
        BadInputError: a file that another program wrote is in the way.
        OSError: when *directory* cannot be made or written.
    """
    with style():
        contents = dict(_contents(draw(reports)))
    _refuse_foreign(directory, contents)
    write_folder(directory, contents, first=PAGE)  # the page marks the folder as ours
    return tuple(directory / name for name in contents)


def _contents(drawings: Sequence[Drawing]) -> Iterator[tuple[str, bytes]]:
    """The files by name, in the order in which they are listed."""
    pictures = SideProcess(lambda: _pictures(drawings))
    book, whole_page = _book(drawings), page_of(drawings)
    for drawing, made in zip(drawings, pictures.result(), strict=True):
        prefix = f"{file_name(drawing.report.name)}-" if len(drawings) > 1 else ""
        for chart, picture in zip(drawing.charts, made, strict=True):
            yield f"{prefix}{chart.name}.png", picture
            yield f"{prefix}{chart.name}.svg", drawing.svg[chart.name]
    yield BOOK, book
    yield SUMMARY, "\n".join(map(_summary, drawings)).encode()
    yield PAGE, whole_page.encode()


def _pictures(drawings: Sequence[Drawing]) -> list[list[bytes]]:
    """The charts of each run as PNG."""
    return [[rendered(chart.figure, "png") for chart in each.charts] for each in drawings]


def _book(drawings: Sequence[Drawing]) -> bytes:
    """All charts, a page each, as PDF."""
    buffer = io.BytesIO()
    with PdfPages(buffer, metadata={"CreationDate": None, "ModDate": None}) as book:
        for drawing in drawings:
            for chart in drawing.charts:
                book.savefig(chart.figure)
    return buffer.getvalue()


def _summary(drawing: Drawing) -> str:
    return summary(drawing.report, (PAGE, BOOK))


def _refuse_foreign(directory: Path, contents: Mapping[str, bytes]) -> None:
    """An earlier report is replaced; a file of that name by anyone else is not."""
    if _is_report(directory / PAGE):
        return
    taken = [name for name in contents if (directory / name).exists()]
    if taken:
        raise BadInputError(
            f"-o {directory}: {taken[0]} is there and no report of rnnprof; name another directory"
        )


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return GENERATOR in file.read(GENERATOR_WITHIN)
    except OSError:
        return False


def file_name(name: str) -> str:
    """A name of letters, digits, dots and dashes, whatever *name* holds."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:NAME_COLUMNS] or "run"
