"""The memory breakdown at the peak, from a replay of the allocator's events by storage.

A block is one allocation between its malloc and its free.  Snapshots name the storages of the
weights, gradients and optimizer state at known instants; every other block is classified by the
phase that allocated it and whether it outlived that phase.  No part is found by subtraction.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rnnprof.runfile.observations import BREAKDOWN_PARTS, Breakdown

HELD_PARTS: Final = ("weights", "gradients", "optimizer_state")
"""Parts of the model and optimizer: such a storage never belongs to another part."""

TENSOR_PARTS: Final = (*HELD_PARTS, "weight_casts")
LIBRARY: Final = "library"
NAMED_PARTS: Final = (*TENSOR_PARTS, LIBRARY)
"""The parts that snapshots name; a storage in two parts counts for the first."""


@dataclass(frozen=True, slots=True)
class AllocatorEvent:
    """A malloc (size above 0) or free (below 0), with the allocator's own total after it.

    Attributes:
        at_ns: on the same clock as the phase marks.
        size_bytes: bytes with the allocator's rounding.
        requested_bytes: requested size of a malloc; None if the allocator does not round or does
            not report it.
    """

    at_ns: int
    address: int
    size_bytes: int
    total_bytes: int
    requested_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A phase or training step between two instants."""

    name: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The addresses of the storages of each named part at an instant."""

    at_ns: int
    addresses: Mapping[str, frozenset[int]]


@dataclass(slots=True)
class Block:
    """One allocation and, if a snapshot named it, its part."""

    size_bytes: int
    start_ns: int
    end_ns: int | None = None
    part: str | None = None
    requested_bytes: int | None = None

    @property
    def own_bytes(self) -> int:
        """Size of the block without the allocator's rounding."""
        return self.size_bytes if self.requested_bytes is None else self.requested_bytes

    def is_live_at(self, at_ns: int) -> bool:
        """Whether the block is live just after *at_ns*."""
        return self.start_ns <= at_ns and (self.end_ns is None or self.end_ns > at_ns)


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that the profiler recorded between build and the last step."""

    events: Sequence[AllocatorEvent]
    phases: Sequence[Span]
    train_steps: Sequence[Span]
    snapshots: Sequence[Snapshot]


@dataclass(frozen=True, slots=True)
class Account:
    """The result of a replayed trace.

    Attributes:
        peak_bytes: the allocator's own peak.
        breakdown: the parts at the peak, which sum to it; None where *reason* says why.
        phase_peak_bytes: peak in each phase, over all steps.
        phase_live_bytes: live bytes at the end of each phase of the last step; if a phase occurs
            several times, at the end of its last mark.
        net_bytes_per_step: bytes that the last step left behind; None with fewer than two steps.
        named_live_bytes: live bytes of each tensor part at the last snapshot, without rounding,
            to compare with the sizes of the tensors.
    """

    peak_bytes: int
    breakdown: Breakdown | None
    reason: str | None
    phase_peak_bytes: dict[str, int] = field(default_factory=dict)
    phase_live_bytes: dict[str, int] = field(default_factory=dict)
    net_bytes_per_step: int | None = None
    named_live_bytes: dict[str, int] = field(default_factory=dict)


def account(trace: Trace) -> Account:
    """Replay a trace and take the breakdown at the instant of its peak."""
    if not trace.events:
        return Account(0, None, "the allocator reported no event")
    events = sorted(trace.events, key=lambda event: event.at_ns)
    offset = events[0].total_bytes - events[0].size_bytes
    totals = [event.total_bytes - offset for event in events]
    peak_index = max(range(len(totals)), key=totals.__getitem__)
    blocks, unmatched = _blocks(events, trace.snapshots)
    breakdown, reason = _breakdown_at(
        events[peak_index].at_ns, totals[peak_index], blocks, trace.phases
    )
    if unmatched:
        breakdown, reason = None, f"{unmatched} freed blocks were allocated before the trace began"
    curve = _Curve([event.at_ns for event in events], totals)
    return Account(
        totals[peak_index],
        breakdown,
        reason,
        _phase_peaks(curve, trace.phases),
        _phase_lives(curve, trace),
        _net_of_last_step(curve, trace.train_steps),
        _named_live(blocks, trace.snapshots),
    )


def _blocks(
    events: Sequence[AllocatorEvent], snapshots: Sequence[Snapshot]
) -> tuple[list[Block], int]:
    """Pair mallocs with frees in order of time, and name the blocks that snapshots see.

    Returns:
        The blocks, and the number of frees without a malloc.
    """
    blocks: list[Block] = []
    live: dict[int, Block] = {}
    unmatched = 0
    waiting = sorted(snapshots, key=lambda snapshot: snapshot.at_ns, reverse=True)
    for event in events:
        while waiting and waiting[-1].at_ns < event.at_ns:
            _name(live, waiting.pop())
        if event.size_bytes > 0:
            block = Block(event.size_bytes, event.at_ns, requested_bytes=event.requested_bytes)
            live[event.address] = block
            blocks.append(block)
        elif event.address in live:
            live.pop(event.address).end_ns = event.at_ns
        elif event.size_bytes < 0:
            unmatched += 1
    while waiting:
        _name(live, waiting.pop())
    return blocks, unmatched


def _name(live: Mapping[int, Block], snapshot: Snapshot) -> None:
    """Name the live blocks; an earlier part in ``NAMED_PARTS`` has priority."""
    for part in reversed(NAMED_PARTS):
        for address in snapshot.addresses.get(part, ()):
            block = live.get(address)
            if block is not None and _may_be(part, block):
                block.part = part


def _may_be(part: str, block: Block) -> bool:
    """Whether a block may get this part.

    A weight cast may become a held part, but not the reverse; only an unnamed block is library.
    """
    if part == LIBRARY:
        return block.part is None
    return part in HELD_PARTS or block.part not in HELD_PARTS


def _named_live(blocks: Sequence[Block], snapshots: Sequence[Snapshot]) -> dict[str, int]:
    sums = dict.fromkeys(TENSOR_PARTS, 0)
    if snapshots:
        at_ns = max(snapshot.at_ns for snapshot in snapshots)
        for block in blocks:
            if block.part in sums and block.is_live_at(at_ns):
                sums[block.part] += block.own_bytes
    return sums


def _breakdown_at(
    at_ns: int, peak_bytes: int, blocks: Sequence[Block], phases: Sequence[Span]
) -> tuple[Breakdown | None, str | None]:
    parts = dict.fromkeys(BREAKDOWN_PARTS, 0)
    outside_bytes = 0
    for block in blocks:
        if block.is_live_at(at_ns):
            part = block.part or _part_by_phase(block, phases)
            if part is None:
                outside_bytes += block.size_bytes
            else:
                parts[part] += block.own_bytes
                parts["rounding"] += block.size_bytes - block.own_bytes
    if outside_bytes:
        return None, (
            f"{outside_bytes} bytes at the peak were allocated outside every phase mark: put the "
            "code that allocates them inside a phase"
        )
    if sum(parts.values()) != peak_bytes:
        return (
            None,
            f"blocks sum to {sum(parts.values())}, the allocator's peak is {peak_bytes} bytes",
        )
    return Breakdown(**parts, phase=_phase_at(at_ns, phases) or "other"), None


def _part_by_phase(block: Block, phases: Sequence[Span]) -> str | None:
    span = _span_at(block.start_ns, phases)
    if span is None:
        return None
    outlives = block.end_ns is None or block.end_ns > span.end_ns
    if span.name in ("build", "data") and outlives:
        return "input"
    if span.name == "forward" and outlives:
        return "saved"
    return "temporaries"


def _span_at(at_ns: int, spans: Sequence[Span]) -> Span | None:
    """The innermost span around an instant: the last to begin, then the first to end."""
    around = [span for span in spans if span.start_ns <= at_ns <= span.end_ns]
    return max(around, key=lambda span: (span.start_ns, -span.end_ns), default=None)


def _phase_at(at_ns: int, spans: Sequence[Span]) -> str | None:
    span = _span_at(at_ns, spans)
    return None if span is None else span.name


@dataclass(frozen=True, slots=True)
class _Curve:
    """Allocated bytes over time."""

    at_ns: Sequence[int]
    totals: Sequence[int]

    def value(self, at_ns: int) -> int:
        index = bisect.bisect_right(self.at_ns, at_ns) - 1
        return self.totals[index] if index >= 0 else 0

    def peak(self, start_ns: int, end_ns: int) -> int:
        first = bisect.bisect_left(self.at_ns, start_ns)
        last = bisect.bisect_right(self.at_ns, end_ns)
        return max(self.value(start_ns), max(self.totals[first:last], default=0))


def _phase_peaks(curve: _Curve, phases: Sequence[Span]) -> dict[str, int]:
    peaks: dict[str, int] = {}
    for span in phases:
        peaks[span.name] = max(peaks.get(span.name, 0), curve.peak(span.start_ns, span.end_ns))
    return peaks


def _phase_lives(curve: _Curve, trace: Trace) -> dict[str, int]:
    if not trace.train_steps:
        return {}
    start_ns = trace.train_steps[-1].start_ns
    return {
        span.name: curve.value(span.end_ns) for span in trace.phases if span.start_ns >= start_ns
    }


def _net_of_last_step(curve: _Curve, spans: Sequence[Span]) -> int | None:
    if len(spans) < 2:
        return None
    return curve.value(spans[-1].end_ns) - curve.value(spans[-2].end_ns)
