"""glibc's heap in a process of the user's own: sharp while steps run under a limit, then quick.

What a process freed before a search leaves holes in its heap.  They are counted in its address
space already, so steps that find room in them take nothing of the limit: what fits would depend on
what ran before.  So the holes are filled for as long as a search lasts.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rnnprof.worker.cpu import (
    M_ARENA_MAX,
    M_MMAP_THRESHOLD,
    M_TOP_PAD,
    M_TRIM_THRESHOLD,
    MMAP_THRESHOLD_BYTES,
    TRIM_THRESHOLD_BYTES,
)

QUICK_MMAP_THRESHOLD_BYTES: Final = 32 << 20
"""Where glibc's own adjusting ends: once a block of this size has been freed, it keeps smaller ones
in the heap.  Set after a run, since the adjusting cannot be switched on again."""

QUICK_TOP_PAD_BYTES: Final = 128 << 10
"""glibc's default (mallopt(3))."""

HEAP_VARIABLES: Final = (
    "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD",
)  # fmt: skip
"""Where one is set, the heap is as somebody wants it, or another one, and is left alone."""

LARGEST_FILLING_BYTES: Final = 32 << 20
SMALLEST_FILLING_BYTES: Final = 1 << 10
"""Holes below a page serve Python's objects and the like, not tensors that grow with the batch."""

FILLING_BATCH_BYTES: Final = 256 << 10
"""What is allocated between two looks at what the limit counts; as much may stay unfilled."""


def mallopt() -> Any:
    """glibc's; None where the heap is another one or has been set up by somebody."""
    if any(map(os.environ.get, HEAP_VARIABLES)):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)


def share_heap() -> None:
    """Have new threads allocate from the main heap: one of their own reserves addresses ahead.

    glibc settles this once for a process; it makes no step slower.
    """
    if option := mallopt():
        option(M_ARENA_MAX, 1)


@contextmanager
def sharp_heap() -> Iterator[None]:
    """Map blocks one by one for a while, so that the address space follows the live tensors."""
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


class Filling:
    """What fills the holes of the heap that the calling thread allocates from."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def fill(self, counted_bytes: Callable[[], int]) -> None:
        """Allocate, from large blocks to small, as long as *counted_bytes* does not grow by it."""
        libc = _allocator() if mallopt() else None
        if libc is None:
            return
        with sharp_heap():
            size = LARGEST_FILLING_BYTES
            while size >= SMALLEST_FILLING_BYTES:
                while self._filled(libc, size, counted_bytes):
                    pass
                size //= 2

    def _filled(self, libc: ctypes.CDLL, size: int, counted_bytes: Callable[[], int]) -> bool:
        """Whether a few blocks of a size found room; if not all of them did, none is kept."""
        before = counted_bytes()
        count = max(1, FILLING_BATCH_BYTES // size)
        blocks = [block for _ in range(count) if (block := libc.malloc(size))]
        if len(blocks) == count and counted_bytes() <= before:
            self._held += blocks
            return True
        _free(libc, blocks)
        return False

    def release(self) -> None:
        """Give the holes back."""
        if self._held and (libc := _allocator()) is not None:
            _free(libc, self._held)
        self._held = []


def _allocator() -> ctypes.CDLL | None:
    """malloc and free of this process."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc"):
        return None
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.free.restype = None
    return libc


def _free(libc: ctypes.CDLL, blocks: list[int]) -> None:
    """The last first, so that the heap's end shrinks."""
    for block in reversed(blocks):
        libc.free(block)
