"""The heap under which a CPU proof holds, and how a training of one's own gets the same.

The limit of the CPU counts address space, and under the defaults of glibc a heap keeps what is
freed: the same batch is then charged more.
"""

from __future__ import annotations

from typing import Final

MMAP_THRESHOLD_BYTES: Final = 16 << 10
"""Blocks from here on are mapped one by one, so that a freed tensor leaves the address space at
once; smaller ones leave holes in the heap, and how many hangs on what happened before: at twice
this size the same GRU step took up to 1.2% more or less from template to template, at this one
0.02%.  Each mapped block is rounded up to pages, about as much as the heap wastes by itself (both
some 20% over the tensors' bytes at 24 KiB); at 8 KiB the rounding takes more than it saves.  A step
is slower, so the timing pass, in a worker of its own, goes without."""

TRIM_THRESHOLD_BYTES: Final = 4 << 10
"""The heap's end goes back as soon as it is free, and grows by no more than is asked for."""

TOP_PAD_BYTES: Final = 0
ARENAS: Final = 1

VARIABLES: Final = {
    "MALLOC_ARENA_MAX": ARENAS,
    "MALLOC_MMAP_THRESHOLD_": MMAP_THRESHOLD_BYTES,
    "MALLOC_TRIM_THRESHOLD_": TRIM_THRESHOLD_BYTES,
    "MALLOC_TOP_PAD_": TOP_PAD_BYTES,
}
"""The same settings as glibc reads them from the environment (mallopt(3))."""


def as_shell() -> str:
    """In front of a command: ``MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=16384 ...``."""
    return " ".join(f"{name}={value}" for name, value in VARIABLES.items())
