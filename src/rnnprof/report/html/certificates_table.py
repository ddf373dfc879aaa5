"""The largest batch at each T, and what proves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rnnprof.report.html.blocks import (
    NOT_DRAWN,
    Cell,
    Column,
    PageBlock,
    PageRun,
    Table,
)
from rnnprof.report.html.points_table import (
    Columns,
    remark,
    text_of,
)
from rnnprof.report.html.scales import (
    bytes_scale,
    integer,
)
from rnnprof.report.text.loops import loop_in_words, step_functions_in_words
from rnnprof.runfile.certificates import Certificate

# --- the page ------------------------------------------------------------------------------------


# --- certificates --------------------------------------------------------------------------------


def certificates_section(page_run: PageRun, suffix: str) -> PageBlock:
    frontier = page_run.report.frontier
    if not frontier:
        return PageBlock(sentences=(NOT_DRAWN["frontier"],))
    columns = [*_edge_columns(frontier), *_fitting_columns(frontier)]
    columns += [*_failing_columns(frontier), *_effort_columns(frontier)]
    table = Table(
        f"certificates-table{suffix}",
        "What is proven at each T: the largest batch that passed its training steps in a fresh "
        f"worker{loop_in_words(page_run.report)}, and the smallest above it that ran out of "
        "memory.",
        tuple(head for head, _ in columns),
        tuple(zip(*(cells for _, cells in columns), strict=True)),
    )
    sentences = tuple(f"{each}." for each in step_functions_in_words(page_run.report))
    return PageBlock(sentences=sentences, tables=(table,))


def _edge_columns(frontier: Sequence[Certificate]) -> Columns:
    yield Column("T", "time_steps", kind="number"), [integer(each.time_steps) for each in frontier]
    yield Column("status", "status"), [text_of(each.status.replace("_", " ")) for each in frontier]
    yield (
        Column("largest B", "batch", kind="number"),
        [integer(each.batch) for each in frontier],
    )


def _fitting_columns(frontier: Sequence[Certificate]) -> Columns:
    fits = [each.fits for each in frontier]
    peaks = [each.peak_bytes if each else None for each in fits]
    batches = [integer(each.batch if each else None) for each in fits]
    yield Column("B", "fits_batch", "", "number", FITS), batches
    yield bytes_column(Column("peak", "fits_peak_bytes", group=FITS), peaks)
    attempts = [text_of(each.attempt if each else None) for each in fits]
    yield Column("attempt", "fits_attempt", "", "code", FITS), attempts


def _failing_columns(frontier: Sequence[Certificate]) -> Columns:
    fails = [each.fails for each in frontier]
    asked = [each.requested_bytes if each else None for each in fails]
    batches = [integer(each.batch if each else None) for each in fails]
    yield Column("B", "fails_batch", "", "number", FAILS), batches
    phases = [text_of(each.phase if each else None) for each in fails]
    yield Column("in", "fails_phase", group=FAILS), phases
    yield bytes_column(Column("asked for", "fails_requested_bytes", group=FAILS), asked)
    words = [text_of(each.message if each else None) for each in fails]
    yield Column("the error's own words", "fails_message", "", "text", FAILS), words
    attempts = [text_of(each.attempt if each else None) for each in fails]
    yield Column("attempt", "fails_attempt", "", "code", FAILS), attempts


FITS: Final = "fits"
FAILS: Final = "does not fit"


def bytes_column(column: Column, values: Sequence[int | None]) -> tuple[Column, list[Cell]]:
    scale = bytes_scale([value for value in values if value is not None])
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
        yield Column(head, key, kind="number"), [integer(value) for value in values]
    if any(each.reason for each in frontier):
        yield Column("remarks", "reason", kind="text"), [remark(each.reason) for each in frontier]
