"""What a gate says, in every form that a person or a CI system reads.

Each format is a function from :data:`Judged`, a gate and its facts for each GPU, to text;
:func:`write_github` alone touches files.  A gate without findings has shown nothing: every format
tells it as one INCONCLUSIVE finding.  Text that comes from a run, a budget or a factory stands on
one line, with ``?`` for what a terminal, XML or GitHub could take for more than text.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import textwrap
import unicodedata
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rnnprof.analysis.verdicts import SEVERITY, Finding, Gate, Verdict, worst
from rnnprof.codec import encode
from rnnprof.errors import BadInputError
from rnnprof.report.summary import escaped
from rnnprof.report.table import WIDTH, clip, one_line, rate_in_words
from rnnprof.units import format_bytes, format_ratio, format_seconds

ANNOTATIONS_AT_MOST: Final = 10
"""GitHub shows so many errors and so many warnings of a step, and drops the rest without a word
(actions/toolkit, docs/problem-matchers.md, Limitations)."""

MESSAGE_COLUMNS: Final = 1000
"""Of an annotation; the runner cuts at 4096 characters (actions/runner, ExecutionContext.cs)."""

TITLE_COLUMNS: Final = 100
"""Of an annotation: more does not show in a pull request; the checks API takes 255 characters."""

ROWS_AT_MOST: Final = 200
"""Of the table in Markdown.  With the limits below 200 rows are under 800 KiB whatever they hold;
GitHub drops a step's summary above 1 MiB (actions/runner, FileCommandManager.cs)."""

REASON_COLUMNS: Final = 300
NAME_COLUMNS: Final = 100
FACTS_COLUMNS: Final = 400
COMMAND_COLUMNS: Final = 1000

GROWTH_KINDS: Final = frozenset({"memory_growth", "time_growth"})
"""Kinds whose interval is that of the ratio to the baseline."""

SMALLER_IS_BETTER: Final = frozenset({"bytes", "s", "ratio"})
"""Units of figures that a chart of ``customSmallerIsBetter`` can show as they are."""

SIGNS: Final = {
    Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.NOT_COMPARABLE: "🚫", Verdict.INCONCLUSIVE: "⚠️",
}  # fmt: skip

HAPPENED: Final = {
    Verdict.PASS: "held",
    Verdict.FAIL: "failed",
    Verdict.NOT_COMPARABLE: "had nothing alike to be compared with",
    Verdict.INCONCLUSIVE: "could not be decided",
}
"""What became of a check, for the sentence at the end."""

CAME_OUT: Final = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.NOT_COMPARABLE: "not comparable",
    Verdict.INCONCLUSIVE: "inconclusive",
}
"""What became of a GPU, for the sentence that sums up several."""

TAGS: Final = {
    Verdict.FAIL: "failure", Verdict.NOT_COMPARABLE: "error", Verdict.INCONCLUSIVE: "skipped",
}  # fmt: skip
"""JUnit's elements; a check that held has none."""

NOTHING: Final = Finding(
    "gate", "", Verdict.INCONCLUSIVE, "nothing was checked: the budget asks for nothing"
)
"""Stands in where a gate has no findings, so that no reader takes silence for success."""

_SCALES: Final[Mapping[str, Callable[[float], str]]] = {
    "bytes": format_bytes,
    "s": format_seconds,
    "time_steps_per_s": rate_in_words,
    "sequences": lambda value: f"B={value:.0f}",
    "ratio": lambda value: f"{value * 100:.4g}%",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a gate was held over: the facts that its report states beside the findings.

    Attributes:
        base_name: the baseline's; None without one.
        limit_bytes: of the run; None where it is not known.
        command: that repeats the check.
        budget_name: path of the budget file, for GitHub relative to the workspace or absolute;
            None without one.
        is_strict: an INCONCLUSIVE gate exits with 3.
        judged_at: in UTC; None leaves the time out of JUnit.
        gpu: the GPU among several, as ``simulated-t4``; None where there is one alone.
    """

    run_name: str
    base_name: str | None
    workload: str
    device: str
    limit_bytes: int | None
    command: str
    budget_name: str | None = None
    is_strict: bool = False
    judged_at: datetime | None = None
    gpu: str | None = None


Judged = Sequence[tuple[Gate, Told]]
"""A gate of each GPU, and what it was held over; one alone is told without the GPU's name."""


@dataclass(frozen=True, slots=True)
class GithubTexts:
    """What a GitHub job is told, and where.

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


# --- facts ---------------------------------------------------------------------------------------


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By verdict, then by how far past the limit; equals stay in the order of the budget."""
    return sorted(findings, key=_rank)


def _rank(finding: Finding) -> tuple[int, float]:
    return SEVERITY.index(finding.verdict), -_excess(finding)


def _excess(finding: Finding) -> float:
    """How many times past its limit; infinite where nothing was measured, 1 where all is well."""
    if finding.verdict is Verdict.PASS:
        return 1.0
    measured, limit = _known(finding.measured), _known(finding.limit)
    if measured is None or limit is None or measured <= 0 or limit <= 0:
        return math.inf
    return max(measured / limit, limit / measured)


def gate_sentence(gate: Gate) -> str:
    """The gate's verdict and what it rests on, on one line."""
    findings = _findings(gate)
    total, verdict = len(findings), gate.verdict
    counts = {each: sum(f.verdict is each for f in findings) for each in SEVERITY}
    noun = "check" if total == 1 else "checks"
    parts = [f"{counts[verdict]} of {total} {noun} {HAPPENED[verdict]}"]
    # what held is no part of the sentence when anything did not
    parts += [
        f"{counts[each]} {HAPPENED[each]}"
        for each in SEVERITY
        if each not in (verdict, Verdict.PASS) and counts[each]
    ]
    return f"{verdict.value}: {'; '.join(parts)}."


def gates_sentence(judged: Judged) -> str:
    """How many GPUs passed, and which did not, on one line: ``2 GPUs: 1 passed, 1 failed
    (simulated-t4).``
    """
    parts = []
    for verdict, came_out in CAME_OUT.items():
        names = [one_line(told.gpu or "") for gate, told in judged if gate.verdict is verdict]
        named = "" if verdict is Verdict.PASS else f" ({', '.join(names)})"
        if names:
            parts.append(f"{len(names)} {came_out}{named}")
    return f"{len(judged)} GPUs: {', '.join(parts)}."


def verdict_of(judged: Judged) -> Verdict:
    """The worst over all GPUs."""
    return worst(gate.verdict for gate, _ in judged)


def _findings(gate: Gate) -> tuple[Finding, ...]:
    return gate.findings or (NOTHING,)


def _names(findings: Sequence[Finding], told: Told) -> list[str]:
    """Each finding's name, with its GPU where there are several; where one recurs (two kinds of
    peak at a point) it is numbered, for readers that tell tests and charts apart by it.
    """
    seen: Counter[str] = Counter()
    names = []
    for finding in findings:
        name = one_line(_name(finding, told))
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _name(finding: Finding, told: Told) -> str:
    """``peak B=64 T=128``; of one GPU among several ``simulated-t4: peak B=64 T=128``."""
    return finding.name if told.gpu is None else f"{told.gpu}: {finding.name}"


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class _Figures:
    """The figures of a finding as text, each empty where there is none."""

    measured: str
    limit: str
    baseline: str
    interval: str

    def besides(self, reason: str) -> str:
        """``612 MiB, limit 600 MiB``: those that *reason* does not tell."""
        named = {
            "": self.measured, "limit ": self.limit, "baseline ": self.baseline,
            "95% interval ": self.interval,
        }  # fmt: skip
        return ", ".join(
            f"{name}{text}" for name, text in named.items() if text and not _tells(reason, text)
        )


def _tells(reason: str, figure: str) -> bool:
    short = figure.replace(" time steps/s", "/s")
    return re.search(rf"(?<![\d.,]){re.escape(short)}", reason) is not None


def _figures(finding: Finding) -> _Figures:
    values = [_known(value) for value in (finding.measured, finding.limit, finding.baseline)]
    known = {value for value in values if value is not None}
    # rounded alike, a limit and what went past it would be the same figure
    is_blurred = len({_rounded(value, finding.unit) for value in known}) < len(known)
    scale = _exact if is_blurred else _rounded
    measured, limit, baseline = (
        "" if value is None else scale(value, finding.unit) for value in values
    )
    return _Figures(measured, limit, baseline, _interval(finding))


def _interval(finding: Finding) -> str:
    if finding.interval is None or not all(map(math.isfinite, finding.interval)):
        return ""
    low, high = finding.interval
    if finding.kind in GROWTH_KINDS:
        return f"{_change(low)} to {_change(high)}"
    return f"{_rounded(low, finding.unit)} to {_rounded(high, finding.unit)}"


def _change(ratio: float) -> str:
    """A ratio to the baseline as ``+5.1%``."""
    text = format_ratio(ratio - 1)
    return f"+{text}" if ratio > 1 else text


def _rounded(value: float, unit: str) -> str:
    scale = _SCALES.get(unit)
    return scale(value) if scale else f"{value:.6g} {one_line(unit)}".rstrip()


def _exact(value: float, unit: str) -> str:
    return f"{value:,.0f} bytes" if unit == "bytes" else f"{value:.9g} {one_line(unit)}".rstrip()


def _detectable(finding: Finding) -> str:
    """``0.5%``; empty where the check is exact or that is unknown."""
    ratio = _known(finding.detectable_ratio)
    return "" if ratio is None else format_ratio(ratio)


def _explained(finding: Finding) -> str:
    """The figures that the reason lacks, the reason, the smallest change that could be told."""
    parts = (_figures(finding).besides(finding.reason), one_line(finding.reason))
    detectable = _detectable(finding)
    told = f" (could have told {detectable})" if detectable else ""
    return ": ".join(part for part in parts if part) + told


def _facts(told: Told) -> str:
    against = [] if told.base_name is None else [f"against {told.base_name}"]
    budget = [] if told.budget_name is None else [f"budget {told.budget_name}"]
    facts = [told.run_name, *against, told.workload, told.device, f"limit {_limit(told)}", *budget]
    return ", ".join(map(one_line, facts))


def _limit(told: Told) -> str:
    return "not known" if told.limit_bytes is None else format_bytes(told.limit_bytes)


# --- a terminal ----------------------------------------------------------------------------------


def gates_text(judged: Judged) -> str:
    """Text of at most 80 columns: each GPU's gate, and of several a last line that sums up; without
    a final newline.
    """
    texts = [gate_text(gate, told) for gate, told in judged]
    if len(judged) > 1:
        texts.append(_wrapped(gates_sentence(judged), "", "  "))
    return "\n\n".join(texts)


def gate_text(gate: Gate, told: Told) -> str:
    """One gate's findings in the order of the budget, its verdict last."""
    findings = _findings(gate)
    room = max(len(finding.verdict.value) for finding in findings) + 2
    facts = _facts(told) if told.gpu is None else f"{told.gpu}: {_facts(told)}"
    lines = [
        _wrapped(facts, "", "  "),
        "",
        *(_item(finding, room) for finding in findings),
        "",
        _wrapped(gate_sentence(gate), "", "  "),
    ]
    return "\n".join(lines)


def _item(finding: Finding, room: int) -> str:
    text = f"{finding.name}: {_explained(finding)}"
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


# --- Markdown ------------------------------------------------------------------------------------


def gates_markdown(judged: Judged) -> str:
    """A step summary: the verdict, the findings with the worst first, how to repeat it; of several
    GPUs a section each.
    """
    gate, told = judged[0]
    verdict = verdict_of(judged)
    blocks = [
        f"## {SIGNS[verdict]} rnnprof check: {verdict.value}",
        *(_sections(judged) if len(judged) > 1 else _answer(gate, told, ROWS_AT_MOST)),
        f"<code>{escaped(clip(told.command, COMMAND_COLUMNS))}</code>" if told.command else "",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _sections(judged: Judged) -> Iterator[str]:
    yield f"**{escaped(gates_sentence(judged))}**"
    rows_at_most = max(1, ROWS_AT_MOST // len(judged))  # GitHub's limit holds for all together
    for gate, told in judged:
        name = escaped(clip(told.gpu or "", NAME_COLUMNS))
        yield f"### {SIGNS[gate.verdict]} {name}: {gate.verdict.value}"
        yield from _answer(gate, told, rows_at_most)


def _answer(gate: Gate, told: Told, rows_at_most: int) -> Iterator[str]:
    findings = worst_first(_findings(gate))
    yield f"**{escaped(gate_sentence(gate))}**"
    yield escaped(clip(_facts(told), FACTS_COLUMNS))
    yield _table(findings[:rows_at_most])
    yield _fold(findings[rows_at_most:])


def _table(findings: Sequence[Finding]) -> str:
    head = (
        "Verdict", "Check", "Measured", "95% interval", "Limit", "Baseline", "Could have told",
        "Reason",
    )  # fmt: skip
    lines = [head, ["---"] * len(head), *map(_row, findings)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(finding: Finding) -> tuple[str, ...]:
    figures = _figures(finding)
    cells = (
        figures.measured, figures.interval, figures.limit, figures.baseline, _detectable(finding),
    )  # fmt: skip
    return (
        f"{SIGNS[finding.verdict]} {finding.verdict.value}",
        escaped(clip(finding.name, NAME_COLUMNS)),
        *(escaped(clip(text, NAME_COLUMNS)) or "-" for text in cells),
        escaped(clip(finding.reason, REASON_COLUMNS)),
    )


def _fold(rest: Sequence[Finding]) -> str:
    if not rest:
        return ""
    summary = f"<summary>{len(rest)} more</summary>"
    return f"<details>{summary}\n\n{_counted(rest)}. The job's log has them all.\n\n</details>"


def _counted(findings: Sequence[Finding]) -> str:
    """``3 FAIL, 1 INCONCLUSIVE``."""
    counts = {each: sum(f.verdict is each for f in findings) for each in SEVERITY}
    return ", ".join(f"{count} {each.value}" for each, count in counts.items() if count)


# --- JSON ----------------------------------------------------------------------------------------


def gates_json(judged: Judged) -> str:
    """One JSON document, of several GPUs ``{"runs": [document, ...]}``; a figure that is no number
    is null.
    """
    documents = [_document(gate, told) for gate, told in judged]
    whole = documents[0] if len(documents) == 1 else {"runs": documents}
    return json.dumps(whole, indent=2, allow_nan=False)


def _document(gate: Gate, told: Told) -> dict[str, Any]:
    return {
        "verdict": gate.verdict.value,
        "exit_code": gate.exit_code(strict=told.is_strict),
        "strict": told.is_strict,
        "run": told.run_name,
        "baseline": told.base_name,
        "budget": told.budget_name,
        "workload": told.workload,
        "device": told.device,
        "limit_bytes": told.limit_bytes,
        "findings": [_numbers_only(encode(finding)) for finding in gate.findings],
    }


def _numbers_only(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers_only(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_numbers_only(item) for item in value]
        return None if None in items else items  # an interval without an end is none
    return None if isinstance(value, float) and not math.isfinite(value) else value


def gates_benchmarks(judged: Judged) -> str:
    """The form ``customSmallerIsBetter`` of github-action-benchmark: a JSON array of what was
    measured, on all GPUs.

    Throughput is turned into seconds per time step; a largest batch, of which more is better, is
    left out.
    """
    named = [
        pair
        for gate, told in judged
        for pair in zip(_names(gate.findings, told), gate.findings, strict=True)
    ]
    rows = [row for name, finding in named if (row := _benchmark(name, finding)) is not None]
    return json.dumps(rows, indent=2, allow_nan=False)


def _benchmark(name: str, finding: Finding) -> dict[str, str | float] | None:
    measured, ends = _known(finding.measured), finding.interval
    is_throughput = finding.unit == "time_steps_per_s"
    if measured is None or not (is_throughput or finding.unit in SMALLER_IS_BETTER):
        return None
    extra = [f"{finding.verdict.value}: {one_line(finding.reason)}"]
    if ends is not None and finding.kind in GROWTH_KINDS:
        extra.append(f"95% interval of the growth {_interval(finding)}")
        ends = None
    if is_throughput:
        if measured <= 0 or math.isinf(1 / measured):
            return None
        measured = 1 / measured
        is_known = ends is not None and min(ends) > 0 and not math.isinf(1 / min(ends))
        ends = (1 / ends[1], 1 / ends[0]) if ends is not None and is_known else None
        extra.append("seconds per time step: one over the throughput in time steps/s")
    row: dict[str, str | float] = {
        "name": name,
        "unit": "s" if is_throughput else finding.unit,
        "value": measured,
        "extra": "\n".join(extra),
    }
    if ends is not None and all(map(math.isfinite, ends)):
        row["range"] = f"± {(ends[1] - ends[0]) / 2:.3g}"
    return row


# --- JUnit ---------------------------------------------------------------------------------------


def gates_junit(judged: Judged) -> str:
    """JUnit XML, a suite a GPU: FAIL is a failure, NOT COMPARABLE an error, INCONCLUSIVE skipped.

    Element and attribute order follow the schema of Ant's reports, the strictest in use; Jenkins,
    GitLab and the GitHub actions read a part of it.
    """
    root = ET.Element("testsuites")
    for number, (gate, told) in enumerate(judged):
        _add_suite(root, number, gate, told)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _add_suite(root: ET.Element, number: int, gate: Gate, told: Told) -> None:
    findings = _findings(gate)
    suite = ET.SubElement(root, "testsuite", _suite_attributes(number, findings, told))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(gate, told).items():
        ET.SubElement(properties, "property", name=name, value=one_line(value))
    for name, finding in zip(_names(findings, told), findings, strict=True):
        _add_case(suite, name, finding)
    ET.SubElement(suite, "system-out").text = gate_text(gate, told)
    ET.SubElement(suite, "system-err")


def _suite_attributes(number: int, findings: Sequence[Finding], told: Told) -> dict[str, str]:
    counts = {tag: sum(f.verdict is each for f in findings) for each, tag in TAGS.items()}
    gpu = "" if told.gpu is None else f" {one_line(told.gpu)}"
    judged_at = {}
    if told.judged_at is not None:
        # the schema allows no zone and no fraction
        judged_at["timestamp"] = told.judged_at.replace(tzinfo=None).isoformat(timespec="seconds")
    return {
        "name": f"rnnprof check{gpu}", "package": "rnnprof", "id": str(number), **judged_at,
        "hostname": "localhost",  # what the schema asks for where no host is named
        "tests": str(len(findings)), "failures": str(counts["failure"]),
        "errors": str(counts["error"]), "skipped": str(counts["skipped"]),
        "time": "0",  # required; judging what is measured takes none
    }  # fmt: skip


def _properties(gate: Gate, told: Told) -> dict[str, str]:
    optional = {"baseline": told.base_name, "budget": told.budget_name}
    return {
        "verdict": gate.verdict.value,
        "run": told.run_name,
        **{name: value for name, value in optional.items() if value is not None},
        "workload": told.workload,
        "device": told.device,
        "limit": _limit(told),
        "command": told.command,
    }


def _add_case(suite: ET.Element, name: str, finding: Finding) -> None:
    classname = one_line(f"rnnprof.{finding.kind}")
    case = ET.SubElement(suite, "testcase", name=name, classname=classname, time="0")
    tag = TAGS.get(finding.verdict)
    if tag is None:
        return
    explained = _explained(finding)
    message = f"{finding.verdict.value}: {explained}"
    if tag == "skipped":
        ET.SubElement(case, tag, message=message)
    else:
        ET.SubElement(case, tag, message=message, type=finding.verdict.value).text = explained


# --- GitHub --------------------------------------------------------------------------------------


def github(judged: Judged, environment: Mapping[str, str], token: str | None = None) -> GithubTexts:
    """What ``--github`` tells a GitHub job; the outputs are those of the worst GPU.

    Args:
        environment: the process's; it names the files of the step.
        token: that no text within can hold; by default a random one.
    """
    token = token or f"rnnprof-{secrets.token_hex(16)}"
    notes = gates_annotations(judged)
    guarded = f"::stop-commands::{token}\n{gates_text(judged)}\n::{token}::"
    verdict, (_, told) = verdict_of(judged), judged[0]
    outputs = {
        "verdict": verdict.value,
        "exit-code": str(verdict.exit_code(strict=told.is_strict)),
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
    warnings for what is INCONCLUSIVE and let pass; empty where everything held.
    """
    found = [(finding, told) for gate, told in judged for finding in _findings(gate)]
    levels: dict[str, list[tuple[Finding, Told]]] = {"error": [], "warning": []}
    for finding, told in sorted(found, key=lambda each: _rank(each[0])):
        if finding.verdict is Verdict.INCONCLUSIVE and not told.is_strict:
            levels["warning"].append((finding, told))
        elif finding.verdict is not Verdict.PASS:
            levels["error"].append((finding, told))
    return "\n".join(line for level, chosen in levels.items() for line in _commands(level, chosen))


def _commands(level: str, found: Sequence[tuple[Finding, Told]]) -> list[str]:
    """At most as many as GitHub shows; where there are more, the last tells how many."""
    is_all = len(found) <= ANNOTATIONS_AT_MOST
    shown = found if is_all else found[: ANNOTATIONS_AT_MOST - 1]
    lines = [
        _command(level, f"rnnprof {f.verdict.value}: {_name(f, told)}", _explained(f), told)
        for f, told in shown
    ]
    if not is_all:
        rest = [finding for finding, _ in found[len(shown) :]]
        message = f"{_counted(rest)}. The step's summary and log have more."
        lines.append(_command(level, f"rnnprof check: {len(rest)} more", message, found[0][1]))
    return lines


def _command(level: str, title: str, message: str, told: Told) -> str:
    properties = {"title": clip(title, TITLE_COLUMNS)}
    if told.budget_name:
        properties = {"file": one_line(told.budget_name), **properties}
    listed = ",".join(f"{name}={escaped_property(value)}" for name, value in properties.items())
    return f"::{level} {listed}::{escaped_data(clip(message, MESSAGE_COLUMNS))}"


def escaped_data(text: str) -> str:
    """The message of a workflow command (actions/toolkit, packages/core/src/command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(text: str) -> str:
    """A property of a workflow command: also without what ends it."""
    return escaped_data(text).replace(":", "%3A").replace(",", "%2C")
