"""A verdict on GitHub: annotations, outputs and the job summary."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprof.errors import BadInputError
from rnnprof.gate.formats.markdown import counted, gates_markdown
from rnnprof.gate.formats.shared import (
    CheckContext,
    Judged,
    name_of,
    rank,
    why_of,
)
from rnnprof.gate.formats.text import gates_text
from rnnprof.gate.verdicts import Verdict, WordedFinding
from rnnprof.plain_text import clip, one_line

ANNOTATIONS_AT_MOST: Final = 10
"""GitHub shows so many errors and so many warnings of a step, and drops the rest without a word
(actions/toolkit, docs/problem-matchers.md, Limitations)."""

MESSAGE_COLUMNS: Final = 1000
"""Of an annotation; the runner cuts at 4096 characters (actions/runner, ExecutionContext.cs)."""

TITLE_COLUMNS: Final = 100
"""Of an annotation: more does not show in a pull request; the checks API takes 255 characters."""


@dataclass(frozen=True, slots=True)
class GithubTexts:
    """What a GitHub job reads, and where.

    Attributes:
        log: for stdout: the gate in words, in which GitHub looks for no commands, and then the
            annotations.
        annotations: alone, for stderr where stdout has a JSON document; the runner reads both.
        summary: Markdown, to be appended to *summary_path*.
        outputs: ``verdict`` and ``exit-code``, to be appended to *outputs_path*.
        summary_path: None outside a GitHub job, as *outputs_path*.
    """

    log: str
    annotations: str
    summary: str
    outputs: str
    summary_path: str | None
    outputs_path: str | None


# --- GitHub --------------------------------------------------------------------------------------


def github(judged: Judged, environment: Mapping[str, str], token: str | None = None) -> GithubTexts:
    """What ``--github`` writes for a GitHub job; the outputs are those of the worst GPU.

    Args:
        judged: a gate in words for each GPU.
        environment: the process's; it names the files of the step.
        token: that no text within can hold; by default a random one.
    """
    token = token or f"rnnprof-{secrets.token_hex(16)}"
    notes = gates_annotations(judged)
    guarded = f"::stop-commands::{token}\n{gates_text(judged)}\n::{token}::"
    verdict, (_, context) = judged.verdict, judged.gates[0]
    outputs = {
        "verdict": verdict.value,
        "exit-code": str(verdict.exit_code(strict=context.is_strict)),
    }
    return GithubTexts(
        log=f"{guarded}\n{notes}" if notes else guarded,
        annotations=notes,
        summary=gates_markdown(judged),
        outputs="".join(f"{name}<<{token}\n{value}\n{token}\n" for name, value in outputs.items()),
        summary_path=environment.get("GITHUB_STEP_SUMMARY") or None,
        outputs_path=environment.get("GITHUB_OUTPUT") or None,
    )


def write_github(texts: GithubTexts) -> None:
    """Append summary and outputs to the step's files; outside a GitHub job there are none.

    Raises:
        BadInputError: when one of them cannot be written.
    """
    files = {
        "GITHUB_STEP_SUMMARY": (texts.summary_path, texts.summary),
        "GITHUB_OUTPUT": (texts.outputs_path, texts.outputs),
    }
    for variable, (path, content) in files.items():
        if path is None:
            continue
        try:
            with Path(path).open("a", encoding="utf-8", newline="\n") as file:
                file.write(content)
        except OSError as error:
            raise BadInputError(
                f"--github: cannot write to ${variable}, {path}: {error.strerror}"
            ) from None


def gates_annotations(judged: Judged) -> str:
    """Workflow commands, one a line, the worst of all GPUs first: errors for what ends the job,
    warnings for what is INCONCLUSIVE without ``--strict``; empty where everything passed.
    """
    found = [(each, context) for gate, context in judged.gates for each in gate.findings]
    levels: dict[str, list[tuple[WordedFinding, CheckContext]]] = {"error": [], "warning": []}
    for each, context in sorted(found, key=lambda pair: rank(pair[0])):
        if each.finding.verdict is Verdict.INCONCLUSIVE and not context.is_strict:
            levels["warning"].append((each, context))
        elif each.finding.verdict is not Verdict.PASS:
            levels["error"].append((each, context))
    return "\n".join(line for level, chosen in levels.items() for line in _commands(level, chosen))


def _commands(level: str, found: Sequence[tuple[WordedFinding, CheckContext]]) -> list[str]:
    """At most as many as GitHub shows; where there are more, the last says how many."""
    is_all = len(found) <= ANNOTATIONS_AT_MOST
    shown = found if is_all else found[: ANNOTATIONS_AT_MOST - 1]
    lines = [
        _command(level, f"rnnprof {_title(each, context)}", why_of(each), context)
        for each, context in shown
    ]
    if not is_all:
        rest = [each for each, _ in found[len(shown) :]]
        message = f"{counted(rest)}. The step's summary and log have more."
        lines.append(_command(level, f"rnnprof check: {len(rest)} more", message, found[0][1]))
    return lines


def _title(worded: WordedFinding, context: CheckContext) -> str:
    """``FAIL: peak B=64 T=128``."""
    return f"{worded.finding.verdict.value}: {name_of(worded.finding, context)}"


def _command(level: str, title: str, message: str, context: CheckContext) -> str:
    properties = {"title": clip(title, TITLE_COLUMNS)}
    if context.budget_name:
        properties = {"file": one_line(context.budget_name), **properties}
    listed = ",".join(f"{name}={escaped_property(value)}" for name, value in properties.items())
    return f"::{level} {listed}::{escaped_data(clip(message, MESSAGE_COLUMNS))}"


def escaped_data(text: str) -> str:
    """The message of a workflow command (actions/toolkit, packages/core/src/command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(text: str) -> str:
    """A property of a workflow command: also without what ends it."""
    return escaped_data(text).replace(":", "%3A").replace(",", "%2C")
