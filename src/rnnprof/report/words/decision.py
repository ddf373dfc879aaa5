"""What a report says first: which batch to use, and what would change it."""

from __future__ import annotations

from rnnprof.maxbatch.certify import UNUSABLE
from rnnprof.points.measurement import Measurement
from rnnprof.report.model import RunReport, fastest, throughput
from rnnprof.report.words.advice import MEMORY_DECIDED
from rnnprof.report.words.certificates import unusable_in_words
from rnnprof.report.words.dispatch import say
from rnnprof.report.words.phrases import rate_in_words
from rnnprof.report.words.recommendation import at_each_length, safe_in_words
from rnnprof.report.words.scripts import large_in_words
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes, format_ratio


def decision(report: RunReport) -> tuple[str, ...]:
    """What to use, and what would change it: a sentence each."""
    point = report.advice.point
    chosen = report.measurements.get(point) if point is not None else None
    unusable = _unusable(report)
    first = _open(report) or unusable or _without_times(report)
    if chosen is not None:
        first = _use(report, chosen)
    also = unusable if unusable != first else ""
    sentences = (
        first, also, _each_length(report), _by_goodput(report), large_in_words(report),
        _would_change(report),
    )  # fmt: skip
    return tuple(sentence for sentence in sentences if sentence)


def _unusable(report: RunReport) -> str:
    """What the training steps do at some T that no batch can be proven of; empty where nothing."""
    found = [each for each in report.frontier if each.status in UNUSABLE]
    return " ".join(f"T={each.time_steps} is {unusable_in_words(each)}." for each in found)


def _open(report: RunReport) -> str:
    """That the times decide at no T which batch to train with; empty where that is not so."""
    tied = [each for each in report.advice.recommendations if each.tied]
    if not tied:
        return ""
    longest = tied[-1]
    safe = next((e for e in report.advice.largest_safe if e.time_steps == longest.time_steps), None)
    also = safe_in_words(safe, report.headroom_ratio)
    largest = f"; {also}" if also else ""
    return f"At T={longest.time_steps} {MEMORY_DECIDED}: {say(longest.reasons[0])}{largest}."


def _each_length(report: RunReport) -> str:
    """The recommendation at every T, where there are several."""
    if len(report.advice.recommendations) < 2:
        return ""
    return f"Recommended batch at each T: {at_each_length(report.advice)}."


def _by_goodput(report: RunReport) -> str:
    better = report.advice.better_by_goodput
    if better is None:
        return ""
    return f"By goodput B={better.batch} is the better batch there: {say(better.reasons[0])}."


def _use(report: RunReport, chosen: Measurement) -> str:
    peak = chosen.peak_charged_bytes
    use = (
        f"Use B={chosen.point.batch}, T={chosen.point.time_steps}: it takes {format_bytes(peak)}, "
        f"{format_ratio((peak or 0) / report.limit_bytes)} of the limit of "
        f"{format_bytes(report.limit_bytes)}"
    )
    parts = [use]
    there = {
        p: m for p, m in report.measurements.items() if p.time_steps == chosen.point.time_steps
    }
    rate, best = throughput(chosen), fastest(there)
    if rate is not None and best is not None:
        share = format_ratio(rate / (throughput(best) or rate))
        parts.append(
            f"and trains {rate_in_words(rate)}, {share} of the best measured at this T"
            + ("" if best is chosen else f" (B={best.point.batch})")
        )
    edge = next((c for c in report.frontier if c.time_steps == chosen.point.time_steps), None)
    return " ".join(parts) + (f"; {_edge(edge)}." if edge else ".")


def _edge(certificate: Certificate) -> str:
    batch, unit = certificate.batch, certificate.granularity
    if certificate.status is EdgeStatus.CERTIFIED and batch is not None:
        return f"B={batch} is proven to fit there, B={batch + unit} to be out of memory"
    if certificate.status is EdgeStatus.CAPPED:
        return f"B={batch} fits there, the largest tried"
    return "the largest batch there is not known"


def _without_times(report: RunReport) -> str:
    """What the frontier says where no point was timed, or what is missing for an answer."""
    known = [each for each in report.advice.largest_safe if each.batch is not None]
    limit = format_bytes(report.limit_bytes)
    if known:
        each = known[-1]
        how = "measured" if each.is_measured else "predicted"
        edge = next(c for c in report.frontier if c.time_steps == each.time_steps)
        if report.run.is_simulated:
            return (
                f"Simulated, no kernel ran. At T={each.time_steps} {_edge(edge)}, under the limit "
                f"of "
                f"{limit}; B={each.batch} is the largest safe batch, at "
                f"{format_bytes(each.peak_bytes)} ({how})."
            )
        return (
            f"At T={each.time_steps} B={each.batch} is the largest safe batch: it takes "
            f"{format_bytes(each.peak_bytes)} ({how}) of the limit of {limit}; {_edge(edge)}. "
            "No step was timed in this run, so no batch is recommended."
        )
    outcomes = {m.outcome for m in report.measurements.values()}
    if outcomes and outcomes <= {Outcome.OOM, Outcome.IMPLIED_OOM}:
        return f"Nothing that was tried fits under the limit of {limit}."
    if Outcome.MEASURED in outcomes:
        return (
            f"No point is known to leave {format_ratio(report.headroom_ratio)} of the limit of "
            f"{limit} free."
        )
    return "This run does not show yet what to use: no point was measured."


def _would_change(report: RunReport) -> str | None:
    """What another limit or another look would change."""
    if report.advice.predictions:
        return (
            f"What would change it: {say(report.advice.predictions[-1])} (predicted, not measured)."
        )
    return None
