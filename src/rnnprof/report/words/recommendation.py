"""The recommendation in words: the same on the terminal, in charts, on the page, in files."""

from __future__ import annotations

from collections.abc import Sequence

from rnnprof.advice.advise import Advice, LargestSafe
from rnnprof.advice.recommendation import Recommendation
from rnnprof.report.words.advice import MEMORY_DECIDED
from rnnprof.units import format_bytes, format_ratio


def head_of(each: Recommendation) -> str:
    """``T=64: train with B=16``, or that the times decide nothing."""
    if each.batch is not None:
        return f"T={each.time_steps}: train with B={each.batch}"
    if each.tied:
        return f"T={each.time_steps}: {MEMORY_DECIDED}"
    return f"T={each.time_steps}: nothing to recommend"


def cell_of(each: Recommendation | None) -> str:
    """``16`` for a column; ``16 or 32`` where the times do not decide."""
    if each is None:
        return "-"
    if each.batch is not None:
        return str(each.batch)
    return in_words(each.tied) if each.tied else "-"


def in_words(batches: Sequence[int]) -> str:
    """``16 or 32``, ``16, 32 or 64``; of many the first and the last."""
    names = [str(batch) for batch in batches]
    if len(names) > 3:
        return f"{names[0]} to {names[-1]}"
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def at_each_length(advice: Advice) -> str:
    """Every T in one line, ``T=16: B=32; T=64: B=16 or 32, not decided``; empty for none."""
    parts = []
    for each in advice.recommendations:
        is_known = each.batch is not None or each.tied
        batches = f"B={cell_of(each)}" if is_known else "none"
        parts.append(f"T={each.time_steps}: {batches}{', not decided' if each.tied else ''}")
    return "; ".join(parts)


def safe_in_words(each: LargestSafe | None, headroom_ratio: float) -> str:
    """``largest safe batch 158 (483 MiB, predicted)``; empty where no largest batch is known."""
    if each is None or each.edge is None:
        return ""
    if each.batch is None:
        return f"no batch is known to leave {format_ratio(headroom_ratio)}"
    how = "measured" if each.is_measured else "predicted"
    times = ""
    if each.accumulation_steps is not None and each.accumulation_steps > 1:
        times = f", {each.accumulation_steps} steps of accumulation"
    return f"largest safe batch {each.batch} ({format_bytes(each.peak_bytes)}, {how}){times}"
