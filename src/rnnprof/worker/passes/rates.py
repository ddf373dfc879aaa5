"""The rates pass: how fast this device multiplies matrices and copies memory.

Measurements are compared with these rates, so a worker measures them like everything else, in the
run's precision: the median of several repetitions, in the faster of two rounds.  The matrices are
random: on zeros a device draws less power, clocks higher and is faster than in any training.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch

from rnnprof.breakdown.flops import FLOPS_PER_WEIGHT
from rnnprof.device.cache import last_level_cache_bytes
from rnnprof.device.process import available_bytes
from rnnprof.outcomes import Evidence, classify
from rnnprof.runfile.points import Outcome
from rnnprof.worker.backends.heap import trim
from rnnprof.worker.passes.clock import ClockError
from rnnprof.worker.workload.location import text_of, type_of
from rnnprof.worker.workload.precision import AUTOCAST_DTYPES, set_flags, tensor_dtype
from rnnprof.workload import Workload

if TYPE_CHECKING:
    from rnnprof.worker.session import Session

SMALLEST_SIZE: Final = 256
LARGEST_SIZE: Final = {"cpu": 4096, "cuda": 8192}
"""Rows of a square matrix: 64 MiB of fp32 on a CPU, 256 MiB on a GPU."""

PRODUCT_S: Final = 0.02
"""The matrix grows until one product takes this long, or until it has the largest size."""

SAMPLES: Final = 7
"""Minimum repetitions of a round; the median ignores a few that other work slows down."""

MOST_SAMPLES: Final = 100
ROUND_S: Final = 0.1
"""Duration of a round, within the limits on repetitions."""

ROUNDS: Final = 2
"""The faster round counts: other work only makes a device slower."""

PILOTS: Final = 3
"""Repetitions to estimate how long one takes; the fastest counts, for the same reason."""

COPY_BYTES: Final = {"cpu": 128 << 20, "cuda": 1 << 30}
CACHES_OVER: Final = 4
"""The copy is at least this many times as large as the last-level cache: it must use memory."""

FREE_SHARE: Final = 8
"""Each tensor of the copy takes at most an eighth of the free memory."""

BLOCK_BYTES: Final = 4 << 20
"""This many random bytes are generated and repeated: generating all would take longer than
copying."""

FLOAT_BYTES: Final = 4


def rates_pass(session: Session) -> dict[str, Any]:
    """Measure a matrix product's and a copy's rate: the fields of a ``rates`` calibration."""
    task, findings = session.task, session.findings
    session.device.ready(task.guard_bytes)
    session.tracker.enter("other")
    device, dtype = session.device.torch_device, product_dtype(task.workload)
    set_precision(task.workload, device)
    torch.manual_seed(task.seed)
    findings |= {"what": "rates", "figures": {}, "warnings": []}
    findings["parameters"] = {
        "dtype": str(dtype).removeprefix("torch."),
        "cache_bytes": cache_bytes(device),
        **_flags(device),
    }
    meter = session.device.meter()
    _measure("matrix product", partial(_product, device, dtype), findings)
    _measure("copy", partial(_copy, device), findings)
    findings["conditions"] = meter.read()
    _release(device)
    return findings


def product_dtype(workload: Workload) -> torch.dtype:
    """The data type of the workload's matrix products; fp32 for a factory, which may differ."""
    return AUTOCAST_DTYPES.get(workload.dtype, tensor_dtype(workload))


def set_precision(workload: Workload, device: torch.device) -> None:
    """Set the flags under which the workload's own products run.

    With torch's default flags cuDNN may use TF32 where a plain product may not: a layer that
    cuDNN runs is compared with a product that may do the same.
    """
    set_flags(replace(workload, compile=False))  # no compiler settings are needed here
    by_cudnn = device.type == "cuda" and workload.is_built_in and workload.impl == "fused"
    if by_cudnn and workload.dtype == "fp32" and torch.backends.cudnn.allow_tf32:
        torch.set_float32_matmul_precision("high")


def cache_bytes(device: torch.device) -> int | None:
    """Size of the last-level cache in bytes; None if unknown."""
    if device.type == "cpu":
        return last_level_cache_bytes()
    return int(torch.cuda.get_device_properties(device).L2_cache_size)


def copy_bytes(device: torch.device) -> int:
    """Size of the tensor to copy: larger than every cache, at most an eighth of free memory."""
    free = available_bytes() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
    wished = max(COPY_BYTES[device.type], CACHES_OVER * (cache_bytes(device) or 0))
    return min(wished, free // FREE_SHARE)


def _flags(device: torch.device) -> dict[str, Any]:
    flags: dict[str, Any] = {"float32_matmul_precision": torch.get_float32_matmul_precision()}
    if device.type == "cuda":
        return flags | {"cudnn_allow_tf32": bool(torch.backends.cudnn.allow_tf32)}
    return flags | {"threads": torch.get_num_threads()}


Figures = tuple[dict[str, Any], dict[str, float]]
"""The parameters of figures, and the figures."""


def _measure(what: str, measure: Callable[[], Figures], findings: dict[str, Any]) -> None:
    """Add a figure, or a warning if the device does not support it or has no memory for it."""
    try:
        parameters, figures = measure()
    except RuntimeError as error:
        if not _is_told(error):
            raise
        first_line = text_of(error).partition("\n")[0]
        findings["warnings"].append(f"the rate of a {what} is unknown: {first_line}"[:300])
        return
    findings["parameters"] |= parameters
    findings["figures"] |= figures


def _is_told(error: RuntimeError) -> bool:
    """Whether the operation is unsupported or does not fit; a broken device is an error."""
    evidence = Evidence(error_type=type_of(error), message=text_of(error))
    return classify(evidence).outcome in {Outcome.OOM, Outcome.UNSUPPORTED}


def _product(device: torch.device, dtype: torch.dtype) -> Figures:
    """A square matrix product: its size, and its rate in FLOP/s at the faster of two sizes."""
    size, largest = SMALLEST_SIZE, LARGEST_SIZE[device.type]
    while size < largest and _pilot_s(_multiplication(device, dtype, size), device) < PRODUCT_S:
        size *= 2
    rates = {
        each: FLOPS_PER_WEIGHT * each**3 / _best_s(_multiplication(device, dtype, each), device)
        for each in (size, size // 2)
    }
    best = max(rates, key=lambda each: rates[each])
    return {"matmul_size": best}, {"matmul_flop_per_s": rates[best]}


def _multiplication(device: torch.device, dtype: torch.dtype, size: int) -> Callable[[], Any]:
    left, right = (_random((size, size), device, dtype) for _ in range(2))
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out)


def _copy(device: torch.device) -> Figures:
    """A copy within the device's memory: its size, and its rate, reads plus writes, in bytes/s."""
    repeats = max(1, copy_bytes(device) // BLOCK_BYTES)
    source = torch.rand(BLOCK_BYTES // FLOAT_BYTES, device=device).repeat(repeats)
    target = torch.empty_like(source)
    copy_s = _best_s(lambda: target.copy_(source), device)
    return {"copy_bytes": source.nbytes}, {"copy_bytes_per_s": 2 * source.nbytes / copy_s}


def _random(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Uniform between -1 and 1, generated in fp32: not every device generates every type."""
    return torch.rand(shape, device=device).mul_(2).sub_(1).to(dtype)


def _best_s(run: Callable[[], Any], device: torch.device) -> float:
    """Median duration of *run* in the fastest round, after a warm-up."""
    once_s = max(_pilot_s(run, device), 1e-9)
    repetitions = max(SAMPLES, min(MOST_SAMPLES, int(ROUND_S / once_s)))
    return min(statistics.median(_durations_s(run, device, repetitions)) for _ in range(ROUNDS))


def _pilot_s(run: Callable[[], Any], device: torch.device) -> float:
    run()  # warms up
    return min(_durations_s(run, device, PILOTS))


def _durations_s(run: Callable[[], Any], device: torch.device, repetitions: int) -> list[float]:
    """Those that the clock gives.

    Raises:
        ClockError: it gives none: a larger product, as the search would try, changes nothing.
    """
    measure = _cuda_durations_s if device.type == "cuda" else _cpu_durations_s
    durations = [each for each in measure(run, repetitions) if each > 0]
    if not durations:
        raise ClockError
    return durations


def _cpu_durations_s(run: Callable[[], Any], repetitions: int) -> list[float]:
    durations = []
    for _ in range(repetitions):
        began_s = time.perf_counter()
        run()
        durations.append(time.perf_counter() - began_s)
    return durations


def _cuda_durations_s(run: Callable[[], Any], repetitions: int) -> list[float]:
    """Durations between events on the device, synchronised once at the end."""
    make: Callable[..., Any] = torch.cuda.Event
    pairs = [(make(enable_timing=True), make(enable_timing=True)) for _ in range(repetitions)]
    for begin, end in pairs:
        begin.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1e3 for begin, end in pairs]


def _release(device: torch.device) -> None:
    """Return the pages and the allocator's cache, which outlive the freed tensors."""
    trim()
    if device.type == "cuda":
        torch.cuda.empty_cache()
