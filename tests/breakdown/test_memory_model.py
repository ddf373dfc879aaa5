"""The memory model: it recovers its own law, and says how far it is to be trusted."""

from __future__ import annotations

import math
import random
import time
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_laws import MIB, Law, random_law
from rnnprof.breakdown.memory_model import (
    LEAST_MARGIN_RATIO,
    MIN_SAMPLES_PER_PIECE,
    MemoryModel,
    Plane,
    Sample,
    fit_plane,
    fit_planes,
)
from rnnprof.runfile.points import Point

GRID = [(b, t) for b in (4, 16, 64, 256, 1024, 4096) for t in (4, 16, 64, 128, 256, 512)]

BENT = [(1, 512, 10), (512, 1, 10), (512, 512, 10_000)]
"""Three samples, none at the lowest corner of the three."""

seeds = st.integers(0, 2**32)
points = st.builds(Point, st.integers(1, 65_536), st.integers(1, 512))
samples_of_anything = st.lists(
    st.builds(
        Sample,
        points,
        st.one_of(st.integers(-5, 2**40), st.floats(1, 1e12)),
        st.sampled_from(["forward", "backward", "optimizer"]),
    ),
    max_size=12,
)


def model_of(samples) -> MemoryModel:
    model = MemoryModel.fit(samples)
    assert model is not None
    return model


def on_grid(law: Law) -> list[Sample]:
    return [law.sample(batch, time_steps) for batch, time_steps in GRID]


def held_out(rng: random.Random, count: int = 30) -> list[Point]:
    return [
        Point(round(math.exp(rng.uniform(math.log(4), math.log(4096)))), rng.randint(4, 512))
        for _ in range(count)
    ]


def worst_error(model: MemoryModel, law: Law, rng: random.Random) -> float:
    smooth = Law(law.planes)
    return max(
        abs(model.predict_bytes(p) / smooth.at(p.batch, p.time_steps) - 1) for p in held_out(rng)
    )


def well_sampled_law(rng: random.Random, pieces: int, noise_ratio: float = 0.0) -> Law:
    """A law of which the grid has enough samples of every piece to tell it."""
    while True:
        law = random_law(rng, pieces, noise_ratio)
        seen = [max(range(pieces), key=lambda i: law.planes[i].at(*at)) for at in GRID]
        if all(seen.count(piece) >= 2 * MIN_SAMPLES_PER_PIECE for piece in range(pieces)):
            return law


@given(seeds)
def test_an_affine_law_is_recovered_exactly(seed):
    rng = random.Random(seed)
    law = random_law(rng)
    model = model_of(on_grid(law))
    assert worst_error(model, law, rng) < 1e-6
    assert model.margin_ratio == LEAST_MARGIN_RATIO


@given(seeds)
def test_three_samples_that_determine_a_plane_give_it(seed):
    law = random_law(random.Random(seed))
    plane = fit_plane([law.sample(8, 16), law.sample(64, 16), law.sample(8, 128)])
    assert plane.at(500, 100) == pytest.approx(law.at(500, 100), rel=1e-5)
    assert plane.slope(100) == pytest.approx(law.planes[0].slope(100), rel=1e-5)


@pytest.mark.parametrize("pieces", [2, 3])
def test_the_greatest_of_several_planes_is_recovered(pieces):
    rng = random.Random(7)
    errors = []
    for _ in range(40):
        law = well_sampled_law(rng, pieces)
        errors.append(worst_error(model_of(on_grid(law)), law, rng))
    errors.sort()
    assert median(errors) < 1e-5
    assert errors[35] < 0.005
    assert errors[-1] < 0.02


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("noise_ratio", [0.002, 0.01])
def test_the_upper_bound_is_not_passed_within_the_samples(pieces, noise_ratio):
    rng = random.Random(11)
    for _ in range(12):
        law = well_sampled_law(rng, pieces, noise_ratio)
        model = model_of(on_grid(law))
        passed = [
            law.at(p.batch, p.time_steps) > model.upper_bytes(p) for p in held_out(rng)
        ]  # fmt: skip
        assert not any(passed)
        assert model.margin_ratio >= noise_ratio


@given(seeds, st.integers(0, 24))
def test_the_scale_of_bytes_changes_nothing(seed, power):
    law = random_law(random.Random(seed), 2, 0.01)
    samples = on_grid(law)[::3]
    scaled = [Sample(s.point, s.size_bytes * 2.0**power, s.phase) for s in samples]
    one, other = model_of(samples), model_of(scaled)
    at = Point(200, 100)
    assert other.predict_bytes(at) == pytest.approx(one.predict_bytes(at) * 2.0**power, rel=1e-9)
    assert other.margin_ratio == pytest.approx(one.margin_ratio, rel=1e-6)


@given(seeds)
def test_the_order_of_samples_changes_nothing(seed):
    rng = random.Random(seed)
    samples = on_grid(random_law(rng, 2, 0.01))
    shuffled = rng.sample(samples, len(samples))
    at = Point(300, 90)
    one, other = model_of(samples), model_of(shuffled)
    assert other.predict_bytes(at) == pytest.approx(one.predict_bytes(at), rel=1e-6)


@given(samples_of_anything)
def test_predictions_are_finite_and_positive_above_the_samples(samples):
    model = MemoryModel.fit(samples)
    counted = [sample for sample in samples if sample.size_bytes > 0]
    if not counted:
        assert model is None
        return
    assert model is not None
    least = Point(min(s.point.batch for s in counted), min(s.point.time_steps for s in counted))
    for at in (least, Point(least.batch + 7, least.time_steps), Point(65_536, 512)):
        assert 0 < model.predict_bytes(at) < math.inf
        assert model.upper_bytes(at) > model.predict_bytes(at)
    assert math.isfinite(model.margin_ratio)
    assert model.lengths == len({sample.point.time_steps for sample in counted})


@given(samples_of_anything, st.integers(1, 512), st.floats(1, 1e13))
def test_the_edge_is_where_the_prediction_meets_the_limit(samples, time_steps, limit_bytes):
    model = MemoryModel.fit(samples)
    if model is None:
        return
    edge = model.edge(time_steps, limit_bytes)
    peak = max(plane.at(edge, time_steps) for plane in model.planes) if 0 < edge < 1e15 else None
    assert peak is None or peak == pytest.approx(limit_bytes, rel=1e-3)
    assert model.safe_edge(time_steps, limit_bytes) <= edge


def test_a_flat_plane_above_the_limit_leaves_the_safe_edge_below_the_edge():
    """Found by examples: without slope the edge was 0, and with a slope below it negative."""
    flat, steep = Plane(1.0, 0.0, 0.0), Plane(3.5e10, 0.0, 8.9e8)
    model = MemoryModel((steep, flat), 0.0, 0.005, 1)
    assert model.safe_edge(1, 1.0) <= model.edge(1, 1.0) < 0
    assert MemoryModel((flat,), 0.0, 0.005, 1).safe_edge(1, 1.0) == 0.0


@given(points, st.integers(1, 2**40))
def test_one_sample_gives_all_bytes_to_time_steps(point, size_bytes):
    model = model_of([Sample(point, size_bytes)])
    assert model.predict_bytes(point) == pytest.approx(size_bytes)
    double = Point(2 * point.batch, point.time_steps)
    assert model.predict_bytes(double) == pytest.approx(2 * size_bytes)
    assert model.slope_bytes(point) == pytest.approx(size_bytes / point.batch)


@given(seeds, st.integers(1, 512))
def test_samples_of_one_length_are_exact_at_it(seed, time_steps):
    law = random_law(random.Random(seed))
    model = model_of(law.sample(batch, time_steps) for batch in (3, 50, 700))
    assert model.predict_bytes(Point(5000, time_steps)) == pytest.approx(
        law.at(5000, time_steps), rel=1e-4
    )
    assert model.lengths == 1


@given(seeds, st.integers(1, 4096))
def test_samples_of_one_batch_are_exact_at_it_and_not_below_larger_ones(seed, batch):
    law = random_law(random.Random(seed))
    model = model_of(law.sample(batch, time_steps) for time_steps in (2, 33, 512))
    assert model.predict_bytes(Point(batch, 100)) == pytest.approx(law.at(batch, 100), rel=1e-4)
    assert model.predict_bytes(Point(2 * batch, 100)) >= 0.9999 * law.at(2 * batch, 100)


@given(seeds, st.sampled_from([lambda k: (k, k), lambda k: (k, 1024 // k), lambda k: (k * k, k)]))
def test_collinear_points_are_met(seed, at):
    law = random_law(random.Random(seed))
    samples = [law.sample(*at(2**k)) for k in range(1, 9)]
    model = model_of(samples)
    for sample in samples:
        assert model.predict_bytes(sample.point) == pytest.approx(sample.size_bytes, rel=1e-4)


def test_bytes_of_nothing_or_less_are_no_samples():
    good = Sample(Point(4, 8), MIB)
    nothing = Sample(Point(9, 9), 0)
    less = Sample(Point(2, 2), -1)
    assert MemoryModel.fit([nothing, less]) is None
    assert MemoryModel.fit([]) is None
    assert model_of([good, nothing, less]) == model_of([good])


def test_bytes_that_bend_upward_do_not_fall_below_zero():
    bent = [Sample(Point(batch, time_steps), size) for batch, time_steps, size in BENT]
    plane = fit_plane(bent)
    assert plane.at(1, 1) < 0
    assert model_of(bent).predict_bytes(Point(1, 1)) == 10


def test_phases_have_planes_of_their_own():
    backward, optimizer = Law((Plane(MIB, 0, 5000),)), Law((Plane(90 * MIB, 0, 0.5),))
    samples = [
        Sample(Point(batch, time_steps), law.at(batch, time_steps), phase)
        for law, phase in ((backward, "backward"), (optimizer, "optimizer"))
        for batch, time_steps in ((4, 16), (64, 16), (64, 128))
    ]
    model = model_of(samples)
    assert len(model.planes) == 2
    both = Law((*backward.planes, *optimizer.planes))
    for at in ((4, 16), (300, 16), (1000, 100)):
        assert model.predict_bytes(Point(*at)) == pytest.approx(both.at(*at), rel=1e-4)


@given(seeds)
def test_noise_is_not_taken_for_more_pieces(seed):
    samples = on_grid(random_law(random.Random(seed), 1, 0.01))
    assert len(model_of(samples).planes) == 1


def test_a_fit_is_quick():
    rng = random.Random(2)
    all_samples = [on_grid(random_law(rng, 3, 0.01)) for _ in range(9)]
    times_s = []
    for samples in all_samples:
        start_s = time.process_time()
        MemoryModel.fit(samples)
        times_s.append(time.process_time() - start_s)
    assert median(times_s) < 0.2


@given(samples_of_anything)
def test_the_planes_alone_are_those_of_the_model(samples):
    model = MemoryModel.fit(samples)
    assert fit_planes(samples) == (model.planes if model else ())
