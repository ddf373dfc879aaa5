"""A verdict as Markdown, for a job summary or a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rnnprof.gate.formats.shared import (
    SIGNS,
    CheckContext,
    Judged,
    counts_of,
    detectable_of,
    facts_of,
    figures_of,
    worst_first,
)
from rnnprof.gate.formats.text import (
    COMMAND_COLUMNS,
    FACTS_COLUMNS,
    NAME_COLUMNS,
    REASON_COLUMNS,
)
from rnnprof.gate.verdicts import WordedFinding, WordedGate
from rnnprof.plain_text import clip, escaped, fenced, paragraph, printable

ROWS_AT_MOST: Final = 200
"""Of the table in Markdown.  With the limits below 200 rows are under 800 KiB whatever they hold;
GitHub drops a step's summary above 1 MiB (actions/runner, FileCommandManager.cs)."""


# --- Markdown ------------------------------------------------------------------------------------


def gates_markdown(judged: Judged) -> str:
    """A step summary: the verdict, the findings with the worst first, how to repeat it; of several
    GPUs a section each.
    """
    gate, context = judged.gates[0]
    verdict = judged.verdict
    blocks = [
        f"## {SIGNS[verdict]} rnnprof check: {verdict.value}",
        *(_sections(judged) if len(judged.gates) > 1 else _answer(gate, context, ROWS_AT_MOST)),
        _repeated(context.command),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _repeated(command: str) -> str:
    """The command as code, whole or not at all: a part of it would be another command."""
    if not command:
        return ""
    if len(command) > COMMAND_COLUMNS:
        return f"The command has {len(command)} characters: the job's log has it."
    return fenced(printable(command))


def _sections(judged: Judged) -> Iterator[str]:
    yield f"**{escaped(judged.sentence)}**"
    rows_at_most = max(
        1, ROWS_AT_MOST // len(judged.gates)
    )  # GitHub's limit holds for all together
    for gate, context in judged.gates:
        name = escaped(clip(context.gpu or "", NAME_COLUMNS))
        yield f"### {SIGNS[gate.verdict]} {name}: {gate.verdict.value}"
        yield from _answer(gate, context, rows_at_most)


def _answer(gate: WordedGate, context: CheckContext, rows_at_most: int) -> Iterator[str]:
    findings = worst_first(gate.findings)
    yield f"**{escaped(gate.sentence)}**"
    yield paragraph(clip(facts_of(context), FACTS_COLUMNS))
    yield _table(findings[:rows_at_most])
    yield _fold(findings[rows_at_most:])


def _table(findings: Sequence[WordedFinding]) -> str:
    head = (
        "Verdict", "Check", "Measured", "95% interval", "Limit", "Baseline", "Detectable change",
        "Reason",
    )  # fmt: skip
    lines = [head, ["---"] * len(head), *map(_row, findings)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(worded: WordedFinding) -> tuple[str, ...]:
    finding = worded.finding
    figures = figures_of(finding)
    cells = (
        figures.measured, figures.interval, figures.limit, figures.baseline, detectable_of(finding),
    )  # fmt: skip
    return (
        f"{SIGNS[finding.verdict]} {finding.verdict.value}",
        escaped(clip(finding.name, NAME_COLUMNS)),
        *(escaped(clip(text, NAME_COLUMNS)) or "-" for text in cells),
        escaped(clip(worded.sentence, REASON_COLUMNS)),
    )


def _fold(rest: Sequence[WordedFinding]) -> str:
    if not rest:
        return ""
    summary = f"<summary>{len(rest)} more</summary>"
    return f"<details>{summary}\n\n{counted(rest)}. The job's log has them all.\n\n</details>"


def counted(findings: Sequence[WordedFinding]) -> str:
    """``3 FAIL, 1 INCONCLUSIVE``."""
    counts = counts_of(findings)
    return ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
