"""Sentences of a user's script: its start, what it holds, and what ends a training step of it."""

from __future__ import annotations

from typing import Final

from rnnprof.plain_text import one_line
from rnnprof.points.script_facts import ScriptFacts, StepEnd
from rnnprof.report.model import RunReport
from rnnprof.report.words.phrases import counted
from rnnprof.units import format_bytes, format_ratio, format_seconds
from rnnprof.workload import ScriptSource

NO_SCRIPT: Final = "This run is not of a script."
AT_EACH_POINT: Final = "Run at each point, with its sizes in place of the braces:"
NOT_REACHED: Final = "No pass reached a training step of the script."

TIME_STEPS_SEEN: Final = (
    "The script is given no {time_steps}: T is the length that its recurrent layers got"
)

SCRIPT_CAPTION: Final = (
    "The proof at each T, or the pass with the largest batch: what was requested, what the "
    "recurrent layers got, and what the script held before its first training step, its weights "
    "among it."
)

LEAST_HELD_BYTES: Final = 1 << 20
"""Less may find room in what the process had before, and would then read as 0 B of weights."""

USUAL: Final = StepEnd("optimizer", 1)
"""A training step that every reader expects, and that the terminal need not explain."""


def script_in_words(report: RunReport) -> list[str]:
    """What the answer says of a script: what it holds, and an unusual end of a training step."""
    facts = report.script_facts
    if facts is None:
        return []
    ends = [] if facts.step_ends in ((), (USUAL,)) else [step_ends_in_words(facts)]
    return [*held_in_words(facts), *ends]


def run_at_each_point(script: ScriptSource) -> str:
    """The script with its command line, as it is run."""
    return f"{AT_EACH_POINT} {one_line(script.describe())}"


def page_sentences(report: RunReport) -> list[str]:
    """All that is known of a script, as whole sentences; empty for other workloads."""
    script, facts = report.run.header.workload.script, report.script_facts
    if script is None:
        return []
    if facts is None:
        return [NOT_REACHED]
    ends = [step_ends_in_words(facts)] if facts.step_ends else []
    length = [] if "time_steps" in script.placeholders else [TIME_STEPS_SEEN]
    return [f"{each}." for each in (*ends, *length, *held_in_words(facts))]


def large_in_words(report: RunReport) -> str:
    """That much of the limit is gone before training begins; empty where it is not so."""
    facts = report.script_facts
    return f"{held_in_words(facts)[0]}." if facts is not None and facts.is_large else ""


def held_in_words(facts: ScriptFacts) -> list[str]:
    """What the script holds before its first training step, and how long it takes to get there."""
    start = "" if facts.start_s is None else format_seconds(facts.start_s)
    if facts.held_bytes is None:
        return [f"The script takes {start} to its first training step"] if start else []
    held, limit = format_bytes(facts.held_bytes), format_bytes(facts.limit_bytes)
    weights = ""
    if facts.held_bytes < LEAST_HELD_BYTES:
        held = f"less than {format_bytes(LEAST_HELD_BYTES)}"
    elif facts.held_weight_bytes is not None:
        weights = f" (weights {format_bytes(facts.held_weight_bytes)})"
    head = "Before its first training step the script holds"
    if not facts.is_large:
        there = f"; it takes {start} to get there" if start else ""
        return [f"{head} {held} of the {limit}{weights}{there}"]
    share = format_ratio(facts.held_ratio)
    large = (
        f"{head} {held}, {share} of the limit of {limit}{weights}: the data set that it loads "
        "counts against the limit"
    )
    return [large, *([f"The script takes {start} to its first training step"] if start else [])]


def step_ends_in_words(facts: ScriptFacts) -> str:
    """How a training step was recognised; of several ways each, as passes can differ."""
    ways = [step_end_in_words(each) for each in facts.step_ends]
    text = ways[0] if len(ways) == 1 else f"passes differ: {'; '.join(ways)}"
    return text[:1].upper() + text[1:]


def step_end_in_words(end: StepEnd) -> str:
    """How a training step was recognised."""
    if end.by == "optimizer":
        if end.events == 1:
            return "a training step ends when the optimizer has stepped"
        return f"{counted(end.events, 'optimizer step')} in turn make one training step"
    if end.by == "weights":
        text = "no optimizer stepped: a training step ends where the weights change"
        return text if end.events == 1 else f"{text}, after {end.events} backward passes"
    if end.events == 1:
        return "no optimizer stepped: a training step ends with each backward pass"
    return f"no optimizer stepped: {end.events} backward passes make one training step"
