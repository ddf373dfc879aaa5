"""What a study of trainability has found, in words and as JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from rnnprof.plain_text import WIDTH
from rnnprof.report.model import RunReport
from rnnprof.study.trainability import MIN_SEEDS, NoiseAt, ReachAt, ToTarget, Trainability
from rnnprof.units import format_ratio, format_seconds


def trainability_in_words(report: RunReport) -> str:
    """Reach, noise and time to target, a block each, of at most 80 columns."""
    found = report.trainability
    blocks = [
        list(_reach(found)),
        list(_noise(found)),
        list(_to_target(found)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) or "nothing was studied"


def trainability_words(report: RunReport) -> list[str]:
    """A sentence for each reach and noise scale after the most training, as the page tells them."""
    found = report.trainability
    reached = {each.time_steps: each for each in found.reach}
    noisy = {each.time_steps: each for each in found.noise}
    return [
        *(f"Reach at T={time_steps}: {_reached(each)}" for time_steps, each in reached.items()),
        *(f"Noise scale at T={time_steps}: {_noisy(each)}" for time_steps, each in noisy.items()),
    ]


def _reach(found: Trainability) -> Iterator[str]:
    if not found.reach:
        return
    threshold = found.study.reach_ratio if found.study else 1e-3
    yield f"Gradient reach: the largest lag with {threshold:g} of the last step's gradient"
    for each in found.reach:
        yield _item(f"T={each.time_steps} {_when(each.train_steps)}: {_reached(each)}")


def _reached(each: ReachAt) -> str:
    if each.reach is None:
        return f"not known: {each.reason}"
    text = each.reach.trend.value.replace("_", " ")
    if each.reach.reach is not None:
        least = "at least " if each.reach.is_cut else ""
        text += f", {least}{each.reach.reach} time steps"
        if each.reach.reach_spread and each.reach.reach_spread[0] != each.reach.reach_spread[1]:
            text += " ({} to {} over draws)".format(*each.reach.reach_spread)
    text += f"; {each.reach.reason}"
    if each.inputs == "embedding":
        text += "; of the embedding's output"
    if each.clipped_ratio is not None:
        text += f"; {format_ratio(each.clipped_ratio)} of the training steps were clipped"
    return text


def _noise(found: Trainability) -> Iterator[str]:
    if not found.noise:
        return
    yield "Noise scale: the batch at which a gradient's noise is as large as the gradient"
    for each in found.noise:
        yield _item(f"T={each.time_steps} {_when(each.train_steps)}: {_noisy(each)}")


def _noisy(each: NoiseAt) -> str:
    scale = each.scale
    if scale is None:
        return f"not known: {each.reason}"
    if scale.sequences is None:
        return f"not known: {scale.reason}"
    assert scale.interval is not None
    low, high = scale.interval
    until = "infinity" if math.isinf(high) else _sequences(high)
    text = f"{_sequences(scale.sequences)} sequences (95% interval {_sequences(low)} to {until})"
    return text if scale.reason is None else f"{text}; {scale.reason}"


def _sequences(count: float) -> str:
    return f"{count:.3g}"


def _to_target(found: Trainability) -> Iterator[str]:
    if not found.to_target or found.study is None:
        return
    study = found.study
    rule = {"fixed": "the same at every batch", "sqrt": "by the root of B", "linear": "by B"}
    rate = "" if study.task is None else f"; learning rate {rule[study.rate_rule]}"
    yield textwrap.fill(
        f"Time to a loss of {found.to_target[0].target_loss:g} on "
        f"{'fresh data' if study.task else 'the last 20 training time_steps'}{rate}",
        WIDTH,
    )
    columns = f"{'reached':>8} {'time_steps':>8} {'sequences':>10} {'seconds, least to most':>26}"
    yield f"{'T':>5} {'B':>5} {columns}"
    yield from map(_row, found.to_target)
    if any(each.seeds < MIN_SEEDS for each in found.to_target):
        yield f"fewer than {MIN_SEEDS} seeds show no spread"


def _row(each: ToTarget) -> str:
    head = (
        f"{each.point.time_steps:>5} {each.point.batch:>5} {f'{each.reached} of {each.seeds}':>8}"
    )
    if each.at_start:
        return f"{head}  met before any training: give a lower --target"
    if each.train_s is None or each.spread_s is None:
        return f"{head}  not reached in the time given"
    seconds = f"{format_seconds(each.train_s)} ({' to '.join(map(format_seconds, each.spread_s))})"
    return f"{head} {each.train_steps or 0:>8.0f} {each.sequences or 0:>10.0f} {seconds:>26}"


def _when(train_steps: int) -> str:
    return f"after {train_steps} training steps" if train_steps else "before training"


def _item(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
