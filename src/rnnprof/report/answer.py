"""The answer in words: the edge at each T, and what to train with and why."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rnnprof.analysis.advice import Advice, TrainWith
from rnnprof.analysis.goodput import Chunk
from rnnprof.records import Certificate
from rnnprof.report.table import WIDTH, certificate_in_words
from rnnprof.units import format_bytes, format_ratio


def frontier_in_words(
    frontier: Sequence[Certificate], advice: Advice, headroom_ratio: float
) -> str:
    """One line per T: the edge, and the batch to train with."""
    by_steps = {each.steps: each for each in advice.train_with}
    return "\n".join(
        f"T={certificate.steps}: {certificate_in_words(certificate)}"
        + _train_with(by_steps.get(certificate.steps), headroom_ratio)
        for certificate in frontier
    )


def _train_with(each: TrainWith | None, headroom_ratio: float) -> str:
    if each is None or each.edge is None:
        return ""
    if each.batch is None:
        return f"; no batch is known to leave {format_ratio(headroom_ratio)}"
    how = "measured" if each.is_measured else "predicted"
    times = ""
    if each.accumulation_steps is not None and each.accumulation_steps > 1:
        times = f", {each.accumulation_steps} steps of accumulation"
    return f"; train with {each.batch} ({format_bytes(each.peak_bytes)}, {how}){times}"


def advice_in_words(advice: Advice) -> str:
    """The advice, with a line for each reason; what is predicted stands apart."""
    head = "Train with: not known from this run"
    if advice.batch is not None:
        head = f"Train with B={advice.batch} T={advice.steps}"
        if better := advice.better_by_goodput:
            head += f" by speed alone; by goodput with B={better.batch}"
    lines = [head, *(_item(reason) for reason in advice.reasons)]
    if advice.predictions:
        lines += ["Predicted, not measured:", *map(_item, advice.predictions)]
    for goodput in advice.goodput:
        lines.append(f"By goodput at T={goodput.steps}: train with B={goodput.batch}")
        lines += map(_item, goodput.reasons)
    if advice.unknown:
        lines += ["Not known from this run:", *map(_item, advice.unknown)]
    if advice.chunk is not None:
        lines += [_chunk(advice.chunk), *map(_item, advice.chunk.reasons)]
    return "\n".join(lines)


def _chunk(chunk: Chunk) -> str:
    if chunk.steps is None:
        return "Chunks: not known from this run"
    return f"Cut sequences into chunks of {chunk.steps}: {chunk.chunks} each"


def _item(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
