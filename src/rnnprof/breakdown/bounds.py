"""What bounds a step: the host's launches, the device's arithmetic or its memory.

A step's matrix products at the rate of a large matrix product, and its least traffic at the rate
of a large copy, each say how long the step would take if it did nothing else (the roofline of
Williams, Waterman and Patterson, CACM 52(4), 2009).  What explains half of the measured time
bounds the step; where neither does, nothing is named, and the figures are told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from rnnprof.breakdown.flops import GATES, Layer, layers
from rnnprof.breakdown.reasons import (
    DeviceWaited,
    FasterThanProduct,
    NoRates,
    NothingCompared,
    Shares,
)
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Calibration
from rnnprof.workload import Workload

LAUNCH_WAIT_RATIO: Final = 0.05
"""A device that is done so soon after the host, as a share of a step, was waiting for the host."""

EXPLAINS_RATIO: Final = 0.5
"""Named is what would take at least half of the step if it were alone."""

COMPARABLE_RATIO: Final = 1.25
"""No step outruns the matrix product by more: then the two are not of one precision, or the
calibration was noisy.  Products of other shapes and a clock that wandered stay below it: the step
is bound by its products then, but no share of more than all of a device is told."""

OPTIMIZER_PASSES: Final = {"none": 0, "sgd": 3, "adam": 7, "adamw": 7}
"""Tensors of the parameters' size that an update reads and writes: SGD reads p, g and writes p;
Adam reads p, g, m, v and writes p, m, v (Kingma and Ba, arXiv 1412.6980, algorithm 1)."""

LOW_PRECISION: Final = frozenset({"bf16", "fp16"})
LOW_BYTES: Final = 2
FULL_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class DeviceRates:
    """What the device does at its best; None where it was not measured.

    Attributes:
        matmul_flop_per_s: of a large matrix product in the run's precision.
        copy_bytes_per_s: of a large copy within the device's memory, reads and writes together.
        cache_bytes: of the last-level cache.
    """

    matmul_flop_per_s: float | None = None
    copy_bytes_per_s: float | None = None
    cache_bytes: int | None = None

    @classmethod
    def of(cls, calibration: Calibration) -> DeviceRates:
        """The figures of a ``rates`` calibration that are known and above zero."""
        figures, cache = calibration.figures, calibration.parameters.get("cache_bytes")
        return cls(
            _known(figures.get("matmul_flop_per_s")),
            _known(figures.get("copy_bytes_per_s")),
            cache if isinstance(cache, int) else None,
        )


def _known(per_s: float | None) -> float | None:
    return per_s if per_s is not None and math.isfinite(per_s) and per_s > 0 else None


@dataclass(frozen=True, slots=True)
class Work:
    """What a step has to do, by formula or counted; None where unknown, with why in *reason*.

    Attributes:
        flops: of its matrix products.
        traffic_bytes: an estimate of what must at least pass between processor and memory.
    """

    flops: int | None
    traffic_bytes: int | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """``launch``, ``memory`` or ``compute``, or None; and the figures that it rests on."""

    bound: str | None
    reason: Reason


def verdict(
    step_time_s: float, work: Work, rates: DeviceRates | None, block_wait_s: float | None = None
) -> Bound:
    """What bounds a step that took *step_time_s*.

    Args:
        block_wait_s: how long the host waited for the device after its last submission; None
            where the host computes.
    """
    if block_wait_s is not None and block_wait_s < LAUNCH_WAIT_RATIO * step_time_s:
        return Bound("launch", DeviceWaited(block_wait_s, block_wait_s / step_time_s))
    if rates is None:
        return Bound(None, NoRates())
    compute = _share(work.flops, rates.matmul_flop_per_s, step_time_s)
    memory = _share(work.traffic_bytes, rates.copy_bytes_per_s, step_time_s)
    if compute is not None and compute > 1:
        bound = "compute" if compute <= COMPARABLE_RATIO else None
        return Bound(bound, FasterThanProduct(compute - 1))
    return Bound(_larger(compute, memory), _figures(work, compute, memory))


def least_traffic_bytes(
    workload: Workload, batch: int, time_steps: int, cache_bytes: int | None
) -> int | None:
    """Estimate what one step must at least move through the device's memory.

    Weights are read once a pass; recurrent ones again at each time step, but only where a layer's
    do not fit the cache (a kernel that keeps them in registers is possible only where they do).
    Gradients are written once, the optimizer passes over the parameters, the saved activations are
    written by forward and read by backward, the input is read by both.  A step whose data all fit
    the cache need move nothing.  Copies, casts and temporaries are left out: a real step moves
    more.  None for a factory.
    """
    if workload.cell not in GATES or workload.factory is not None:
        return None
    parts = layers(workload)
    once = sum(_traffic(workload, layer, batch, time_steps, 1) for layer in parts)
    if once <= (cache_bytes or 0):
        return 0
    return sum(
        _traffic(
            workload, layer, batch, time_steps, _rereads(workload, layer, time_steps, cache_bytes)
        )
        for layer in parts
    )


def _traffic(workload: Workload, layer: Layer, batch: int, time_steps: int, rereads: int) -> int:
    """Bytes of all layers alike, with their recurrent weights read *rereads* times a pass."""
    is_training = workload.mode == "train"
    weights = layer.input_weights + layer.recurrent_weights * rereads
    values = layer.outputs + (layer.inputs if layer.is_first else 0)
    moved = (weights + values * batch * time_steps) * _value_bytes(workload)
    if not is_training:
        return layer.count * moved
    again = layer.recurrent_weights * rereads + (0 if layer.is_first else layer.input_weights)
    saved = layer.gates * layer.hidden + (layer.hidden if workload.cell == "lstm" else 0)
    moved += (again + (values + 2 * saved) * batch * time_steps) * _value_bytes(workload)
    parameters = layer.input_weights + layer.recurrent_weights + layer.biases
    passes = 1 + OPTIMIZER_PASSES[workload.optimizer]  # the gradients are written once
    return layer.count * (moved + parameters * passes * _parameter_bytes(workload))


def _rereads(workload: Workload, layer: Layer, time_steps: int, cache_bytes: int | None) -> int:
    """How often a pass must read the recurrent weights; where the cache is unknown, once."""
    size_bytes = layer.recurrent_weights * _value_bytes(workload)
    return time_steps if cache_bytes is not None and size_bytes > cache_bytes else 1


def _value_bytes(workload: Workload) -> int:
    """Of an element of what the products read and write."""
    return LOW_BYTES if workload.dtype.removeprefix("amp-") in LOW_PRECISION else FULL_BYTES


def _parameter_bytes(workload: Workload) -> int:
    """Of an element of parameters, gradients and the optimizer's state."""
    return LOW_BYTES if workload.dtype in LOW_PRECISION else FULL_BYTES


def _share(amount: int | None, per_s: float | None, step_time_s: float) -> float | None:
    return None if amount is None or not per_s else amount / per_s / step_time_s


def _larger(compute: float | None, memory: float | None) -> str | None:
    share, name = max((compute or 0.0, "compute"), (memory or 0.0, "memory"))
    return name if share >= EXPLAINS_RATIO else None


def _figures(work: Work, compute: float | None, memory: float | None) -> Reason:
    if compute is None and memory is None:
        return NothingCompared(work.reason)
    return Shares(compute, memory, work.reason if compute is None else None)
