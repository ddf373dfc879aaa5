"""A verdict as JUnit XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from rnnprof.gate.formats.shared import TAGS, Judged, Told, counts_of, limit_of, names_of, why_of
from rnnprof.gate.formats.text import gate_text
from rnnprof.gate.verdicts import WordedFinding, WordedGate
from rnnprof.plain_text import one_line

# --- JUnit ---------------------------------------------------------------------------------------


def gates_junit(judged: Judged) -> str:
    """JUnit XML, a suite a GPU: FAIL is a failure, NOT COMPARABLE an error, INCONCLUSIVE skipped.

    Element and attribute order follow the schema of Ant's reports, the strictest in use; Jenkins,
    GitLab and the GitHub actions read a part of it.
    """
    root = ET.Element("testsuites")
    for number, (gate, told) in enumerate(judged.gates):
        _add_suite(root, number, gate, told)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _add_suite(root: ET.Element, number: int, gate: WordedGate, told: Told) -> None:
    findings = gate.findings
    suite = ET.SubElement(root, "testsuite", _suite_attributes(number, findings, told))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(gate, told).items():
        ET.SubElement(properties, "property", name=name, value=one_line(value))
    for name, each in zip(names_of(findings, told), findings, strict=True):
        _add_case(suite, name, each)
    ET.SubElement(suite, "system-out").text = gate_text(gate, told)
    ET.SubElement(suite, "system-err")


def _suite_attributes(number: int, findings: Sequence[WordedFinding], told: Told) -> dict[str, str]:
    counts = counts_of(findings)
    of_tag = {tag: counts[verdict] for verdict, tag in TAGS.items()}
    gpu = "" if told.gpu is None else f" {one_line(told.gpu)}"
    judged_at = {}
    if told.judged_at is not None:
        # the schema allows no zone and no fraction
        judged_at["timestamp"] = told.judged_at.replace(tzinfo=None).isoformat(timespec="seconds")
    return {
        "name": f"rnnprof check{gpu}", "package": "rnnprof", "id": str(number), **judged_at,
        "hostname": "localhost",  # what the schema requires where no host is named
        "tests": str(len(findings)), "failures": str(of_tag["failure"]),
        "errors": str(of_tag["error"]), "skipped": str(of_tag["skipped"]),
        "time": "0",  # required; judging what is measured takes none
    }  # fmt: skip


def _properties(gate: WordedGate, told: Told) -> dict[str, str]:
    optional = {"baseline": told.base_name, "budget": told.budget_name}
    return {
        "verdict": gate.verdict.value,
        "run": told.run_name,
        **{name: value for name, value in optional.items() if value is not None},
        "workload": told.workload,
        "device": told.device,
        "limit": limit_of(told),
        "command": told.command,
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
