"""Jumps between cuDNN's algorithms: step times and saved bytes where torch changes it."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import torch

from benchmarks.gpu.part import Stage
from rnnprof.units import MIB

CLIFF_BATCHES: Final = (127, 128, 129, 136)
CLIFF_HIDDEN: Final = (128, 192, 256)
CLIFF_DTYPES: Final = (torch.float16, torch.bfloat16)
CLIFF_STEPS: Final = 64
WARM_UP: Final = 5
SAMPLES: Final = 30


def cliffs(stage: Stage) -> None:
    """Forward and backward steps around the sizes at which PyTorch chooses another algorithm."""
    batches = (2, 3) if stage.is_dry else CLIFF_BATCHES
    hidden_sizes = (8,) if stage.is_dry else CLIFF_HIDDEN
    time_steps, samples = (4, 5) if stage.is_dry else (CLIFF_STEPS, SAMPLES)
    for dtype, hidden in itertools.product(CLIFF_DTYPES, hidden_sizes):
        row = {batch: _cliff(stage.device, dtype, hidden, batch, time_steps, samples)
               for batch in batches}  # fmt: skip
        stage.keep(**{f"{str(dtype).removeprefix('torch.')} H={hidden}": row})


def _cliff(
    device: str, dtype: torch.dtype, hidden: int, batch: int, time_steps: int, samples: int
) -> dict[str, Any]:
    place: dict[str, Any] = {"device": device, "dtype": dtype}
    module = torch.nn.LSTM(hidden, hidden).to(**place)
    sequences = torch.randn(time_steps, batch, hidden, **place, requires_grad=True)

    def step() -> None:
        module(sequences)[0].square().mean().backward()

    durations = step_times(device, step, samples, WARM_UP)
    return {
        "median_s": statistics.median(durations),
        "least_s": min(durations),
        "saved_mib": _saved_bytes(device, lambda: module(sequences)) / MIB,
    }


def step_times(device: str, step: Callable[[], Any], samples: int, warm_up: int) -> list[float]:
    """Durations of steps run back to back: event to event, or by the host's clock on a CPU."""
    for _ in range(warm_up):
        step()
    if device == "cpu":
        return [_host_s(step) for _ in range(samples)]
    make: Callable[..., Any] = torch.cuda.Event
    marks = [make(enable_timing=True) for _ in range(samples + 1)]
    torch.cuda.synchronize()
    marks[0].record()
    for mark in marks[1:]:
        step()
        mark.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) / 1e3 for start, end in itertools.pairwise(marks)]


def _host_s(step: Callable[[], Any]) -> float:
    began_s = time.perf_counter()
    step()
    return time.perf_counter() - began_s


def _saved_bytes(device: str, forward: Callable[[], Any]) -> int:
    """What a forward pass leaves allocated while its output lives; 0 on a CPU."""
    if device == "cpu":
        return 0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    kept = forward()
    torch.cuda.synchronize()
    after = torch.cuda.memory_allocated()
    del kept
    return after - before
