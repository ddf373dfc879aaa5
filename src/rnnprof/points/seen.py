"""Whether training steps use the requested batch and time steps.

The inputs of modules in a step (:class:`rnnprof.runfile.observations.Seen`) are compared between
probes: they must grow with the batch.  The rules avoid false alarms: without a clear answer they
report nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final

from rnnprof.points.reasons import (
    DataGave,
    LengthNotUsed,
    LengthShare,
    MemoryNoMore,
    ModulesSawNoMore,
    PlaceholderUnused,
    SameData,
)
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Fit, Seen
from rnnprof.runfile.points import Outcome

APART_RATIO: Final = 1.5
"""Batches with a smaller ratio are not compared: rounding and random lengths look like a fall."""

FALL_RATIO: Final = 0.10
"""Inputs per requested sequence may fall by this share: the last batch of an epoch is smaller."""

FAR_RATIO: Final = 4.0
"""A script that rounds its batch up, to micro-batches or to a multiple of 8, has the same inputs at
some batches, but not fewer sequences than requested.  Above this ratio rounding is no explanation.
"""

GROWTH_RATIO: Final = 0.10
"""Elements that grow by less than this share of the batch's growth do not depend on the batch."""

BYTES_RANGE: Final = 64.0
BYTES_GROWTH_RATIO: Final = 0.01
"""Without modules, memory is compared: over this range of batches it should grow by more."""

LENGTH_RATIO: Final = 0.10
"""Random lengths make the longest sequence differ from T by this share."""


@dataclass(frozen=True)  # no slots: cached properties, because each use is compared with all others
class Use:
    """The inputs that the steps of one passed probe got.

    Attributes:
        seen: the inputs of modules in each step that was watched.
        peak_bytes: peak of the training; None where unknown.
    """

    batch: int
    time_steps: int
    seen: tuple[Seen, ...] = ()
    peak_bytes: int | None = None

    @classmethod
    def of(cls, fit: Fit) -> Use:
        """The use of a fit pass; on CUDA with allocated bytes, since segments hide small growth."""
        peak = fit.peak_charged_bytes
        if fit.peak_allocated_bytes is not None:
            peak = fit.peak_allocated_bytes
        return cls(fit.batch, fit.time_steps, fit.seen, peak)

    @cached_property
    def most(self) -> Seen | None:
        """The maximum of each measure, because the last batch of an epoch may be smaller."""
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
    """The maximum of each measure over several steps; None without any."""
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
    """Why the fit passes at one T show that a step does not use B; None if they do not show it."""
    return ignored_uses(Use.of(fit) for fit in fits if _passed(fit))


def ignored_uses(uses: Iterable[Use]) -> Reason | None:
    """As :func:`ignored`, for uses; the reason is that of the largest unused batch."""
    found = unused(uses)
    return found[max(found)] if found else None


def unused_batches(fits: Sequence[Fit]) -> dict[int, Reason]:
    """The batches at one T that a step does not use, each with the reason."""
    return unused(Use.of(fit) for fit in fits if _passed(fit))


def unused(uses: Iterable[Use]) -> dict[int, Reason]:
    """As :func:`unused_batches`, for uses.

    If a batch is not used, every other batch with the same number of sequences is not used either,
    except the batch that is this number.
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
    """Pairs of uses whose batches differ enough to compare them."""
    batches = [use.batch for use in ordered]
    for index, smaller in enumerate(ordered):
        has_any = smaller.has_recurrent or smaller.has_modules
        least = (APART_RATIO if has_any else BYTES_RANGE) * smaller.batch
        first = max(index + 1, bisect_left(batches, least))
        yield from ((smaller, larger) for larger in ordered[first:])


def used_lengths(fits: Sequence[Fit]) -> Reason | None:
    """How the time steps that recurrent layers saw differ from the requested T.

    None if they saw T, as one sequence or cut into chunks, or if nothing is known.
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


def unused_lengths(fits: Iterable[Fit]) -> dict[int, Reason]:
    """The T of a script that its training steps do not use, each with the reason.

    Recurrent layers then see as many time steps at another T that is clearly larger or smaller; a T
    that is this number is used.
    """
    seen = {fit.time_steps: each for fit in fits if _passed(fit) and (each := _length_of(fit))}
    found: dict[int, Reason] = {}
    for low, high in combinations(sorted(seen), 2):
        if high < APART_RATIO * low or not _is_flat(low, high, seen[low], seen[high]):
            continue
        for time_steps in (low, high):
            if abs(seen[time_steps] / time_steps - 1) > LENGTH_RATIO:
                found[time_steps] = LengthNotUsed(time_steps, seen[time_steps])
    return found


def unused_length(fits: Sequence[Fit], time_steps: int) -> Reason | None:
    """Why a script's training steps do not use a T; None if they are not known to ignore it.

    If none of the T made a difference, the reason names the placeholder.
    """
    why = unused_lengths(fits).get(time_steps)
    if why is None:
        return None
    seen = [each for fit in fits if _passed(fit) and (each := _length_of(fit))]
    return PlaceholderUnused("time_steps", why) if _are_alike(seen) else why


def named_batch(why: Reason, fits: Iterable[Fit]) -> Reason:
    """Why a script does not use a batch; names the placeholder if no B made a difference."""
    passed = [fit for fit in fits if _passed(fit)]
    seen = [most.batch or most.elements for fit in passed if (most := largest(fit.seen))]
    return PlaceholderUnused("batch", why) if _are_alike(seen) else why


def _are_alike(sizes: Sequence[int]) -> bool:
    return not sizes or max(sizes) <= (1 + LENGTH_RATIO) * min(sizes)


def same_data(fits: Sequence[Fit]) -> SameData | None:
    """Two proofs of the same batch and T that drew the same data despite different seeds."""
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
    """Compare by what both uses have: recurrent layers, other modules, or only memory."""
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
    """Whether the largest call, the sequences and the positions all fall per requested sequence.

    With micro-batches the sequences do not fall, with random lengths the largest call does not,
    and with chunks none of them does.
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
    return is_short or (is_constant and growth >= FAR_RATIO)  # else the script may round up


def _elements_stay(smaller: Use, larger: Use) -> bool:
    """Whether modules get less than one more element per additional sequence.

    This absolute bound is needed because most elements may not depend on the batch: a graph, or
    weights that are passed to a module.
    """
    growth = larger.batch / smaller.batch
    before = min(each.elements for each in smaller.seen)
    more = max(each.elements for each in larger.seen) - before
    is_below_one = more < larger.batch - smaller.batch
    return growth >= FAR_RATIO and is_below_one and more < GROWTH_RATIO * (growth - 1) * before


def _bytes_stay(smaller: Use, larger: Use) -> bool:
    """Whether memory hardly grows, and by less than one byte per additional time step."""
    before, after = smaller.peak_bytes, larger.peak_bytes
    if not before or after is None or larger.batch < BYTES_RANGE * smaller.batch:
        return False
    data_bytes = (larger.batch - smaller.batch) * larger.time_steps
    return after - before < min(BYTES_GROWTH_RATIO * before, data_bytes)


def _given(use: Use) -> int | None:
    """The sequences that recurrent layers got; None where unknown."""
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
