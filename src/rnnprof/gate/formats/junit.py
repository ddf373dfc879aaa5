"""A verdict as JUnit XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from rnnprof.gate.formats.shared import (
    TAGS,
    CheckContext,
    Judged,
    counts_of,
    limit_of,
    names_of,
    why_of,
)
from rnnprof.gate.formats.text import gate_text
from rnnprof.gate.verdicts import WordedFinding, WordedGate
from rnnprof.plain_text import one_line, printable

# --- JUnit ---------------------------------------------------------------------------------------


def gates_junit(judged: Judged) -> str:
    """JUnit XML, a suite a GPU: FAIL is a failure, NOT COMPARABLE an error, INCONCLUSIVE skipped.

    Element and attribute order follow the schema of Ant's reports, the strictest in use; Jenkins,
    GitLab and the GitHub actions read a part of it.
    """
    root = ET.Element("testsuites")
    for number, (gate, context) in enumerate(judged.gates):
        _add_suite(root, number, gate, context)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _add_suite(root: ET.Element, number: int, gate: WordedGate, context: CheckContext) -> None:
    findings = gate.findings
    suite = ET.SubElement(root, "testsuite", _suite_attributes(number, findings, context))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(gate, context).items():
        # a command keeps the spaces within its words
        text = printable(value) if name == "command" else one_line(value)
        ET.SubElement(properties, "property", name=name, value=text)
    for name, each in zip(names_of(findings, context), findings, strict=True):
        _add_case(suite, name, each)
    ET.SubElement(suite, "system-out").text = gate_text(gate, context)
    ET.SubElement(suite, "system-err")


def _suite_attributes(
    number: int, findings: Sequence[WordedFinding], context: CheckContext
) -> dict[str, str]:
    counts = counts_of(findings)
    of_tag = {tag: counts[verdict] for verdict, tag in TAGS.items()}
    gpu = "" if context.gpu is None else f" {one_line(context.gpu)}"
    judged_at = {}
    if context.judged_at is not None:
        # the schema allows no zone and no fraction
        judged_at["timestamp"] = context.judged_at.replace(tzinfo=None).isoformat(
            timespec="seconds"
        )
    return {
        "name": f"rnnprof check{gpu}", "package": "rnnprof", "id": str(number), **judged_at,
        "hostname": "localhost",  # what the schema requires where no host is named
        "tests": str(len(findings)), "failures": str(of_tag["failure"]),
        "errors": str(of_tag["error"]), "skipped": str(of_tag["skipped"]),
        "time": "0",  # required; judging what is measured takes none
    }  # fmt: skip


def _properties(gate: WordedGate, context: CheckContext) -> dict[str, str]:
    optional = {"baseline": context.base_name, "budget": context.budget_name}
    return {
        "verdict": gate.verdict.value,
        "run": context.run_name,
        **{name: value for name, value in optional.items() if value is not None},
        "workload": context.workload,
        "device": context.device,
        "limit": limit_of(context),
        "command": context.command,
    }


def _add_case(suite: ET.Element, name: str, worded: WordedFinding) -> None:
    finding = worded.finding
    classname = one_line(f"rnnprof.{finding.kind}")
    case = ET.SubElement(suite, "testcase", name=name, classname=classname, time="0")
    tag = TAGS.get(finding.verdict)
    if tag is None:
        return
    explained = why_of(worded)
    message = f"{finding.verdict.value}: {explained}"
    if tag == "skipped":
        ET.SubElement(case, tag, message=message)
    else:
        ET.SubElement(case, tag, message=message, type=finding.verdict.value).text = explained
