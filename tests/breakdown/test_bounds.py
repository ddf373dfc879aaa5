"""What bounds a step, told from figures made for each case; and the least traffic by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import MIB, a_calibration
from rnnprof.breakdown.bounds import Bound, DeviceRates, Work, least_traffic_bytes, verdict
from rnnprof.breakdown.reasons import (
    DeviceWaited,
    FasterThanProduct,
    NoRates,
    NothingCompared,
    Shares,
)
from rnnprof.reasons import Reason
from rnnprof.workload import FactorySource, Workload

RATES = DeviceRates(matmul_flop_per_s=1000.0, copy_bytes_per_s=100.0)
SMALL = Workload(input_size=7, hidden_size=11, optimizer="none")
WEIGHTS = 4 * 11 * (7 + 11)
BIASES = 2 * 4 * 11
VALUES = 3 * 5


def judged(flops: int | None, traffic: int | None, **options: float) -> Bound:
    """Of a step of one second."""
    return verdict(1.0, Work(flops, traffic), RATES, **options)


@pytest.mark.parametrize(
    ("flops", "traffic", "bound"),
    [
        (610, 20, "compute"),
        (500, 0, "compute"),
        (499, 49, None),
        (120, 50, "memory"),
        (610, 70, "memory"),
        (710, 60, "compute"),
        (None, 90, "memory"),
        (900, None, "compute"),
        (400, None, None),
    ],
)
def test_what_explains_half_of_the_step_bounds_it(
    flops: int | None, traffic: int | None, bound: str | None
) -> None:
    assert judged(flops, traffic).bound == bound


def test_the_reason_has_the_figures() -> None:
    assert judged(120, 20) == Bound(None, Shares(0.12, 0.2))
    assert judged(120, 0).reason == Shares(0.12, 0.0)
    assert judged(120, None).reason == Shares(0.12, None)


def test_a_device_that_is_done_with_the_host_waits_for_launches() -> None:
    found = judged(900, 80, block_wait_s=0.032)
    assert found == Bound("launch", DeviceWaited(0.032, 0.032))
    assert judged(900, 80, block_wait_s=0.05).bound == "compute"


def test_without_the_devices_rates_only_launches_are_known() -> None:
    work = Work(1, 1)
    assert verdict(1.0, work, None) == Bound(None, NoRates())
    assert verdict(1.0, work, None, block_wait_s=0.0).bound == "launch"


def test_a_step_faster_than_the_product_is_not_compared_with_it() -> None:
    found = judged(3100, 20)
    assert found == Bound(None, FasterThanProduct(pytest.approx(2.1)))
    assert judged(1100, 20) == Bound("compute", FasterThanProduct(pytest.approx(0.1)))


def test_what_is_unknown_has_its_reason() -> None:
    work = Work(None, None, "no formula for aten.lstm_mps")
    assert verdict(1.0, work, RATES) == Bound(None, NothingCompared(work.reason))
    half = verdict(1.0, replace(work, traffic_bytes=60), RATES)
    assert half == Bound("memory", Shares(None, 0.6, work.reason))
    assert verdict(1.0, Work(1, 1), DeviceRates()) == Bound(None, NothingCompared())


AMOUNTS = st.none() | st.integers(0, 5000)
SECONDS = st.floats(1e-6, 1e3)


@given(SECONDS, AMOUNTS, AMOUNTS, st.none() | SECONDS)
def test_one_thing_at_most_is_named_and_always_with_a_reason(
    step_s: float, flops: int | None, traffic: int | None, wait_s: float | None
) -> None:
    found = verdict(step_s, Work(flops, traffic), RATES, wait_s)
    assert found.bound in {None, "launch", "memory", "compute"}
    assert isinstance(found.reason, Reason)
    if found.bound == "compute":
        assert flops is not None
        assert flops / 1000 >= 0.5 * step_s


def test_rates_are_read_from_a_calibration() -> None:
    assert DeviceRates.of(a_calibration()) == DeviceRates(1e9, 1e9, 32 * MIB)
    hostile = {"matmul_flop_per_s": math.nan, "copy_bytes_per_s": 0.0}
    assert (
        DeviceRates.of(a_calibration(figures=hostile, parameters={"cache_bytes": "x"}))
        == DeviceRates()
    )


def traffic(workload: Workload, cache_bytes: int | None = None) -> int:
    found = least_traffic_bytes(workload, batch=3, time_steps=5, cache_bytes=cache_bytes)
    assert found is not None
    return found


def test_inference_reads_weights_and_input_and_writes_the_output() -> None:
    assert traffic(replace(SMALL, mode="inference")) == 4 * (WEIGHTS + VALUES * (7 + 11))


def test_training_reads_the_state_again_and_saves_gates_and_cell_state() -> None:
    forward = WEIGHTS + VALUES * (7 + 11)
    backward = 4 * 11 * 11 + VALUES * (7 + 11)  # no gradient of the input: its weights stay
    saved = 2 * VALUES * (4 * 11 + 11)
    gradients = WEIGHTS + BIASES
    assert traffic(SMALL) == 4 * (forward + backward + saved + gradients)


@pytest.mark.parametrize(("optimizer", "passes"), [("sgd", 3), ("adam", 7), ("adamw", 7)])
def test_the_optimizer_passes_over_the_parameters(optimizer: str, passes: int) -> None:
    more = traffic(replace(SMALL, optimizer=optimizer)) - traffic(SMALL)
    assert more == passes * 4 * (WEIGHTS + BIASES)


def test_recurrent_weights_beyond_the_cache_are_read_at_each_time_step() -> None:
    recurrent = 4 * 4 * 11 * 11
    more = traffic(SMALL, cache_bytes=recurrent - 1) - traffic(SMALL, cache_bytes=recurrent)
    assert more == 2 * (5 - 1) * recurrent


def test_a_step_whose_data_fit_the_cache_moves_nothing() -> None:
    needed = traffic(SMALL)
    assert traffic(SMALL, cache_bytes=needed) == 0
    assert traffic(SMALL, cache_bytes=needed - 1) == needed


def test_low_precision_halves_what_is_stored_in_it() -> None:
    assert 2 * traffic(replace(SMALL, dtype="bf16")) == traffic(SMALL)
    mixed = traffic(replace(SMALL, dtype="amp-bf16", optimizer="adam"))
    whole = traffic(replace(SMALL, optimizer="adam"))
    kept = 8 * 4 * (WEIGHTS + BIASES)  # gradients and Adam's seven passes stay in fp32
    assert mixed - kept == (whole - kept) // 2


def test_layers_and_directions_add_up() -> None:
    one, two, four = (traffic(replace(SMALL, layers=n)) for n in (1, 2, 4))
    assert four - two == 2 * (two - one)
    assert traffic(replace(SMALL, bidirectional=True)) == 2 * one


def test_the_traffic_of_a_factory_is_unknown() -> None:
    workload = Workload(cell=None, factory=FactorySource("train.py:make"))
    assert least_traffic_bytes(workload, 3, 5, None) is None
