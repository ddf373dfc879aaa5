"""The report in Markdown, for a pull request: the answer, the largest batches, the points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rnnprof.plain_text import escaped, fenced, paragraph
from rnnprof.points.measurement import Measurement
from rnnprof.report.model import RunReport, flags, memory_bytes, throughput
from rnnprof.report.text.command import repetition
from rnnprof.report.trust import judge_run
from rnnprof.report.words.certificates import certificate_in_words
from rnnprof.report.words.decision import decision
from rnnprof.report.words.dispatch import say
from rnnprof.report.words.loops import loop_in_words, step_functions_in_words
from rnnprof.report.words.outcomes import OUTCOMES
from rnnprof.report.words.recommendation import cell_of
from rnnprof.report.words.scripts import page_sentences
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import compact_rate, format_bytes

MOST_PLACES: Final = 200
"""A larger grid does not read well in a pull request: the page and the CSV have it."""

MOST_COLUMNS: Final = 12


def summary(report: RunReport, pages: Sequence[str] = ()) -> str:
    """The Markdown text.

    Args:
        pages: names of the other files of the report.
    """
    judgement = judge_run(report)
    blocks = [
        f"## rnnprof: {escaped(report.name)}",
        "\n\n".join(f"**{escaped(text)}**" if n == 0 else paragraph(text)
                    for n, text in enumerate(decision(report))),
        f"{judgement.verdict.value}: {escaped('; '.join(map(say, judgement.reasons)))}.",
        _edges(report),
        _points(report),
        _script(report),
        _facts(report),
        _repeated(report),
        f"More: {', '.join(pages)}" if pages else "",
    ]  # fmt: skip
    return "\n\n".join(block for block in blocks if block) + "\n"


def _edges(report: RunReport) -> str:
    edges = {each.time_steps: each for each in report.frontier}
    lengths = sorted({*edges, *(each.time_steps for each in report.advice.recommendations)})
    if not lengths:
        return ""
    advised = {each.time_steps: each for each in report.advice.largest_safe}
    rows = []
    for time_steps in lengths:
        certificate, each = edges.get(time_steps), advised.get(time_steps)
        batch = "-"
        if each is not None and each.batch is not None:
            how = "" if each.is_measured else ", predicted"
            batch = f"{each.batch} ({format_bytes(each.peak_bytes)}{how})"
        words = escaped(certificate_in_words(certificate)) if certificate else "-"
        probes = str(certificate.probes) if certificate else "-"
        rows.append((str(time_steps), words, cell_of(report.advice.at(time_steps)), batch, probes))
    word = "Largest safe batch, simulated" if report.run.is_simulated else "Largest safe batch"
    head = f"Largest batch that fits{loop_in_words(report)}"
    more = map(paragraph, step_functions_in_words(report))
    return "\n\n".join([_table(("T", head, "Recommended batch", word, "Probes"), rows), *more])


def _points(report: RunReport) -> str:
    """Throughput and peak over B and T, a column for each batch."""
    if not report.measurements:
        return ""
    batches = report.batches
    if len(report.points) > MOST_PLACES or len(batches) > MOST_COLUMNS:
        return f"{len(report.measurements)} points: see the page."
    rows = [
        (
            f"**{time_steps}**",
            *(_cell(report.measurements.get(Point(b, time_steps))) for b in batches),
        )
        for time_steps in report.time_steps
    ]
    head = ("T", *(f"B={batch}" for batch in batches))
    note = "Time steps/s and peak memory; `~` did not settle, `!` noisy."
    return f"{_table(head, rows)}\n\n{note}"


def _cell(measurement: Measurement | None) -> str:
    if measurement is None:
        return "not reached"
    if measurement.outcome is not Outcome.MEASURED:
        return OUTCOMES[measurement.outcome].cell
    rate = compact_rate(throughput(measurement)) + flags(measurement).replace("~", "\\~")
    return f"{rate}<br>{format_bytes(memory_bytes(measurement))}"


def _script(report: RunReport) -> str:
    """What the script holds, and what ends a training step; without what was said above."""
    said = decision(report)
    return "\n\n".join(paragraph(each) for each in page_sentences(report) if each not in said)


def _facts(report: RunReport) -> str:
    header = report.run.header
    environment = report.run.environment
    facts = [
        header.workload.describe(),
        f"limit {format_bytes(report.limit_bytes)}",
        str(environment.get("device_name") or "device unknown"),
        f"torch {environment.get('torch') or 'unknown'}",
        f"rnnprof {report.run.rnnprof_version}",
        f"run {header.run_id}",
    ]
    return paragraph(", ".join(facts))


def _repeated(report: RunReport) -> str:
    """The command as code, or the sentence in its place."""
    how = repetition(report)
    return fenced(how.command) if how.command else escaped(how.remark)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
