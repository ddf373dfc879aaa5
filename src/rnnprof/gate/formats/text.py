"""A verdict in words of 80 columns."""

from __future__ import annotations

import textwrap
import unicodedata
from typing import Final

from rnnprof.gate.formats.shared import (
    CheckContext,
    Judged,
    facts_of,
    why_of,
)
from rnnprof.gate.verdicts import WordedFinding, WordedGate
from rnnprof.plain_text import WIDTH, one_line

REASON_COLUMNS: Final = 300
NAME_COLUMNS: Final = 100
FACTS_COLUMNS: Final = 400
COMMAND_COLUMNS: Final = 4000


# --- a terminal ----------------------------------------------------------------------------------


def gates_text(judged: Judged) -> str:
    """Text of at most 80 columns: each GPU's gate, and of several a last line that sums up; without
    a final newline.
    """
    texts = [gate_text(gate, context) for gate, context in judged.gates]
    if len(judged.gates) > 1:
        texts.append(_wrapped(judged.sentence, "", "  "))
    return "\n\n".join(texts)


def gate_text(gate: WordedGate, context: CheckContext) -> str:
    """One gate's findings in the order of the budget, its verdict last."""
    room = max(len(each.finding.verdict.value) for each in gate.findings) + 2
    facts = facts_of(context) if context.gpu is None else f"{context.gpu}: {facts_of(context)}"
    lines = [
        _wrapped(facts, "", "  "),
        "",
        *(_item(each, room) for each in gate.findings),
        "",
        _wrapped(gate.sentence, "", "  "),
    ]
    return "\n".join(lines)


def _item(worded: WordedFinding, room: int) -> str:
    finding = worded.finding
    text = f"{finding.name}: {why_of(worded)}"
    return _wrapped(text, finding.verdict.value.ljust(room), " " * room)


def _wrapped(text: str, first_indent: str, indent: str) -> str:
    """*text* in lines of at most 80 columns."""
    # a wide sign counts for two; one that a break parts from its filler stands a column over
    padded = "".join(f"{char}\0" if _is_wide(char) else char for char in one_line(text))
    width = WIDTH - 1 if "\0" in padded else WIDTH
    filled = textwrap.fill(
        padded, width, initial_indent=first_indent, subsequent_indent=indent,
        break_on_hyphens=False,
    )  # fmt: skip
    return filled.replace("\0", "")


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"
