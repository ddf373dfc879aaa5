"""What bounds a step: the host's kernel launches, the device's arithmetic or its memory.

A step's matrix products at the rate of a large matrix product, and its least memory traffic at the
rate of a large copy, each give the time of a step that does nothing else (the roofline of
Williams, Waterman and Patterson, CACM 52(4), 2009).  The one that explains at least half of the
measured time bounds the step; if none does, only the figures are shown.
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
"""A device that ends within this share of a step after the host was waiting for the host."""

EXPLAINS_RATIO: Final = 0.5
"""A bound is named if it alone would take at least this share of the step."""

COMPARABLE_RATIO: Final = 1.25
"""A step that is faster than the matrix product by more than this has another precision, or the
calibration was noisy.  Below it, other shapes or a varying clock explain the difference: the step
is bound by its products, but a share above 100% is not shown."""

OPTIMIZER_PASSES: Final = {"none": 0, "sgd": 3, "adam": 7, "adamw": 7}
"""Tensors of the parameters' size that an update reads and writes: SGD reads p, g and writes p;
Adam reads p, g, m, v and writes p, m, v (Kingma and Ba, arXiv 1412.6980, algorithm 1)."""

LOW_PRECISION: Final = frozenset({"bf16", "fp16"})
LOW_BYTES: Final = 2
FULL_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class DeviceRates:
    """The highest rates of the device; None where not measured.

    Attributes:
        matmul_flop_per_s: rate of a large matrix product in the run's precision.
        copy_bytes_per_s: rate of a large copy in the device's memory, reads plus writes.
        cache_bytes: size of the last-level cache.
    """

    matmul_flop_per_s: float | None = None
    copy_bytes_per_s: float | None = None
    cache_bytes: int | None = None

    @classmethod
    def of(cls, calibration: Calibration) -> DeviceRates:
        """The figures of a ``rates`` calibration that are finite and above zero."""
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
    """The work of a step, by formula or counted.

    Attributes:
        flops: floating-point operations of its matrix products; None where unknown.
        traffic_bytes: estimated minimum of memory traffic; None where unknown.
        reason: why *flops* is None.
    """

    flops: int | None
    traffic_bytes: int | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """What bounds a step.

    Attributes:
        bound: ``launch``, ``memory``, ``compute``, or None if no one of them does.
        reason: the figures behind it.
    """

    bound: str | None
    reason: Reason


def verdict(
    step_time_s: float, work: Work, rates: DeviceRates | None, block_wait_s: float | None = None
) -> Bound:
    """Judge what bounds a step that took *step_time_s* seconds.

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
    """Estimate the minimum of memory traffic of one step, in bytes; None for a factory.

    Weights are read once per pass.  Recurrent weights are read again at each time step if those of
    a layer do not fit the cache (if they fit, a kernel may keep them in registers).  Gradients are
    written once, the optimizer reads and writes the parameters, forward writes the saved
    activations and backward reads them, and both read the input.  A step whose data fit the cache
    needs no traffic.  Copies, casts and temporaries are not counted: a real step moves more.
    """
    if workload.cell not in GATES or not workload.is_built_in:
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
    """Traffic of all equal layers, with recurrent weights read *rereads* times per pass."""
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
    """How often a pass must read the recurrent weights; once if the cache size is unknown."""
    size_bytes = layer.recurrent_weights * _value_bytes(workload)
    return time_steps if cache_bytes is not None and size_bytes > cache_bytes else 1


def _value_bytes(workload: Workload) -> int:
    """Bytes per element that matrix products read and write."""
    return LOW_BYTES if workload.dtype.removeprefix("amp-") in LOW_PRECISION else FULL_BYTES


def _parameter_bytes(workload: Workload) -> int:
    """Bytes per element of parameters, gradients and optimizer state."""
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
