"""glibc's heap under a limit on address space: blocks are mapped one by one, and holes are filled.

Memory that a process freed earlier leaves holes in its heap.  They already count as address space,
so steps that use them take nothing from the limit, and what fits would depend on what ran before.
A worker's heap keeps these settings; in the user's own process they are restored after every run.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from rnnprof.device.malloc import (
    ARENAS,
    MMAP_THRESHOLD_BYTES,
    TOP_PAD_BYTES,
    TRIM_THRESHOLD_BYTES,
)

M_TRIM_THRESHOLD: Final = -1  # <malloc.h>
M_TOP_PAD: Final = -2
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8

QUICK_MMAP_THRESHOLD_BYTES: Final = 32 << 20
"""The end of glibc's dynamic threshold: after a block of this size is freed, smaller ones stay in
the heap.  Set after a run, since the dynamic threshold cannot be switched on again."""

QUICK_TOP_PAD_BYTES: Final = 128 << 10
"""glibc's default (mallopt(3))."""

HEAP_VARIABLES: Final = (
    "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD",
)  # fmt: skip
"""If one is set, the user has configured or replaced the heap, and it is left alone."""

ARENA_BYTES: Final = 1 << 20
POOL_BYTES: Final = 16 << 10
SMALL_OBJECTS_BYTES: Final = range(16, 513, 16)
"""Python's obmalloc since 3.10: arenas of pools, each pool for objects of one of these sizes."""

PROBING_BYTES: Final = 448
MOST_POOLS: Final = 4096
"""64 MiB of free pools: a process with more, or with another allocator, is left as it is."""

MOST_OBJECTS: Final = 1 << 20
"""The same bound for the free room in pools that are in use."""

OBJECTS_AT_ONCE: Final = 4096
"""Small objects between two readings of the charged bytes."""

LIST_ITEM_BYTES: Final = 16
"""Of a growing list, for each item: its pointer, and the old list while the new one is made."""

LARGEST_FILLING_BYTES: Final = 32 << 20
SMALLEST_FILLING_BYTES: Final = 1 << 10
"""Holes below a page hold objects of Python and similar, not tensors that grow with the batch."""

FILLING_BATCH_BYTES: Final = 256 << 10
"""Bytes allocated between two readings of the charged bytes; as much may stay unfilled."""


def mallopt() -> Any:
    """glibc's ``mallopt``; None for another heap or one that the user has configured."""
    if any(map(os.environ.get, HEAP_VARIABLES)):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)


def steady_heap() -> None:
    """One arena and small thresholds, so that the address space follows the live tensors."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # not glibc: the largest batch is then less exact
        return
    mallopt(M_ARENA_MAX, ARENAS)
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
    mallopt(M_TOP_PAD, TOP_PAD_BYTES)


def trim() -> None:
    """Collect Python's cycles and return the heap's free pages."""
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def share_heap() -> None:
    """Let new threads allocate from the main heap: a thread's own heap reserves addresses early.

    glibc decides this once per process; it makes no step slower.
    """
    if option := mallopt():
        option(M_ARENA_MAX, 1)


@contextmanager
def sharp_heap() -> Iterator[None]:
    """Map blocks one by one inside the context: the address space then follows live tensors."""
    option = mallopt()
    if option is None:
        yield
        return
    try:
        option(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        option(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
        option(M_TOP_PAD, 0)
        yield
    finally:
        option(M_MMAP_THRESHOLD, QUICK_MMAP_THRESHOLD_BYTES)
        option(M_TRIM_THRESHOLD, 2 * QUICK_MMAP_THRESHOLD_BYTES)
        option(M_TOP_PAD, QUICK_TOP_PAD_BYTES)


def fill_arenas(charged_bytes: Callable[[], int]) -> list[object]:
    """Use up Python's free room for small objects, except for one arena that is almost empty.

    Python takes 1 MiB at a time for small objects.  Whether a step needs another MiB depends on the
    room left in earlier ones, which differs from command to command, and even in one template after
    its hundredth worker.  So older arenas are filled, and the free room is always the same.  The
    effect lasts as long as the returned list.
    """
    held: list[object] = []
    with suppress(MemoryError):  # an existing limit is reached: the room stays free
        base = _new_arena(held, charged_bytes)
        if base is not None and _filled_up_to(base, held, charged_bytes):
            return held
    return []


def _filled_up_to(base: int, held: list[object], charged_bytes: Callable[[], int]) -> bool:
    """Hold objects of each size until one is in the arena at *base*.

    False if memory grows by it (the arena was skipped, and this would take all memory), or if there
    is more room than is worth filling.
    """
    before = charged_bytes()
    for size in SMALL_OBJECTS_BYTES:
        while not base <= id(one := _small_object(size)) < base + ARENA_BYTES:
            held.append(one)
            if len(held) % OBJECTS_AT_ONCE == 0:
                grown = charged_bytes() - before
                if grown >= ARENA_BYTES + LIST_ITEM_BYTES * len(held):
                    return False
            if len(held) >= MOST_OBJECTS:
                return False
    return True


def _new_arena(held: list[object], charged_bytes: Callable[[], int]) -> int | None:
    """Take pools until Python maps a new arena; return its address, None if it never does.

    The arena may be mapped for a list of this search, or for text that is read, while the objects
    are still in an older one.  So one more pool is taken: no other arena has a free one then.
    """
    before = charged_bytes()
    for _ in range(MOST_POOLS):
        held.append(_pool())
        now = charged_bytes()
        if now - before >= ARENA_BYTES:
            pool = _pool()
            held.append(pool[-1])  # keeps the new arena
            return id(pool[-1]) // POOL_BYTES * POOL_BYTES  # in one of the first of its pools
        before = now
    return None


def _pool() -> list[object]:
    """Objects of one size that fill a pool."""
    return [_small_object(PROBING_BYTES) for _ in range(POOL_BYTES // PROBING_BYTES)]


def _small_object(size_bytes: int) -> object:
    """A new object of this size."""
    match size_bytes:
        case 16:
            return object()
        case 32:
            return float("0.5")
        case _:
            return bytes(size_bytes - sys.getsizeof(b""))


class Filling:
    """Blocks that fill the holes in the calling thread's heap."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def fill(self, charged_bytes: Callable[[], int]) -> None:
        """Allocate blocks, from large to small, while *charged_bytes* does not grow.

        The heap must be sharp or steady: then a large block that fits no hole shows at once.
        Holes are part of the charged bytes, so no more than those is ever allocated.
        """
        libc = _allocator()
        left_bytes = charged_bytes()
        size = LARGEST_FILLING_BYTES
        while libc is not None and size >= SMALLEST_FILLING_BYTES:
            count = max(1, FILLING_BATCH_BYTES // size)
            while count * size <= left_bytes and self._filled(libc, count, size, charged_bytes):
                left_bytes -= count * size
            size //= 2

    def _filled(
        self, libc: ctypes.CDLL, count: int, size: int, charged_bytes: Callable[[], int]
    ) -> bool:
        """Whether *count* blocks of *size* bytes fit into holes; if not all do, none is kept."""
        before = charged_bytes()
        blocks = [block for _ in range(count) if (block := libc.malloc(size))]
        if len(blocks) == count and charged_bytes() <= before:
            self._held += blocks
            return True
        _free(libc, blocks)
        return False

    @property
    def block_count(self) -> int:
        """Number of blocks held."""
        return len(self._held)

    def release(self) -> None:
        """Free the blocks."""
        if self._held and (libc := _allocator()) is not None:
            _free(libc, self._held)
        self._held = []


def _allocator() -> ctypes.CDLL | None:
    """The C library with malloc and free; None if it is not glibc."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # not glibc
        return None
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.free.restype = None
    return libc


def _free(libc: ctypes.CDLL, blocks: list[int]) -> None:
    """Free the last block first, so that the heap's end shrinks."""
    for block in reversed(blocks):
        libc.free(block)
