"""The largest batch at each T, and what proves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rnnprof.maxbatch.certify import Proof
from rnnprof.report.html.blocks import PageBlock, PageRun
from rnnprof.report.html.tables import (
    NOTHING,
    Filled,
    Table,
    figures,
    in_bytes,
    integers,
    of_each,
    words,
)
from rnnprof.report.words import as_text
from rnnprof.report.words.loops import loop_in_words, step_functions_in_words
from rnnprof.report.words.page import NOT_DRAWN, certificates_caption

FITS: Final = "fits"
FAILS: Final = "does not fit"


def certificates_section(page_run: PageRun, suffix: str) -> PageBlock:
    """The table of certificates; without any, how to get them."""
    report = page_run.report
    if not report.frontier:
        return PageBlock(sentences=(NOT_DRAWN["frontier"],))
    caption = certificates_caption(loop_in_words(report))
    table = Table.of(f"certificates-table{suffix}", caption, _columns(report.frontier))
    sentences = tuple(f"{each}." for each in step_functions_in_words(report))
    return PageBlock(sentences=sentences, tables=(table,))


def _columns(frontier: Sequence[Proof]) -> Iterator[Filled]:
    fits, fails = [each.fits for each in frontier], [each.fails for each in frontier]
    yield integers("T", "time_steps", [each.time_steps for each in frontier])
    yield words("status", "status", [each.status.replace("_", " ") for each in frontier])
    yield integers("largest B", "batch", [each.batch for each in frontier])
    yield integers("B", "fits_batch", of_each(fits, lambda e: e.batch), group=FITS)
    peaks = of_each(fits, lambda e: e.peak_bytes)
    yield figures("peak", "fits_peak_bytes", peaks, in_bytes, FITS)
    yield words("attempt", "fits_attempt", of_each(fits, lambda e: e.attempt), "code", FITS)
    yield integers("B", "fails_batch", of_each(fails, lambda e: e.batch), group=FAILS)
    yield words("in", "fails_phase", of_each(fails, lambda e: e.phase), group=FAILS)
    requested = of_each(fails, lambda e: e.requested_bytes)
    yield figures("requested", "fails_requested_bytes", requested, in_bytes, FAILS)
    yield words(
        "error message", "fails_message", of_each(fails, lambda e: e.message), "text", FAILS
    )
    yield words("attempt", "fails_attempt", of_each(fails, lambda e: e.attempt), "code", FAILS)
    yield integers("probes", "probes", [each.probes for each in frontier])
    yield integers("OOMs", "ooms", [each.ooms for each in frontier])
    steps = [each.horizon or each.confirm_steps for each in frontier]
    yield integers("training steps", "training_steps", steps)
    yield integers("workers passed", "workers_passed", [each.confirmations for each in frontier])
    if any(each.reason for each in frontier):
        reasons = [as_text(each.reason) for each in frontier]
        yield words("remarks", "reason", reasons, "text", blank=NOTHING)
