"""What a study of trainability has found, in words and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rnnprof.plain_text import WIDTH
from rnnprof.report.model import RunReport
from rnnprof.report.words.study import (
    AT_START,
    FEW_SEEDS,
    NOISE_HEAD,
    NOT_REACHED,
    NOTHING_STUDIED,
    after,
    noise_in_words,
    reach_head,
    reach_in_words,
    target_head,
)
from rnnprof.study.trainability import MIN_SEEDS, ToTarget, Trainability
from rnnprof.units import format_seconds


def trainability_in_words(report: RunReport) -> str:
    """Reach, noise and time to target, a block each, of at most 80 columns."""
    found = report.trainability
    blocks = [
        list(_reach(found)),
        list(_noise(found)),
        list(_to_target(found)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) or NOTHING_STUDIED


def _reach(found: Trainability) -> Iterator[str]:
    if not found.reach:
        return
    threshold = found.study.reach_ratio if found.study else 1e-3
    yield reach_head(threshold)
    for each in found.reach:
        yield _item(f"T={each.time_steps} {after(each.train_steps)}: {reach_in_words(each)}")


def _noise(found: Trainability) -> Iterator[str]:
    if not found.noise:
        return
    yield NOISE_HEAD
    for each in found.noise:
        yield _item(f"T={each.time_steps} {after(each.train_steps)}: {noise_in_words(each)}")


def _to_target(found: Trainability) -> Iterator[str]:
    if not found.to_target or found.study is None:
        return
    yield textwrap.fill(target_head(found.study, found.to_target[0].target_loss), WIDTH)
    columns = f"{'reached':>8} {'steps':>8} {'sequences':>10} {'seconds, least to most':>26}"
    yield f"{'T':>5} {'B':>5} {columns}"
    yield from map(_row, found.to_target)
    if any(each.seeds < MIN_SEEDS for each in found.to_target):
        yield FEW_SEEDS


def _row(each: ToTarget) -> str:
    head = (
        f"{each.point.time_steps:>5} {each.point.batch:>5} {f'{each.reached} of {each.seeds}':>8}"
    )
    if each.at_start:
        return f"{head}  {AT_START}"
    if each.train_s is None or each.spread_s is None:
        return f"{head}  {NOT_REACHED}"
    seconds = f"{format_seconds(each.train_s)} ({' to '.join(map(format_seconds, each.spread_s))})"
    return f"{head} {each.train_steps or 0:>8.0f} {each.sequences or 0:>10.0f} {seconds:>26}"


def _item(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
