"""A model of the CUDA caching allocator: pools, segments, best fit, split, merge, trace, counters.

It follows c10/cuda/CUDACachingAllocator.cpp from the side of whoever allocates: it chooses where a
request goes, of which the trace tells only the outcome.  It shares nothing with the replay that it
tests: each arena (one cudaMalloc, or the reserved addresses of one expandable segment) is a list of
pieces in order of address.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

KIB = 1 << 10
MIB = 1 << 20
BASE_ADDRESS = 0x7F00_0000_0000
PAGE = 2 * MIB  # cudaMalloc's results are aligned to it here, so that segments may touch
STATE_NAMES = {"used": "active_allocated", "late": "active_pending_free", "free": "inactive"}


class FakeOutOfMemoryError(Exception):
    """No room within the limit, even with the cache emptied."""


@dataclass(eq=False)
class Piece:
    """A range of addresses: used, late (another stream still uses it), free or void (unmapped)."""

    address: int
    size: int
    state: str
    requested: int = 0


@dataclass(eq=False)
class Arena:
    """What one cudaMalloc returned, or one reservation of addresses."""

    small: bool
    stream: int
    expandable: bool
    pieces: list[Piece]

    @property
    def start(self) -> int:
        return self.pieces[0].address

    @property
    def end(self) -> int:
        return self.pieces[-1].address + self.pieces[-1].size

    @property
    def page(self) -> int:
        return 2 * MIB if self.small else 20 * MIB

    def split(self, piece: Piece, size: int, state: str) -> None:
        """Cut a piece after *size*; the rest, if any, takes *state*."""
        rest = piece.size - size
        if rest:
            at = self.pieces.index(piece)
            self.pieces.insert(at + 1, Piece(piece.address + size, rest, state))
            piece.size = size

    def merge(self, state: str) -> None:
        """Join neighbours that both have *state*."""
        joined: list[Piece] = []
        for piece in self.pieces:
            if joined and piece.state == joined[-1].state == state:
                joined[-1].size += piece.size
            else:
                joined.append(piece)
        self.pieces = joined

    def next(self, piece: Piece) -> Piece | None:
        at = self.pieces.index(piece) + 1
        return self.pieces[at] if at < len(self.pieces) else None

    def at(self, address: int) -> Piece:
        return next(p for p in self.pieces if p.address <= address < p.address + p.size)


@dataclass
class FakeCachingAllocator:
    """One device.

    Attributes:
        limit: bytes that may be reserved.
        divisions: roundup_power2_divisions from 1 MiB on; empty for none.
    """

    expandable: bool = False
    limit: int = 1 << 40
    max_split: int | None = None
    divisions: Sequence[int] = ()
    arenas: list[Arena] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("allocated", "freed"), 0))
    reserved: int = 0
    reserved_peak: int = 0
    allocated: int = 0
    peak: int = 0
    rounding_at_peak: int = 0
    _trace: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=0))

    # -- what torch.cuda offers --

    def malloc(self, requested: int, stream: int = 0) -> int:
        """The address of a new block."""
        size = self._round(requested)
        found = self._cached(size, stream) or self._grow(size, stream)
        if found is None:
            self.empty_cache()
            found = self._grow(size, stream)
        if found is None:
            self._log("oom", {"device_free": self.limit - self.reserved}, size, stream)
            raise FakeOutOfMemoryError
        arena, piece = found
        if self._splits(arena, piece.size - size, size):
            arena.split(piece, size, "free")
        piece.state, piece.requested = "used", requested
        self._log("alloc", {"addr": piece.address}, requested, stream)
        self.counts["allocated"] += 1
        self._count(piece.size)
        return piece.address

    def free(self, address: int, *, late: bool = False) -> None:
        """Give a block back; *late*: another stream still uses it, until `complete`."""
        arena, piece = self._find(address)
        assert piece.state == "used"
        assert piece.address == address
        self.counts["freed"] += 1
        self._count(-piece.size)
        self._log("free_requested", {"addr": address}, piece.requested, arena.stream)
        piece.state = "late"
        if not late:
            self.complete(address)

    def complete(self, address: int) -> None:
        """The last stream is done with a block."""
        arena, piece = self._find(address)
        assert piece.state == "late"
        self._log("free_completed", {"addr": address}, piece.requested, arena.stream)
        piece.state = "free"
        arena.merge("free")

    def empty_cache(self) -> None:
        """Complete what is late and give back what is wholly free."""
        for address in [p.address for _, p in self._pieces() if p.state == "late"]:
            self.complete(address)
        for arena in list(self.arenas):
            if arena.expandable:
                self._shrink(arena)
            elif [piece.state for piece in arena.pieces] == ["free"]:
                self._reserve(-arena.pieces[0].size)
                self._log(
                    "segment_free", {"addr": arena.start}, arena.end - arena.start, arena.stream
                )
                self.arenas.remove(arena)

    def record(self, max_entries: int = 1 << 40) -> None:
        """Begin a trace; the peak starts from what is allocated now."""
        self._trace = deque(maxlen=max_entries)
        self.peak, self.rounding_at_peak = self.allocated, self._rounding()

    def memory_stats(self) -> dict[str, int]:
        """Those of ``torch.cuda.memory_stats()`` that matter here."""
        return {
            "allocated_bytes.all.current": self.allocated,
            "allocated_bytes.all.peak": self.peak,
            "allocation.all.allocated": self.counts["allocated"],
            "allocation.all.freed": self.counts["freed"],
            "reserved_bytes.all.current": self.reserved,
            "reserved_bytes.all.peak": self.reserved_peak,
        }

    def snapshot(self) -> dict[str, Any]:
        """As ``torch.cuda.memory._snapshot()``, of a machine with this device alone."""
        found = {
            "segments": [dict(each) for arena in self.arenas for each in _segments(arena)],
            "device_traces": [[dict(entry) for entry in self._trace]],
            "allocator_settings": {
                "expandable_segments": self.expandable,
                "max_split_size": -1 if self.max_split is None else self.max_split,
                "roundup_power2_divisions": {
                    str(1 << at): each for at, each in enumerate(self.divisions)
                },
            },
        }
        self._log("snapshot", {"addr": 0}, 0, 0)
        return found

    # -- where a request goes --

    def _cached(self, size: int, stream: int) -> tuple[Arena, Piece] | None:
        """The smallest free block that fits, the lowest of equals."""
        fits = sorted(
            (
                (arena, piece)
                for arena, piece in self._pieces()
                if piece.state == "free"
                and piece.size >= size
                and (arena.small, arena.stream) == (size <= MIB, stream)
            ),
            key=lambda found: (found[1].size, found[1].address),
        )
        if not fits:
            return None
        best = _least_expandable(fits) if self.expandable else fits[0]
        return None if self._oversize(best[1].size, size) else best

    def _oversize(self, block: int, size: int) -> bool:
        if self.max_split is None:
            return False
        return block >= (self.max_split if size < self.max_split else size + 20 * MIB)

    def _splits(self, arena: Arena, rest: int, size: int) -> bool:
        if arena.small or self.expandable:
            return rest >= 512
        return rest > MIB and (self.max_split is None or size < self.max_split)

    def _grow(self, size: int, stream: int) -> tuple[Arena, Piece] | None:
        small = size <= MIB
        segment = 2 * MIB if small else 20 * MIB if size < 10 * MIB else _up(size, 2 * MIB)
        if self.reserved + segment > self.limit:
            return None
        if self.expandable:
            return self._expand(size, stream)
        piece = Piece(self._place(segment), segment, "free")
        arena = Arena(small, stream, False, [piece])
        self.arenas.append(arena)
        self._reserve(segment)
        self._log("segment_alloc", {"addr": piece.address}, segment, stream)
        return arena, piece

    def _expand(self, size: int, stream: int) -> tuple[Arena, Piece]:
        arena, piece = self._room(size, stream) or self._reservation(size, stream)
        address = piece.address
        if piece.state == "void":
            self._map(arena, piece, min(piece.size, size))
        while (piece := arena.at(address)).size < size:
            void = arena.next(piece)
            assert void is not None
            assert void.state == "void"
            self._map(arena, void, min(void.size, size - piece.size))
        return arena, piece

    def _room(self, size: int, stream: int) -> tuple[Arena, Piece] | None:
        """The lowest unmapped range, with free pieces around it, that can hold *size*."""
        for arena in sorted(self.arenas, key=lambda each: each.start):
            if not arena.expandable or (arena.small, arena.stream) != (size <= MIB, stream):
                continue
            for at, piece in enumerate(arena.pieces):
                if piece.state == "void":
                    first = at - 1 if at and arena.pieces[at - 1].state == "free" else at
                    if _run(arena.pieces[first:]) >= size:
                        return arena, arena.pieces[first]
        return None

    def _reservation(self, size: int, stream: int) -> tuple[Arena, Piece]:
        small = size <= MIB
        length = _up(min(self.limit, 1 << 36) * 9 // 8, 20 * MIB)
        piece = Piece(self._place(length), length, "void")
        self.arenas.append(Arena(small, stream, True, [piece]))
        return self.arenas[-1], piece

    def _map(self, arena: Arena, piece: Piece, size: int) -> None:
        mapped, address = _up(size, arena.page), piece.address
        arena.split(piece, mapped, "void")
        piece.state = "free"
        arena.merge("free")
        self._reserve(mapped)
        self._log("segment_map", {"addr": address}, mapped, arena.stream)

    def _shrink(self, arena: Arena) -> None:
        """Unmap the whole pages within free pieces."""
        start = arena.start
        for piece in [each for each in arena.pieces if each.state == "free"]:
            first = start + _up(piece.address - start, arena.page)
            end = start + (piece.address + piece.size - start) // arena.page * arena.page
            if first >= end:
                continue
            arena.split(piece, end - piece.address, "free")
            if first > piece.address:
                arena.split(piece, first - piece.address, "free")
            arena.at(first).state = "void"
            self._reserve(first - end)
            self._log("segment_unmap", {"addr": first}, end - first, arena.stream)
        arena.merge("void")
        if [piece.state for piece in arena.pieces] == ["void"]:
            self.arenas.remove(arena)

    # -- the books --

    def _round(self, requested: int) -> int:
        if requested < 512:
            return 512
        if self.divisions:
            power = 1
            while power * 2 <= requested:
                power *= 2
            parts = self.divisions[min(max(power // MIB, 1).bit_length(), len(self.divisions)) - 1]
            if parts > 1 and requested > 512 * parts:
                return next(
                    power + power * part // parts
                    for part in range(parts + 1)
                    if power + power * part // parts >= requested
                )
        return _up(requested, 512)

    def _place(self, size: int) -> int:
        """The lowest addresses that nobody has: what was given back is used again."""
        address = BASE_ADDRESS
        for arena in sorted(self.arenas, key=lambda each: each.start):
            if arena.start - address >= size:
                break
            address = _up(arena.end, PAGE)
        return address

    def _pieces(self) -> Iterator[tuple[Arena, Piece]]:
        for arena in self.arenas:
            for piece in arena.pieces:
                yield arena, piece

    def _find(self, address: int) -> tuple[Arena, Piece]:
        return next(found for found in self._pieces() if found[1].address == address)

    def _rounding(self) -> int:
        return sum(p.size - p.requested for _, p in self._pieces() if p.state == "used")

    def _count(self, size: int) -> None:
        self.allocated += size
        if self.allocated > self.peak:
            self.peak, self.rounding_at_peak = self.allocated, self._rounding()

    def _reserve(self, size: int) -> None:
        self.reserved += size
        self.reserved_peak = max(self.reserved_peak, self.reserved)

    def _log(self, action: str, where: dict[str, int], size: int, stream: int) -> None:
        self._trace.append(
            {"action": action, **where, "size": size, "stream": stream, "time_us": 0}
        )


def _segments(arena: Arena) -> Iterator[dict[str, Any]]:
    """One per contiguous mapped range, as the allocator's snapshot lists them."""
    segment: dict[str, Any] | None = None
    for piece in arena.pieces:
        if piece.state == "void":
            segment = None
            continue
        if segment is None:
            segment = {
                "device": 0,
                "address": piece.address,
                "stream": arena.stream,
                "is_expandable": arena.expandable,
                "segment_type": "small" if arena.small else "large",
                "blocks": [],
            }
            yield segment
        segment["blocks"].append(
            {
                "address": piece.address,
                "size": piece.size,
                "requested_size": piece.requested,
                "state": STATE_NAMES[piece.state],
            }
        )


def _least_expandable(fits: list[tuple[Arena, Piece]]) -> tuple[Arena, Piece]:
    """Best fit by what a block could grow to."""

    def growable(found: tuple[Arena, Piece]) -> int:
        arena, piece = found
        void = arena.next(piece)
        return piece.size + (void.size if void is not None and void.state == "void" else 0)

    at = 0
    while at + 1 < len(fits) and growable(fits[at + 1]) < growable(fits[at]):
        at += 1
    return fits[at]


def _run(pieces: list[Piece]) -> int:
    """Bytes up to the first piece in use."""
    total = 0
    for piece in pieces:
        if piece.state not in ("free", "void"):
            break
        total += piece.size
    return total


def _up(size: int, unit: int) -> int:
    return (size + unit - 1) // unit * unit
