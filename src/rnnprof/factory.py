"""The factory protocol: how to give rnnprof your own training step.  Imports no torch.

A factory is ``make(batch, time_steps, device, **args)``; *device* is a ``torch.device``, and the
first three arguments are positional, whatever their names.  It builds model, optimizer and data
once and returns one of

- ``step``: ``step(phase) -> loss`` or ``step() -> loss`` runs one whole training step, exactly as
  training does; a parameter with a default value gets the phase only if its name has "phase";
- ``Training(step, model=, optimizer=, sequences_per_step=, probe=)``: the same, and the objects
  that the memory breakdown, exact throughput and trainability need;
- ``(module, forward_loss)``: ``forward_loss()`` runs one forward pass and returns the scalar loss;
  rnnprof adds backward and the optimizer.

It is called once in each process that trains: it may start a process group, open files and set
global state.  Many processes call it in turn, on CUDA also at B=T=2: one that finds out what the
context takes, and on a simulated GPU a copy of the process before each proof.  Its file is loaded
with ``sys.argv`` set to the file and the words of ``--factory-argv``.

A factory that also has a parameter ``worst`` gets ``worst=True`` when memory is measured, and then
uses its worst batch in every step: the longest sequences, the most labels, the largest graph that
training can have.  Otherwise ``worst`` is False, and steps are those of training.

rnnprof seeds the random numbers of Python, torch and numpy before it calls a factory, with another
seed each time that it proves the same batch, so that random data differ.  A factory that sets its
own seed draws the same data every time, and the proof says so.

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
        sequences_per_step: sequences that one step trains on, if that is not the batch
            (gradient accumulation).
        probe: ``probe() -> (inputs that require grad, loss)``, for trainability.
    """

    step: Step
    model: torch.nn.Module | None = None
    optimizer: torch.optim.Optimizer | None = None
    sequences_per_step: int | None = None
    probe: Callable[[], tuple[Any, Any]] | None = None
