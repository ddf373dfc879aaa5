"""What a worker trains: the built-in recurrent cells, or the user's factory, in one form."""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch

from rnnprof import protocol
from rnnprof.factory import Training
from rnnprof.worker.workload.factories import Factory, adopt, load_factory
from rnnprof.worker.workload.layers import recurrent_module
from rnnprof.worker.workload.loops import Parts, step_of
from rnnprof.worker.workload.precision import autocast, gradient_scaler, set_flags, tensor_dtype
from rnnprof.worker.workload.signatures import check_factory, takes_by_name
from rnnprof.workload import Workload

OPTIMIZERS: Final[dict[str, Callable[..., torch.optim.Optimizer] | None]] = {
    "none": None,
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}

UNIT_VARIANCE_BOUND: Final = math.sqrt(3.0)
"""Uniform values within this bound have variance 1, at a third of the cost of normal values."""


def build(
    task: protocol.Task,
    batch: int,
    time_steps: int,
    lengths: tuple[int, ...] = (),
    *,
    worst: bool = False,
    factory: Factory | None = None,
) -> Training:
    """Build model, optimizer and data for one shape, all random numbers from the task's seed.

    With *lengths* the steps of a built-in workload cycle through these and then *time_steps*.

    Args:
        worst: whether a factory that can should use the batch that takes the most memory.
        factory: as :func:`seeded_factory` returned it in this process; None to load it now.
    """
    device = torch.device(task.device)
    factory = factory or seeded_factory(task)
    if factory is None:
        set_flags(task.workload)
        return recurrent_layer(task.workload, batch, (*lengths, time_steps), device)
    args = checked_args(task, factory, worst=worst)
    returned = factory(batch, time_steps, device, **args)
    return adopt(returned, lambda parameters: _optimizer(task.workload.optimizer, parameters))


def seeded_factory(task: protocol.Task) -> Factory | None:
    """Seed all random numbers, then load the factory; None for a built-in cell.

    The factory's file may draw and seed random numbers itself when it is loaded.
    """
    seed_all(task.seed)
    if task.factory_path is None:
        return None
    factory = load_factory(task.factory_path, task.words)
    seed_numpy(task.seed)  # the file may have imported it
    return factory


def checked_args(task: protocol.Task, factory: Factory, *, worst: bool = False) -> dict[str, Any]:
    """The keyword arguments of a factory.

    Raises:
        BadFactoryError: the factory does not take what rnnprof passes.
    """
    args = task.args
    if takes_by_name(factory, "worst"):
        args = {"worst": worst, **args}
    assert task.factory_path is not None
    check_factory(factory, task.factory_path.rpartition(":")[2], args)
    return args


def seed_all(seed: int) -> None:
    """Seed the random numbers of Python, torch and, if it is imported, numpy."""
    random.seed(seed)
    torch.manual_seed(seed)
    seed_numpy(seed)


def seed_numpy(seed: int) -> None:
    """Seed numpy's global random numbers, which take 32 bits, if it is imported."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % (1 << 32))


def recurrent_layer(
    workload: Workload, batch: int, lengths: tuple[int, ...], device: torch.device
) -> Training:
    """A recurrent layer on random input of shape (T, batch, input size), or batch first.

    T cycles through *lengths* from step to step.

    The loss is the mean square of the output: it gives every gradient, and at most one more tensor
    of the output's size.
    """
    dtype = tensor_dtype(workload)
    model = recurrent_module(workload).to(device, dtype)
    forward = torch.compile(model) if workload.compile else model
    in_turn = itertools.cycle(lengths)

    def random_input() -> torch.Tensor:
        time_steps = next(in_turn)
        shape = (time_steps, batch, workload.input_size)
        if workload.batch_first:
            shape = (batch, time_steps, workload.input_size)
        sequences = torch.empty(shape, device=device, dtype=dtype)
        return sequences.uniform_(-UNIT_VARIANCE_BOUND, UNIT_VARIANCE_BOUND)

    def run_forward(sequences: torch.Tensor) -> tuple[torch.Tensor, Any]:
        with autocast(workload, device):
            return forward(sequences)  # type: ignore[no-any-return]

    model.train(workload.mode == "train")
    optimizer = None
    if workload.mode == "train":
        optimizer = _optimizer(workload.optimizer, model.parameters())
    scaler = gradient_scaler(workload, device)
    parts = Parts(model, random_input, run_forward, optimizer, scaler)
    step = step_of(workload.loop, workload.mode, parts)
    return Training(step, model, optimizer, sequences_per_step=batch)


def _optimizer(name: str, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer | None:
    make = OPTIMIZERS[name]
    return None if make is None else make(parameters)
