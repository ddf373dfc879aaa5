"""The simple noise scale: the batch at which a gradient's noise is as large as the gradient.

It follows from squared norms of gradients over a small and a large batch (McCandlish, Kaplan,
Amodei, arXiv 1812.06162, appendix A.1)::

    |G|^2  = (B_big |G_big|^2 - B_small |G_small|^2) / (B_big - B_small)
    tr(S)  = (|G_small|^2 - |G_big|^2) / (1/B_small - 1/B_big)
    B_noise = tr(S) / |G|^2

Each term is unbiased, but their quotient is not: so each is averaged over many draws before the
division.  The |G|^2 of a single draw may be below zero.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Final

from rnnprof.reasons import Reason
from rnnprof.stats.statistics import CONFIDENCE
from rnnprof.study.reasons import FewDraws, GradientsNotFinite, LostInNoise, NoUpperEnd

MIN_DRAWS: Final = 8
"""With fewer draws the interval would be meaningless."""

RESAMPLES: Final = 2000
"""Resamples of the bootstrap: with so many its own error is small against the interval."""

SEED: Final = 20181214
"""A fixed seed, so that the same draws give the same interval."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Squared gradient norms of one large batch.

    Attributes:
        small: mean of |G_small|^2 over the small batches that form the large one.
        big: |G_big|^2 of their mean gradient.
    """

    small: float
    big: float


@dataclass(frozen=True, slots=True)
class NoiseScale:
    """The noise scale from a number of draws.

    Attributes:
        sequences: B_noise; None where unknown.
        interval: its 95% interval by bootstrap over draws; the upper end is infinite if |G|^2
            may be zero.
        gradient_squared: mean |G|^2.
        noise_trace: mean tr(S).
        draws: number of draws.
        reason: why it is unknown, or a remark.
    """

    sequences: float | None
    interval: tuple[float, float] | None
    gradient_squared: float
    noise_trace: float
    draws: int
    reason: Reason | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether the interval has a finite upper end."""
        return self.interval is not None and math.isfinite(self.interval[1])


def noise_scale(draws: Sequence[Draw], small_batch: int, big_batch: int) -> NoiseScale:
    """Estimate B_noise, in sequences.

    Args:
        small_batch, big_batch: sequences of each; *small_batch* must be smaller.
    """
    assert small_batch < big_batch
    terms = [_terms(draw, small_batch, big_batch) for draw in draws]
    unknown = partial(NoiseScale, None, None, draws=len(draws))
    if not all(math.isfinite(value) for pair in terms for value in pair):
        return unknown(math.nan, math.nan, reason=GradientsNotFinite())
    gradient = fmean(term[0] for term in terms) if terms else 0.0
    trace = fmean(term[1] for term in terms) if terms else 0.0
    if len(draws) < MIN_DRAWS:
        return unknown(gradient, trace, reason=FewDraws(len(draws), MIN_DRAWS))
    interval = _bootstrap(terms)
    if gradient <= 0:
        return NoiseScale(None, interval, gradient, trace, len(draws), LostInNoise())
    sequences = max(0.0, trace / gradient)
    return NoiseScale(sequences, interval, gradient, trace, len(draws), _caution(interval))


def _caution(interval: tuple[float, float]) -> Reason | None:
    return None if math.isfinite(interval[1]) else NoUpperEnd()


def efficiency(noise: float, batch: float, against: float) -> float:
    """Progress per sequence at *batch*, relative to *against* (Pollux, OSDI 2021, section 3).

    ``(noise + against) / (noise + batch)``: it is 1 if both are equal.
    """
    return (noise + against) / (noise + batch)


def _terms(draw: Draw, small: int, big: int) -> tuple[float, float]:
    """The unbiased estimates of |G|^2 and tr(S)."""
    gradient = (big * draw.big - small * draw.small) / (big - small)
    trace = (draw.small - draw.big) / (1 / small - 1 / big)
    return gradient, trace


def _bootstrap(terms: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Percentiles of the quotient over resampled draws; infinite if |G|^2 is not above zero.

    Source: Efron, Better bootstrap confidence intervals, JASA 82, 1987 (the percentile method).
    """
    rng = random.Random(SEED)
    quotients = sorted(_quotient(rng.choices(terms, k=len(terms))) for _ in range(RESAMPLES))
    tail = round((1 - CONFIDENCE) / 2 * RESAMPLES)
    return quotients[tail], quotients[-tail - 1]


def _quotient(terms: Sequence[tuple[float, float]]) -> float:
    gradient = sum(term[0] for term in terms)
    trace = sum(term[1] for term in terms)
    return max(0.0, trace / gradient) if gradient > 0 else math.inf
