"""What a gate says: every verdict in every format, to the letter, at length and under attack."""

from __future__ import annotations

import json
import math
import re
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.compare.reasons import TooFewProcesses
from rnnprof.errors import BadInputError
from rnnprof.gate.formats.documents import gates_benchmarks, gates_json
from rnnprof.gate.formats.github import (
    escaped_data,
    escaped_property,
    gates_annotations,
    github,
    write_github,
)
from rnnprof.gate.formats.junit import gates_junit
from rnnprof.gate.formats.markdown import gates_markdown
from rnnprof.gate.formats.shared import CheckContext, worst_first
from rnnprof.gate.formats.text import gates_text
from rnnprof.gate.reasons import PeakAndLimit, Throughput, ThroughputOfFew, Unfinished, numbers_in
from rnnprof.gate.verdicts import Finding, Gate, Verdict, WordedFinding
from rnnprof.plain_text import escaped, one_line
from rnnprof.reasons import Reason
from rnnprof.report.words.gate import judged, summed_up, worded

MIB = 1 << 20
GIB = 1 << 30
CONTEXT = CheckContext(
    run_name="lstm-256", base_name="main", workload="lstm 256->512, fp32, adam",
    device="NVIDIA H200", limit_bytes=GIB, command="rnnprof check run.jsonl --budget b.toml",
    budget_name="b.toml", judged_at=datetime(2026, 11, 24, 0, 30, tzinfo=UTC),
)  # fmt: skip


def finding(kind, where, verdict, sentence, *figures, reason=None, **more):
    """With the sentence of a reason that states no figure."""
    found = Finding(kind, where, verdict, reason or Reason(), *figures, **more)
    return WordedFinding(found, sentence)


def changed(known, sentence=None, **changes):
    """The same finding, with other figures or another sentence."""
    return WordedFinding(replace(known.finding, **changes), sentence or known.sentence)


PEAK = finding(
    "peak", "B=64 T=128", Verdict.FAIL, "2.0% above what the budget allows", "bytes",
    measured=612 * MIB, limit=600 * MIB,
)  # fmt: skip
GROWTH = finding(
    "time_growth", "B=64 T=128", Verdict.INCONCLUSIVE, "the interval holds the limit of 5%", "s",
    measured=0.0123, baseline=0.0118, interval=(1.012, 1.071), detectable_ratio=0.031,
)  # fmt: skip
OTHER_GPU = finding(
    "memory_growth", "B=64 T=512", Verdict.NOT_COMPARABLE, "the baseline is another GPU's"
)
RATE = finding(
    "throughput", "B=64 T=128", Verdict.PASS, "its low end is above the limit",
    "time_steps_per_s", measured=663e3, limit=500e3, interval=(650e3, 676e3),
)  # fmt: skip
SMALL = summed_up((RATE, PEAK, GROWTH, OTHER_GPU))

EMPTY = worded(Gate(()))

HOSTILE = "a::b,c%0A]]>&\"'|`*<script>@all\n::error::x\r\x00\x1b[31m\x0b\ud800\ufffe\u202e字" * 2


def gate_text(gate, context):
    """Of one GPU, as in most of these tests."""
    return gates_text(judged([(gate, context)]))


def gate_markdown(gate, context):
    return gates_markdown(judged([(gate, context)]))


def gate_json(gate, context):
    return gates_json(judged([(gate, context)]))


def gate_junit(gate, context):
    return gates_junit(judged([(gate, context)]))


def gate_annotations(gate, context):
    return gates_annotations(judged([(gate, context)]))


def gate_benchmarks(gate, context=CONTEXT):
    return gates_benchmarks(judged([(gate, context)]))


FORMATS = {
    "text": gate_text, "markdown": gate_markdown, "json": gate_json, "junit": gate_junit,
    "annotations": gate_annotations, "benchmarks": gate_benchmarks,
}  # fmt: skip


def of(verdict, **changes):
    return changed(PEAK, verdict=verdict, **changes)


def gate_of(*verdicts):
    return summed_up(tuple(of(verdict) for verdict in verdicts))


def many(count, verdict=Verdict.FAIL):
    """Findings of which the last is the worst."""
    return summed_up(
        tuple(
            of(verdict, where=f"B={n} T=1", measured=600 * MIB + n * MIB)
            for n in range(1, count + 1)
        )
    )


def unescaped(text, tokens):
    """As the runner decodes: token by token, percent signs last (ActionCommand.cs)."""
    for token in tokens:
        text = text.replace(f"%{ord(token):02X}", token)
    return text


def read_command(line):
    """A workflow command as the runner reads it: name, properties, message; None of other lines."""
    line = line.lstrip()
    if not line.startswith("::") or "::" not in line[2:]:
        return None
    info, message = line[2:].split("::", 1)
    name, _, listed = info.partition(" ")
    pairs = (each.split("=", 1) for each in listed.strip().split(",") if each)
    properties = {key: unescaped(value, "\r\n:,%") for key, value in pairs}
    return name, properties, unescaped(message, "\r\n%")


def commands(text):
    """Those that the runner would run, which stops where it is told to."""
    found, stopped_by = [], None
    for line in re.split(r"\r\n|\r|\n", text):
        command = read_command(line)
        if command is None:
            continue
        if stopped_by is None and command[0] == "stop-commands":
            stopped_by = command[2]
        elif stopped_by is None:
            found.append(command)
        elif command[0] == stopped_by:
            stopped_by = None
    return found


def columns(line):
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def cases(gate, context=CONTEXT):
    return ET.fromstring(gate_junit(gate, context)).findall("testsuite/testcase")


# to the letter


def test_text_to_the_letter():
    assert (
        gate_text(SMALL, CONTEXT)
        == """\
lstm-256, against main, lstm 256->512, fp32, adam, NVIDIA H200, limit 1.00 GiB,
  budget b.toml

PASS            throughput B=64 T=128: 663 k time steps/s, limit 500 k time
                steps/s, 95% interval 650 k time steps/s to 676 k time steps/s:
                its low end is above the limit
FAIL            peak B=64 T=128: 612 MiB, limit 600 MiB: 2.0% above what the
                budget allows
INCONCLUSIVE    time_growth B=64 T=128: 12.3 ms, baseline 11.8 ms, 95% interval
                +1.2% to +7.1%: the interval holds the limit of 5% (detectable
                change 3.1%)
NOT COMPARABLE  memory_growth B=64 T=512: the baseline is another GPU's

FAIL: 1 of 4 checks failed; 1 could not be compared; 1 could not be decided."""
    )


MARKDOWN = r"""## ❌ rnnprof check: FAIL

**FAIL: 1 of 4 checks failed; 1 could not be compared; 1 could not be decided.**

lstm-256, against main, lstm 256-\>512, fp32, adam, NVIDIA H200, limit 1.00 GiB, budget b.toml

| Verdict | Check | Measured | 95% interval | Limit | Baseline | Detectable change | Reason |
| --- | --- | --- | --- | --- | --- | --- | --- |
| ❌ FAIL | peak B=64 T=128 | 612 MiB | - | 600 MiB | - | - | 2.0% above what the budget allows |
| 🚫 NOT COMPARABLE | memory\_growth B=64 T=512 | - | - | - | - | - | the baseline is another GPU's |
| ⚠️ INCONCLUSIVE | time\_growth B=64 T=128 | 12.3 ms | +1.2% to +7.1% | - | 11.8 ms | 3.1% | the interval holds the limit of 5% |
| ✅ PASS | throughput B=64 T=128 | 663 k time steps/s | 650 k time steps/s to 676 k time steps/s | 500 k time steps/s | - | - | its low end is above the limit |

```sh
rnnprof check run.jsonl --budget b.toml
```
"""  # noqa: E501  rows of a table


def test_markdown_to_the_letter():
    assert gate_markdown(SMALL, CONTEXT) == MARKDOWN


def test_annotations_to_the_letter():
    peak, other, growth = gate_annotations(SMALL, CONTEXT).splitlines()
    assert peak == (
        "::error file=b.toml,title=rnnprof FAIL%3A peak B=64 T=128::612 MiB, limit 600 MiB: "
        "2.0%25 above what the budget allows"
    )
    assert other == (
        "::error file=b.toml,title=rnnprof NOT COMPARABLE%3A memory_growth B=64 T=512::"
        "the baseline is another GPU's"
    )
    assert growth == (
        "::warning file=b.toml,title=rnnprof INCONCLUSIVE%3A time_growth B=64 T=128::12.3 ms, "
        "baseline 11.8 ms, 95%25 interval +1.2%25 to +7.1%25: the interval holds the limit of "
        "5%25 (detectable change 3.1%25)"
    )


def test_junit_to_the_letter():
    assert (
        gate_junit(summed_up((PEAK,)), CONTEXT)
        == """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="rnnprof check" package="rnnprof" id="0" timestamp="2026-11-24T00:30:00" \
hostname="localhost" tests="1" failures="1" errors="0" skipped="0" time="0">
    <properties>
      <property name="verdict" value="FAIL" />
      <property name="run" value="lstm-256" />
      <property name="baseline" value="main" />
      <property name="budget" value="b.toml" />
      <property name="workload" value="lstm 256-&gt;512, fp32, adam" />
      <property name="device" value="NVIDIA H200" />
      <property name="limit" value="1.00 GiB" />
      <property name="command" value="rnnprof check run.jsonl --budget b.toml" />
    </properties>
    <testcase name="peak B=64 T=128" classname="rnnprof.peak" time="0">
      <failure message="FAIL: 612 MiB, limit 600 MiB: 2.0% above what the budget allows" \
type="FAIL">612 MiB, limit 600 MiB: 2.0% above what the budget allows</failure>
    </testcase>
    <system-out>lstm-256, against main, lstm 256-&gt;512, fp32, adam, NVIDIA H200, limit 1.00 GiB,
  budget b.toml

FAIL  peak B=64 T=128: 612 MiB, limit 600 MiB: 2.0% above what the budget allows

FAIL: 1 of 1 check failed.</system-out>
    <system-err />
  </testsuite>
</testsuites>
"""
    )


def test_json_says_all_of_a_finding():
    document = json.loads(gate_json(summed_up((GROWTH,)), CONTEXT))
    [finding] = document.pop("findings")
    assert document == {
        "verdict": "INCONCLUSIVE", "exit_code": 0, "strict": False, "run": "lstm-256",
        "baseline": "main", "budget": "b.toml", "workload": "lstm 256->512, fp32, adam",
        "device": "NVIDIA H200", "limit_bytes": GIB,
    }  # fmt: skip
    assert finding == {
        "kind": "time_growth", "where": "B=64 T=128", "verdict": "INCONCLUSIVE", "unit": "s",
        "reason": "the interval holds the limit of 5%", "measured": 0.0123, "limit": None,
        "baseline": 0.0118, "interval": [1.012, 1.071], "detectable_ratio": 0.031,
    }  # fmt: skip


# several GPUs

T4 = replace(CONTEXT, run_name="r-t4", base_name=None, device="Tesla T4 (simulated)",
             gpu="simulated-t4")  # fmt: skip
H100 = replace(T4, run_name="r-h100", device="NVIDIA H100 (simulated)", gpu="simulated-h100")
KEPT = changed(PEAK, verdict=Verdict.PASS, sentence="1% below", measured=594 * MIB)
TWO = judged([(summed_up((PEAK,)), T4), (summed_up((KEPT,)), H100)])


def test_several_gpus_are_one_below_the_other_and_summed_up():
    assert (
        gates_text(TWO)
        == """\
simulated-t4: r-t4, lstm 256->512, fp32, adam, Tesla T4 (simulated), limit 1.00
  GiB, budget b.toml

FAIL  peak B=64 T=128: 612 MiB, limit 600 MiB: 2.0% above what the budget allows

FAIL: 1 of 1 check failed.

simulated-h100: r-h100, lstm 256->512, fp32, adam, NVIDIA H100 (simulated),
  limit 1.00 GiB, budget b.toml

PASS  peak B=64 T=128: 594 MiB, limit 600 MiB: 1% below

PASS: 1 of 1 check passed.

2 GPUs: 1 passed, 1 failed (simulated-t4)."""
    )


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ((Verdict.PASS, Verdict.PASS), "2 GPUs: 2 passed."),
        ((Verdict.FAIL, Verdict.FAIL), "2 GPUs: 2 failed (g0, g1)."),
        ((Verdict.INCONCLUSIVE, Verdict.PASS), "2 GPUs: 1 passed, 1 inconclusive (g0)."),
        (
            (Verdict.NOT_COMPARABLE, Verdict.FAIL, Verdict.INCONCLUSIVE),
            "3 GPUs: 1 failed (g1), 1 not comparable (g0), 1 inconclusive (g2).",
        ),
    ],
)
def test_the_sum_of_several_gpus_names_what_did_not_pass(verdicts, said):
    several = judged((gate_of(v), replace(CONTEXT, gpu=f"g{n}")) for n, v in enumerate(verdicts))
    assert several.sentence == said
    assert gates_text(several).splitlines()[-1] == said


@pytest.mark.parametrize(
    ("verdicts", "strict", "worst", "code"),
    [
        ((Verdict.PASS, Verdict.FAIL), False, "FAIL", 1),
        ((Verdict.NOT_COMPARABLE, Verdict.FAIL), False, "FAIL", 1),
        ((Verdict.PASS, Verdict.NOT_COMPARABLE), False, "NOT COMPARABLE", 3),
        ((Verdict.INCONCLUSIVE, Verdict.PASS), False, "INCONCLUSIVE", 0),
        ((Verdict.INCONCLUSIVE, Verdict.PASS), True, "INCONCLUSIVE", 3),
        ((Verdict.INCONCLUSIVE, Verdict.FAIL), True, "FAIL", 1),
        ((Verdict.PASS, Verdict.PASS), True, "PASS", 0),
    ],
)
def test_the_outputs_of_several_gpus_are_those_of_the_worst(verdicts, strict, worst, code):
    several = judged(
        (gate_of(verdict), replace(CONTEXT, gpu=f"g{n}", is_strict=strict))
        for n, verdict in enumerate(verdicts)
    )
    assert several.verdict.exit_code(strict=strict) == code
    outputs = github(several, {}, token="T").outputs
    assert outputs == f"verdict<<T\n{worst}\nT\nexit-code<<T\n{code}\nT\n"


def test_markdown_of_several_gpus_has_a_section_each_and_the_command_once():
    text = gates_markdown(TWO)
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "## ❌ rnnprof check: FAIL", "### ❌ simulated-t4: FAIL", "### ✅ simulated-h100: PASS",
    ]  # fmt: skip
    assert "**2 GPUs: 1 passed, 1 failed (simulated-t4).**" in text.replace("\\", "")
    assert text.count("```sh\n") == 1
    assert "Tesla T4" in text
    assert "NVIDIA H100" in text


def test_json_of_several_gpus_is_a_list_of_runs():
    document = json.loads(gates_json(TWO))
    assert document == {"runs": [json.loads(gate_json(*each)) for each in TWO.gates]}


def test_junit_of_several_gpus_has_a_suite_each_and_no_name_twice(schema):
    text = gates_junit(TWO)
    schema.validate(text)
    suites = ET.fromstring(text).findall("testsuite")
    assert [(suite.get("name"), suite.get("id"), suite.get("failures")) for suite in suites] == [
        ("rnnprof check simulated-t4", "0", "1"), ("rnnprof check simulated-h100", "1", "0"),
    ]  # fmt: skip
    # readers such as GitLab know a test by its class and name, over all suites
    names = [case.get("name") for suite in suites for case in suite.findall("testcase")]
    assert names == ["simulated-t4: peak B=64 T=128", "simulated-h100: peak B=64 T=128"]
    assert suites[0].findtext("system-out") == gate_text(*TWO.gates[0])


def test_benchmarks_of_several_gpus_are_one_list_without_a_name_twice():
    twice = [(summed_up((PEAK, PEAK)), T4), TWO.gates[1]]
    assert [row["name"] for row in json.loads(gates_benchmarks(judged(twice)))] == [
        "simulated-t4: peak B=64 T=128", "simulated-t4: peak B=64 T=128 (2)",
        "simulated-h100: peak B=64 T=128",
    ]  # fmt: skip


def test_annotations_of_several_gpus_are_those_of_one_step():
    far = of(Verdict.FAIL, measured=6000 * MIB)
    several = judged([(many(8), T4), (summed_up((far, *many(8).findings)), H100)])
    found = commands(gates_annotations(several))
    assert len(found) == 10  # GitHub shows no more of a step, of whatever GPU
    assert found[0][1]["title"] == "rnnprof FAIL: simulated-h100: peak B=64 T=128"
    assert found[-1][1]["title"] == "rnnprof check: 8 more"
    assert "8 FAIL" in found[-1][2]


def test_the_summary_of_several_gpus_stays_within_githubs_limit():
    reason = "|" * 5000
    findings = tuple(of(Verdict.FAIL, where=f"B={n}", sentence=reason) for n in range(500))
    several = judged(
        (summed_up(findings), replace(CONTEXT, gpu=f"simulated-{n}")) for n in range(6)
    )
    text = gates_markdown(several)
    assert text.count("<details>") == 6
    assert len(text.encode()) < 1 << 20


def test_of_several_gpus_the_log_guards_every_text():
    texts = github(TWO, {}, token="T")
    assert texts.log.startswith(f"::stop-commands::T\n{gates_text(TWO)}\n::T::\n::error ")
    assert texts.summary == gates_markdown(TWO)


# every verdict


@pytest.mark.parametrize(
    ("verdict", "tag", "level", "sign"),
    [
        (Verdict.PASS, None, None, "✅"),
        (Verdict.FAIL, "failure", "error", "❌"),
        (Verdict.NOT_COMPARABLE, "error", "error", "🚫"),
        (Verdict.INCONCLUSIVE, "skipped", "warning", "⚠️"),
    ],
)
def test_every_verdict_in_every_format(verdict, tag, level, sign):
    gate = gate_of(verdict)
    assert gate_text(gate, CONTEXT).splitlines()[3].startswith(f"{verdict}  peak B=64 T=128: ")
    assert gate_text(gate, CONTEXT).splitlines()[-1] == gate.sentence
    assert gate.sentence.startswith(f"{verdict}: 1 of 1 check ")
    assert gate_markdown(gate, CONTEXT).startswith(f"## {sign} rnnprof check: {verdict}\n")
    assert f"| {sign} {verdict} | peak B=64 T=128 |" in gate_markdown(gate, CONTEXT)
    assert json.loads(gate_json(gate, CONTEXT))["verdict"] == verdict
    [case] = cases(gate)
    assert [child.tag for child in case] == ([tag] if tag else [])
    assert [command[0] for command in commands(gate_annotations(gate, CONTEXT))] == (
        [level] if level else []
    )
    assert json.loads(gate_benchmarks(gate))[0]["extra"].startswith(f"{verdict}: ")


@pytest.mark.parametrize(
    ("verdict", "codes"),
    [
        (Verdict.PASS, (0, 0)), (Verdict.FAIL, (1, 1)), (Verdict.NOT_COMPARABLE, (3, 3)),
        (Verdict.INCONCLUSIVE, (0, 3)),
    ],
)  # fmt: skip
def test_exit_code_is_told_as_it_will_be(verdict, codes):
    for strict, code in zip((False, True), codes, strict=True):
        context = replace(CONTEXT, is_strict=strict)
        assert json.loads(gate_json(gate_of(verdict), context))["exit_code"] == code
        outputs = github(judged([(gate_of(verdict), context)]), {}, token="T").outputs
        assert outputs == f"verdict<<T\n{verdict}\nT\nexit-code<<T\n{code}\nT\n"


@pytest.mark.parametrize("gate", [gate_of(Verdict.INCONCLUSIVE), EMPTY], ids=["one", "none"])
@pytest.mark.parametrize("form", FORMATS)
def test_inconclusive_is_never_called_passed(gate, form):
    text = FORMATS[form](gate, CONTEXT)
    assert not re.search("pass|held|success|✅", text, re.IGNORECASE)
    assert "INCONCLUSIVE" in text or (form, gate) == ("benchmarks", EMPTY)


def test_a_gate_without_findings_is_no_empty_suite():
    [case] = cases(EMPTY)
    assert case.find("skipped") is not None
    assert [command[0] for command in commands(gate_annotations(EMPTY, CONTEXT))] == ["warning"]


def test_inconclusive_is_an_error_where_it_ends_the_job():
    notes = gate_annotations(gate_of(Verdict.INCONCLUSIVE), replace(CONTEXT, is_strict=True))
    assert [command[0] for command in commands(notes)] == ["error"]


def test_counts_of_a_suite():
    suite = ET.fromstring(gate_junit(SMALL, CONTEXT)).find("testsuite")
    counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 4, "failures": 1, "errors": 1, "skipped": 1}


def test_sentence_leaves_out_what_held_unless_all_did():
    gate = gate_of(Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.PASS)
    assert gate.sentence == "INCONCLUSIVE: 1 of 3 checks could not be decided."
    assert gate_of(Verdict.PASS, Verdict.PASS).sentence == "PASS: 2 of 2 checks passed."


# order and figures


def test_worst_first_is_by_verdict_then_by_how_far():
    far, near = of(Verdict.FAIL, measured=900 * MIB), of(Verdict.FAIL, measured=601 * MIB)
    slow = changed(RATE, verdict=Verdict.FAIL, measured=100e3)  # five times below
    missing = of(Verdict.FAIL, measured=None)
    held = of(Verdict.PASS, measured=1.0)
    unordered = (held, GROWTH, near, far, OTHER_GPU, slow, missing)
    wanted = [missing, slow, far, near, OTHER_GPU, GROWTH, held]
    assert worst_first(unordered) == wanted


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_figure(odd):
    found = of(
        Verdict.FAIL, where="", measured=odd, limit=odd, interval=(odd, 1.0), detectable_ratio=odd
    )
    gate = summed_up((found, PEAK))
    assert worst_first((PEAK, found)) == [found, PEAK]
    assert json.loads(gate_benchmarks(gate)) == json.loads(gate_benchmarks(summed_up((PEAK,))))
    for form in ("text", "markdown", "json", "junit", "annotations"):
        assert not re.search(r"\b(nan|inf)\b|Infinity", FORMATS[form](gate, CONTEXT), re.IGNORECASE)
    [context, _] = json.loads(gate_json(gate, CONTEXT))["findings"]
    assert (context["measured"], context["interval"], context["detectable_ratio"]) == (
        None,
        None,
        None,
    )


def test_figures_that_round_alike_are_stated_exactly():
    text = gate_text(summed_up((of(Verdict.FAIL, measured=600 * MIB + 1),)), CONTEXT)
    assert "629,145,601 bytes, limit 629,145,600 bytes" in text
    slow = finding("time_growth", "", Verdict.FAIL, "slower", "s", 1.00001, baseline=1.0)
    assert "1.00001 s, baseline 1 s" in gate_text(summed_up((slow,)), CONTEXT)


@pytest.mark.parametrize(
    ("unit", "measured", "shown"),
    [
        ("ratio", 1.034, "103.4%"), ("ratio", 0.005, "0.5%"), ("sequences", 768.0, "B=768"),
        ("", 3.0, "3"), ("bytes", 0.0, "0 B"), ("s", 1.5, "1.50 s"),
    ],
)  # fmt: skip
def test_figures_have_their_units(unit, measured, shown):
    found = finding("peak", "T=1", Verdict.FAIL, "so", unit, measured)
    assert f"peak T=1: {shown}: so" in gate_text(summed_up((found,)), CONTEXT)


def test_figures_that_the_sentence_states_are_not_repeated():
    sentence = "peak 612 MiB, 600 MiB is allowed: +2.0%"
    stated = changed(PEAK, sentence, reason=PeakAndLimit("allocated", 612 * MIB, 600 * MIB))
    [line] = gate_text(summed_up((stated,)), CONTEXT).splitlines()[3:4]
    assert line == f"FAIL  peak B=64 T=128: {sentence}"
    of_another = changed(PEAK, sentence, reason=PeakAndLimit("allocated", 1612 * MIB, MIB))
    assert f": 612 MiB, limit 600 MiB: {sentence}" in one_line(
        gate_text(summed_up((of_another,)), CONTEXT)
    )
    rate = changed(RATE, "663 k/s", reason=Throughput(663e3, (650e3, 676e3), 500e3))
    assert gate_text(summed_up((rate,)), CONTEXT).count("k/s") == 1
    partly = changed(RATE, "663 k/s", reason=Throughput(663e3, (650e3, 677e3), 500e3))
    assert "95% interval 650 k" in one_line(gate_text(summed_up((partly,)), CONTEXT))


def test_figures_that_round_alike_are_stated_exactly_beside_the_sentence():
    above = PeakAndLimit("allocated", 600 * MIB + 1, 600 * MIB)
    text = gate_text(summed_up((of(Verdict.FAIL, measured=600 * MIB + 1, reason=above),)), CONTEXT)
    assert "629,145,601 bytes, limit 629,145,600 bytes" in text


def test_numbers_are_found_within_reasons_and_a_flag_is_none():
    assert list(numbers_in(Throughput(3.0, (1.0, 2.0), 4.0))) == [3.0, 1.0, 2.0, 4.0]
    assert list(numbers_in(Unfinished(is_baseline=True))) == []
    few = TooFewProcesses(1, 3, ("noisy by 9",))
    assert list(numbers_in(ThroughputOfFew(5.0, 6.0, few, 2.0))) == [5.0, 6.0, 1, 3, 2.0]


def test_names_that_recur_are_told_apart():
    gate = summed_up((PEAK, GROWTH, PEAK, PEAK))
    names = ["peak B=64 T=128", "time_growth B=64 T=128"]
    names += [f"peak B=64 T=128 ({n})" for n in (2, 3)]
    assert [case.get("name") for case in cases(gate)] == names
    assert [row["name"] for row in json.loads(gate_benchmarks(gate))] == names


def test_without_baseline_budget_limit_and_clock():
    context = replace(CONTEXT, base_name=None, budget_name=None, limit_bytes=None, judged_at=None)
    assert gate_text(SMALL, context).splitlines()[0].endswith("NVIDIA H200, limit not known")
    suite = ET.fromstring(gate_junit(SMALL, context)).find("testsuite")
    assert suite.get("timestamp") is None
    assert "baseline" not in [each.get("name") for each in suite.iter("property")]
    assert gate_annotations(summed_up((PEAK,)), context).startswith("::error title=rnnprof FAIL")
    assert "```" not in gate_markdown(SMALL, replace(context, command=""))


# benchmarks


def test_benchmarks_are_smaller_is_better():
    largest = finding("max_batch", "T=128", Verdict.PASS, "enough", "sequences", 768, 512)
    ratio = finding("memory_growth", "B=1 T=1", Verdict.PASS, "so", "ratio", 1.01, 1.005)
    rows = json.loads(gate_benchmarks(summed_up((PEAK, GROWTH, RATE, largest, ratio, OTHER_GPU))))
    assert [(row["name"], row["unit"]) for row in rows] == [
        ("peak B=64 T=128", "bytes"), ("time_growth B=64 T=128", "s"),
        ("throughput B=64 T=128", "s"), ("memory_growth B=1 T=1", "ratio"),
    ]  # fmt: skip
    peak, growth, rate, _ = rows
    assert peak["value"] == 612 * MIB
    assert "range" not in growth  # its interval is that of the ratio
    assert "95% interval of the growth +1.2% to +7.1%" in growth["extra"]
    assert rate["value"] == pytest.approx(1 / 663e3)
    assert "seconds per time step" in rate["extra"]
    half = float(rate["range"].removeprefix("± "))
    assert half == pytest.approx((1 / 650e3 - 1 / 676e3) / 2, rel=1e-2)


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_no_rate_is_no_benchmark(rate):
    assert json.loads(gate_benchmarks(summed_up((changed(RATE, measured=rate),)))) == []
    [row] = json.loads(gate_benchmarks(summed_up((changed(RATE, interval=(rate, 7e5)),))))
    assert "range" not in row


# at length


@pytest.mark.parametrize(
    ("verdict", "level"), [(Verdict.FAIL, "error"), (Verdict.INCONCLUSIVE, "warning")]
)
def test_of_500_the_worst_9_and_how_many_more(verdict, level):
    found = commands(gate_annotations(many(500, verdict), CONTEXT))
    assert [name for name, *_ in found] == [level] * 10
    titles = [properties["title"] for _, properties, _ in found]
    assert titles[:9] == [f"rnnprof {verdict}: peak B={500 - n} T=1" for n in range(9)]
    assert titles[9] == "rnnprof check: 491 more"
    assert found[9][2].startswith(f"491 {verdict}.")


@pytest.mark.parametrize(("count", "shown"), [(9, 9), (10, 10), (11, 10)])
def test_ten_annotations_need_no_rest(count, shown):
    notes = gate_annotations(many(count), CONTEXT)
    assert len(commands(notes)) == shown
    assert ("2 more" in notes) == (count == 11)


def test_500_rows_are_a_table_of_200_and_a_fold():
    text = gate_markdown(summed_up((*many(500).findings, GROWTH)), CONTEXT)
    rows = re.findall(r"^\| ❌ FAIL \| peak B=(\d+) T=1 \|", text, re.MULTILINE)
    assert [int(row) for row in rows] == list(range(500, 300, -1))
    assert "<details><summary>301 more</summary>\n\n300 FAIL, 1 INCONCLUSIVE." in text
    assert text.index("</details>") > text.index("<details>")
    assert "<details>" not in gate_markdown(many(200), CONTEXT)


def test_500_are_all_in_text_json_and_junit():
    gate = many(500)
    assert gate_text(gate, CONTEXT).count("\nFAIL  peak ") == 500
    assert len(json.loads(gate_json(gate, CONTEXT))["findings"]) == 500
    assert len(cases(gate)) == 500


@pytest.mark.parametrize("sign", ["𝐀", "|", "字"])
def test_summary_and_messages_stay_within_githubs_limits(sign):
    endless = sign * 1_100
    found = finding(endless, endless, Verdict.FAIL, endless, endless, 1.0, 2.0, 3.0, (0.1, 0.2))
    context = CheckContext(*[endless] * 4, GIB, endless, endless)
    gate = summed_up((found,) * 201)
    size_bytes = len(gate_markdown(gate, context).encode())
    assert size_bytes < 800 * 1024  # of the 1024 that GitHub takes
    for _, properties, message in commands(gate_annotations(gate, context)):
        assert len(message) <= 4096
        assert len(properties["title"]) <= 255


# hostile names

PLAIN = one_line(HOSTILE)


@pytest.fixture(scope="module")
def hostile():
    findings = tuple(
        finding(HOSTILE, HOSTILE, verdict, HOSTILE, HOSTILE, 1.0, 2.0) for verdict in Verdict
    )
    return summed_up(findings), CheckContext(*[HOSTILE] * 4, None, HOSTILE, HOSTILE)


def test_hostile_names_are_text_of_80_columns(hostile):
    lines = gate_text(*hostile).split("\n")
    assert all(line.isprintable() and columns(line) <= 80 for line in lines)


def test_hostile_names_are_no_commands(hostile):
    texts = github(judged([hostile]), {}, token="T")
    assert [name for name, *_ in commands(texts.log)] == ["error", "error", "warning"]
    assert commands(texts.log) == commands(texts.annotations)
    for _, properties, message in commands(texts.log):
        assert properties["file"] == PLAIN
        assert set(properties) == {"file", "title"}
        assert message.startswith(f"1 {PLAIN}, limit 2 {PLAIN}: {PLAIN}"[:990])


def test_a_line_that_begins_as_a_command_is_told_as_text():
    reason = "x" * 61 + " ::error::x"  # breaks just before the colons
    gate = summed_up((finding("fits", "", Verdict.PASS, reason),))
    assert commands(gate_text(gate, CONTEXT)) != []
    assert commands(github(judged([(gate, CONTEXT)]), {}).log) == []


def test_tokens_are_random():
    first, second = (
        github(judged([(SMALL, CONTEXT)]), {}).outputs.splitlines()[0] for _ in range(2)
    )
    assert first != second
    assert len(first) > len("verdict<<") + 32


def test_hostile_names_are_no_markup(hostile):
    text = gate_markdown(*hostile)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9}
    assert not re.search(r"(?<!\\)<", re.sub(r"(?s)^```sh\n.*^```$", "", text, flags=re.MULTILINE))
    assert len(rows) == 2 + len(Verdict)


def test_a_command_stands_whole_and_between_fences_or_not_at_all():
    context = replace(CONTEXT, command="rnnprof check 'a  ```b' --budget b.toml")
    assert f"\n````sh\n{context.command}\n````\n" in gate_markdown(SMALL, context)
    long = gate_markdown(SMALL, replace(CONTEXT, command="rnnprof check " + "x" * 5000))
    assert "xxx" not in long
    assert "The command has 5014 characters" in long
    [said] = [
        each for each in ET.fromstring(gate_junit(SMALL, context)).iter("property")
        if each.get("name") == "command"
    ]  # fmt: skip
    assert said.get("value") == context.command


def test_hostile_names_are_utf8(hostile, tmp_path):
    write_github(github(judged([hostile]), {"GITHUB_STEP_SUMMARY": str(tmp_path / "s")}))
    for form in FORMATS.values():
        form(*hostile).encode()


# what is read back is what went in

NAMES = st.text(max_size=40)


@given(NAMES)
def test_github_reads_back_what_went_in(text):
    assert unescaped(escaped_data(text), "\r\n%") == text
    assert unescaped(escaped_property(text), "\r\n:,%") == text
    assert not set("\r\n") & set(escaped_data(text))
    assert not set("\r\n:,") & set(escaped_property(text))


@given(where=NAMES, reason=NAMES, file=NAMES.filter(lambda name: one_line(name)))
def test_a_command_is_one_line_that_the_runner_reads_back(where, reason, file):
    found = finding("peak", where, Verdict.FAIL, reason)
    [(name, properties, message)] = commands(
        gate_annotations(summed_up((found,)), replace(CONTEXT, budget_name=file))
    )
    assert name == "error"
    assert properties == {
        "file": one_line(file), "title": one_line(f"rnnprof FAIL: {found.finding.name}"),
    }  # fmt: skip
    assert message == one_line(reason)


@given(where=NAMES, reason=NAMES, device=NAMES)
def test_xml_reads_back_what_went_in(where, reason, device):
    found = finding("peak", where, Verdict.FAIL, reason)
    context = replace(CONTEXT, device=device)
    text = gate_junit(summed_up((found,)), context)
    suite = ET.fromstring(text.encode()).find("testsuite")
    case = suite.find("testcase")
    assert case.get("name") == one_line(found.finding.name)
    assert (case.find("failure").text or "") == one_line(reason)
    facts = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert facts["device"] == one_line(device)
    assert suite.findtext("system-out") == gate_text(summed_up((found,)), context)


@given(where=NAMES, reason=NAMES, measured=st.none() | st.floats(), limit=st.none() | st.floats(),
       ends=st.none() | st.tuples(st.floats(), st.floats()), told_ratio=st.none() | st.floats(),
       unit=st.sampled_from(["bytes", "s", "time_steps_per_s", "sequences", "ratio", "", "m"]),
       verdict=st.sampled_from(list(Verdict)))  # fmt: skip
def test_any_finding_can_be_told(where, reason, measured, limit, ends, told_ratio, unit, verdict):
    found = finding("peak", where, verdict, reason, unit, measured, limit, None, ends, told_ratio)
    gate = summed_up((found,))
    lines = gate_text(gate, CONTEXT).split("\n")
    assert all(columns(line) <= 80 for line in lines)
    context = json.loads(gate_json(gate, CONTEXT), parse_constant=pytest.fail)
    assert context["findings"][0]["reason"] == reason
    json.loads(gate_benchmarks(gate), parse_constant=pytest.fail)
    assert len(cases(gate)) == 1
    assert escaped(found.finding.name)[:20] in gate_markdown(gate, CONTEXT)
    assert len(commands(gate_annotations(gate, CONTEXT))) == (verdict is not Verdict.PASS)


# a GitHub job's files


def test_summary_and_outputs_are_appended(tmp_path):
    summary, outputs = tmp_path / "summary", tmp_path / "outputs"
    summary.write_text("before\n")
    places = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs)}
    write_github(github(judged([(SMALL, CONTEXT)]), places, token="T"))
    assert summary.read_text() == "before\n" + gate_markdown(SMALL, CONTEXT)
    assert outputs.read_bytes() == b"verdict<<T\nFAIL\nT\nexit-code<<T\n1\nT\n"


def test_outside_a_job_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for environment in ({}, {"GITHUB_STEP_SUMMARY": "", "GITHUB_OUTPUT": ""}):
        write_github(github(judged([(SMALL, CONTEXT)]), environment))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    texts = github(judged([(SMALL, CONTEXT)]), {"GITHUB_OUTPUT": str(tmp_path / "no" / "file")})
    with pytest.raises(BadInputError, match=r"--github: cannot write to \$GITHUB_OUTPUT, .*no"):
        write_github(texts)


# the schema

SCHEMA = Path(__file__).parents[1] / "golden" / "junit.xsd"


@pytest.fixture(scope="module")
def schema():
    xmlschema = pytest.importorskip("xmlschema", reason="xmlschema, of the extra dev, is missing")
    return xmlschema.XMLSchema(str(SCHEMA))


@pytest.mark.parametrize("gate", [SMALL, EMPTY, many(500)], ids=["small", "none", "many"])
def test_junit_is_valid(schema, gate):
    schema.validate(gate_junit(gate, CONTEXT))


def test_junit_of_hostile_names_is_valid(schema, hostile):
    gate, context = hostile
    schema.validate(gate_junit(gate, replace(context, judged_at=CONTEXT.judged_at)))


def test_the_schema_refuses_what_readers_would_not_understand(schema):
    text = gate_junit(SMALL, CONTEXT)
    for old, new in (
        ("failure", "failed"), ('errors="1"', 'errors="one"'), (' type="FAIL"', ""),
        (' classname="rnnprof.peak"', ""), ("T00:30:00", "T00:30:00Z"), ("<system-err />", ""),
    ):  # fmt: skip
        assert text.count(old)
        assert not schema.is_valid(text.replace(old, new))
