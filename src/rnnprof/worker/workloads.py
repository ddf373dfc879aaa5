"""What a worker trains: the built-in recurrent cells, or the user's factory, in one form."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch

from rnnprof import protocol
from rnnprof.factory import PhaseMarker, Training
from rnnprof.worker.factories import adopt, load_factory
from rnnprof.workload import Workload

CELLS: Final[dict[str, Callable[..., torch.nn.Module]]] = {
    "rnn-tanh": lambda *sizes: torch.nn.RNN(*sizes, nonlinearity="tanh"),
    "rnn-relu": lambda *sizes: torch.nn.RNN(*sizes, nonlinearity="relu"),
    "lstm": torch.nn.LSTM,
    "gru": torch.nn.GRU,
}

OPTIMIZERS: Final[dict[str, Callable[..., torch.optim.Optimizer] | None]] = {
    "none": None,
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}

UNIT_VARIANCE_BOUND: Final = math.sqrt(3.0)
"""Uniform values within it have variance 1, at a third of the cost of normal ones on a CPU."""


def build(task: protocol.Task, batch: int, steps: int) -> Training:
    """Build model, optimizer and data for one shape, from equal seeds whatever the shape."""
    random.seed(task.seed)
    torch.manual_seed(task.seed)
    if task.factory_path is None:
        return recurrent_layer(task.workload, batch, steps, torch.device(task.device))
    factory = load_factory(task.factory_path)
    args = task.workload.factory.args if task.workload.factory else {}
    returned = factory(batch, steps, torch.device(task.device), **args)
    return adopt(returned, lambda parameters: _optimizer(task.workload.optimizer, parameters))


def recurrent_layer(workload: Workload, batch: int, steps: int, device: torch.device) -> Training:
    """A recurrent layer trained on random input of shape (steps, batch, input size).

    The loss is the mean square of the output: it makes every gradient, and no more than one
    tensor of the output's size beside them.  Its sign alternates from step to step, so that the
    weights stay near where they began: a loss that is trained to nothing ends in denormal
    numbers, on which a processor is many times slower.
    """
    sizes = (workload.input_size, workload.hidden_size, workload.layers)
    model = CELLS[workload.cell or "lstm"](*sizes).to(device)
    optimizer = _optimizer(workload.optimizer, model.parameters())
    shape = (steps, batch, workload.input_size)
    signs = itertools.cycle((1.0, -1.0))

    def step(phase: PhaseMarker) -> Any:
        model.zero_grad(set_to_none=True)
        with phase("data"):
            sequences = torch.empty(shape, device=device)
            sequences.uniform_(-UNIT_VARIANCE_BOUND, UNIT_VARIANCE_BOUND)
        with phase("forward"):
            output, _ = model(sequences)
            loss = output.square().mean() * next(signs)
        with phase("backward"):
            loss.backward()
        if optimizer is not None:
            with phase("optimizer"):
                optimizer.step()
        return loss.detach()

    return Training(step, model=model, optimizer=optimizer, sequences_per_step=batch)


def _optimizer(name: str, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer | None:
    make = OPTIMIZERS[name]
    return None if make is None else make(parameters)
