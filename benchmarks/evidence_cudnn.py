"""cuDNN measured bare: its reserve space against a formula, and the cliffs of its algorithms."""

from __future__ import annotations

import itertools
import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from benchmarks.evidence_part import Stage
from rnnprof.engine.journal import to_line
from rnnprof.records import Calibration, Outcome, Role
from rnnprof.units import MIB

K: Final = {"lstm": 5, "gru": 6, "rnn-tanh": 1}
"""Numbers kept per hidden unit and layer: published for LSTM and GRU, a guess for the other."""

MODE: Final = {"rnn-tanh": 1, "lstm": 2, "gru": 3}  # cudnnRNNMode_t
MODULE: Final = {"rnn-tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
WEIGHTS_PER_LAYER: Final = 4

LAYERS: Final = (1, 2, 3)
DIRECTIONS: Final = (1, 2)
DTYPES: Final = (torch.float32, torch.float16, torch.bfloat16)
SHAPES: Final = ((16, 8, 64), (50, 33, 100), (64, 128, 256), (100, 64, 512))
"""T, B and H; the second is of odd sizes, at which padding would show."""

TOLERANCE_RATIO: Final = 0.01


def reserve(stage: Stage) -> None:
    """The reserve space itself, as the operator returns it, over cells, depths and dtypes."""
    stage.needs_cuda()
    measured = []
    path = stage.folder / "calibration.jsonl"
    with path.open("wb") as file:
        for cell, layers, directions, dtype, shape in itertools.product(
            K, LAYERS, DIRECTIONS, DTYPES, SHAPES
        ):
            record = _measure(cell, layers, directions, dtype, shape)
            file.write(to_line(record))
            measured.append(record)
    good = [record for record in measured if record.outcome is Outcome.MEASURED]
    failed = [f"{r.parameters}: {r.reason}" for r in measured if r.outcome is not Outcome.MEASURED]
    stage.keep(measured=len(good), failed=failed[:10], cells=summary(good))


def _measure(
    cell: str, layers: int, directions: int, dtype: torch.dtype, shape: tuple[int, int, int]
) -> Calibration:
    steps, batch, hidden = shape
    parameters = {
        "cell": cell,
        "layers": layers,
        "directions": directions,
        "dtype": str(dtype).removeprefix("torch."),
        "hidden_size": hidden,
        "input_size": hidden,
    }
    formula = formula_bytes(cell, layers, directions, dtype.itemsize, shape)
    began_s = time.perf_counter()
    figures, reason = {}, None
    try:
        found = _reserve_bytes(cell, layers, directions, dtype, shape)
        figures = {
            "reserve_bytes": float(found),
            "formula_bytes": float(formula),
            "ratio": found / formula,
        }
    except RuntimeError as error:
        reason = str(error).partition("\n")[0][:300]
    return Calibration(
        attempt=uuid.uuid4().hex[:12],
        batch=batch,
        steps=steps,
        role=Role.PROBE,
        worker=0,
        process_index=0,
        request="evidence",
        outcome=Outcome.FAILED if reason else Outcome.MEASURED,
        reason=reason,
        wall_s=time.perf_counter() - began_s,
        what="reserve",
        parameters=parameters,
        figures=figures,
    )


def formula_bytes(
    cell: str, layers: int, directions: int, item_bytes: int, shape: tuple[int, int, int]
) -> int:
    """T x B x H x bytes x directions x (k L + (L - 1))."""
    steps, batch, hidden = shape
    return steps * batch * hidden * item_bytes * directions * (K[cell] * layers + layers - 1)


def _reserve_bytes(
    cell: str, layers: int, directions: int, dtype: torch.dtype, shape: tuple[int, int, int]
) -> int:
    steps, batch, hidden = shape
    place: dict[str, Any] = {"device": "cuda", "dtype": dtype}
    module = MODULE[cell](hidden, hidden, layers, bidirectional=directions == 2).to(**place)
    state = torch.zeros(layers * directions, batch, hidden, **place)
    with torch.no_grad():
        returned = torch._cudnn_rnn(
            torch.randn(steps, batch, hidden, **place),
            module._flat_weights,
            WEIGHTS_PER_LAYER,
            None,
            state,
            state.clone() if cell == "lstm" else None,
            MODE[cell],
            hidden,
            0,
            layers,
            False,
            0.0,
            True,  # in training: else nothing is kept
            directions == 2,
            [],
            None,
        )
    return int(returned[3].nbytes)


def summary(records: Sequence[Calibration]) -> dict[str, Any]:
    """By cell: the k that each measurement gives, and how far the formula was off at worst."""
    fitted = defaultdict(list)
    ratios = defaultdict(list)
    for record in records:
        fitted[record.parameters["cell"]].append(fitted_k(record))
        ratios[record.parameters["cell"]].append(record.figures["ratio"])
    return {
        cell: {
            "measurements": len(ratios[cell]),
            "k_median": statistics.median(fitted[cell]),
            "k_range": (min(fitted[cell]), max(fitted[cell])),
            "worst_ratio": max(ratios[cell], key=lambda ratio: abs(ratio - 1)),
            "within_1_percent": sum(abs(ratio - 1) <= TOLERANCE_RATIO for ratio in ratios[cell]),
        }
        for cell in ratios
    }


def fitted_k(record: Calibration) -> float:
    """The k at which the formula gives what was measured."""
    layers, directions = record.parameters["layers"], record.parameters["directions"]
    units = record.steps * record.batch * record.parameters["hidden_size"] * directions
    item_bytes = getattr(torch, record.parameters["dtype"]).itemsize
    return (record.figures["reserve_bytes"] / (units * item_bytes) - (layers - 1)) / layers


CLIFF_BATCHES: Final = (127, 128, 129, 136)
CLIFF_HIDDEN: Final = (128, 192, 256)
CLIFF_DTYPES: Final = (torch.float16, torch.bfloat16)
CLIFF_STEPS: Final = 64
WARM_UP: Final = 5
SAMPLES: Final = 30


def cliffs(stage: Stage) -> None:
    """Forward and backward steps around the sizes at which PyTorch chooses another algorithm."""
    batches, hidden_sizes, steps, samples = CLIFF_BATCHES, CLIFF_HIDDEN, CLIFF_STEPS, SAMPLES
    if stage.is_dry:
        batches, hidden_sizes, steps, samples = (2, 3), (8,), 4, 5
    for dtype, hidden in itertools.product(CLIFF_DTYPES, hidden_sizes):
        row = {batch: _cliff(stage.device, dtype, hidden, batch, steps, samples)
               for batch in batches}  # fmt: skip
        stage.keep(**{f"{str(dtype).removeprefix('torch.')} H={hidden}": row})


def _cliff(
    device: str, dtype: torch.dtype, hidden: int, batch: int, steps: int, samples: int
) -> dict[str, Any]:
    place: dict[str, Any] = {"device": device, "dtype": dtype}
    module = torch.nn.LSTM(hidden, hidden).to(**place)
    sequences = torch.randn(steps, batch, hidden, **place, requires_grad=True)

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
