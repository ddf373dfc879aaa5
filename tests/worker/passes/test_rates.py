"""The rates pass: figures of this machine that can be, and what it does where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from rnnprof.device.process import memory_bytes
from rnnprof.protocol import Task
from rnnprof.worker.backends.cpu import CpuDevice
from rnnprof.worker.passes import rates
from rnnprof.worker.passes.clock import ClockError
from rnnprof.worker.passes.rates import product_dtype, rates_pass
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.session import Session
from rnnprof.worker.workload.layers import UnsupportedError
from rnnprof.workload import FactorySource, Workload

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sizes that take milliseconds; torch's flags are put back."""
    monkeypatch.setattr(rates, "LARGEST_SIZE", {"cpu": 512, "cuda": 512})
    monkeypatch.setattr(rates, "COPY_BYTES", {"cpu": 16 * MIB, "cuda": 16 * MIB})
    monkeypatch.setattr(rates, "CACHES_OVER", 0)
    monkeypatch.setattr(rates, "ROUND_S", 0.01)
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.mkldnn.set_flags(_enabled=True)


def session_of(workload: Workload) -> Session:
    return Session(Task("rates", workload), CpuDevice(), PhaseTracker(lambda _: None))


def found_for(workload: Workload) -> dict[str, Any]:
    return rates_pass(session_of(workload))


def test_both_rates_are_found_with_what_they_belong_to() -> None:
    found = found_for(Workload())
    assert found["what"] == "rates"
    assert found["warnings"] == []
    # from a tenth of a GFLOP/s to far above any processor: a wrong unit falls outside
    assert 1e8 < found["figures"]["matmul_flop_per_s"] < 1e14
    assert 1e8 < found["figures"]["copy_bytes_per_s"] < 1e13
    parameters = found["parameters"]
    assert parameters["dtype"] == "float32"
    assert parameters["matmul_size"] in {256, 512}
    assert parameters["copy_bytes"] == 16 * MIB
    assert parameters["float32_matmul_precision"] == "highest"
    assert parameters["threads"] == torch.get_num_threads()
    assert found["conditions"].wall_s > 0


def test_the_figures_are_operations_and_bytes_over_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "_best_s", lambda _run, _device: 2.0)
    monkeypatch.setattr(rates, "_pilot_s", lambda _run, _device: 1.0)
    figures = found_for(Workload())["figures"]
    assert figures == {"matmul_flop_per_s": 256**3, "copy_bytes_per_s": 16 * MIB}


def test_the_better_round_and_the_median_within_it_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([[9.0] * 3, [5.0, 4.0, 60.0], [3.0, 50.0, 2.0]])
    monkeypatch.setattr(rates, "_durations_s", lambda *_: next(rounds))
    assert rates._best_s(lambda: None, torch.device("cpu")) == 3.0


@pytest.mark.parametrize(
    ("workload", "dtype"),
    [
        (Workload(dtype="fp32-ieee"), torch.float32),
        (Workload(dtype="bf16"), torch.bfloat16),
        (Workload(dtype="amp-bf16"), torch.bfloat16),
        (Workload(dtype="amp-fp16"), torch.float16),
        (Workload(cell=None, factory=FactorySource("train.py:make")), torch.float32),
    ],
)
def test_the_product_is_of_the_runs_precision(workload: Workload, dtype: torch.dtype) -> None:
    assert product_dtype(workload) is dtype


def test_low_precision_has_rates_of_its_own() -> None:
    found = found_for(Workload(dtype="bf16"))
    assert found["parameters"]["dtype"] == "bfloat16"
    assert found["figures"].keys() == {"matmul_flop_per_s", "copy_bytes_per_s"}


def test_a_product_that_is_not_there_leaves_its_figure_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'\nat aten/src")

    monkeypatch.setattr(torch, "mm", missing)
    found = found_for(Workload(dtype="fp16"))
    assert found["figures"].keys() == {"copy_bytes_per_s"}
    assert found["warnings"] == [
        "the rate of a matrix product is unknown: \"addmm_impl_cpu_\" not implemented for 'Half'"
    ]


def test_a_broken_device_is_no_missing_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch, "mm", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        found_for(Workload())


def test_what_torch_has_not_is_refused() -> None:
    if torch.version.cuda:
        pytest.skip("this build has TF32")
    with pytest.raises(UnsupportedError, match="TF32"):
        found_for(Workload(dtype="tf32"))


def test_the_copy_is_bounded_by_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "available_bytes", lambda: 64 * MIB)
    assert rates.copy_bytes(torch.device("cpu")) == 8 * MIB
    monkeypatch.setattr(rates, "available_bytes", lambda: 1 << 40)
    monkeypatch.setattr(rates, "CACHES_OVER", 4)
    monkeypatch.setattr(rates, "last_level_cache_bytes", lambda: 100 * MIB)
    assert rates.copy_bytes(torch.device("cpu")) == 400 * MIB


@pytest.mark.alone
def test_the_memory_is_given_back() -> None:
    found_for(Workload())
    before = memory_bytes("VmData") or 0
    found_for(Workload())
    # a factor of the product is 64 MiB and the copy's buffers are more; the libraries' own threads
    # keep up to 33 MiB between them, whenever they first take part
    assert (memory_bytes("VmData") or 0) - before < 48 * MIB


@pytest.mark.gpu
def test_a_card_has_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda")
    product = rates._product(device, torch.float32)[1]["matmul_flop_per_s"]
    copied = rates._copy(device)[1]["copy_bytes_per_s"]
    assert product > 1e11
    assert copied > 1e10
    assert (rates.cache_bytes(device) or 0) > MIB


def test_a_clock_that_stands_still_ends_the_pass_at_its_first_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[None] = []
    monkeypatch.setattr(rates.time, "perf_counter", lambda: 1.0)
    with pytest.raises(ClockError):
        rates._pilot_s(lambda: runs.append(None), torch.device("cpu"))
    assert len(runs) <= 1 + rates.PILOTS
