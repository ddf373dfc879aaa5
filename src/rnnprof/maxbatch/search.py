"""Search the largest batch that fits at one T, with a memory model and a bracket.

A search knows the results at its T and proposes the next batch.  A memory model of all fits at any
T predicts it, and the bracket bounds the prediction.  A wrong model costs probes, but never gives a
wrong answer.  Batches are counted in units of the granularity.

Bound: a probe that does not halve the bracket is counted as spent.  After ``ceil(log2(n + 1))``
spent probes, where n is the number of units up to the cap, the search only bisects.  So it needs at
most twice as many probes as plain bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from rnnprof.breakdown.memory_model import MemoryModel
from rnnprof.defaults import FIRST_UNITS as FIRST_UNITS
from rnnprof.runfile.points import Outcome, Point

WIDE_RATIO: Final = 4.0
"""A bracket with a larger ratio is divided at the geometric mean, not in the middle."""

FAR_RATIO: Final = 0.3
"""If the predicted largest batch is farther above the last fit than this share of it, the search
does not go all the way at once."""

APPROACH_RATIO: Final = 0.8
"""Share of such a way for the next batch: it still fits if the slope rises by a quarter, and its
bytes then make the prediction precise."""

BACK_RATIOS: Final = (0.1, 0.5)
"""How far below an unpredicted OOM to try next, as a share of the bracket: near it after the first,
because predictions are mostly a little wrong; in the middle after the second."""

EMPTY_BACK_RATIO: Final = 0.75
"""The same if nothing has fitted yet: a fit gives more information than another OOM."""

UP_FACTOR: Final = 4
"""Growth of the steps upward after consecutive unpredicted fits."""

ONE_LENGTH_RATIO: Final = 0.5
"""Share of the predicted batch to begin with if only one other T is known: bytes per sequence and
bytes per time step are not separated then."""

NEIGHBOUR_RATIOS: Final = (0.05, 0.005)
"""Distances below the last fit, as shares of it, at which another fit gives a slope.  The steeper
of the two slopes is used: the curve of bytes bends upward, so the near slope is right at a bend,
and the far one where noise dominates."""

GROWTH_RATIO: Final = 64.0
"""The longest step above the last fit, as a multiple of it: weights dominate the bytes of small
batches, so their slope is not valid for very large ones."""

NOISE_RATIO: Final = 0.005
"""After an unpredicted OOM, the slope is increased by this share of the bytes per unit at the last
fit ..."""

CLEAR_RATIO: Final = 0.05
"""... unless the bytes have risen by more than this share, which is large against noise."""

VARYING_FACTOR: Final = 1.25
VARYING_SHARE: Final = 0.75
"""The next batch if bytes vary from training step to training step: a quarter above the last fit,
or three quarters of the predicted largest batch, if that is more."""

WITHIN_RATIO: Final = 0.1
"""Distance of the next batch from both ends of the bracket if varying bytes predict it, as a share
of the bracket."""

ROUNDING: Final = 1e-9
"""Tolerance of divisions, so that rounding does not reduce an exact result by one."""

FALL_RATIO: Final = 0.10
"""If bytes fall by more than this from one batch to a larger one, memory falls with B; it is not
noise.  Falls of 5% were seen in correct searches, because libraries use another layout for larger
batches."""

FULL_RATIO: Final = 0.95
"""Above this share of the limit a caching allocator may empty its cache instead of growing."""

UNUSED_BYTES: Final = 80 << 20
"""Bytes that a full caching allocator reserves but cannot allocate: the unused ends of a few
segments of 20 MiB.  Measured: 29 to 83 MiB under limits of 2 to 16 GiB.

Source: ``kLargeBuffer`` in c10/cuda/CUDACachingAllocator.h."""

UNUSED_RATIO: Final = 0.05
"""The largest share of a small limit for the same."""


@dataclass(frozen=True, slots=True)
class Try:
    """The result of a batch at this T.

    Attributes:
        units: the batch in units of the granularity.
        outcome: ``measured`` or ``oom``.
        size_bytes: peak of the charged bytes; None after an OOM or where unknown.
        allocated_bytes: peak of the bytes that tensors took, where charged bytes include the cache
            of an allocator.
        retries: how often the allocator emptied its cache to continue; *size_bytes* is then smaller
            than what the batch needs.
    """

    units: int
    outcome: Outcome
    size_bytes: int | None = None
    allocated_bytes: int | None = None
    retries: int | None = None

    @property
    def held_bytes(self) -> int | None:
        """The bytes that an emptied cache does not reduce."""
        return self.size_bytes if self.allocated_bytes is None else self.allocated_bytes


@dataclass(slots=True)
class EdgeSearch:
    """The bracket at one T.

    Attributes:
        time_steps: T.
        limit_bytes: the memory limit.
        most: the largest number of units to try.
        granularity: sequences per unit.
        tries: all results at this T.
        spent: probes that have not halved the bracket.
        bisects: the bytes vary so much that they do not predict within a closed bracket.
        fixed_bytes: charged bytes that do not depend on the batch, by what a script held before its
            training; None where unknown.
        is_guessed: the model has them in place of a second fit.
        predicted: largest batch that was predicted at the last proposal, in units; None for none.
        ooms_unpredicted: OOMs at batches that were predicted to fit.
        fits_unpredicted: fits above the prediction, since the last correct one.
    """

    time_steps: int
    limit_bytes: float
    most: int
    granularity: int = 1
    tries: list[Try] = field(default_factory=list)
    spent: int = 0
    bisects: bool = False
    fixed_bytes: float | None = None
    is_guessed: bool = False
    predicted: float | None = None
    ooms_unpredicted: int = 0
    fits_unpredicted: int = 0

    def recall(self, tries: Iterable[Try]) -> None:
        """Add earlier results, without counting them as spent."""
        self.tries += [tried for tried in tries if tried.units >= 1]

    def learn(self, tried: Try) -> None:
        """Add the result of a probe."""
        before = self._width()
        self.tries.append(tried)
        if 2 * self._width() > before:
            self.spent += 1
        self._judge(tried)

    def _judge(self, tried: Try) -> None:
        """Count wrong predictions: all OOMs, and the fits since the last correct prediction."""
        if self.predicted is None:
            return
        if tried.outcome is Outcome.OOM:
            self.ooms_unpredicted += tried.units <= self.predicted
        elif tried.units > self.predicted:
            self.fits_unpredicted += 1
        else:
            self.fits_unpredicted = 0

    @property
    def fits(self) -> int:
        """The largest batch that fitted below every OOM, in units; 0 for none."""
        fails = self.fails
        passed = (t.units for t in self.tries if t.outcome is Outcome.MEASURED)
        return max((units for units in passed if fails is None or units < fails), default=0)

    @property
    def fails(self) -> int | None:
        """The smallest batch out of memory, in units; None for none."""
        ooms = (t.units for t in self.tries if t.outcome is Outcome.OOM)
        return min(ooms, default=None)

    @property
    def contradiction(self) -> tuple[int, int] | None:
        """The smallest OOM and a fit above it, in units; None without such a pair.

        A batch with both results is not a contradiction: it counts as an OOM.
        """
        failed = {t.units for t in self.tries if t.outcome is Outcome.OOM}
        passed = {t.units for t in self.tries if t.outcome is Outcome.MEASURED} - failed
        if not failed or not passed or max(passed) < min(failed):
            return None
        return min(failed), max(passed)

    @property
    def fall(self) -> tuple[Try, Try] | None:
        """Two fits of which the larger batch took clearly fewer bytes; None for none.

        An emptied cache is not a fall: the larger batch then reserves less but allocates more.
        """
        known = sorted(self._known(), key=lambda tried: tried.units)
        for index, larger in enumerate(known):
            for smaller in known[:index]:
                allowed = _held(smaller) * (1 - FALL_RATIO)
                if larger.units > smaller.units and _held(larger) < allowed:
                    return smaller, larger
        return None

    @property
    def is_over(self) -> bool:
        """Whether the bracket is closed, at the cap, or contradicted."""
        if self.contradiction is not None:
            return True
        return self.fits >= self._ceiling() - 1

    def propose(self, model: MemoryModel | None) -> int | None:
        """The next batch to try, in units; None when the search has ended."""
        if self.is_over:
            return None
        low, high = self.fits + 1, self._ceiling() - 1
        self.predicted = None
        if self.spent >= self._allowance() or (self.bisects and self.fails is not None):
            return self._within_bracket(model)
        led = self._led_by_bytes(model)
        if led is not None and self.bisects and self.fits:
            led = min(led, max(math.ceil(VARYING_FACTOR * self.fits), int(VARYING_SHARE * led)))
        if led is None:
            return self._cut()
        if self.tries and not self._is_lower_bound(model):
            self.predicted = led
        beyond = low + 1 if led >= low and self._creeps() else low
        return min(max(self._guarded(led), beyond), high)

    def _creeps(self) -> bool:
        """Whether the last two batches fitted, one unit apart: bytes grow less than predicted."""
        last = self.tries[-2:]
        if len(last) < 2 or any(tried.outcome is not Outcome.MEASURED for tried in last):
            return False
        return last[1].units == last[0].units + 1

    def _within_bracket(self, model: MemoryModel | None) -> int:
        """The middle of the bracket; alternately the prediction, away from both ends."""
        low, high = self.fits + 1, self._ceiling() - 1
        middle = (low + high) // 2
        if self.spent >= self._allowance() or len(self.tries) % 2 or not self.fits:
            return middle
        led = self._led_by_bytes(model)
        margin = int(WITHIN_RATIO * self._width())
        return middle if led is None else min(max(led, low + margin), high - margin)

    def _guarded(self, led: int) -> int:
        """The prediction *led*, corrected if it is outside the bracket."""
        low, high = self.fits + 1, self._ceiling() - 1
        if led > high and self.fails is not None:
            return high - self._step_back()
        if led < low:
            step: int = UP_FACTOR**self.fits_unpredicted
            return min(self.fits + step, max(low, (low + high) // 2))
        return led

    def _step_back(self) -> int:
        """Units to go back below the highest open batch, after unpredicted OOMs."""
        if self.fits == 0:
            return round(EMPTY_BACK_RATIO * self._width())
        wrong = max(self.ooms_unpredicted, self._ooms_in_a_row(), 1)
        place = min(wrong, len(BACK_RATIOS)) - 1
        return int(BACK_RATIOS[place] * self._width())

    def _ooms_in_a_row(self) -> int:
        """Number of OOMs since the last fit, even if there was no prediction to count them."""
        ends = [tried.outcome for tried in reversed(self.tries)]
        return next((row for row, end in enumerate(ends) if end is not Outcome.OOM), len(ends))

    def _led_by_bytes(self, model: MemoryModel | None) -> int | None:
        """The largest batch as the bytes predict it, in units; None without a prediction."""
        passed = [tried for tried in self._known() if tried.units <= self.fits]
        known = sorted(passed, key=lambda tried: tried.units)
        if known and known[-1].units == self.fits:
            return self._from_last(known, model)
        if model is None:
            return self._first()
        # nothing has fitted at this T: choose a batch that fits, because a fit gives the bytes
        edge = model.safe_edge(self.time_steps, self.limit_bytes)
        if model.lengths == 1:
            edge *= APPROACH_RATIO if self.is_guessed else ONE_LENGTH_RATIO
        return self._whole(edge / self.granularity)

    def _is_lower_bound(self, model: MemoryModel | None) -> bool:
        """Whether the prediction is from one fit, and so counts all bytes as per sequence."""
        return len(self._known()) == 1 and (model is None or _is_proportional(model))

    def _first(self) -> int | None:
        """The batch if no bytes are known at any T: after an OOM of the first, one unit."""
        if not self.tries:
            return min(FIRST_UNITS, self.most)
        return None if self.fits or self.fails != FIRST_UNITS else 1

    def _from_last(self, known: list[Try], model: MemoryModel | None) -> int:
        """Extrapolate from the largest fit, with the bytes per additional unit."""
        last = known[-1]
        if self._is_squeezed(known):
            return self._from_allocated(known)
        slope = self._slope(known, model)
        left_bytes = self.limit_bytes - _size(last)
        way = left_bytes / slope if slope > 0 else math.inf
        if self.fixed_bytes is not None and way > FAR_RATIO * last.units:
            # far from small batches: their slope misses what grows only with larger ones
            steeper = max(slope, (_size(last) - self.fixed_bytes) / last.units)
            way = left_bytes / steeper if steeper > 0 else way
        is_flat = _size(last) < (1 + CLEAR_RATIO) * _size(known[0])
        if len(known) > 1 and self.ooms_unpredicted and is_flat:
            doubted = max(slope, 0.0) + NOISE_RATIO * _size(last) / last.units
            way = max(left_bytes / doubted, min(way, last.units))
        is_far = way > max(FAR_RATIO * last.units, FIRST_UNITS)
        if is_far and (len(known) > 1 or self.is_guessed):
            way *= APPROACH_RATIO
        if len(known) > 1:
            way = min(way, GROWTH_RATIO * last.units)
        return self._whole(last.units + way)

    def _is_squeezed(self, known: list[Try]) -> bool:
        """Whether the limit has made the allocator free its cache at the last fit.

        It then reserves less than usual, so reserved bytes do not predict anything.
        """
        last = known[-1]
        if last.allocated_bytes is None:
            return False
        if last.retries:
            return True
        reserved, allocated = (max(_secants(known, size), default=0.0) for size in (_size, _held))
        is_full = max(_size(tried) for tried in known) > FULL_RATIO * self.limit_bytes
        return reserved < allocated and (is_full or reserved <= 0)

    def _from_allocated(self, known: list[Try]) -> int:
        """Extrapolate from the largest fit to the batch whose tensors fill the limit.

        The unused bytes are only estimated, so at least half of the free memory is used.
        """
        last = known[-1]
        slope = max(_secants(known, _held), default=0.0)
        if slope <= 0:
            slope = _held(last) / last.units
        left_bytes = self.limit_bytes - _held(last)
        unused_bytes = min(UNUSED_BYTES, UNUSED_RATIO * self.limit_bytes, left_bytes / 2)
        return self._whole(last.units + (left_bytes - unused_bytes) / slope)

    def _slope(self, known: list[Try], model: MemoryModel | None) -> float:
        """Bytes per additional unit, at the largest fit."""
        last = known[-1]
        if secants := _secants(known, _size):
            return max(secants)
        if model is not None and not _is_proportional(model):
            point = Point(last.units * self.granularity, self.time_steps)
            return model.slope_bytes(point) * self.granularity
        return _size(last) / last.units

    def _whole(self, units: float) -> int:
        return int(min(max(units * (1 + ROUNDING), 0.0), float(self.most)))

    def _cut(self) -> int:
        """A batch that divides the bracket: at the geometric mean if it is wide."""
        low, high = max(self.fits, 1), self._ceiling()
        if high > WIDE_RATIO * low:
            return max(self.fits + 1, min(high - 1, round(math.sqrt(low * high))))
        return (self.fits + high) // 2

    def _ceiling(self) -> int:
        return self.most + 1 if self.fails is None else min(self.fails, self.most + 1)

    def _width(self) -> int:
        return self._ceiling() - self.fits

    def _allowance(self) -> int:
        return plain_bisection_probes(self.most)

    def _known(self) -> list[Try]:
        """The fits whose bytes are known."""
        return [t for t in self.tries if t.outcome is Outcome.MEASURED and (t.size_bytes or 0) > 0]


def plain_bisection_probes(most: int) -> int:
    """Probes that bisection needs for an answer from 0 to *most*."""
    return math.ceil(math.log2(most + 1))


def _size(tried: Try) -> int:
    """The charged bytes of a try in which they are known."""
    assert tried.size_bytes is not None
    return tried.size_bytes


def _held(tried: Try) -> int:
    """The bytes without the cache, of a try in which they are known."""
    assert tried.held_bytes is not None
    return tried.held_bytes


def _secants(known: list[Try], size: Callable[[Try], int]) -> list[float]:
    """Bytes per additional unit at the largest fit, from smaller fits."""
    last = known[-1]
    bases = (_below(known, (1 - share) * last.units) for share in NEIGHBOUR_RATIOS)
    return [_secant(base, last, size) for base in bases if base is not None]


def _secant(smaller: Try, larger: Try, size: Callable[[Try], int]) -> float:
    """Bytes per additional unit, between two fits."""
    return (size(larger) - size(smaller)) / (larger.units - smaller.units)


def _below(known: list[Try], units: float) -> Try | None:
    """The largest fit up to a number of units."""
    return next((one for one in reversed(known) if one.units <= units), None)


def _is_proportional(model: MemoryModel) -> bool:
    """Whether the model has only one sample; its slope is then an upper bound."""
    return all(plane.fixed == 0.0 == plane.per_sequence for plane in model.planes)


def seek(
    search: EdgeSearch,
    propose: Callable[[EdgeSearch], tuple[EdgeSearch, int | None]],
    probe: Callable[[EdgeSearch, int], Try | None],
) -> EdgeSearch:
    """Probe the proposed batches until the search ends, and return it.

    Both searches use this loop: with fresh workers, and in the user's own process.

    Args:
        propose: returns the updated search and the batch to try next; None ends the search.
        probe: runs a batch; None if the result says nothing about memory.
    """
    search, batch = propose(search)
    while batch is not None:
        tried = probe(search, batch)
        if tried is not None:
            search.learn(tried)
        search, batch = propose(search)
    return search
