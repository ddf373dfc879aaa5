"""Sentences on the findings of a gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from rnnprof.compare.reasons import RECOMMENDED_PROCESSES
from rnnprof.gate import reasons
from rnnprof.gate.formats.shared import CheckContext, Judged
from rnnprof.gate.verdicts import (
    SEVERITY,
    Finding,
    Gate,
    Verdict,
    WordedFinding,
    WordedGate,
    worst,
)
from rnnprof.plain_text import one_line
from rnnprof.report.words.dispatch import as_text, say
from rnnprof.report.words.phrases import counted, training_steps
from rnnprof.stats.statistics import CONFIDENCE
from rnnprof.units import format_bytes, format_change, format_rate, format_ratio, format_seconds

MOST_LISTED: Final = 20
"""Differences and points that one sentence lists before it counts the rest."""

INTERVAL: Final = f"{CONFIDENCE:.0%} interval"

MORE_PROCESSES: Final = (
    f"measure {RECOMMENDED_PROCESSES} quiet ones (--processes {RECOMMENDED_PROCESSES})"
)


HAPPENED: Final = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.NOT_COMPARABLE: "could not be compared",
    Verdict.INCONCLUSIVE: "could not be decided",
}
"""What became of a check."""

CAME_OUT: Final = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.NOT_COMPARABLE: "not comparable",
    Verdict.INCONCLUSIVE: "inconclusive",
}
"""What became of a GPU among several."""


def worded(gate: Gate) -> WordedGate:
    """A gate with a sentence for each finding; one without findings has checked nothing."""
    nothing = Finding("gate", "", Verdict.INCONCLUSIVE, reasons.NothingChecked())
    findings = gate.findings or (nothing,)
    return summed_up(WordedFinding(each, say(each.reason)) for each in findings)


def summed_up(findings: Iterable[WordedFinding]) -> WordedGate:
    """Findings with the sentence on all of them; there is at least one."""
    known = tuple(findings)
    verdict = worst(each.finding.verdict for each in known)
    counts = Counter(each.finding.verdict for each in known)
    noun = "check" if len(known) == 1 else "checks"
    parts = [f"{counts[verdict]} of {len(known)} {noun} {HAPPENED[verdict]}"]
    # checks that passed are no part of the sentence when others did not
    parts += [
        f"{counts[each]} {HAPPENED[each]}"
        for each in SEVERITY
        if each not in (verdict, Verdict.PASS) and counts[each]
    ]
    return WordedGate(known, f"{verdict.value}: {'; '.join(parts)}.")


def judged(gates: Iterable[tuple[WordedGate, CheckContext]]) -> Judged:
    """The gates of all GPUs with the sentence on all of them: ``2 GPUs: 1 passed, 1 failed
    (simulated-t4).``
    """
    known = tuple(gates)
    if len(known) == 1:
        return Judged(known)
    parts = []
    for verdict, came_out in CAME_OUT.items():
        names = [one_line(context.gpu or "") for gate, context in known if gate.verdict is verdict]
        named = "" if verdict is Verdict.PASS else f" ({', '.join(names)})"
        if names:
            parts.append(f"{len(names)} {came_out}{named}")
    return Judged(known, f"{len(known)} GPUs: {', '.join(parts)}.")


def _listed(texts: Iterable[str]) -> str:
    """The texts in a row, the rest of many as their number."""
    every = list(texts)
    more = len(every) - MOST_LISTED
    listed = "; ".join(every[:MOST_LISTED])
    return f"{listed}; and {more} more" if more > 0 else listed


# --- whether there is anything to judge ----------------------------------------------------------


@say.register
def _(_reason: reasons.NothingChecked) -> str:
    return "nothing was checked: the budget requires nothing"


@say.register
def _(reason: reasons.Unfinished) -> str:
    name = "the baseline" if reason.is_baseline else "the run"
    return f"{name} was stopped before its end: repeat its command to finish it"


@say.register
def _(_reason: reasons.SameRun) -> str:
    return "the baseline is the run itself: give one that was measured before the change"


@say.register
def _(_reason: reasons.NoBaseline) -> str:
    return "the budget limits growth, and there is no baseline: give --baseline"


@say.register
def _(_reason: reasons.BaselineIsEmpty) -> str:
    return "the baseline measured no point: there is nothing to compare the run with"


# --- whether the run is the one that is required -------------------------------------------------


@say.register
def _(reason: reasons.KeyDiffers) -> str:
    return f"{reason.key} is {_value(reason.run)}, the budget has {_value(reason.budget)}"


def _value(value: Any) -> str:
    return "not set" if value is None else repr(value)


@say.register
def _(reason: reasons.SizeDiffers) -> str:
    budget = format_bytes(reason.budget_bytes)
    run = "not set" if reason.run_bytes is None else format_bytes(reason.run_bytes)
    exact = f" ({reason.run_bytes} and {reason.budget_bytes} bytes)" if run == budget else ""
    return f"{reason.key} is {run}, the budget has {budget}{exact}"


@say.register
def _(reason: reasons.NotTheBudgetsRun) -> str:
    return f"the run does not match the budget: {_listed(map(say, reason.differences))}"


@say.register
def _(reason: reasons.NotComparable) -> str:
    return f"not comparable: {_listed(map(say, reason.differences))}"


@say.register
def _(reason: reasons.Comparable) -> str:
    points = counted(reason.points, "point")
    parts = [f"the same workload, device and software; {points} of the baseline"]
    if reason.differences:
        parts.append(f"they differ in {_listed(map(say, reason.differences))}")
    if reason.not_judged:
        places = _listed(map(str, reason.not_judged))
        parts.append(f"not judged, because the baseline did not measure them: {places}")
    return "; ".join(parts)


@say.register
def _(reason: reasons.OtherLimit) -> str:
    what = "the proof" if reason.batch is None else f"B={reason.batch}"
    return (
        f"not comparable: {what} ran under a limit of {format_bytes(reason.ran_bytes)}, "
        f"{format_bytes(reason.required_bytes)} is required"
    )


# --- what was not measured -----------------------------------------------------------------------


@say.register
def _(reason: reasons.NotMeasured) -> str:
    return f"missing: the run has no measurement at {reason.point}"


@say.register
def _(reason: reasons.PassNotRun) -> str:
    return f"missing: the pass that measures it was not run at {reason.point}"


@say.register
def _(reason: reasons.EdgeNotSearched) -> str:
    return f"missing: the run did not search for the largest batch at T={reason.time_steps}"


@say.register
def _(reason: reasons.Ended) -> str:
    cause = f": {as_text(reason.cause)}" if reason.cause else ""
    return f"missing: {reason.outcome.value}{cause}"


@say.register
def _(reason: reasons.MachineShort) -> str:
    return f"other processes held the memory: {as_text(reason.cause)}"


@say.register
def _(reason: reasons.OnlyInBaseline) -> str:
    limit = "; its limit is below the baseline's" if reason.is_limit_smaller else ""
    return f"{say(reason.cause)}{limit}; the baseline measured it"


# --- fits ----------------------------------------------------------------------------------------


@say.register
def _(reason: reasons.DoesNotFit) -> str:
    where = "" if reason.batch is None else f"B={reason.batch}: "
    cause = as_text(reason.cause) or "out of memory"
    message = f" ({reason.message})" if reason.message and reason.message not in cause else ""
    return f"it does not fit: {where}{cause}{message}"


@say.register
def _(reason: reasons.Unusable) -> str:
    return f"{reason.status.value.replace('_', ' ')}: {as_text(reason.cause)}"


@say.register
def _(reason: reasons.WentBothWays) -> str:
    return f"B={reason.batch} fits in one pass and is out of memory in another"


@say.register
def _(reason: reasons.FitsAboveOom) -> str:
    return (
        f"B={reason.batch} fits although B={reason.oom_batch} is out of memory: "
        "memory does not rise with B"
    )


@say.register
def _(reason: reasons.TooFewSteps) -> str:
    return (
        f"B={reason.batch} fits over {training_steps(reason.train_steps)}, "
        f"{reason.required_steps} are required: no proof"
    )


@say.register
def _(reason: reasons.PeakAndHeadroom) -> str:
    left = format_ratio(1 - reason.peak_bytes / reason.limit_bytes)
    return (
        f"B={reason.batch} takes {format_bytes(reason.peak_bytes)} of "
        f"{format_bytes(reason.limit_bytes)}: {left} is left, "
        f"{format_ratio(reason.headroom_ratio)} is required"
    )


@say.register
def _(reason: reasons.FitsWithUnknownPeak) -> str:
    cause = as_text(reason.cause) or "it was not recorded"
    required = ""
    if reason.headroom_ratio > 0:
        required = f"; {format_ratio(reason.headroom_ratio)} headroom is required"
    return f"B={reason.batch} fits; its peak is not known ({cause}){required}"


@say.register
def _(reason: reasons.FitsWithoutHeadroom) -> str:
    often = "once" if reason.retries == 1 else f"{reason.retries} times"
    return (
        f"B={reason.batch} fits only because the allocator emptied its cache ({often}): "
        f"it has no headroom, {format_ratio(reason.headroom_ratio)} is required"
    )


@say.register
def _(reason: reasons.NotRunItself) -> str:
    return f"{say(reason.larger)}; B={reason.batch} itself was not run"


# --- the largest batch ---------------------------------------------------------------------------


@say.register
def _(reason: reasons.LargestBatch) -> str:
    remark = f": {as_text(reason.remark)}" if reason.remark else ""
    if reason.batch == 0:
        return f"no batch is known to fit, B={reason.required} is required{remark}"
    return f"B={reason.batch} is the largest known to fit, B={reason.required} is required{remark}"


@say.register
def _(reason: reasons.NothingFits) -> str:
    return f"nothing fits: {as_text(reason.cause)}"


@say.register
def _(reason: reasons.StoppedAtCap) -> str:
    return f"{say(reason.known)}; no larger batch was tried: raise --at-most"


@say.register
def _(reason: reasons.BetweenMultiples) -> str:
    return f"{say(reason.known)}; B={reason.fails} does not fit: give a finer --granularity"


# --- figures against their limits ----------------------------------------------------------------


@say.register
def _(reason: reasons.PeakAndLimit) -> str:
    return (
        f"{reason.of} peak {format_bytes(reason.peak_bytes)}, "
        f"{format_bytes(reason.limit_bytes)} is allowed: "
        f"{format_change(reason.peak_bytes / reason.limit_bytes - 1)}"
    )


@say.register
def _(reason: reasons.PeakUnknown) -> str:
    cause = as_text(reason.cause) or "this device does not report it"
    return f"the {reason.of} peak is not known: {cause}"


@say.register
def _(_reason: reasons.BaselinePeakUnknown) -> str:
    return "the allocated peak of the baseline is not known"


@say.register
def _(reason: reasons.PeakGrowth) -> str:
    new, base = reason.new_bytes, reason.base_bytes
    grown = f" ({format_change(new / base - 1)})" if base else ""
    return (
        f"{reason.of} peak {format_bytes(new)}{grown}, {format_bytes(base)} in the baseline; "
        f"{format_bytes(reason.allowed_bytes)} more is allowed"
    )


@say.register
def _(reason: reasons.TimeGrowth) -> str:
    low, high = (format_change(bound - 1) for bound in reason.interval)
    return (
        f"{_times(reason.new_s, reason.base_s)}: {format_change(reason.ratio - 1)} "
        f"({INTERVAL} {low} to {high}, one-sided below {format_change(reason.bound - 1)}), "
        f"{format_change(reason.allowed_ratio)} is allowed"
    )


@say.register
def _(reason: reasons.TimesOfFew) -> str:
    shortage = f"{say(reason.shortage)}: too few to tell a change from noise; {MORE_PROCESSES}"
    if reason.new_s is None or not reason.base_s:
        return shortage
    change = format_change(reason.new_s / reason.base_s - 1)
    return f"{_times(reason.new_s, reason.base_s)}: {change}, but {shortage}"


def _times(new_s: float | None, base_s: float | None) -> str:
    return f"{format_seconds(new_s)}, {format_seconds(base_s)} in the baseline"


@say.register
def _(reason: reasons.OnlyNoisy) -> str:
    return f"every process was noisy: {as_text(reason.cause)}"


@say.register
def _(reason: reasons.Throughput) -> str:
    low, high = map(format_rate, reason.interval_per_s)
    return (
        f"{format_rate(reason.rate_per_s, 'time steps')} ({INTERVAL} {low} to {high}), "
        f"{format_rate(reason.required_per_s)} is required"
    )


@say.register
def _(reason: reasons.ThroughputOfFew) -> str:
    return (
        f"{format_rate(reason.rate_per_s, 'time steps')}, {format_rate(reason.required_per_s)} is "
        f"required; with {say(reason.shortage)} only a factor of {reason.factor:g} stands out from "
        f"noise; {MORE_PROCESSES}"
    )
