"""The tasks of a study of trainability: generated, seeded, of any length.

The adding problem (Hochreiter and Schmidhuber, Long short-term memory, 1997): two of T random
values are marked, and the target at the end is their sum; a model that always outputs 1 has a mean
square error of 1/6.  Copy memory (Arjovsky, Shah and Bengio, arXiv 1511.06464): ten symbols, then
blanks, then the model repeats the symbols in order; guessing has a cross-entropy of
``10 ln 8 / T``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from rnnprof.runfile.study import COPIED, LEAST_STEPS, TASK_INPUTS, Study
from rnnprof.worker.workload.layers import UnsupportedError, recurrent_module
from rnnprof.worker.workload.precision import autocast, set_flags, tensor_dtype
from rnnprof.workload import Workload

SYMBOLS: Final = 8
BLANK: Final = 8
ASK: Final = 9
"""The copy task's ten symbols: eight to remember, the blank, and the request to repeat them."""


class LearningTask(Protocol):
    """A generated task.

    Attributes:
        outputs: numbers that the model outputs at each time step.
        baseline: the loss of a model that has learned nothing about the past.
    """

    outputs: int
    baseline: float

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """Inputs of shape (T, batch, features) and targets."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sequence, from outputs of shape (T, batch, outputs)."""

    def last_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sequence at the last time step only."""


class Adding:
    """The adding problem of T steps; one random mark in each half of each sequence."""

    outputs = 1
    baseline = 1 / 6

    def __init__(self, time_steps: int, device: torch.device) -> None:
        self.time_steps = time_steps
        self.device = device

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """Inputs: values uniform in (0, 1), and marks; target: the sum of the two marked values."""
        values = torch.rand(self.time_steps, batch, device=self.device)
        marks = torch.zeros_like(values)
        half = self.time_steps // 2
        every = torch.arange(batch, device=self.device)
        marks[torch.randint(half, (batch,), device=self.device), every] = 1
        marks[torch.randint(half, self.time_steps, (batch,), device=self.device), every] = 1
        return torch.stack([values, marks], dim=-1), (values * marks).sum(0)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error at the last time step."""
        return (outputs[-1, :, 0].float() - targets).square()

    def last_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The same: the target is at the last time step."""
        return self.losses(outputs, targets)


class Copy:
    """Copy memory of T steps in total: 10 to remember, T - 20 blanks, 10 to repeat."""

    outputs = SYMBOLS

    def __init__(self, time_steps: int, device: torch.device) -> None:
        self.time_steps = time_steps
        self.device = device
        self.baseline = COPIED * math.log(SYMBOLS) / time_steps

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """Inputs: one-hot symbols; targets: the symbols to repeat, of shape (10, batch)."""
        kept = torch.randint(SYMBOLS, (COPIED, batch), device=self.device)
        symbols = torch.full((self.time_steps, batch), BLANK, device=self.device)
        symbols[:COPIED] = kept
        symbols[self.time_steps - COPIED - 1] = ASK
        return nn.functional.one_hot(symbols, TASK_INPUTS["copy"]).float(), kept

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the ten symbols, divided by T as the task's authors do."""
        said = outputs[-COPIED:].float().permute(1, 2, 0)
        each = nn.functional.cross_entropy(said, targets.T, reduction="none")
        return each.sum(-1) / self.time_steps

    def last_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the last of the ten symbols."""
        return nn.functional.cross_entropy(outputs[-1].float(), targets[-1], reduction="none")


TASKS: Final[dict[str, Callable[[int, torch.device], LearningTask]]] = {
    "adding": Adding,
    "copy": Copy,
}


class Learner(nn.Module):
    """A recurrent layer and a linear layer: from (T, batch, features) to outputs."""

    def __init__(self, workload: Workload, outputs: int) -> None:
        super().__init__()
        self.workload = workload
        self.layer = recurrent_module(workload)
        width = workload.proj_size or workload.hidden_size
        self.head = nn.Linear(width * (2 if workload.bidirectional else 1), outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Time comes first, even if the layer is batch-first."""
        if not self.workload.batch_first:
            return self.head(self.layer(inputs)[0])  # type: ignore[no-any-return]
        return self.head(self.layer(inputs.transpose(0, 1))[0]).transpose(0, 1)  # type: ignore[no-any-return]


class Lesson:
    """A task and the model that learns it, on one device, in the workload's precision."""

    def __init__(
        self, workload: Workload, study: Study, time_steps: int, device: torch.device
    ) -> None:
        assert study.task is not None
        if time_steps < LEAST_STEPS[study.task]:
            raise UnsupportedError(
                f"the {study.task} task needs at least {LEAST_STEPS[study.task]} time steps"
            )
        set_flags(workload)
        self.workload = workload
        self.device = device
        self.dtype = tensor_dtype(workload)
        self.task = TASKS[study.task](time_steps, device)
        self.model = Learner(workload, self.task.outputs).to(device, self.dtype)
        self._forward = torch.compile(self.model) if workload.compile else self.model

    def outputs(self, inputs: Tensor) -> Tensor:
        """The model's outputs at every time step."""
        with autocast(self.workload, self.device):
            said: Tensor = self._forward(inputs.to(self.dtype))
        return said

    def loss(self, batch: int) -> Tensor:
        """The mean loss over fresh sequences."""
        inputs, targets = self.task.draw(batch)
        return self.task.losses(self.outputs(inputs), targets).mean()
