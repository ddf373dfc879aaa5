"""The factory protocol: how a user's own training step is handed to rnnprof.  Imports no torch.

A factory is ``make(batch, steps, device, **args)``; *device* is a ``torch.device``.  It builds
model, optimizer and data once and returns one of

- ``step``: ``step(phase) -> loss`` runs one whole training step just as training does;
- ``Training(step, model=, optimizer=, sequences_per_step=, probe=)``: the same, and the objects
  that the memory breakdown, honest throughput and trainability need;
- ``(module, forward_loss)``: ``forward_loss()`` runs one forward pass and returns the scalar loss;
  rnnprof adds backward and the optimizer.

A factory that also has a parameter ``worst`` gets ``worst=True`` where memory is measured, and
gives then its worst batch in every step: the longest sequences, the most labels, the largest graph
that training can meet.  Elsewhere ``worst`` is False, and steps are as training has them.

Before a factory is called, the random numbers of Python, torch and numpy are seeded, with another
seed each time that the same batch is proven: data drawn from them is other data.  One that seeds
itself draws the same every time, which the proof then says.

Inside a step, ``with phase("data" | "forward" | "backward" | "optimizer"):`` marks the parts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

PHASES: Final = ("data", "forward", "backward", "optimizer")

PhaseMarker = Callable[[str], AbstractContextManager[Any]]
"""``phase(name)``: a context manager that marks the part of the step which runs inside it."""

Step = Callable[[PhaseMarker], Any]
"""``step(phase) -> loss``: one whole training step."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training step with the objects behind it.

    Attributes:
        step: ``step(phase) -> loss``, one whole training step; the loss is a scalar tensor.
        model: the module whose parameters are trained; without it the memory breakdown is unknown.
        optimizer: the optimizer that steps them.
        sequences_per_step: sequences that one step trains on, where that is not the batch
            (gradient accumulation).
        probe: ``probe() -> (inputs that require grad, loss)``, for trainability.
    """

    step: Step
    model: torch.nn.Module | None = None
    optimizer: torch.optim.Optimizer | None = None
    sequences_per_step: int | None = None
    probe: Callable[[], tuple[Any, Any]] | None = None
