"""What a report says first: what to use, and how far its run can be trusted."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.advice.recommendation import UNDECIDED
from rnnprof.maxbatch.certify import UNUSABLE
from rnnprof.points.fold import anchor_drift
from rnnprof.points.measurement import Measurement
from rnnprof.report.model import View, fastest, throughput
from rnnprof.report.text.pieces import rate_in_words, unusable_in_words
from rnnprof.report.text.recommendation import at_each_length, safe_in_words
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.points import GOOD_OUTCOMES, Outcome, Point
from rnnprof.units import format_bytes, format_ratio

DRIFT_RATIO: Final = 0.05
"""A drift of the anchor above it moves comparisons more than the timing's own precision does."""

NAMED_POINTS: Final = 4
"""More points than these are counted, not named."""


class Trust(enum.StrEnum):
    """How far a run can be trusted."""

    VALID = "VALID"
    NOISY = "NOISY"
    UNFINISHED = "UNFINISHED"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a run and what it rests on, a sentence each."""

    verdict: Trust
    reasons: tuple[str, ...]


def judge_run(view: View) -> Judgement:
    """UNFINISHED where a measurement is missing, NOISY where times cannot be relied on."""
    missing, noisy = tuple(_missing(view)), tuple(_noisy_text(view))
    if missing:
        return Judgement(Trust.UNFINISHED, missing + noisy + tuple(_loose(view)))
    if noisy:
        return Judgement(Trust.NOISY, noisy + tuple(_loose(view)))
    return Judgement(Trust.VALID, (*_sound(view), *_loose(view)))


def _missing(view: View) -> Iterator[str]:
    if not view.run.requests:
        yield "nothing was asked for"
    elif not view.run.is_finished:
        yield "the last invocation did not come to its end"
    absent = [point for point in view.places if point not in view.measurements]
    if absent:
        yield f"{_counted(absent)} not reached"
    for outcome in (o for o in Outcome if o not in GOOD_OUTCOMES):
        points = [m.point for m in view.measurements.values() if m.outcome is outcome]
        if points:
            yield f"{_counted(points)} {outcome.value}"
    for certificate in view.frontier:
        if certificate.status is EdgeStatus.INDETERMINATE:
            at = f"the largest batch at T={certificate.time_steps}"
            yield f"{at} is not known: {certificate.reason}"


def _noisy_text(view: View) -> Iterator[str]:
    noisy = [m for m in _timed(view) if m.noisy]
    if noisy:
        first = noisy[0]
        yield (
            f"{_counted([m.point for m in noisy])} timed while noisy, though repeated once "
            f"({first.point}: {first.noisy})"
        )
    drift = anchor_drift(view.run)
    if drift is not None and drift.ratio > DRIFT_RATIO:
        yield (
            f"the machine's speed drifted by {format_ratio(drift.ratio)} between timings of the "
            f"anchor {drift.point}: compare times across points with care. Memory is not touched "
            "by it"
        )


def _sound(view: View) -> Iterator[str]:
    known = len(view.measurements)
    if known:
        yield f"all {known} points were answered" if known > 1 else "the one point was answered"
    if view.frontier:
        yield f"the largest batch is known at {len(view.frontier)} of {len(view.frontier)} T"
    if _timed(view):
        yield "no timing that counts was noisy"
    drift = anchor_drift(view.run)
    if drift is not None:
        yield f"the anchor {drift.point} drifted by {format_ratio(drift.ratio)}"


def _loose(view: View) -> Iterator[str]:
    timed = _timed(view)
    loose = [m.point for m in timed if m.converged is False]
    if loose:
        yield (
            f"{len(loose)} of {len(timed)} times did not settle within the precision asked for: "
            "their intervals are drawn"
        )


def _timed(view: View) -> list[Measurement]:
    return [m for _, m in sorted(view.measurements.items()) if throughput(m) is not None]


def _counted(points: Sequence[Point]) -> str:
    """``2 points (B=8 T=16, B=16 T=16)``; of many the number alone."""
    head = "1 point" if len(points) == 1 else f"{len(points)} points"
    if len(points) > NAMED_POINTS:
        return head
    return f"{head} ({', '.join(map(str, sorted(points)))})"


# --- the decision --------------------------------------------------------------------------------


def decision(view: View) -> tuple[str, ...]:
    """What to use, and what would change it: a sentence each."""
    point = view.advice.point
    chosen = view.measurements.get(point) if point is not None else None
    unusable = _unusable(view)
    first = _open(view) or unusable or _without_times(view)
    if chosen is not None:
        first = _use(view, chosen)
    also = unusable if unusable != first else ""
    sentences = (first, also, _each_length(view), _by_goodput(view), _would_change(view))
    return tuple(sentence for sentence in sentences if sentence)


def _unusable(view: View) -> str:
    """What the training steps do at some T that no batch can be proven of; empty where nothing."""
    found = [each for each in view.frontier if each.status in UNUSABLE]
    return " ".join(f"T={each.time_steps} is {unusable_in_words(each)}." for each in found)


def _open(view: View) -> str:
    """That the times decide at no T which batch to train with; empty where that is not so."""
    tied = [each for each in view.advice.recommendations if each.tied]
    if not tied:
        return ""
    longest = tied[-1]
    safe = next((e for e in view.advice.largest_safe if e.time_steps == longest.time_steps), None)
    also = safe_in_words(safe, view.headroom_ratio)
    largest = f"; {also}" if also else ""
    return f"At T={longest.time_steps} {UNDECIDED}: {longest.reasons[0]}{largest}."


def _each_length(view: View) -> str:
    """The recommendation at every T, where there are several."""
    if len(view.advice.recommendations) < 2:
        return ""
    return f"Recommended batch at each T: {at_each_length(view.advice)}."


def _by_goodput(view: View) -> str:
    better = view.advice.better_by_goodput
    if better is None:
        return ""
    return f"By goodput B={better.batch} is the better batch there: {better.reasons[0]}."


def _use(view: View, chosen: Measurement) -> str:
    peak = chosen.peak_charged_bytes
    use = (
        f"Use B={chosen.point.batch}, T={chosen.point.time_steps}: it takes {format_bytes(peak)}, "
        f"{format_ratio((peak or 0) / view.limit_bytes)} of the limit of "
        f"{format_bytes(view.limit_bytes)}"
    )
    parts = [use]
    there = {p: m for p, m in view.measurements.items() if p.time_steps == chosen.point.time_steps}
    rate, best = throughput(chosen), fastest(there)
    if rate is not None and best is not None:
        share = format_ratio(rate / (throughput(best) or rate))
        parts.append(
            f"and trains {rate_in_words(rate)}, {share} of the best measured at this T"
            + ("" if best is chosen else f" (B={best.point.batch})")
        )
    edge = next((c for c in view.frontier if c.time_steps == chosen.point.time_steps), None)
    return " ".join(parts) + (f"; {_edge(edge)}." if edge else ".")


def _edge(certificate: Certificate) -> str:
    batch, unit = certificate.batch, certificate.granularity
    if certificate.status is EdgeStatus.CERTIFIED and batch is not None:
        return f"B={batch} is proven to fit there, B={batch + unit} to be out of memory"
    if certificate.status is EdgeStatus.CAPPED:
        return f"B={batch} fits there, the largest tried"
    return "the largest batch there is not known"


def _without_times(view: View) -> str:
    """What the frontier says where no point was timed, or what is missing for an answer."""
    known = [each for each in view.advice.largest_safe if each.batch is not None]
    limit = format_bytes(view.limit_bytes)
    if known:
        each = known[-1]
        how = "measured" if each.is_measured else "predicted"
        edge = next(c for c in view.frontier if c.time_steps == each.time_steps)
        if view.run.is_simulated:
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
    outcomes = {m.outcome for m in view.measurements.values()}
    if outcomes and outcomes <= {Outcome.OOM, Outcome.IMPLIED_OOM}:
        return f"Nothing that was tried fits under the limit of {limit}."
    if Outcome.MEASURED in outcomes:
        return (
            f"No point is known to leave {format_ratio(view.headroom_ratio)} of the limit of "
            f"{limit} free."
        )
    return "This run does not tell yet what to use: no point was measured."


def _would_change(view: View) -> str | None:
    """What another limit or another look would change."""
    if view.advice.predictions:
        return f"What would change it: {view.advice.predictions[-1]} (predicted, not measured)."
    return None
