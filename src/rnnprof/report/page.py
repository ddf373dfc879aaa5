"""The report as one HTML page that needs no other file, no network, and no script to be whole."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from itertools import groupby
from pathlib import PurePath
from statistics import median
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from rnnprof.analysis.advice import Advice, LargestSafe
from rnnprof.analysis.disturbance import judge
from rnnprof.analysis.fold import anchor_drift, by_point
from rnnprof.analysis.recommendation import half_interval_ratio
from rnnprof.codec import encode
from rnnprof.records import (
    KIND_OF,
    Calibration,
    Certificate,
    Measurement,
    Observation,
    Outcome,
    Point,
    Run,
    Timing,
)
from rnnprof.report import drawing
from rnnprof.report.command import deciding_command
from rnnprof.report.inline_svg import inline_svg
from rnnprof.report.loops import loop_in_words, step_functions_in_words
from rnnprof.report.recommendation import cell_of, head_of
from rnnprof.report.table import (
    TRAINING_PHASES,
    clip,
    flags,
    memory_bytes,
    throughput,
)
from rnnprof.report.trainability import trainability_words
from rnnprof.report.view import View
from rnnprof.units import GIB, KIB, MIB, format_bytes, format_duration, format_ratio, format_seconds

BLANK: Final = "\N{EN DASH}"
"""Stands where nothing is known; in the CSV there is nothing."""

NARROW_SPACE: Final = "\N{NARROW NO-BREAK SPACE}"

SHOWN_SPACES: Final = frozenset({"\n", "\N{NO-BREAK SPACE}", NARROW_SPACE})
"""What may stand in a page though it prints nothing."""


# --- what the page is made of --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart as a file.

    Attributes:
        svg: the whole SVG file, as :func:`rnnprof.report.drawing.rendered` makes it.
    """

    name: str
    title: str
    finding: str
    svg: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run of the page.

    Attributes:
        decision: what to do, the sentence that matters first.
        verdict: VALID, DISTURBED or UNFINISHED.
        command: repeats the run; empty where it is not known.
        charts: by name; any may be missing.
    """

    view: View
    decision: tuple[str, ...]
    verdict: str
    verdict_reasons: tuple[str, ...]
    command: str
    charts: Mapping[str, DrawnChart]


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a place of a table.

    Attributes:
        value: by which it sorts and as which it is downloaded; None for the text itself.
    """

    text: str
    value: str | None = None


UNKNOWN: Final = Cell(BLANK, "")
NOTHING: Final = Cell("")
"""Where there is nothing to say, and it is known that there is not."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head.

    Attributes:
        key: its name in the CSV, with the unit of the values there.
        unit: of what is shown.
        kind: ``number`` stands to the right, ``code`` in fixed width, ``text`` wraps; or ``word``.
        group: what it stands under with its neighbours; empty for none.
    """

    head: str
    key: str
    unit: str = ""
    kind: str = "word"
    group: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a section.

    Attributes:
        file: name of its CSV; empty for a table that is neither sorted nor downloaded.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    file: str = ""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each group with the columns that it spans; none where no column has one."""
        if not any(column.group for column in self.columns):
            return []
        runs = groupby(self.columns, key=lambda column: column.group)
        return [(group, len(list(columns))) for group, columns in runs]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart within the page."""

    name: str
    title: str
    finding: str
    svg: Markup
    run: str


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One chart of every run, side by side; None where a run has none."""

    name: str
    title: str
    figures: tuple[Figure | None, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values below a title."""

    title: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A run's share of a section.

    Attributes:
        run: its name, where there are several.
        items: a mark (or nothing) and a sentence each.
    """

    run: str = ""
    sentences: tuple[str, ...] = ()
    items: tuple[tuple[str, str], ...] = ()
    facts: tuple[Facts, ...] = ()
    tables: tuple[Table, ...] = ()
    command: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        name: its id, after ``section-``: charts have their names for ids.
        has_switch: of its charts one is looked at at a time.
    """

    name: str
    title: str
    rows: tuple[FigureRow, ...] = ()
    blocks: tuple[Block, ...] = ()
    has_switch: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """What is said of a run before all else."""

    name: str
    decision: tuple[str, ...]
    verdict: str
    reasons: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


# --- the page ------------------------------------------------------------------------------------


def page(reports: Sequence[RunReport]) -> str:
    """The page of one run, or of several side by side.

    Raises:
        ValueError: when there is no run.
    """
    if not reports:
        raise ValueError("a page needs one run or more")
    script = _asset("report.js")
    return _template().render(
        title=_title(reports),
        heads=[_head(report) for report in reports],
        differing=_differing(reports),
        sections=_sections(reports),
        inks=_inks(),
        css=Markup(_asset("report.css")),  # noqa: S704  our own file
        script=Markup(script),  # noqa: S704  our own file
        script_hash=_hash(script),
        version=reports[0].view.run.header.rnnprof_version,
    )


def _inks() -> dict[str, str]:
    """The charts' inks by day; the night's are in the style sheet."""
    names = ("PAPER", "INK", "MUTED", "RULE", "FILL")
    return {name.lower(): getattr(drawing, name) for name in names}


@cache
def _asset(name: str) -> str:
    return (files("rnnprof.report") / "templates" / name).read_text(encoding="utf-8").strip()


def _hash(script: str) -> str:
    """As a Content-Security-Policy names the one script that may run."""
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("rnnprof.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _printable(value: object) -> object:
    """Text without what could turn its direction or drive a terminal; markup as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(char if char.isprintable() or char in SHOWN_SPACES else "?" for char in value)


def _title(reports: Sequence[RunReport]) -> str:
    if len(reports) > 1:
        return f"{len(reports)} runs side by side"
    header = reports[0].view.run.header
    device = header.environment.get("device_name")
    what = header.workload.describe()
    return clip(f"{what} on {device}" if device else what, TITLE_COLUMNS)


TITLE_COLUMNS: Final = 120


def _head(report: RunReport) -> Head:
    run = report.view.run
    asked = [request.at_utc for request in run.requests]
    pairs = {
        "run file": _file_name_of(run),
        "run id": run.header.run_id,
        "workload": run.header.workload.describe(),
        "device": str(run.header.environment.get("device_name") or "not known"),
        "limit": _bytes_in_full(report.view.limit_bytes),
        "measured": f"from {asked[0]}" if asked else "nothing was asked for",
    }
    return Head(
        name=report.view.name,
        decision=report.decision,
        verdict=report.verdict,
        reasons=report.verdict_reasons,
        facts=tuple(pairs.items()),
    )


def _file_name_of(run: Run) -> str:
    """Without its folders, which may tell who ran it and where."""
    return PurePath(run.path).name if run.path else "not from a file"


def _bytes_in_full(size_bytes: int) -> str:
    return f"{format_bytes(size_bytes)} ({_grouped(size_bytes, 0)} bytes)"


def _sections(reports: Sequence[RunReport]) -> list[Section]:
    sections = [
        _charts("grid", "The grid", reports, HEAT_MAPS, has_switch=True),
        _charts("frontier", "The frontier", reports, ("frontier",)),
        _charts("slices", "Slices", reports, ("slices-batch", "slices-steps")),
        _charts("memory", "What takes the memory", reports, ("memory-parts", "memory-phases")),
        _charts("time", "Where the time goes", reports, ("time-phases",)),
        *_trainability(reports),
        _told("certificates", "Certificates", reports, _certificates),
        _told("advice", "Advice", reports, _advice),
        _told("conditions", "Conditions over the run", reports, _conditions, ("conditions",)),
    ]
    if len(reports) > 1:
        sections.append(Section("differences", "Differences", blocks=(_differences(reports),)))
    sections.append(_told("provenance", "What was run, and on what", reports, _provenance))
    sections.append(_told("points", "Points", reports, _points))
    return sections


HEAT_MAPS: Final = (
    "heatmap-memory", "heatmap-step-time", "heatmap-time-steps", "heatmap-sequences",
    "heatmap-matmul-share",
)  # fmt: skip


def _trainability(reports: Sequence[RunReport]) -> list[Section]:
    """Only where a run has a study: most have none."""
    if not any(report.view.trainability.study for report in reports):
        return []
    names = ("reach", "worth", "time-to-target")
    return [_told("trainability", "Trainability", reports, _studied, names)]


def _studied(report: RunReport, _suffix: str) -> Block:
    found = report.view.trainability
    if found.study is None:
        return Block(sentences=("This run has no study: rnnprof trainability makes one.",))
    return Block(items=tuple(("", line) for line in trainability_words(found)))


# --- charts --------------------------------------------------------------------------------------

NOT_DRAWN: Final = {
    "grid": "No point of the grid was measured or ran out of memory, so there is nothing to draw.",
    "frontier": "There is no certificate to draw: profile without --no-certify, or run max-batch, "
    "proves the largest batch at each T.",
    "slices": "No point was measured, so there is no slice to draw.",
    "memory": "No memory pass told what the peak is made of: profile makes one at each point that "
    "fits.",
    "time": "No step was timed: profile times each point that fits.",
}
"""What stands in a section whose charts are all missing, and how to get them."""


def _charts(
    name: str,
    title: str,
    reports: Sequence[RunReport],
    chart_names: Iterable[str],
    *,
    has_switch: bool = False,
) -> Section:
    rows = tuple(row for each in chart_names if (row := _figure_row(each, reports)))
    blocks = () if rows else (Block(sentences=(NOT_DRAWN[name],)),)
    return Section(name, title, rows, blocks, has_switch and len(rows) > 1)


def _figure_row(name: str, reports: Sequence[RunReport]) -> FigureRow | None:
    """A chart of every run; None where no run has it."""
    known = [report.charts[name] for report in reports if name in report.charts]
    if not known:
        return None
    figures = tuple(_figure(name, number, reports) for number in range(len(reports)))
    return FigureRow(name, known[0].title, figures)


def _figure(name: str, number: int, reports: Sequence[RunReport]) -> Figure | None:
    chart = reports[number].charts.get(name)
    if chart is None:
        return None
    place = name if len(reports) == 1 else f"{name}-{number + 1}"
    svg = inline_svg(chart.svg.encode(), place, chart.finding)
    # the one source of markup: parsed, cleaned of all but drawing, and written anew
    markup = Markup(svg)  # noqa: S704
    return Figure(place, chart.title, chart.finding, markup, _run_name(reports, number))


def _run_name(reports: Sequence[RunReport], number: int) -> str:
    """Needed only where there are several."""
    return "" if len(reports) == 1 else reports[number].view.name


Telling = Callable[[RunReport, str], Block]
"""A run's share of a section; the suffix keeps the ids of several runs apart."""


def _told(
    name: str,
    title: str,
    reports: Sequence[RunReport],
    telling: Telling,
    chart_names: Sequence[str] = (),
) -> Section:
    """A section of words and tables, below its charts if it has any."""
    rows = tuple(row for each in chart_names if (row := _figure_row(each, reports)))
    blocks = []
    for number, report in enumerate(reports):
        block = telling(report, "" if len(reports) == 1 else f"-{number + 1}")
        blocks.append(replace(block, run=_run_name(reports, number)))
    return Section(name, title, rows, tuple(blocks))


# --- numbers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scale:
    """How the numbers of one column are shown.

    Attributes:
        factor: what is stored, times this, is shown.
    """

    unit: str
    factor: float
    decimals: int

    def cell(self, value: float | None) -> Cell:
        """*value* shown, and in full for the CSV."""
        if value is None or not math.isfinite(value):
            return UNKNOWN
        return Cell(_grouped(value * self.factor, self.decimals), f"{value:.9g}")


def _grouped(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace(",", NARROW_SPACE)


Values = Sequence[float]


def _scale(values: Values, units: Sequence[tuple[str, float]], most_decimals: int) -> Scale:
    """The first unit of which a typical value is one or more, with three digits for the least."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    if not known:
        return Scale("", 1.0, 0)
    typical, least = median(known), min(known)
    fitting = (each for each in units if typical * each[1] >= 1)
    unit, factor = next(fitting, units[-1])
    digits = 2 - math.floor(math.log10(least * factor))
    return Scale(unit, factor, min(most_decimals, max(0, digits)))


def _bytes_scale(values: Values) -> Scale:
    return _scale(values, (("GiB", 1 / GIB), ("MiB", 1 / MIB), ("KiB", 1 / KIB)), 2)


def _seconds_scale(values: Values) -> Scale:
    return _scale(values, (("s", 1.0), ("ms", 1e3), ("µs", 1e6)), 3)


def _rate_scale(values: Values) -> Scale:
    return _scale(values, (("1/s", 1.0),), 2)


def _share_scale(values: Values) -> Scale:
    return _scale(values, (("%", 100.0),), 2)


def _ratio_scale(_values: Values) -> Scale:
    return Scale("×", 1.0, 3)


def _whole(value: int | None) -> Cell:
    return UNKNOWN if value is None else Cell(str(value))


def _text(value: str | None) -> Cell:
    return Cell(value) if value else UNKNOWN


def _remark(value: str | None) -> Cell:
    return Cell(value) if value else NOTHING


@dataclass(frozen=True, slots=True)
class Quantity:
    """A column of numbers of the points' measurements."""

    head: str
    key: str
    value: Callable[[Measurement], float | None]
    scale: Callable[[Values], Scale]

    def column(self, measurements: Sequence[Measurement | None]) -> tuple[Column, list[Cell]]:
        """The head and a cell for each; a point that was not reached has none."""
        values = [None if each is None else self.value(each) for each in measurements]
        scale = self.scale([value for value in values if value is not None])
        head = Column(self.head, self.key, scale.unit, "number")
        return head, [scale.cell(value) for value in values]


# --- points --------------------------------------------------------------------------------------

TIME: Final = Quantity("step time", "step_time_s", lambda m: m.step_time_s, _seconds_scale)


def _phase_time_s(phase: str, measurement: Measurement) -> float | None:
    return measurement.phase_times_s.get(phase)


SPEED: Final = (
    Quantity("±", "half_interval_ratio", half_interval_ratio, _share_scale),
    *(
        Quantity(phase, f"{phase}_s", partial(_phase_time_s, phase), _seconds_scale)
        for phase in TRAINING_PHASES
    ),
    Quantity("time steps", "time_steps_per_s", throughput, _rate_scale),
    Quantity("sequences", "sequences_per_s", lambda m: m.sequences_per_s, _rate_scale),
    Quantity(
        "of matmul rate", "matmul_share_ratio", lambda m: m.matmul_share_ratio,
        _share_scale,
    ),
)  # fmt: skip

MEMORY: Final = Quantity("memory", "peak_counted_bytes", memory_bytes, _bytes_scale)

PEAKS: Final = (
    MEMORY,
    Quantity("allocated", "peak_allocated_bytes", lambda m: m.peak_allocated_bytes, _bytes_scale),
    Quantity("reserved", "peak_reserved_bytes", lambda m: m.peak_reserved_bytes, _bytes_scale),
    Quantity("process", "peak_process_bytes", lambda m: m.peak_process_bytes, _bytes_scale),
)

OUTCOMES: Final = {
    Outcome.MEASURED: "measured",
    Outcome.OOM: "OOM",
    Outcome.IMPLIED_OOM: "OOM, implied",
    Outcome.UNSUPPORTED: "unsupported",
    Outcome.TIMEOUT: "timeout",
    Outcome.CRASHED: "crashed",
    Outcome.FAILED: "failed",
}

FLAGS: Final = "~: the time did not converge; !: it was disturbed."

LEGEND: Final = (
    f"{FLAGS} ±: half the interval of the step time, 95% within a process or the range over "
    "processes. Memory: the peak of what the limit counts; allocated, reserved and process: "
    "peaks by the allocator and of the process. Attempts: records of the run file."
)


def _points(report: RunReport, suffix: str) -> Block:
    view = report.view
    if not view.places:
        return Block(sentences=("No point was asked for.",))
    known = [view.measurements.get(point) for point in view.places]
    columns = [*_place_columns(view.places, known), *_number_columns(known)]
    columns += _word_columns(view, known)
    # a column of blanks says nothing that the sentence below does not say shorter
    kept = [each for each in columns if any(cell.text not in ("", BLANK) for cell in each[1])]
    missing = [
        head.head for head, cells in columns if head.kind == "number" and (head, cells) not in kept
    ]
    table = Table(
        f"points-table{suffix}",
        f"All {len(known)} points, by T and then by B. {LEGEND}",
        tuple(head for head, _ in kept),
        tuple(zip(*(cells for _, cells in kept), strict=True)),
        f"{view.name}-points.csv",
    )
    left_out = f"Known at no point, and left out: {', '.join(missing)}." if missing else ""
    return Block(sentences=(left_out,) if left_out else (), tables=(table,))


Known = Sequence[Measurement | None]
Columns = Iterator[tuple[Column, list[Cell]]]


def _place_columns(places: Sequence[Point], known: Known) -> Columns:
    yield Column("T", "steps", kind="number"), [_whole(point.steps) for point in places]
    yield Column("B", "batch", kind="number"), [_whole(point.batch) for point in places]
    yield Column("outcome", "outcome"), [_outcome(each) for each in known]
    yield Column("in", "phase"), [_remark(each.phase if each else None) for each in known]


def _outcome(measurement: Measurement | None) -> Cell:
    if measurement is None:
        return Cell("not reached", "")
    return Cell(OUTCOMES[measurement.outcome], measurement.outcome.value)


def _number_columns(known: Known) -> Columns:
    yield TIME.column(known)
    marks = [_remark(flags(each) if each else None) for each in known]
    yield Column("flag", "flags"), marks
    for quantity in (*SPEED, *PEAKS):
        yield quantity.column(known)


def _word_columns(view: View, known: Known) -> Columns:
    attempts = by_point(view.run.observations)
    yield Column("bound by", "bound"), [_text(each.bound if each else None) for each in known]
    implementations = [_text(each.implementation if each else None) for each in known]
    yield Column("ran as", "implementation"), implementations
    yield Column("remarks", "remarks", kind="text"), [_remark(_remarks(each)) for each in known]
    ids = [_remark(_attempts(attempts.get(point, ()))) for point in view.places]
    yield Column("attempts", "attempts", kind="code"), ids


def _remarks(measurement: Measurement | None) -> str:
    if measurement is None:
        return ""
    found = [measurement.reason]
    found += [f"disturbed: {measurement.disturbed}" if measurement.disturbed else None]
    found += [f"{measurement.retries} retries of the allocator"] if measurement.retries else []
    if measurement.outcome is Outcome.MEASURED and measurement.census_reason:
        found.append(f"no census: {measurement.census_reason}")
    return "; ".join(text for text in (*found, *measurement.warnings) if text)


def _attempts(observations: Iterable[Observation]) -> str:
    return ", ".join(f"{KIND_OF[type(each)]} {each.attempt}" for each in observations)


# --- certificates --------------------------------------------------------------------------------


def _certificates(report: RunReport, suffix: str) -> Block:
    frontier = report.view.frontier
    if not frontier:
        return Block(sentences=(NOT_DRAWN["frontier"],))
    columns = [*_edge_columns(frontier), *_fitting_columns(frontier)]
    columns += [*_failing_columns(frontier), *_effort_columns(frontier)]
    table = Table(
        f"certificates-table{suffix}",
        "What is proven at each T: the largest batch that passed its training steps in a fresh "
        f"worker{loop_in_words(report.view.run)}, and the smallest above it that ran out of "
        "memory.",
        tuple(head for head, _ in columns),
        tuple(zip(*(cells for _, cells in columns), strict=True)),
    )
    sentences = tuple(f"{each}." for each in step_functions_in_words(report.view.run, frontier))
    return Block(sentences=sentences, tables=(table,))


def _edge_columns(frontier: Sequence[Certificate]) -> Columns:
    yield Column("T", "steps", kind="number"), [_whole(each.steps) for each in frontier]
    yield Column("status", "status"), [_text(each.status.replace("_", " ")) for each in frontier]
    yield Column("largest B", "batch", kind="number"), [_whole(each.batch) for each in frontier]


def _fitting_columns(frontier: Sequence[Certificate]) -> Columns:
    fits = [each.fits for each in frontier]
    peaks = [each.peak_bytes if each else None for each in fits]
    batches = [_whole(each.batch if each else None) for each in fits]
    yield Column("B", "fits_batch", "", "number", FITS), batches
    yield _bytes_column(Column("peak", "fits_peak_bytes", group=FITS), peaks)
    attempts = [_text(each.attempt if each else None) for each in fits]
    yield Column("attempt", "fits_attempt", "", "code", FITS), attempts


def _failing_columns(frontier: Sequence[Certificate]) -> Columns:
    fails = [each.fails for each in frontier]
    asked = [each.requested_bytes if each else None for each in fails]
    batches = [_whole(each.batch if each else None) for each in fails]
    yield Column("B", "fails_batch", "", "number", FAILS), batches
    phases = [_text(each.phase if each else None) for each in fails]
    yield Column("in", "fails_phase", group=FAILS), phases
    yield _bytes_column(Column("asked for", "fails_requested_bytes", group=FAILS), asked)
    words = [_text(each.message if each else None) for each in fails]
    yield Column("the error's own words", "fails_message", "", "text", FAILS), words
    attempts = [_text(each.attempt if each else None) for each in fails]
    yield Column("attempt", "fails_attempt", "", "code", FAILS), attempts


FITS: Final = "fits"
FAILS: Final = "does not fit"


def _bytes_column(column: Column, values: Sequence[int | None]) -> tuple[Column, list[Cell]]:
    scale = _bytes_scale([value for value in values if value is not None])
    head = replace(column, unit=scale.unit, kind="number")
    return head, [scale.cell(value) for value in values]


def _effort_columns(frontier: Sequence[Certificate]) -> Columns:
    numbers = {
        "probes": [each.probes for each in frontier],
        "OOMs": [each.ooms for each in frontier],
        "training steps": [each.horizon or each.confirm_steps for each in frontier],
        "workers passed": [each.confirmations for each in frontier],
    }
    for head, values in numbers.items():
        key = head.lower().replace(" ", "_")
        yield Column(head, key, kind="number"), [_whole(value) for value in values]
    if any(each.reason for each in frontier):
        yield Column("remarks", "reason", kind="text"), [_remark(each.reason) for each in frontier]


# --- advice --------------------------------------------------------------------------------------


def _advice(report: RunReport, suffix: str) -> Block:
    advice, run = report.view.advice, report.view.run
    head = "What to train with at each T, and why."
    if not advice.recommendations:
        head = "This run does not tell what to train with."
    if run.is_simulated:
        head = "A simulated GPU gives no recommendation: it gives the largest safe batch."
    items = [("", f"{head_of(each)}. {'; '.join(each.reasons)}") for each in advice.recommendations]
    items += [("", reason) for reason in advice.reasons]
    items += [("predicted", sentence) for sentence in advice.predictions]
    for goodput in advice.goodput:
        told = f"By goodput at T={goodput.steps} train with B={goodput.batch}: "
        items.append(("", told + "; ".join(goodput.reasons)))
    items += [("not known", sentence) for sentence in advice.unknown]
    return Block(
        sentences=(head,),
        items=tuple(items),
        tables=_batches(report, advice, suffix),
        command=deciding_command(run, advice),
    )


def _batches(report: RunReport, advice: Advice, suffix: str) -> tuple[Table, ...]:
    """At each T the recommended batch, the largest safe one and the largest that fits."""
    safe = {each.steps: each for each in advice.largest_safe}
    lengths = sorted({*safe, *(each.steps for each in advice.recommendations)})
    if not lengths:
        return ()
    each_t = [safe.get(steps) or LargestSafe(steps, None, None, False, None) for steps in lengths]
    peak_head, peaks = _bytes_column(
        Column("safe batch takes", "peak_bytes"), [each.peak_bytes for each in each_t]
    )
    columns = [
        Column("T", "steps", kind="number"), Column("recommended", "recommended", "B"),
        Column("largest safe", "batch", "B", "number"), peak_head, Column("by", "known_by"),
        Column("largest", "edge", "B", "number"),
    ]  # fmt: skip
    rows = [
        (_whole(each.steps), Cell(cell_of(advice.at(each.steps))), _whole(each.batch), peak,
         _known_by(each), _whole(each.edge))
        for each, peak in zip(each_t, peaks, strict=True)
    ]  # fmt: skip
    caption = (
        "Recommended: the smallest batch within 5% of the best throughput at this T that leaves "
        f"{format_ratio(report.view.headroom_ratio)} of the limit of "
        f"{format_bytes(report.view.limit_bytes)} free; several where the times do not decide. "
        "Largest safe: the largest that leaves as much."
    )
    return (Table(f"batches{suffix}", caption, tuple(columns), tuple(rows)),)


def _known_by(each: LargestSafe) -> Cell:
    if each.batch is None:
        return UNKNOWN
    return Cell("measured" if each.is_measured else "predicted")


# --- conditions ----------------------------------------------------------------------------------


def _conditions(report: RunReport, suffix: str) -> Block:
    run = report.view.run
    passes = [o for o in run.observations if isinstance(o, (Timing, Calibration))]
    judged = [(each, judge(each.conditions)) for each in passes]
    disturbed = [(each, text) for each, text in judged if text]
    known = [each for each in passes if each.conditions is not None]
    # the chart's own words tell of the drift
    drift = () if "conditions" in report.charts else tuple(_drift(run))
    sentences = (_how_many(len(disturbed), len(known), len(passes)), *drift)
    if not disturbed:
        return Block(sentences=sentences)
    columns = (
        Column("T", "steps", kind="number"), Column("B", "batch", kind="number"),
        Column("pass", "pass"), Column("role", "role"),
        Column("what disturbed it", "disturbed", kind="text"),
        Column("attempt", "attempt", kind="code"),
    )  # fmt: skip
    rows = tuple(_disturbed_row(each, text) for each, text in disturbed)
    caption = "Every disturbed pass; one that was repeated undisturbed does not count."
    file = f"{report.view.name}-disturbed.csv"
    table = Table(f"disturbed-table{suffix}", caption, columns, rows, file)
    return Block(sentences=sentences, tables=(table,))


def _disturbed_row(observation: Observation, text: str) -> tuple[Cell, ...]:
    return (
        _whole(observation.steps),
        _whole(observation.batch),
        Cell(KIND_OF[type(observation)]),
        Cell(observation.role.value),
        Cell(text),
        Cell(observation.attempt),
    )


def _how_many(disturbed: int, known: int, passes: int) -> str:
    if not passes:
        return "No pass was timed, and so none recorded its conditions."
    if not known:
        return f"None of the {passes} timed passes recorded its conditions."
    without = f"; {passes - known} did not record their conditions" if known < passes else ""
    verb = "was" if disturbed < 2 else "were"
    return (
        f"{disturbed or 'None'} of {known} timed passes {verb} disturbed by something else on the "
        f"machine{without}."
    )


def _drift(run: Run) -> Iterator[str]:
    drift = anchor_drift(run)
    if drift is None:
        return
    medians = ", ".join(format_seconds(each) for each in drift.medians_s)
    yield (
        f"The anchor {drift.point}, timed again and again over the run, took {medians} a step: "
        f"a drift of {format_ratio(drift.ratio)}."
    )


# --- provenance ----------------------------------------------------------------------------------


def _provenance(report: RunReport, suffix: str) -> Block:
    run = report.view.run
    header = run.header
    identity = {
        "run file": _file_name_of(run),
        "run id": header.run_id,
        "fingerprint": header.fingerprint,
        "rnnprof": header.rnnprof_version,
        "schema": str(header.schema),
        "limit": _bytes_in_full(header.limit_bytes),
    }
    if report.view.limit_bytes != header.limit_bytes:
        identity["limit for training"] = _bytes_in_full(report.view.limit_bytes)
    settings = encode(run.requests[-1].settings) if run.requests else {}
    groups = [
        Facts("Run", tuple(identity.items())),
        Facts("Workload", _pairs(encode(header.workload))),
        Facts("Environment", _pairs(header.environment)),
        Facts("Settings", _pairs(settings)),
    ]
    return Block(
        facts=tuple(group for group in groups if group.pairs),
        tables=_requests(run, suffix),
        command=report.command,
    )


def _pairs(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _fact(name, value)) for name, value in _flat(values).items())


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


BYTES: Final = ("_bytes", "memory_limit")
"""Ends of the names of sizes."""


def _fact(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name.endswith(BYTES) and isinstance(value, int):
        return _bytes_in_full(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _requests(run: Run, suffix: str) -> tuple[Table, ...]:
    if not run.requests:
        return ()
    ended = {each.request: each for each in run.finished}
    columns = (
        Column("request", "request", kind="code"), Column("command", "command"),
        Column("begun", "at_utc"), Column("points", "points", kind="number"),
        Column("ended", "ended"), Column("took", "wall"),
    )  # fmt: skip
    rows = []
    for request in run.requests:
        end = ended.get(request.request)
        points = len(request.grid.points())
        rows.append(
            (
                Cell(request.request), Cell(request.command), Cell(request.at_utc), _whole(points),
                Cell(end.at_utc if end else "no"),
                Cell(format_duration(end.wall_s)) if end else UNKNOWN,
            )
        )  # fmt: skip
    caption = "Every invocation that wrote to this run file."
    return (Table(f"requests-table{suffix}", caption, columns, tuple(rows)),)


# --- differences ---------------------------------------------------------------------------------


def _identity(report: RunReport) -> dict[str, str]:
    """All that may tell two runs apart, by name."""
    run = report.view.run
    header = run.header
    whole = {
        "fingerprint": header.fingerprint,
        "rnnprof": header.rnnprof_version,
        "limit_bytes": header.limit_bytes,
        "environment": encode(header.environment),
        "workload": encode(header.workload),
        "settings": encode(run.requests[-1].settings) if run.requests else {},
    }
    return {name: _fact(name, value) for name, value in _flat(whole).items()}


def _differing(reports: Sequence[RunReport]) -> list[str]:
    """Names of what differs between the runs, in a fixed order."""
    identities = [_identity(report) for report in reports]
    names = dict.fromkeys(name for identity in identities for name in identity)
    return [name for name in names if len({each.get(name) for each in identities}) > 1]


def _differences(reports: Sequence[RunReport]) -> Block:
    common = [
        point
        for point in reports[0].view.places
        if all(point in report.view.measurements for report in reports)
    ]
    tables = [_identity_table(reports)] if _differing(reports) else []
    sentences = [] if tables else ["Fingerprint, environment, workload, limit and settings agree."]
    if common:
        tables.append(_points_in_common(reports, common))
    else:
        sentences.append("No point was measured in all of these runs.")
    return Block(sentences=tuple(sentences), tables=tuple(tables))


def _identity_table(reports: Sequence[RunReport]) -> Table:
    identities = [_identity(report) for report in reports]
    heads = [Column(name, name, kind="text") for name in _short_names(reports)]
    rows = [
        (Cell(name), *(_text(identity.get(name)) for identity in identities))
        for name in _differing(reports)
    ]
    caption = "What differs between the runs, apart from what was measured."
    return Table("identity-table", caption, (Column("what", "what"), *heads), tuple(rows))


RUN_COLUMNS: Final = 28
"""A run's name in the head of a column, at most."""


def _short_names(reports: Sequence[RunReport]) -> list[str]:
    return [clip(report.view.name, RUN_COLUMNS) for report in reports]


def _points_in_common(reports: Sequence[RunReport], common: Sequence[Point]) -> Table:
    place = (Column("T", "steps", kind="number"), Column("B", "batch", kind="number"))
    columns: list[tuple[Column, list[Cell]]] = [
        (place[0], [_whole(point.steps) for point in common]),
        (place[1], [_whole(point.batch) for point in common]),
        *_compared(reports, common, MEMORY),
        *_compared(reports, common, TIME),
    ]
    caption = (
        f"The {len(common)} points that all runs have, each against {_short_names(reports)[0]}: "
        f"above 1 is more memory or a longer step. {FLAGS}"
    )
    heads = tuple(head for head, _ in columns)
    rows = tuple(zip(*(cells for _, cells in columns), strict=True))
    return Table("differences-table", caption, heads, rows, "differences.csv")


def _compared(reports: Sequence[RunReport], common: Sequence[Point], quantity: Quantity) -> Columns:
    """The quantity in each run, and its ratio to the first run's."""
    known = [[report.view.measurements[point] for point in common] for report in reports]
    values = [[quantity.value(each) for each in measurements] for measurements in known]
    scale = quantity.scale([v for column in values for v in column if v is not None])
    for number, name in enumerate(_short_names(reports)):
        head = Column(
            f"{quantity.head}, {name}", f"{quantity.key}_{number + 1}", scale.unit, "number"
        )
        pairs = zip(known[number], values[number], strict=True)
        yield head, [_compared_cell(scale, quantity, each, value) for each, value in pairs]
        if number:
            ratios = [_ratio(a, b) for a, b in zip(values[number], values[0], strict=True)]
            key = f"{quantity.key}_ratio_{number + 1}"
            ratio_scale = _ratio_scale(())
            yield Column("ratio", key, "×", "number"), [ratio_scale.cell(r) for r in ratios]


def _compared_cell(
    scale: Scale, quantity: Quantity, measurement: Measurement, value: float | None
) -> Cell:
    """The number with its flags, or how the point ended."""
    if measurement.outcome is not Outcome.MEASURED:
        return Cell(OUTCOMES[measurement.outcome], "")
    cell = scale.cell(value)
    marks = flags(measurement) if quantity is TIME and value is not None else ""
    return Cell(f"{cell.text} {marks}", cell.value) if marks else cell


def _ratio(value: float | None, first: float | None) -> float | None:
    return value / first if value is not None and first else None
