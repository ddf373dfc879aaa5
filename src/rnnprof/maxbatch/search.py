"""The largest batch that fits at one T: led by bytes, guarded by a bracket, proven on both sides.

A search knows what was tried at its T and asks for the next batch; a memory model proposes, from
every success at any T, and the bracket keeps it honest.  A model that is wrong costs probes, never
a wrong answer.  Batches are counted in units of the granularity.

Bound: each probe halves the bracket or is counted as spent; when ``ceil(log2(n + 1))`` are spent,
n the units up to the cap, only bisection is left.  So no search takes more than twice as many
probes as plain bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from rnnprof.breakdown.memory_model import MemoryModel
from rnnprof.runfile.points import Outcome, Point

FIRST_UNITS: Final = 16
"""The first batch tried where nothing is known: small enough to fit, large enough to tell."""

WIDE_RATIO: Final = 4.0
"""A bracket wider than this is cut in proportion, not in the middle."""

FAR_RATIO: Final = 0.3
"""An edge that is predicted farther above the last fit, as a share of that, is approached first."""

APPROACH_RATIO: Final = 0.8
"""Share of such a way to go: a slope that rises by a fourth on it still fits, and the bytes seen
there make the rest short."""

BACK_RATIOS: Final = (0.1, 0.5)
"""How far below an OOM that the bytes did not predict to try next, as a share of the bracket: near
after the first, for bytes are mostly a little wrong; in the middle when they were wrong again."""

EMPTY_BACK_RATIO: Final = 0.75
"""The same where nothing has fitted yet: what passes tells more than where the edge is not."""

UP_FACTOR: Final = 4
"""Growth of the steps above fits that the bytes did not predict, one after the other."""

ONE_LENGTH_RATIO: Final = 0.5
"""Share of the predicted batch to begin with at another T than the only one seen: what a sequence
takes whatever its length is not known then."""

NEIGHBOUR_RATIOS: Final = (0.05, 0.005)
"""How far below the last fit, as a share of it, another must be to give a slope.  The steeper of
the two slopes is taken: bytes bend upward, so the near one is true where they bend, and the far
one where what lies between is noise."""

GROWTH_RATIO: Final = 64.0
"""The longest way above the last fit, as a share of it: a slope between two small batches, most of
whose bytes are weights, is not to be trusted at the cap."""

NOISE_RATIO: Final = 0.005
"""After an OOM that was not predicted, a slope is taken higher by so much of all bytes at the last
fit, over its batch ..."""

CLEAR_RATIO: Final = 0.05
"""... unless bytes have risen by more than this share, against which noise is small."""

VARYING_FACTOR: Final = 1.25
VARYING_SHARE: Final = 0.75
"""The next step above fits whose bytes differ from training step to step: a quarter more, or, where
the edge is predicted far above, three quarters of that."""

WITHIN_RATIO: Final = 0.1
"""How far from both ends of the bracket its next batch lies where bytes that vary lead, as a share
of it."""

ROUNDING: Final = 1e-9
"""Of divisions, that no exact edge be missed by one."""

FALL_RATIO: Final = 0.10
"""Bytes that fall by more from one batch to a larger one are no noise: memory shrinks with B.
Falls of 5% were seen at edges as they should be: libraries lay out larger batches otherwise."""

FULL_RATIO: Final = 0.95
"""Share of the limit from which on a caching allocator may empty its cache instead of growing."""

UNUSED_BYTES: Final = 80 << 20
"""What a caching allocator reserves at the least beside the allocated bytes, where it is full: the
unused ends of a few segments of 20 MiB.  Seen: 29 to 83 MiB under limits of 2 to 16 GiB.

Source: ``kLargeBuffer`` in c10/cuda/CUDACachingAllocator.h."""

UNUSED_RATIO: Final = 0.05
"""The same, at most, as a share of a small limit."""


@dataclass(frozen=True, slots=True)
class Try:
    """A batch that was run at this T, in units, and what came of it.

    Attributes:
        size_bytes: the peak of what the limit counts, where it fitted and the peak is known.
        allocated_bytes: the part of it that tensors took at their peak, where the limit counts the
            cache of an allocator as well.
        retries: times that the allocator emptied its cache to go on: *size_bytes* is then what it
            was cut down to, not what it would have taken.
    """

    units: int
    outcome: Outcome
    size_bytes: int | None = None
    allocated_bytes: int | None = None
    retries: int | None = None

    @property
    def held_bytes(self) -> int | None:
        """What no emptied cache makes smaller."""
        return self.size_bytes if self.allocated_bytes is None else self.allocated_bytes


@dataclass(slots=True)
class EdgeSearch:
    """The bracket at one T.

    Attributes:
        steps: T.
        limit_bytes: what the limit allows.
        most: the largest number of units to try.
        granularity: sequences per unit.
        tries: all that is known of this T.
        spent: probes that have not halved the bracket.
        bisects: the bytes of one batch say too little of another's to lead between two.
        predicted: the edge that the bytes said at the last proposal, in units, if they did.
        ooms_unpredicted: OOMs where the bytes had said that it fits.
        fits_unpredicted: fits where the bytes had said that it does not, since last right.
    """

    time_steps: int
    limit_bytes: float
    most: int
    granularity: int = 1
    tries: list[Try] = field(default_factory=list)
    spent: int = 0
    bisects: bool = False
    predicted: float | None = None
    ooms_unpredicted: int = 0
    fits_unpredicted: int = 0

    def recall(self, tries: Iterable[Try]) -> None:
        """Take up what was tried before; nothing is spent by it."""
        self.tries += [tried for tried in tries if tried.units >= 1]

    def learn(self, tried: Try) -> None:
        """Take up the outcome of a probe."""
        before = self._width()
        self.tries.append(tried)
        if 2 * self._width() > before:
            self.spent += 1
        self._judge(tried)

    def _judge(self, tried: Try) -> None:
        """Count how often the bytes were wrong: OOMs in all, fits since they were last right."""
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
        """An OOM and a fit above it, where both were seen.

        A batch that went both ways is none: it is taken not to fit, and the search goes below it.
        """
        failed = {t.units for t in self.tries if t.outcome is Outcome.OOM}
        passed = {t.units for t in self.tries if t.outcome is Outcome.MEASURED} - failed
        if not failed or not passed or max(passed) < min(failed):
            return None
        return min(failed), max(passed)

    @property
    def fall(self) -> tuple[Try, Try] | None:
        """Two fits of which the larger batch held clearly fewer bytes.

        An emptied cache is no fall: the larger batch then reserves less, and allocates more.
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
        """Whether the edge is proven, capped or contradicted."""
        if self.contradiction is not None:
            return True
        return self.fits >= self._ceiling() - 1

    def propose(self, model: MemoryModel | None) -> int | None:
        """The next batch to try, in units; None when nothing is left to try."""
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
        return min(max(self._guarded(led), low), high)

    def _within_bracket(self, model: MemoryModel | None) -> int:
        """The middle; every other time where the bytes lead, well within the bracket."""
        low, high = self.fits + 1, self._ceiling() - 1
        middle = (low + high) // 2
        if self.spent >= self._allowance() or len(self.tries) % 2 or not self.fits:
            return middle
        led = self._led_by_bytes(model)
        margin = int(WITHIN_RATIO * self._width())
        return middle if led is None else min(max(led, low + margin), high - margin)

    def _guarded(self, led: int) -> int:
        """Where the bytes lead, unless what was tried forbids it."""
        low, high = self.fits + 1, self._ceiling() - 1
        if led > high and self.fails is not None:
            return high - self._step_back()
        if led < low:
            step: int = UP_FACTOR**self.fits_unpredicted
            return min(self.fits + step, max(low, (low + high) // 2))
        return led

    def _step_back(self) -> int:
        """How far below the highest batch in question, after OOMs that were not predicted."""
        if self.fits == 0:
            return round(EMPTY_BACK_RATIO * self._width())
        wrong = max(self.ooms_unpredicted, self._ooms_in_a_row(), 1)
        place = min(wrong, len(BACK_RATIOS)) - 1
        return int(BACK_RATIOS[place] * self._width())

    def _ooms_in_a_row(self) -> int:
        """Since the last fit: bytes of one batch alone have predicted none of them."""
        ends = [tried.outcome for tried in reversed(self.tries)]
        return next((row for row, end in enumerate(ends) if end is not Outcome.OOM), len(ends))

    def _led_by_bytes(self, model: MemoryModel | None) -> int | None:
        """Where the bytes say to go; None where they say nothing."""
        passed = [tried for tried in self._known() if tried.units <= self.fits]
        known = sorted(passed, key=lambda tried: tried.units)
        if known and known[-1].units == self.fits:
            return self._from_last(known, model)
        if model is None:
            return self._first()
        # nothing has passed at this T: ask for what passes, for a success tells the bytes
        edge = model.safe_edge(self.time_steps, self.limit_bytes)
        if model.lengths == 1:
            edge *= ONE_LENGTH_RATIO
        return self._whole(edge / self.granularity)

    def _is_lower_bound(self, model: MemoryModel | None) -> bool:
        """Whether the bytes are of one success: as if all were for its sequences."""
        return len(self._known()) == 1 and (model is None or _is_proportional(model))

    def _first(self) -> int | None:
        """Where no bytes are known at any T: after an OOM of the first batch, one unit."""
        if not self.tries:
            return min(FIRST_UNITS, self.most)
        return None if self.fits or self.fails != FIRST_UNITS else 1

    def _from_last(self, known: list[Try], model: MemoryModel | None) -> int:
        """From the largest fit, along the bytes of one unit more."""
        last = known[-1]
        if self._is_squeezed(known):
            return self._from_allocated(known)
        slope = self._slope(known, model)
        left_bytes = self.limit_bytes - _size(last)
        way = left_bytes / slope if slope > 0 else math.inf
        if len(known) > 1:
            if self.ooms_unpredicted and _size(last) < (1 + CLEAR_RATIO) * _size(known[0]):
                doubted = max(slope, 0.0) + NOISE_RATIO * _size(last) / last.units
                way = max(left_bytes / doubted, min(way, last.units))
            if way > max(FAR_RATIO * last.units, FIRST_UNITS):
                way *= APPROACH_RATIO
            way = min(way, GROWTH_RATIO * last.units)
        return self._whole(last.units + way)

    def _is_squeezed(self, known: list[Try]) -> bool:
        """Whether the limit has made the allocator give up cache at the last fit.

        The allocator then reserves less than it would, and what it reserves leads nowhere.
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
        """From the largest fit, to where what tensors take fills the limit.

        What stays unused is not known to a segment: of what is left, half is tried at the least.
        """
        last = known[-1]
        slope = max(_secants(known, _held), default=0.0)
        if slope <= 0:
            slope = _held(last) / last.units
        left_bytes = self.limit_bytes - _held(last)
        unused_bytes = min(UNUSED_BYTES, UNUSED_RATIO * self.limit_bytes, left_bytes / 2)
        return self._whole(last.units + (left_bytes - unused_bytes) / slope)

    def _slope(self, known: list[Try], model: MemoryModel | None) -> float:
        """Bytes of one unit more, at the largest fit."""
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
        """A batch that divides the bracket: in proportion where it is wide."""
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
    """Probes that bisection takes over the edges 0 to *most*."""
    return math.ceil(math.log2(most + 1))


def _size(tried: Try) -> int:
    """The bytes of a try that is known to have them."""
    assert tried.size_bytes is not None
    return tried.size_bytes


def _held(tried: Try) -> int:
    """The bytes of a try that is known to have them, without the cache."""
    assert tried.held_bytes is not None
    return tried.held_bytes


def _secants(known: list[Try], size: Callable[[Try], int]) -> list[float]:
    """Bytes of one unit more at the largest fit, from its neighbours below."""
    last = known[-1]
    bases = (_below(known, (1 - share) * last.units) for share in NEIGHBOUR_RATIOS)
    return [_secant(base, last, size) for base in bases if base is not None]


def _secant(smaller: Try, larger: Try, size: Callable[[Try], int]) -> float:
    """Bytes of one unit more, between two fits."""
    return (size(larger) - size(smaller)) / (larger.units - smaller.units)


def _below(known: list[Try], units: float) -> Try | None:
    """The largest fit that is not above a batch."""
    return next((one for one in reversed(known) if one.units <= units), None)


def _is_proportional(model: MemoryModel) -> bool:
    """Whether the model is of one sample: its slope is then an upper bound."""
    return all(plane.fixed == 0.0 == plane.per_sequence for plane in model.planes)


def seek(
    search: EdgeSearch,
    propose: Callable[[EdgeSearch], tuple[EdgeSearch, int | None]],
    probe: Callable[[EdgeSearch, int], Try | None],
) -> EdgeSearch:
    """Probe what is proposed until nothing is left to try; the search as it ends.

    The loop of the engine, whose probes are fresh workers, and of the search in the user's own
    process.

    Args:
        propose: the batch to try next, None for none, and the search to go on with.
        probe: runs a batch; None where its end says nothing of memory.
    """
    search, batch = propose(search)
    while batch is not None:
        tried = probe(search, batch)
        if tried is not None:
            search.learn(tried)
        search, batch = propose(search)
    return search
