"""Powers of two compared with their neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.studies.seen import Seen, rate
from rnnprof.report.model import rate_interval

CLEAR_RATIO: Final = 0.05
"""A smaller difference counts as none."""

POWERS: Final = {32: (31, 33), 64: (63, 65), 128: (127, 129)}
"""Powers of two, each with its neighbours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A power of two and its two neighbours at one T.

    Attributes:
        ratio: its rate over the geometric mean of theirs.
        is_above, is_below: its confidence interval is above or below both of theirs.
    """

    time_steps: int
    batch: int
    ratio: float
    is_above: bool
    is_below: bool

    @property
    def is_better(self) -> bool:
        """Whether it is clearly faster."""
        return self.ratio > 1 + CLEAR_RATIO and self.is_above

    @property
    def is_worse(self) -> bool:
        """Whether it is clearly slower."""
        return self.ratio < 1 - CLEAR_RATIO and self.is_below


def pairs_at(seen: Seen, time_steps: int) -> Iterator[Pair]:
    """The powers of two that were timed at one T together with both neighbours."""
    by_batch = {m.point.batch: m for m in seen.at_steps(time_steps)}
    for power, (below, above) in POWERS.items():
        if {power, below, above} <= set(by_batch):
            near = math.sqrt(rate(by_batch[below]) * rate(by_batch[above]))
            own = rate_interval(by_batch[power]) or (math.nan, math.nan)  # above and below nothing
            others = [rate_interval(by_batch[b]) for b in (below, above)]
            yield Pair(
                time_steps, power, ratio=rate(by_batch[power]) / near,
                is_above=all(other and own[0] > other[1] for other in others),
                is_below=all(other and own[1] < other[0] for other in others),
            )  # fmt: skip
