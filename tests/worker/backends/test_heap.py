"""Holes of the heap: filled as far as they go, never beyond, and given back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from rnnprof.device.process import memory_bytes
from rnnprof.worker.backends.heap import (
    ARENA_BYTES,
    FILLING_BATCH_BYTES,
    LARGEST_FILLING_BYTES,
    LIST_ITEM_BYTES,
    MOST_OBJECTS,
    OBJECTS_AT_ONCE,
    SMALL_OBJECTS_BYTES,
    Filling,
    _filled_up_to,
    fill_arenas,
)

MIB = 1 << 20


@pytest.fixture
def filling() -> Iterator[Filling]:
    one = Filling()
    yield one
    one.release()


def test_where_what_is_counted_is_unknown_nothing_is_filled(filling: Filling) -> None:
    filling.fill(lambda: 0)
    assert filling.block_count == 0


def test_no_more_is_filled_than_is_counted(filling: Filling) -> None:
    """A count that stands still would else be filled until the machine has no more."""
    filling.fill(lambda: LARGEST_FILLING_BYTES + MIB)
    assert 2 <= filling.block_count <= 1 + MIB // 1024
    filling.release()
    assert filling.block_count == 0


def test_blocks_for_which_the_count_grows_are_given_back(filling: Filling) -> None:
    count = 0

    def growing() -> int:
        nonlocal count
        count += FILLING_BATCH_BYTES
        return count + 64 * MIB

    filling.fill(growing)
    assert filling.block_count == 0


HOLES = """
import ctypes
from rnnprof.device.process import memory_bytes
from rnnprof.worker.backends.heap import Filling, _allocator, sharp_heap, steady_heap, trim

def counted():
    return memory_bytes("VmData")

def room(size, most):
    '''Blocks of a size that fit into what the heap holds free.'''
    before, blocks = counted(), []
    for _ in range(most):
        blocks.append(libc.malloc(size))
        if counted() > before:
            break
    for block in blocks:
        libc.free(block)
    return len(blocks) - 1

libc = _allocator()
libc.mallopt(-3, 32 << 20)
blocks = [libc.malloc(40 << 10) for _ in range(2000)]
for block in blocks[::2]:
    libc.free(block)
steady_heap()
trim()
filling = Filling()
print(room(40 << 10, 900))
filling.fill(counted)
before = counted()
print(room(40 << 10, 900), room(4 << 10, 900))
filling.release()
print(room(40 << 10, 900), counted() <= before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the heap of glibc, by /proc")
def test_steps_find_no_room_in_a_heap_whose_holes_are_filled() -> None:
    run = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    before, filled, after = (line.split() for line in run.stdout.splitlines())
    if int(before[0]) <= 800:
        pytest.skip(f"this allocator has left room for {before[0]} blocks only")
    assert int(filled[0]) <= FILLING_BATCH_BYTES // (40 << 10)  # of 800
    assert int(filled[1]) <= FILLING_BATCH_BYTES // 4096
    assert int(after[0]) > 800
    assert after[1] == "True"


ARENAS = """
import random, sys
from rnnprof.device.process import memory_bytes
from rnnprof.worker.backends.heap import fill_arenas

def counted():
    return memory_bytes("VmData")

draw = random.Random(1)
history = [bytes(draw.randrange(15, 400)) for _ in range(int(sys.argv[1]))]
kept = [one for one in history if draw.random() < 0.3]
del history
spare = fill_arenas(counted) if sys.argv[2] == "fill" else []
before, room, objects = counted(), 0, [None] * 60_000
for place in range(len(objects)):
    objects[place] = bytes(draw.choice((31, 63, 127)))
    room += len(objects[place]) + 33
    if counted() > before + (1 << 19):  # not the heap, which grows by pages
        break
print(room)
"""


def python_room(history: int, what: str) -> int:
    """Bytes of small objects that a process takes before Python asks for more memory."""
    command = [sys.executable, "-c", ARENAS, str(history), what]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="addresses are counted by /proc")
def test_the_room_for_small_objects_does_not_hang_on_what_was_before() -> None:
    """How much room there is belongs to the interpreter's build; that it stays the same, to us."""
    filled, left = (
        [python_room(history, what) for history in (0, 3_000, 50_000)] for what in ("fill", "leave")
    )
    spread_left = max(left) - min(left)
    if spread_left < MIB:
        pytest.skip(f"this interpreter's room hangs little on its history: {left}")
    assert max(filled) - min(filled) < spread_left / 4, (filled, left)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted by /proc")
def test_small_objects_that_never_reach_the_arena_end_before_they_fill_the_memory() -> None:
    """A million of them took 125 MiB, and with it all that a limit in force had left."""
    held: list[object] = []
    before = memory_bytes("VmData") or 0
    assert not _filled_up_to(0, held, lambda: memory_bytes("VmData") or 0)
    by_objects = OBJECTS_AT_ONCE * SMALL_OBJECTS_BYTES[-1] + MOST_OBJECTS * SMALL_OBJECTS_BYTES[0]
    grown = (memory_bytes("VmData") or 0) - before
    assert grown < 2 * ARENA_BYTES + by_objects + LIST_ITEM_BYTES * len(held)


MAPPED_FOR_ANOTHER = """
from rnnprof.worker.backends.heap import ARENA_BYTES, fill_arenas
counts = iter((0, ARENA_BYTES))
print(len(fill_arenas(lambda: next(counts, ARENA_BYTES))))
"""


def test_an_arena_that_was_mapped_for_another_object_is_still_found() -> None:
    """The count grows while the pool of the objects looked at lies in an older arena.

    In a process of its own: after a thousand tests this one has more room than is worth filling.
    """
    command = [sys.executable, "-c", MAPPED_FOR_ANOTHER]
    held = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(held) > 0


def test_where_there_is_no_memory_for_it_nothing_is_held() -> None:
    def refused() -> int:
        raise MemoryError

    assert fill_arenas(refused) == []


def test_without_arenas_nothing_is_held() -> None:
    assert fill_arenas(lambda: 0) == []
