"""The search for the largest batch: never a wrong edge, bounded always, quick where bytes tell."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory_laws import GIB, MOST, Law, drive, drive_law, random_case
from rnnprof.breakdown.memory_model import MemoryModel, Plane, Sample
from rnnprof.maxbatch.search import (
    FIRST_UNITS,
    EdgeSearch,
    Try,
    plain_bisection_probes,
)
from rnnprof.runfile.points import Outcome, Point

LENGTHS = (128, 16, 96, 64, 48, 32)
"""Longest, shortest, and those between."""

seeds = st.integers(0, 2**32)
caps = st.one_of(st.integers(1, 40), st.integers(1, MOST))
bytes_or_none = st.one_of(st.none(), st.integers(-5, 2**45))
planes = st.builds(
    Plane, st.floats(-1e9, 1e9), st.floats(0, 1e7), st.floats(0, 1e6)
)  # fmt: skip


def hashed_bytes(seed: int, limit_bytes: float):
    """Any bytes at all, or none, by batch."""

    def size_bytes(units: int) -> int | None:
        rng = random.Random(seed * 1_000_003 + units)
        return (
            None
            if rng.random() < 0.2
            else int(limit_bytes * rng.choice([1e-6, 0.5, 1, 3]) * rng.random())
        )

    return size_bytes


def check(run, edge, most):
    assert run.search.is_over
    assert run.search.propose(None) is None
    assert run.search.contradiction is None
    assert run.search.fits == min(edge, most)
    assert run.search.fails == (edge + 1 if edge < most else None)
    assert len(set(run.proposed)) == run.probes
    assert all(1 <= units <= most for units in run.proposed)
    assert run.probes <= 2 * math.ceil(math.log2(most + 1))


def share(values, ratio):
    """What so many of the values do not pass."""
    return sorted(values)[math.ceil(ratio * len(values)) - 1]


@given(caps, st.data())
def test_any_edge_is_found_without_bytes(most, data):
    edge = data.draw(st.integers(0, most + 5))
    run = drive(EdgeSearch(8, GIB, most), lambda units: units <= edge, lambda _: None)
    check(run, edge, most)


@given(caps, st.data(), seeds)
def test_any_edge_is_found_whatever_the_bytes_say(most, data, seed):
    edge = data.draw(st.one_of(st.integers(0, most + 5), st.sampled_from([0, 1, most, most + 1])))
    run = drive(EdgeSearch(8, GIB, most), lambda units: units <= edge, hashed_bytes(seed, GIB))
    check(run, edge, most)


@given(caps, st.data(), st.lists(bytes_or_none, min_size=1, max_size=5))
def test_any_edge_is_found_with_few_different_bytes(most, data, sizes):
    edge = data.draw(st.integers(0, most + 1))
    run = drive(
        EdgeSearch(8, GIB, most),
        lambda units: units <= edge,
        lambda units: sizes[units % len(sizes)],
    )
    check(run, edge, most)


@given(
    st.integers(0, MOST),
    st.lists(
        st.builds(Sample, st.builds(Point, st.integers(1, MOST), st.integers(1, 512)),
                  st.integers(-5, 2**40)),
        max_size=8,
    ),
)  # fmt: skip
def test_samples_of_other_lengths_may_be_wrong(edge, samples):
    run = drive(EdgeSearch(77, GIB, MOST), lambda units: units <= edge, lambda _: None, samples)
    check(run, edge, MOST)


@given(
    st.lists(planes, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(1, MOST), st.floats(0.3, 3)), max_size=2),
    st.integers(1, 512),
    st.floats(1e3, 1e13),
    caps,
)
def test_piecewise_bytes_with_jumps(pieces, jumps, time_steps, limit_bytes, most):
    def size_bytes(units: int) -> int:
        size = max(plane.at(units, time_steps) for plane in pieces)
        return int(size * math.prod(factor for start, factor in jumps if units >= start))

    low, high = 0, most + 1  # one of the edges, where a jump down makes several
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size_bytes(middle) <= limit_bytes else (low, middle)
    run = drive(EdgeSearch(time_steps, limit_bytes, most), lambda units: units <= low, size_bytes)
    check(run, low, most)


@given(st.integers(1, MOST - 1), st.floats(0, 1e6), st.floats(0, 0.999))
@example(14, 100.0, 0.5)
@example(MOST - 1, 1e6, 0.9)
@example(2, 223.0, 0.1)
def test_an_affine_law_is_met_at_once(edge, weights, spare):
    """Weights in sequences' worth: from nothing to fifteen times the largest batch's own bytes."""
    per_sequence = 10_000
    law = Law((Plane(round(weights * per_sequence), per_sequence, 0),))
    run = drive_law(law, 1, law.at(edge, 1) + int(spare * per_sequence))
    check(run, edge, MOST)
    assert run.probes <= 6
    assert run.ooms <= 2


@pytest.mark.parametrize(
    ("pieces", "noise_ratio", "median_probes", "most_probes", "most_ooms"),
    [
        (1, 0.0, 5, 5, 1),
        (2, 0.0, 5, 8, 3),
        (3, 0.0, 5, 8, 3),
        (1, 0.002, 9, 16, 6),
        (1, 0.01, 12, 18, 8),
        (1, 0.03, 13, 20, 9),
    ],
)
def test_laws_of_recurrent_networks(pieces, noise_ratio, median_probes, most_probes, most_ooms):
    """Typical, and for 95 of 100 laws; noise leaves a band to bisect that no bytes tell."""
    rng = random.Random(1)
    runs = []
    for _ in range(200):
        law, time_steps, limit_bytes = random_case(rng, pieces, noise_ratio)
        run = drive_law(law, time_steps, limit_bytes)
        check(run, law.edge(time_steps, limit_bytes), MOST)
        runs.append(run)
    assert share([run.probes for run in runs], 0.5) <= median_probes
    assert share([run.probes for run in runs], 0.95) <= most_probes
    assert share([run.ooms for run in runs], 0.95) <= most_ooms
    # without noise, the near slope finds its way around a bend
    assert noise_ratio or max(run.probes for run in runs) <= 11


@pytest.mark.parametrize(
    ("pieces", "noise_ratio", "median_probes", "most_probes", "most_ooms"),
    [
        (1, 0.0, 20, 20, 8),
        (2, 0.0, 22, 34, 14),
        (3, 0.0, 24, 36, 15),
        (1, 0.002, 34, 64, 30),
    ],
)
def test_a_frontier_learns_from_its_other_lengths(
    pieces, noise_ratio, median_probes, most_probes, most_ooms
):
    """All six lengths together."""
    rng = random.Random(2)
    probes, ooms = [], []
    for _ in range(30):
        law, _, limit_bytes = random_case(rng, pieces, noise_ratio, LENGTHS)
        samples: list[Sample] = []
        runs = [drive_law(law, time_steps, limit_bytes, samples) for time_steps in LENGTHS]
        for time_steps, run in zip(LENGTHS, runs, strict=True):
            check(run, law.edge(time_steps, limit_bytes), MOST)
        probes.append(sum(run.probes for run in runs))
        ooms.append(sum(run.ooms for run in runs))
    assert share(probes, 0.5) <= median_probes
    assert share(probes, 0.95) <= most_probes
    assert share(ooms, 0.95) <= most_ooms


@given(seeds, st.sampled_from([2, 8, 64]))
def test_the_answer_is_proven_in_multiples(seed, granularity):
    law, time_steps, limit_bytes = random_case(random.Random(seed))
    most = MOST // granularity
    run = drive_law(law, time_steps, limit_bytes, most=most, granularity=granularity)
    check(run, law.edge(time_steps, limit_bytes) // granularity, most)
    assert run.probes <= 6


@given(caps, st.data())
def test_what_was_tried_before_is_not_tried_again(most, data):
    edge = data.draw(st.integers(0, most + 1))
    before = data.draw(st.sets(st.integers(0, 2 * most), max_size=6))
    search = EdgeSearch(8, GIB, most)
    outcomes = {True: Outcome.MEASURED, False: Outcome.OOM}
    search.recall(Try(units, outcomes[units <= edge], units * 1000) for units in before)
    run = drive(search, lambda units: units <= edge, lambda _: None)
    assert not before & set(run.proposed)
    assert all(1 <= units <= most for units in run.proposed)
    assert run.probes <= 2 * plain_bisection_probes(most)
    assert search.is_over
    assert search.fits == min(edge, max([most, *(units for units in before if units <= edge)]))


@given(caps, seeds, st.floats(0, 1), st.booleans())
def test_outcomes_at_random_give_a_local_edge_or_a_contradiction(most, seed, ratio, sweep):
    def fits(units: int) -> bool:
        return random.Random(seed + units).random() < ratio

    search = EdgeSearch(8, GIB, most)
    if sweep:
        powers = [2**k for k in range(17) if 2**k <= most]
        search.recall(Try(u, Outcome.MEASURED if fits(u) else Outcome.OOM, u) for u in powers)
    run = drive(search, fits, hashed_bytes(seed, GIB))
    assert run.probes <= 2 * plain_bisection_probes(most)
    if search.contradiction is not None:
        oom, above = search.contradiction
        assert oom <= above
        assert fits(above)
        assert not fits(oom)
        return
    assert search.fits == 0 or fits(search.fits)
    assert search.fits == most or not fits(search.fits + 1)


@pytest.mark.parametrize("more", [3, 30, 300, 3000])
def test_a_limit_that_gives_way_is_followed_in_growing_steps(more):
    """More fits than the bytes say, as where the allocator gives back what it had kept."""
    law = Law((Plane(1e7, 1e4, 0),))
    edge = law.edge(1, 1e8) + more
    run = drive(
        EdgeSearch(1, 1e8, MOST), lambda units: units <= edge, lambda units: law.at(units, 1)
    )
    check(run, edge, MOST)
    assert run.probes <= 6 + 2 * math.log2(more)


def test_ooms_after_one_batch_whose_bytes_mislead_are_halved():
    """A tenth at a time, twelve of them went out of memory one after the other."""
    search = EdgeSearch(16, limit_bytes=1000, most=MOST)
    search.learn(Try(16, Outcome.MEASURED, 1))  # as if 16,000 fitted
    tried = []
    while (units := search.propose(None)) is not None and search.fits <= 16:
        tried.append(units)
        search.learn(Try(units, Outcome.MEASURED if units <= 900 else Outcome.OOM, 1))
    assert tried[0] == 16_000
    assert len(tried) <= 7


def test_memory_that_falls_with_the_batch_is_told():
    search = EdgeSearch(8, 5000.0, 100)
    search.learn(Try(10, Outcome.MEASURED, 1000))
    search.learn(Try(20, Outcome.MEASURED, 950))
    assert search.fall is None
    search.learn(Try(30, Outcome.MEASURED, 890))
    assert search.fall == (Try(10, Outcome.MEASURED, 1000), Try(30, Outcome.MEASURED, 890))


def test_an_oom_below_a_fit_is_a_contradiction():
    search = EdgeSearch(8, 5000.0, 100)
    search.learn(Try(30, Outcome.MEASURED, 1000))
    search.learn(Try(20, Outcome.OOM))
    assert search.contradiction == (20, 30)
    assert search.is_over
    assert search.propose(None) is None


def test_the_first_batch_is_small_and_within_the_cap():
    assert EdgeSearch(8, GIB, MOST).propose(None) == FIRST_UNITS
    assert EdgeSearch(8, GIB, 3).propose(None) == 3


def test_a_model_of_other_lengths_leads_to_the_edge():
    law = Law((Plane(1e7, 2e4, 1e4),))
    model = MemoryModel.fit([law.sample(*at) for at in ((16, 16), (500, 16), (90, 128))])
    edge = law.edge(64, 1e9)
    first = EdgeSearch(64, 1e9, MOST).propose(model)
    assert first is not None
    assert 0.98 * edge < first <= edge


@pytest.mark.parametrize("most", [1, 2, 3, 4, 7, 8, 1000, MOST])
def test_plain_bisection(most):
    assert 2 ** plain_bisection_probes(most) >= most + 1 > 2 ** (plain_bisection_probes(most) - 1)


class Cache:
    """A caching allocator under a limit: what tensors take, and what it reserves beside it.

    Where the two no longer fit it empties its cache and goes on with less; a batch is out of memory
    where what tensors take, and the unused end of a segment, no longer fits either.
    """

    def __init__(self, limit_bytes: int, per_unit: int, cached_ratio: float, grain: int) -> None:
        self.limit_bytes, self.per_unit, self.grain = limit_bytes, per_unit, grain
        self.cached_ratio = cached_ratio

    def run(self, units: int, *, tells_retries: bool) -> Try:
        allocated = units * self.per_unit + self.per_unit
        emptied = self._whole(allocated * (1 + self.cached_ratio)) > self.limit_bytes
        reserved = self._whole(allocated * (1 if emptied else 1 + self.cached_ratio))
        if reserved > self.limit_bytes:
            return Try(units, Outcome.OOM)
        retries = 8 * emptied if tells_retries else None
        return Try(units, Outcome.MEASURED, reserved, allocated, retries)

    def _whole(self, size_bytes: float) -> int:
        return math.ceil(size_bytes / self.grain) * self.grain


def search_under(cache: Cache, *, tells_retries: bool) -> tuple[EdgeSearch, int, int]:
    """The search with the samples that the frontier gives it; its probes and OOMs."""
    search, samples = EdgeSearch(8, cache.limit_bytes, MOST), []
    while (units := search.propose(MemoryModel.fit(samples))) is not None:
        tried = cache.run(units, tells_retries=tells_retries)
        search.learn(tried)
        if tried.size_bytes is not None and not tried.retries:
            samples.append(Sample(Point(units, search.time_steps), tried.size_bytes))
    outcomes = [tried.outcome for tried in search.tries]
    return search, len(outcomes), outcomes.count(Outcome.OOM)


@pytest.mark.parametrize("tells_retries", [True, False])
@pytest.mark.parametrize("limit_gib", [2, 8, 15.75])
@pytest.mark.parametrize("cached_ratio", [0.03, 0.2, 0.5])
def test_a_cache_that_is_emptied_near_the_limit_leads_nobody_astray(
    cached_ratio: float, limit_gib: float, tells_retries: bool
) -> None:
    """Without retries told, as where the cache was emptied in the first two steps alone."""
    cache = Cache(int(limit_gib * GIB), 1_585_000, cached_ratio, 20 << 20)
    search, probes, ooms = search_under(cache, tells_retries=tells_retries)
    assert search.fall is None
    assert search.fails == search.fits + 1
    assert cache.run(search.fits, tells_retries=True).outcome is Outcome.MEASURED
    assert probes <= 14
    assert ooms <= 6


@given(
    st.integers(1, 10**7),
    st.integers(1 << 26, 1 << 36),
    st.floats(0, 2),
    st.sampled_from([512, 2 << 20, 20 << 20]),
    st.booleans(),
)
def test_any_cache_ends_in_a_proof(per_unit, limit_bytes, cached_ratio, grain, tells_retries):
    cache = Cache(limit_bytes, per_unit, cached_ratio, grain)
    search, probes, _ = search_under(cache, tells_retries=tells_retries)
    assert search.is_over
    assert search.contradiction is None
    assert search.fall is None
    assert probes <= 2 * math.ceil(math.log2(MOST + 1))


def test_an_emptied_cache_is_no_fall_and_tensors_that_take_less_are():
    search = EdgeSearch(8, 5000.0, 100)
    search.learn(Try(10, Outcome.MEASURED, 1000, 800))
    search.learn(Try(20, Outcome.MEASURED, 850, 840))
    assert search.fall is None
    search.learn(Try(30, Outcome.MEASURED, 1000, 700))
    assert search.fall is not None
    assert [tried.units for tried in search.fall] == [10, 30]
