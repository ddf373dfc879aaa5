"""What a step has seen of the batch and T requested: rules that find scripts which ignore them,
and stay silent for those which do not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import MIB, a_fit
from rnnprof.points.reasons import (
    DataGave,
    LengthNotUsed,
    LengthShare,
    MemoryNoMore,
    ModulesSawNoMore,
    SameData,
)
from rnnprof.points.seen import ignored, same_data, unused_batches, used_lengths
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Fit, Seen
from rnnprof.runfile.points import Outcome, Point

T = 16
batches = st.lists(st.integers(1, 5000), min_size=1, max_size=8, unique=True)
own = st.integers(1, 700)
quick = settings(max_examples=30)


def saw(batch: int, *seen: Seen, time_steps: int = T, **changes: object) -> Fit:
    return a_fit(Point(batch, time_steps), seen=seen, train_steps_run=2, **changes)


def layer(batch: int, calls: int = 1, time_steps: int = T, step: int = 1) -> Seen:
    """A layer that is called so often with (steps, batch, 8)."""
    sequences = batch * calls
    return Seen(
        step, batch, time_steps, sequences, sequences * time_steps, 8 * sequences * time_steps
    )


def modules(elements: int, step: int = 1) -> Seen:
    return Seen(step, elements=elements)


# steps that do not use the batch


def test_a_script_with_a_batch_of_its_own_is_found():
    assert ignored([saw(16, layer(32)), saw(64, layer(32))]) == DataGave(64, 32)


def test_data_smaller_than_the_batch_is_found():
    fits = [saw(512, layer(512), layer(88, step=5)), saw(8192, layer(600), layer(600, step=5))]
    assert ignored(fits) == DataGave(8192, 600)


def test_micro_batches_of_too_little_data_are_counted_together():
    fits = [saw(64, layer(16, calls=4)), saw(8192, layer(16, calls=30))]
    assert ignored(fits) == DataGave(8192, 480)


def test_every_batch_that_saw_the_same_is_among_those_not_used():
    fits = [saw(batch, layer(32)) for batch in (4, 8, 16, 32, 64)]
    assert sorted(unused_batches(fits)) == [4, 8, 16, 64]
    assert unused_batches(fits)[8] == DataGave(8, 32)


def test_a_batch_within_the_data_stays_used():
    fits = [saw(batch, layer(min(batch, 600))) for batch in (128, 512, 600, 1024)]
    assert list(unused_batches(fits)) == [1024]


@quick
@given(own, batches)
def test_an_own_batch_is_found_wherever_batches_lie_far_enough_apart(mine: int, asked: list[int]):
    found = ignored([saw(batch, layer(mine)) for batch in asked])
    others = [batch for batch in asked if batch != mine]
    low, high = min(asked), max(asked)
    if high >= 4 * low:
        assert found == DataGave(max(others), mine)
    if high < 1.5 * low:
        assert found is None


@quick
@given(own.filter(lambda n: n >= 16), st.floats(1.7, 50))
def test_data_that_ends_is_found_as_soon_as_a_probe_lies_beyond(size: int, factor: float):
    beyond = int(factor * size)
    fits = [saw(size // 2, layer(size // 2)), saw(beyond, layer(size))]
    assert ignored(fits) == DataGave(beyond, size)


# steps that do use it


@quick
@given(batches)
def test_plain_layers_are_not_flagged(asked: list[int]):
    assert ignored([saw(batch, layer(batch)) for batch in asked]) is None


@quick
@given(batches, st.integers(1, 64))
def test_micro_batches_are_not_flagged(asked: list[int], micro: int):
    fits = [saw(b, layer(min(b, micro), calls=-(-b // micro))) for b in asked]
    assert not unused_batches(fits)


@quick
@given(batches, st.integers(2, 9))
def test_a_fixed_number_of_micro_batches_is_not_flagged(asked: list[int], parts: int):
    fits = [saw(b, layer(-(-b // parts), calls=parts)) for b in asked]
    assert not unused_batches(fits)


@quick
@given(batches, st.integers(1, 9))
def test_chunks_are_not_flagged(asked: list[int], chunks: int):
    assert not unused_batches([saw(b, layer(b, calls=chunks, time_steps=4)) for b in asked])


@quick
@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 90)), min_size=2, max_size=8))
def test_random_lengths_are_not_flagged(asked: list[tuple[int, int]]):
    assert not unused_batches([saw(b, layer(b, time_steps=length)) for b, length in asked])


@quick
@given(batches, st.sampled_from([2, 4, 8]))
def test_batches_rounded_up_are_not_flagged(asked: list[int], multiple: int):
    far = [b for b in asked if b >= multiple]
    fits = [saw(b, layer(-(-b // multiple) * multiple)) for b in far]
    assert not unused_batches(fits)


@quick
@given(batches, st.integers(2, 50))
def test_sentences_of_documents_are_not_flagged(asked: list[int], each: int):
    assert not unused_batches([saw(b, layer(b * each)) for b in asked])


def test_the_last_batch_of_an_epoch_may_be_small():
    fits = [saw(64, layer(64), layer(64, step=10)), saw(512, layer(512), layer(3, step=10))]
    assert ignored(fits) is None


def test_one_probe_shows_nothing():
    assert ignored([saw(8192, layer(600))]) is None
    assert ignored([]) is None


def test_a_probe_that_did_not_pass_shows_nothing():
    oom = saw(8192, layer(600), outcome=Outcome.OOM)
    assert ignored([saw(16, layer(16)), oom]) is None


def test_nothing_seen_shows_nothing():
    assert ignored([saw(16), saw(64)]) is None


# without recurrent layers


def test_modules_that_are_called_with_the_same_are_found():
    fits = [saw(64, modules(4800)), saw(256, modules(4800))]
    assert ignored(fits) == ModulesSawNoMore(256, 64)


@quick
@given(batches, st.integers(1, 50), st.integers(0, 1 << 40))
def test_elements_that_mostly_do_not_hang_on_the_batch_are_not_flagged(
    asked: list[int], each: int, fixed: int
):
    assert not unused_batches([saw(b, modules(fixed + each * b)) for b in asked])


def test_elements_near_one_another_show_nothing():
    assert ignored([saw(64, modules(4800)), saw(96, modules(4800))]) is None


def test_recurrent_layers_in_one_probe_alone_show_nothing():
    assert ignored([saw(16, layer(16)), saw(256, modules(100))]) is None


def test_memory_that_does_not_grow_is_found():
    fits = [saw(16, peak_charged_bytes=50 * MIB), saw(1024, peak_charged_bytes=50 * MIB)]
    assert ignored(fits) == MemoryNoMore(1024, 16)
    assert ignored([fits[0], saw(512, peak_charged_bytes=50 * MIB)]) is None


@quick
@given(batches, st.integers(1, 8), st.integers(1, 1 << 45))
def test_memory_beside_large_weights_is_not_flagged(asked: list[int], each: int, fixed: int):
    fits = [saw(b, peak_charged_bytes=fixed + each * b * T) for b in asked]
    assert not unused_batches(fits)


def test_on_cuda_the_allocated_bytes_count():
    fits = [
        saw(b, peak_charged_bytes=20 * MIB, peak_allocated_bytes=(1 << 20) + 64 * b)
        for b in (2, 1024)
    ]
    assert ignored(fits) is None


# time steps


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (layer(8), None),
        (layer(8, time_steps=T - 1), None),
        (layer(8, calls=4, time_steps=T // 4), None),
        (layer(4, calls=2), None),
        (layer(8, time_steps=2), LengthShare(T, 2)),
    ],
)
def test_the_lengths_at_one_t(seen: Seen, expected: Reason | None):
    assert used_lengths([saw(8, seen)]) == expected


def test_the_lengths_over_several_t():
    strided = [saw(8, layer(8, time_steps=t // 8), time_steps=t) for t in (64, 128, 256)]
    assert used_lengths(strided) == LengthShare(256, 32)
    fixed = [saw(8, layer(8, time_steps=20), time_steps=t) for t in (64, 128)]
    assert used_lengths(fixed) == LengthNotUsed(128, 20)
    assert used_lengths([saw(8)]) is None


# the same data


def test_proofs_that_drew_the_same_data_are_found():
    found = same_data([saw(8, data_mark=0.25), saw(9, data_mark=1.0), saw(8, data_mark=0.25)])
    assert found == SameData(8)


def test_other_data_other_batches_and_unknown_marks_are_not():
    assert same_data([saw(8, data_mark=0.25), saw(8, data_mark=0.5)]) is None
    assert same_data([saw(8, data_mark=0.25), saw(9, data_mark=0.25)]) is None
    assert same_data([saw(8, data_mark=0.25), saw(8, data_mark=0.25, time_steps=T + 1)]) is None
    assert same_data([saw(8), saw(8)]) is None
