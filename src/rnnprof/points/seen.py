"""Whether training steps use the batch and the time steps that were requested of them.

What modules were called with in a step (:class:`rnnprof.runfile.observations.Seen`) is compared
between probes: what a step sees has to grow with the batch.  Every rule here errs on the side of
silence: without a clear answer nothing is said.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from rnnprof.points.reasons import (
    DataGave,
    LengthNotUsed,
    LengthShare,
    MemoryNoMore,
    ModulesSawNoMore,
    SameData,
)
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Fit, Seen
from rnnprof.runfile.points import Outcome

APART_RATIO: Final = 1.5
"""Batches nearer than this are not compared: rounding and random lengths look like a fall there."""

FALL_RATIO: Final = 0.10
"""What a step sees per sequence requested may fall by so much: the last batch of an epoch."""

FAR_RATIO: Final = 4.0
"""A script that rounds its batch up, to micro-batches or to a multiple of 8, sees the same at some
batches, and no fewer sequences than requested; over so large a range it is no rounding."""

GROWTH_RATIO: Final = 0.10
"""Elements that grow by less than this share of the batch's own growth do not follow the batch."""

BYTES_RANGE: Final = 64.0
BYTES_GROWTH_RATIO: Final = 0.01
"""Without any module the memory has to tell: over so large a range of batches it grows by more."""

LENGTH_RATIO: Final = 0.10
"""Random lengths make the longest sequence differ by so much from T."""


@dataclass(frozen=True)  # no slots: each use is held against all others, and is summed up once
class Use:
    """What the steps of one probe that passed have seen.

    Attributes:
        seen: in each step that was watched.
        peak_bytes: that training takes; None where it is not known.
    """

    batch: int
    time_steps: int
    seen: tuple[Seen, ...] = ()
    peak_bytes: int | None = None

    @classmethod
    def of(cls, fit: Fit) -> Use:
        """Of a fit pass; on CUDA by what tensors took, since segments hide small growth."""
        peak = fit.peak_charged_bytes
        if fit.peak_allocated_bytes is not None:
            peak = fit.peak_allocated_bytes
        return cls(fit.batch, fit.time_steps, fit.seen, peak)

    @cached_property
    def most(self) -> Seen | None:
        """Each measure where it is larger: the last batch of an epoch may be a part of one."""
        return largest(self.seen)

    @cached_property
    def has_recurrent(self) -> bool:
        """Whether a recurrent layer or cell was called."""
        return any(each.batch is not None for each in self.seen)

    @cached_property
    def has_modules(self) -> bool:
        """Whether any module was called with a tensor."""
        return any(each.elements for each in self.seen)


def largest(seen: Sequence[Seen]) -> Seen | None:
    """The larger of each measure over several steps; None without any."""
    if not seen:
        return None
    batches = [each.batch for each in seen if each.batch is not None]
    lengths = [each.time_steps for each in seen if each.time_steps is not None]
    return Seen(
        step=seen[0].step,
        batch=max(batches, default=None),
        time_steps=max(lengths, default=None),
        sequences=max(each.sequences for each in seen),
        positions=max(each.positions for each in seen),
        elements=max(each.elements for each in seen),
    )


def ignored(fits: Sequence[Fit]) -> Reason | None:
    """Why the fit passes at one T show that a step does not use B; None where they do not."""
    return ignored_uses(Use.of(fit) for fit in fits if _passed(fit))


def ignored_uses(uses: Iterable[Use]) -> Reason | None:
    """The same of probes, at the largest batch that is not used."""
    found = unused(uses)
    return found[max(found)] if found else None


def unused_batches(fits: Sequence[Fit]) -> dict[int, Reason]:
    """The batches at one T that a step does not use, each with the reason."""
    return unused(Use.of(fit) for fit in fits if _passed(fit))


def unused(uses: Iterable[Use]) -> dict[int, Reason]:
    """The same of probes.

    Batches that saw the same number of sequences as one which is not used are among them, but for
    the one that is this number.
    """
    ordered = sorted(uses, key=lambda use: use.batch)
    found: dict[int, Reason] = {}
    for smaller, larger in _far_apart(ordered):
        if _is_unused(smaller, larger):
            found[larger.batch] = _why(smaller, larger)
    given = {_given(use) for use in ordered if use.batch in found} - {None}
    for use in ordered:
        if _given(use) in given:
            found.setdefault(use.batch, _why(use, use))
    return {batch: found[batch] for batch in sorted(found) if batch not in given}


def _far_apart(ordered: Sequence[Use]) -> Iterator[tuple[Use, Use]]:
    """Pairs of uses, by their batches, that are so far apart that a rule may speak of them."""
    batches = [use.batch for use in ordered]
    for index, smaller in enumerate(ordered):
        has_any = smaller.has_recurrent or smaller.has_modules
        least = (APART_RATIO if has_any else BYTES_RANGE) * smaller.batch
        first = max(index + 1, bisect_left(batches, least))
        yield from ((smaller, larger) for larger in ordered[first:])


def used_lengths(fits: Sequence[Fit]) -> Reason | None:
    """What to know of the time steps that recurrent layers saw, at one T or at several.

    None where they saw T, as one sequence or cut into chunks, or where nothing is known.
    """
    factors = {}
    for fit in fits:
        if _passed(fit) and (factor := _length_of(fit)) is not None:
            factors[fit.time_steps] = factor
    if not factors or all(
        abs(seen / time_steps - 1) <= LENGTH_RATIO for time_steps, seen in factors.items()
    ):
        return None
    low, high = min(factors), max(factors)
    if high >= APART_RATIO * low and _is_flat(low, high, factors[low], factors[high]):
        return LengthNotUsed(high, factors[high])
    return LengthShare(high, factors[high])


def same_data(fits: Sequence[Fit]) -> SameData | None:
    """Whether two proofs of the same batch and T drew the same data, though their seeds differ."""
    marks: dict[tuple[int, int], set[float]] = defaultdict(set)
    for fit in fits:
        if fit.data_mark is None:
            continue
        known = marks[fit.batch, fit.time_steps]
        if fit.data_mark in known:
            return SameData(fit.batch)
        known.add(fit.data_mark)
    return None


def _passed(fit: Fit) -> bool:
    return fit.outcome is Outcome.MEASURED


def _is_unused(smaller: Use, larger: Use) -> bool:
    """By the measure that both have: recurrent layers, any modules, or memory alone."""
    if smaller.has_recurrent and larger.has_recurrent:
        return _falls(smaller, larger)
    if smaller.has_recurrent or larger.has_recurrent:
        return False
    if smaller.has_modules and larger.has_modules:
        return _elements_stay(smaller, larger)
    if smaller.has_modules or larger.has_modules:
        return False
    return _bytes_stay(smaller, larger)


def _falls(smaller: Use, larger: Use) -> bool:
    """Whether the largest call, all sequences and all positions fall, each per sequence requested.

    Micro-batches keep the sequences, random lengths the largest call, and chunks all three.
    """
    before, after = smaller.most, larger.most
    assert before is not None
    assert after is not None
    earlier, later = before.batch or 0, after.batch or 0
    growth = larger.batch / smaller.batch
    least_growth = (1 - FALL_RATIO) * growth
    if (
        later >= least_growth * earlier
        or after.sequences >= least_growth * before.sequences
        or after.positions >= least_growth * before.positions
    ):
        return False
    is_short = after.sequences < (1 - FALL_RATIO) * larger.batch
    is_constant = later <= earlier and after.sequences <= before.sequences
    return is_short or (is_constant and growth >= FAR_RATIO)  # else it may be rounding up


def _elements_stay(smaller: Use, larger: Use) -> bool:
    """Whether modules see less than one element more for each sequence more.

    The bound is absolute as well, since most elements may not hang on the batch at all: a graph, or
    weights that a module is called with.
    """
    growth = larger.batch / smaller.batch
    before = min(each.elements for each in smaller.seen)
    more = max(each.elements for each in larger.seen) - before
    is_below_one = more < larger.batch - smaller.batch
    return growth >= FAR_RATIO and is_below_one and more < GROWTH_RATIO * (growth - 1) * before


def _bytes_stay(smaller: Use, larger: Use) -> bool:
    """Whether the memory grows by next to nothing, and by less than a byte for each time step."""
    before, after = smaller.peak_bytes, larger.peak_bytes
    if not before or after is None or larger.batch < BYTES_RANGE * smaller.batch:
        return False
    data_bytes = (larger.batch - smaller.batch) * larger.time_steps
    return after - before < min(BYTES_GROWTH_RATIO * before, data_bytes)


def _given(use: Use) -> int | None:
    """The sequences that the data gave, where recurrent layers tell."""
    most = use.most
    return None if most is None else most.batch


def _why(smaller: Use, larger: Use) -> Reason:
    most = larger.most
    if most is not None and most.batch is not None:
        given = most.batch
        if most.sequences <= larger.batch:  # micro-batches: all of them together
            given = max(given, most.sequences)
        return DataGave(larger.batch, given)
    if larger.has_modules:
        return ModulesSawNoMore(larger.batch, smaller.batch)
    return MemoryNoMore(larger.batch, smaller.batch)


def _length_of(fit: Fit) -> int | None:
    """The longest sequence that recurrent layers saw; T itself where it was cut into chunks."""
    most = largest(fit.seen)
    if most is None or most.time_steps is None:
        return None
    whole = most.positions / (fit.batch * fit.time_steps)
    if most.time_steps < fit.time_steps and abs(whole - 1) <= LENGTH_RATIO:
        return fit.time_steps
    return most.time_steps


def _is_flat(low: int, high: int, seen_low: int, seen_high: int) -> bool:
    return seen_high - seen_low < GROWTH_RATIO * (high / low - 1) * seen_low
