"""Sentences of what a job notes as it goes."""

from __future__ import annotations

from rnnprof.engine.reasons import (
    AnotherLength,
    Doing,
    IncompleteRecordSaved,
    LimitKept,
    Opens,
    PassesLeftOut,
    PredictedLargest,
    ScriptChecked,
    SetupRuns,
    TemplateRestarted,
    TimedAgain,
)
from rnnprof.plain_text import WIDTH, clip
from rnnprof.report.words.dispatch import say
from rnnprof.report.words.phrases import workload_in_words
from rnnprof.units import format_bytes, format_ratio


@say.register
def _(reason: Opens) -> str:
    device = reason.device if reason.simulates is None else f"simulated {reason.simulates}"
    limit = "free memory" if reason.limit_bytes is None else format_bytes(reason.limit_bytes)
    rest = f" on {device}, within {limit}"
    return f"{workload_in_words(reason.workload, WIDTH - len(rest))}{rest}"


@say.register
def _(reason: PredictedLargest) -> str:
    return (
        f"T={reason.time_steps}: about {reason.batch} sequences fit, as {reason.points} points "
        "predict it; not proven"
    )


@say.register
def _(reason: LimitKept) -> str:
    return (
        f"the limit of {format_bytes(reason.limit_bytes)} is kept, though only "
        f"{format_bytes(reason.free_bytes)} are free now: what needs more is left open and does "
        "not count as out of memory"
    )


@say.register
def _(reason: IncompleteRecordSaved) -> str:
    return (
        "the run file ended in an incomplete record, as a crash or a full disk leaves it: its "
        f"bytes are kept in {reason.file}, and the run goes on after the record before"
    )


@say.register
def _(reason: PassesLeftOut) -> str:
    return (
        f"{reason.left_out} of {reason.points} memory passes left out; the others give "
        f"their peaks to within {format_ratio(reason.precision_ratio)}"
    )


@say.register
def _(reason: TimedAgain) -> str:
    return f"{reason.point}: {say(reason.noise)} while it was timed; timing it again"


@say.register
def _(reason: Doing) -> str:
    return f"[{reason.number}/{reason.total}] {reason.point}: {reason.lesson}"


@say.register
def _(reason: TemplateRestarted) -> str:
    repeated = " and this attempt repeated" if reason.is_repeated else ""
    return f"the worker template {reason.how}; it was started again{repeated}"


@say.register
def _(reason: SetupRuns) -> str:
    return f"running --setup: {clip(reason.command)}"


@say.register
def _(reason: ScriptChecked) -> str:
    shown = str(reason.point) if reason.has_time_steps else f"B={reason.point.batch}"
    return f"{shown}: starting the script to see whether it trains"


@say.register
def _(reason: AnotherLength) -> str:
    return (
        f"the script trains with T={reason.found}, whatever -T says: put {{time_steps}} where it "
        f"takes its sequence length to run it with T={reason.asked}"
    )
