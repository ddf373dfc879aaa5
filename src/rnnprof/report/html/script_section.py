"""What is known of a user's script: its training steps, its start, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rnnprof.points.script_facts import step_end_of
from rnnprof.points.seen import largest
from rnnprof.report.html.blocks import PageBlock, PageRun
from rnnprof.report.html.tables import (
    Filled,
    Table,
    figures,
    in_bytes,
    in_seconds,
    integers,
    of_each,
    words,
)
from rnnprof.report.words.scripts import (
    NO_SCRIPT,
    SCRIPT_CAPTION,
    page_sentences,
    run_at_each_point,
)
from rnnprof.runfile.observations import Fit

REQUESTED: Final = "requested"
SEEN: Final = "layers got"
BEFORE: Final = "before the first training step"
STEP: Final = "end of a training step"


def script_section(page_run: PageRun, suffix: str) -> PageBlock:
    """How the script was run and its training steps recognised; a row for each T."""
    report = page_run.report
    script = report.run.header.workload.script
    if script is None:
        return PageBlock(sentences=(NO_SCRIPT,))
    sentences = (run_at_each_point(script), *page_sentences(report))
    passes = report.script_passes
    if not passes:
        return PageBlock(sentences=sentences)
    table = Table.of(f"script-table{suffix}", SCRIPT_CAPTION, _columns(passes))
    return PageBlock(sentences=sentences, tables=(table,))


def _columns(passes: Sequence[Fit]) -> Iterator[Filled]:
    seen, ends = [largest(each.seen) for each in passes], [step_end_of(each) for each in passes]
    yield integers("T", "time_steps", [each.time_steps for each in passes], group=REQUESTED)
    yield integers("B", "batch", [each.batch for each in passes], group=REQUESTED)
    yield integers("T", "seen_time_steps", of_each(seen, lambda e: e.time_steps), group=SEEN)
    yield integers("B", "seen_batch", of_each(seen, lambda e: e.batch), group=SEEN)
    yield figures("takes", "start_s", [each.start_s for each in passes], in_seconds, BEFORE)
    yield figures("held", "held_bytes", [each.held_bytes for each in passes], in_bytes, BEFORE)
    weights = [each.held_weight_bytes for each in passes]
    yield figures("weights", "held_weight_bytes", weights, in_bytes, BEFORE)
    yield words("by", "step_end", of_each(ends, lambda e: e.by), group=STEP)
    yield integers("events", "events_per_step", of_each(ends, lambda e: e.events), group=STEP)
    yield words("attempt", "attempt", [each.attempt for each in passes], "code")
