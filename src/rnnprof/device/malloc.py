"""The heap settings under which a CPU proof holds, and how to use them in your own training.

The limit of the CPU counts address space.  With glibc's defaults a heap keeps freed memory, so the
same batch is charged more.
"""

from __future__ import annotations

from typing import Final

MMAP_THRESHOLD_BYTES: Final = 16 << 10
"""Blocks of this size and above are mapped one by one, so that a freed tensor leaves the address
space at once.  Smaller blocks leave holes in the heap; how many depends on earlier allocations: at
twice this size the same GRU step took up to 1.2% more or less from template to template, at this
size 0.02%.  Each mapped block is rounded up to pages, about as much as the heap wastes by itself
(both about 20% over the tensors' bytes at 24 KiB); at 8 KiB the rounding takes more than it saves.
A step is slower, so the timing pass, in its own worker, does not use this setting."""

TRIM_THRESHOLD_BYTES: Final = 4 << 10
"""The end of the heap is returned as soon as it is free, and grows by what is requested."""

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
    """To put before a command: ``MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=16384 ...``."""
    return " ".join(f"{name}={value}" for name, value in VARIABLES.items())
