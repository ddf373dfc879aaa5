"""The answer of ``rnnprof profile`` on a terminal, and the facts that it and the charts state."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from rnnprof.advice.advise import Advice
from rnnprof.advice.reasons import Unfinished
from rnnprof.advice.recommendation import half_interval_ratio
from rnnprof.plain_text import WIDTH, clip
from rnnprof.points.implied import dominating_oom
from rnnprof.points.measurement import Measurement
from rnnprof.report.model import (
    OOM_OUTCOMES,
    Measurements,
    RunReport,
    fastest,
    flags,
    memory_bytes,
    throughput,
)
from rnnprof.report.words.certificates import edge_in_words, limit_in_words
from rnnprof.report.words.dispatch import as_text, say
from rnnprof.report.words.figures import phase_times_in_words, plus_minus, precision
from rnnprof.report.words.loops import step_functions_in_words
from rnnprof.report.words.outcomes import OUTCOMES
from rnnprof.report.words.phrases import (
    BYTE_UNITS,
    RATE_UNITS,
    sentence,
    unit_note,
    workload_in_words,
)
from rnnprof.report.words.recommendation import at_each_length
from rnnprof.report.words.scripts import script_in_words
from rnnprof.report.words.table import (
    NONE_TIMED,
    SIMULATED,
    frontier_head,
    highest,
    legend,
    more_notes,
    rates_line,
    recommended_line,
    speed_lines,
    step_line,
)
from rnnprof.runfile.points import GOOD_OUTCOMES, Outcome, Point
from rnnprof.units import compact_bytes, compact_rate, format_bytes, format_seconds

MAX_NOTES: Final = 8

ROWS_AT_MOST: Final = 8
"""Up to so many points a row each is no longer than two matrices, and says more."""

BOLD: Final = "1"
RED: Final = "31"


def table(report: RunReport, *, colour: bool = False) -> str:
    """The run as text of at most 80 columns, the answer last, without a final newline.

    Args:
        colour: mark the fastest point bold and what ran out of memory red, with ANSI codes.
    """
    run, measurements = report.run, report.measurements
    view = _View(report.points, measurements, fastest(measurements))
    body = _matrices(view) if _is_wide(view) else _rows(view)
    blocks = [
        _title(report),
        [line.painted(colour) for line in body],
        _legend(body, "simulated" if run.is_simulated else run.environment.get("device")),
        _notes(measurements),
        _summary(report),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


# --- lines ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cell:
    """A piece of a line, and the ANSI code that it takes where colour is on."""

    text: str
    ansi: str = ""

    def padded(self, columns: int) -> _Cell:
        return _Cell(self.text.rjust(columns), self.ansi)

    def painted(self, colour: bool) -> str:
        if not (colour and self.ansi):
            return self.text
        word = self.text.strip()
        return self.text.replace(word, f"\x1b[{self.ansi}m{word}\x1b[0m")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the table's body."""

    cells: tuple[_Cell, ...]

    def painted(self, colour: bool) -> str:
        return "".join(cell.painted(colour) for cell in self.cells).rstrip()

    def words(self) -> list[str]:
        return " ".join(cell.text for cell in self.cells).split()


def _plain(text: str) -> _Line:
    return _Line((_Cell(text),))


@dataclass(frozen=True, slots=True)
class _View:
    """What the body of the table is drawn from."""

    places: tuple[Point, ...]
    measurements: Measurements
    best: Measurement | None

    def marks(self, measurement: Measurement) -> str:
        """The flags of a point, and ``*`` for the fastest."""
        return flags(measurement) + ("*" if measurement is self.best else "")

    def ansi(self, measurement: Measurement) -> str:
        """Red out of memory, bold fastest; nothing else is coloured."""
        if measurement.outcome is Outcome.OOM:
            return RED
        return BOLD if measurement is self.best else ""


def _is_wide(view: _View) -> bool:
    """Whether two matrices say it in fewer lines than a row for each point."""
    batches, time_steps = {p.batch for p in view.places}, {p.time_steps for p in view.places}
    # a sparse union of requests would be a matrix of holes, and one without a time all words
    is_dense = 2 * len(view.places) >= len(batches) * len(time_steps)
    is_large = min(len(batches), len(time_steps)) > 1 and len(view.places) > ROWS_AT_MOST
    return is_large and is_dense and view.best is not None


def _title(report: RunReport) -> list[str]:
    run = report.run
    device = run.environment.get("device_name") or "unknown device"
    limit = f", {limit_in_words(report)}"
    device_line = clip(f"on {device}", WIDTH - len(limit)) + limit
    return [workload_in_words(run.header.workload, WIDTH), device_line]


# --- two matrices --------------------------------------------------------------------------------


def _matrices(view: _View) -> list[_Line]:
    return [*_rate_matrix(view), _plain(""), *_size_matrix(view)]


def _rate_matrix(view: _View) -> list[_Line]:
    known = [rate for m in view.measurements.values() if (rate := throughput(m)) is not None]
    note = unit_note(map(compact_rate, known), RATE_UNITS)
    # digits stand below digits only if every mark has the same room
    room = max(len(view.marks(measurement)) for measurement in view.measurements.values())
    cells = {point: _rate_cell(view, point, room) for point in view.places}
    return [_plain(f"time steps/s{note}{_worst_precision(view)}"), *_matrix(cells)]


def _size_matrix(view: _View) -> list[_Line]:
    known = [memory_bytes(measurement) for measurement in view.measurements.values()]
    note = unit_note(map(compact_bytes, known), BYTE_UNITS)
    cells = {point: _size_cell(view, point) for point in view.places}
    return [_plain(f"memory{note}"), *_matrix(cells)]


def _worst_precision(view: _View) -> str:
    """How well the times are known at worst; empty where one has no interval."""
    timed = [m for m in view.measurements.values() if throughput(m) is not None]
    ratios = [half_interval_ratio(measurement) for measurement in timed]
    known = [ratio for ratio in ratios if ratio is not None]
    return f", {plus_minus(max(known))} or better" if len(known) == len(timed) > 0 else ""


def _rate_cell(view: _View, point: Point, room: int) -> _Cell:
    measurement = view.measurements.get(point)
    if measurement is None:
        return _Cell("-")
    number = compact_rate(throughput(measurement)) + view.marks(measurement).ljust(room)
    return _Cell(OUTCOMES[measurement.outcome].short or number, view.ansi(measurement))


def _size_cell(view: _View, point: Point) -> _Cell:
    measurement = view.measurements.get(point)
    if measurement is None:
        return _Cell("-")
    text = OUTCOMES[measurement.outcome].short or compact_bytes(memory_bytes(measurement))
    return _Cell(text, view.ansi(measurement))


def _matrix(cells: Mapping[Point, _Cell]) -> list[_Line]:
    """Rows of T, columns of B; in blocks one below the other where the width asks for it."""
    batches = sorted({point.batch for point in cells})
    label_columns = max(len(_label(point.time_steps)) for point in cells)
    cell_columns = max(len(cell.text) for cell in cells.values())
    cell_columns = max(cell_columns, *(len(f"B={batch}") for batch in batches))
    lines: list[_Line] = []
    for block in _blocks(batches, (WIDTH - label_columns) // (cell_columns + 1)):
        columns = min(cell_columns + 2, (WIDTH - label_columns) // len(block))
        lines += [_plain("")] if lines else []
        lines += _block(cells, block, label_columns, columns)
    return lines


def _label(time_steps: int) -> str:
    return f"T={time_steps}"


def _blocks(batches: Sequence[int], at_most: int) -> list[Sequence[int]]:
    """*batches* in as few blocks as will do, of about equal length."""
    count = math.ceil(len(batches) / max(1, at_most))
    size = math.ceil(len(batches) / count)
    return [batches[start : start + size] for start in range(0, len(batches), size)]


def _block(
    cells: Mapping[Point, _Cell], batches: Sequence[int], label_columns: int, columns: int
) -> list[_Line]:
    heads = tuple(_Cell(f"B={batch}").padded(columns) for batch in batches)
    lines = [_Line((_Cell(" " * label_columns), *heads))]
    for time_steps in sorted({point.time_steps for point in cells}):
        row = [cells.get(Point(batch, time_steps), _Cell("-")) for batch in batches]
        label = _Cell(_label(time_steps).ljust(label_columns))
        lines.append(_Line((label, *(cell.padded(columns) for cell in row))))
    return lines


HEADS: Final = (
    "T", "B", "step time", "fwd/bwd/opt", "seq/s", "time steps/s", "memory", "",
)  # fmt: skip
WORDS: Final = frozenset({7})
"""The columns that hold words and stand to the left; numbers stand to the right."""


@dataclass(frozen=True, slots=True)
class _Row:
    """The columns of one row; where they are fewer, the last runs on over those missing."""

    columns: tuple[str, ...]
    ansi: str = ""


def _rows(view: _View) -> list[_Line]:
    """A row for each point, grouped by T; neighbours that ended alike without numbers share one."""
    by_steps = groupby(view.places, key=lambda point: point.time_steps)
    groups = [[_row(view, s) for s in _stretches(view, list(group))] for _, group in by_steps]
    # blank lines set groups apart; between single rows they would only stretch the table
    gap = [_Row(("",))] if any(len(group) > 1 for group in groups) else []
    rows = [_Row(HEADS)]
    for index, group in enumerate(groups):
        rows += (gap if index else []) + group
    return _aligned(rows)


def _stretches(view: _View, places: Sequence[Point]) -> list[list[Point]]:
    """The points of one T, with consecutive ones that ended alike without numbers together."""

    def stretch(index: int) -> tuple[str, int]:
        measurement = view.measurements.get(places[index])
        if measurement is None:
            return "not measured", -1
        is_measured = measurement.outcome is Outcome.MEASURED
        return _name(measurement), index if is_measured else -1

    grouped = groupby(range(len(places)), key=stretch)
    return [[places[index] for index in indices] for _, indices in grouped]


def _row(view: _View, stretch: Sequence[Point]) -> _Row:
    """The row of one point, or of the several in a stretch."""
    first, last = stretch[0], stretch[-1]
    time_steps, batch, text = str(first.time_steps), str(first.batch), _ending(view, first)
    measurement = view.measurements.get(first)
    if measurement is not None and measurement.outcome is Outcome.MEASURED:
        columns = (time_steps, batch, *_numbers(measurement), view.marks(measurement))
        return _Row(columns, view.ansi(measurement))
    if first != last:
        is_open = last.batch == max(p.batch for p in view.places if p.time_steps == last.time_steps)
        batch = f">={batch}" if is_open else batch
        text = text if is_open else f"to {last.batch}: {text}"
    return _Row((time_steps, batch, text), view.ansi(measurement) if measurement else "")


def _numbers(measurement: Measurement) -> tuple[str, ...]:
    step_time = f"{format_seconds(measurement.step_time_s)} {precision(measurement)}"
    return (
        step_time.strip(),
        phase_times_in_words(measurement),
        compact_rate(measurement.sequences_per_s),
        compact_rate(throughput(measurement)),
        format_bytes(memory_bytes(measurement)),
    )


def _ending(view: _View, point: Point) -> str:
    """How a point ended: ``measured``, ``OOM in forward``, ``implied OOM by B=64``."""
    measurement = view.measurements.get(point)
    if measurement is None:
        return "not measured"
    if measurement.outcome is Outcome.IMPLIED_OOM:
        return "implied OOM" + _cause(view, point)
    return _name(measurement)


def _name(measurement: Measurement) -> str:
    """The outcome and the phase in which it came."""
    outcome = measurement.outcome
    name = "OOM" if outcome is Outcome.OOM else outcome.value
    return f"{name} in {measurement.phase}" if measurement.phase else name


def _cause(view: _View, point: Point) -> str:
    ooms = [p for p, m in view.measurements.items() if m.outcome is Outcome.OOM]
    cause = dominating_oom(point, ooms)
    if cause is None:
        return ""
    return f" by B={cause.batch}" if cause.time_steps == point.time_steps else f" by {cause}"


def _aligned(rows: Sequence[_Row]) -> list[_Line]:
    full = [row.columns for row in rows if len(row.columns) == len(HEADS)]
    ended = [row for row in rows if _is_ending(row.columns)]
    full += [(*row.columns[:2], *[""] * (len(HEADS) - 2)) for row in ended]
    widths = [max(len(columns[index]) for columns in full) for index in range(len(HEADS))]
    is_roomy = sum(widths) + 2 * len(widths) <= WIDTH
    lines = [_join(row.columns, widths, "  " if is_roomy else " ") for row in rows]
    return [_Line((_Cell(text[:WIDTH], row.ansi),)) for text, row in zip(lines, rows, strict=True)]


def _join(columns: Sequence[str], widths: Sequence[int], gap: str) -> str:
    # how a point ended stands over the columns of the numbers
    columns, words = (columns[:-1], [columns[-1]]) if _is_ending(columns) else (columns, [])
    padded = [
        text.ljust(width) if index in WORDS else text.rjust(width)
        for index, (text, width) in enumerate(zip(columns, widths, strict=False))
    ]
    return gap.join([*padded, *words]).rstrip()


def _is_ending(columns: Sequence[str]) -> bool:
    """Whether a row has words in place of numbers: T, B, and how it ended."""
    return len(columns) == 3


# --- below the body ------------------------------------------------------------------------------


def _legend(body: Iterable[_Line], device: str | None) -> list[str]:
    """What the marks mean, of those that were used."""
    words = [word for line in body for word in line.words()]
    return [f"{mark}  {text}" for mark, text in legend(device) if _is_used(mark, words)]


def _is_used(mark: str, words: Iterable[str]) -> bool:
    if len(mark) > 1:
        return mark in words
    return any(mark in word for word in words)


def _notes(measurements: Measurements) -> list[str]:
    """One line for each thing that a reader should know: what went wrong first."""
    where: dict[str, list[Point]] = {}
    for text, point in [*_failures(measurements), *_remarks(measurements)]:
        where.setdefault(text, []).append(point)
    lines = [clip(f"{_points(points)}: {text}") for text, points in where.items()]
    more = len(lines) - MAX_NOTES
    return lines[:MAX_NOTES] + ([more_notes(more)] if more > 0 else [])


def _failures(measurements: Measurements) -> list[tuple[str, Point]]:
    ended = [
        m for m in _ordered(measurements) if m.outcome not in OOM_OUTCOMES | {Outcome.MEASURED}
    ]
    # a missing measurement comes before one that the library does not support
    ended.sort(key=lambda m: m.outcome in GOOD_OUTCOMES)
    return [
        (f"{_name(m)}: {as_text(m.reason) or 'no reason was recorded'}", m.point) for m in ended
    ]


def _remarks(measurements: Measurements) -> list[tuple[str, Point]]:
    ordered = _ordered(measurements)
    noisy = [(f"noisy: {say(m.noisy)}", m.point) for m in ordered if m.noisy]
    return noisy + [(as_text(each), m.point) for m in ordered for each in m.warnings]


def _ordered(measurements: Measurements) -> list[Measurement]:
    return sorted(measurements.values(), key=lambda m: (m.point.time_steps, m.point.batch))


def _points(points: Sequence[Point]) -> str:
    others = len(points) - 1
    if not others:
        return str(points[0])
    return f"{points[0]} and {others} other{'s' if others > 1 else ''}"


def _summary(report: RunReport) -> list[str]:
    run, edges = report.run, report.edges
    lines = [
        line
        for edge in edges
        for line in textwrap.wrap(
            f"T={edge.time_steps}: {edge_in_words(edge)}", WIDTH,
            initial_indent="  ", subsequent_indent="    ",
        )
    ]  # fmt: skip
    head = frontier_head(report)
    best = [SIMULATED]
    lines += _indented(step_functions_in_words(report))
    if not run.is_simulated:
        best = [*_best_in_words(report.measurements), *_recommended(report.advice)]
    return [head, *lines, *best, *_wrapped(script_in_words(report))]


def _recommended(advice: Advice) -> list[str]:
    """The recommended batch at every T that was timed."""
    batches = at_each_length(advice)
    lines = textwrap.wrap(recommended_line(batches), WIDTH, subsequent_indent="    ")
    unfinished = [each for each in advice.reasons if isinstance(each, Unfinished)]
    return [*(lines if batches else []), *(sentence(each) for each in unfinished)]


def _indented(sentences: Iterable[str]) -> list[str]:
    return [f"  {line}" for text in sentences for line in textwrap.wrap(text, WIDTH - 2)]


def _wrapped(sentences: Iterable[str]) -> list[str]:
    return [line for text in sentences for line in textwrap.wrap(text, WIDTH)]


def _best_in_words(measurements: Measurements) -> list[str]:
    best = fastest(measurements)
    if best is None:
        return [NONE_TIMED]
    lines = [step_line(best), rates_line(best), *speed_lines(best)]
    return [highest(best), *(f"  {clip(line, WIDTH - 2)}" for line in lines)]
