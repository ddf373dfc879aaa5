"""The loops around a built-in layer; they differ in which tensors of a step outlive it.

On CUDA the difference decides the largest batch: what the last step still holds while the next one
runs cannot be reused, and the caching allocator splits its segments around it.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

import torch

from rnnprof.factory import PhaseMarker, Step

Loop = Generator[Any, PhaseMarker, None]
"""Runs one step each time it receives the phase marker, and yields that step's loss."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a loop.

    Attributes:
        make_input: the next batch, of shape (T, batch, input size), or batch first.
        forward: from a batch to the layer's output and its returned state.
        optimizer: None if weights are not updated.
    """

    model: torch.nn.Module
    make_input: Callable[[], torch.Tensor]
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, Any]]
    optimizer: torch.optim.Optimizer | None
    scaler: torch.amp.GradScaler


def step_of(loop: str, mode: str, parts: Parts) -> Step:
    """The step function of a loop."""
    return STEPS[loop, mode](parts)


def _plain_step(write: Callable[[Parts], Loop]) -> Callable[[Parts], Step]:
    def step_of_it(parts: Parts) -> Step:
        loop = write(parts)
        next(loop)  # up to its first batch
        return loop.send

    return step_of_it


def _plain_training(parts: Parts) -> Loop:
    """The training loop that people write, at the top of a script.

    Each local variable lives until the next step replaces it.  So the loss is a weak proxy: a
    caller that keeps it must not keep its memory.
    """
    signs = itertools.cycle(SIGNS)
    phase = yield None
    while True:
        with phase("data"):
            sequences = parts.make_input()
        parts.model.zero_grad(set_to_none=True)
        with phase("forward"):
            output, state = parts.forward(sequences)  # noqa: RUF059  # a loop holds its state
            loss = output.square().mean() * next(signs)
        with phase("backward"):
            torch.autograd.backward(parts.scaler.scale(loss))
        if parts.optimizer is not None:
            with phase("optimizer"):
                parts.scaler.step(parts.optimizer)
                parts.scaler.update()
        phase = yield weakref.proxy(loss)


def _plain_inference(parts: Parts) -> Loop:
    """The same without gradients."""
    phase = yield None
    while True:
        with torch.inference_mode():
            with phase("data"):
                sequences = parts.make_input()
            with phase("forward"):
                output, state = parts.forward(sequences)  # noqa: RUF059  # a loop holds its state
                loss = output.square().mean()
        phase = yield weakref.proxy(loss)


def _training_function(parts: Parts) -> Step:
    """A step function: it drops state and output early, the input at its end."""
    signs = itertools.cycle(SIGNS)

    def step(phase: PhaseMarker) -> Any:
        parts.model.zero_grad(set_to_none=True)
        with phase("data"):
            sequences = parts.make_input()
        with phase("forward"):
            loss = _loss_of(parts, sequences) * next(signs)
        with phase("backward"):
            torch.autograd.backward(parts.scaler.scale(loss))
        if parts.optimizer is not None:
            with phase("optimizer"):
                parts.scaler.step(parts.optimizer)
                parts.scaler.update()
        return loss.detach()

    return step


def _inference_function(parts: Parts) -> Step:
    @torch.inference_mode()
    def step(phase: PhaseMarker) -> Any:
        with phase("data"):
            sequences = parts.make_input()
        with phase("forward"):
            return _loss_of(parts, sequences)

    return step


def _loss_of(parts: Parts, sequences: torch.Tensor) -> torch.Tensor:
    output = parts.forward(sequences)[0]
    return output.square().mean()


SIGNS: Final = (1.0, -1.0)
"""Signs of the loss, in turn, so that the weights stay near their initial values: a loss trained to
zero ends in denormal numbers, on which a processor is many times slower."""

STEPS: Final[dict[tuple[str, str], Callable[[Parts], Step]]] = {
    ("plain", "train"): _plain_step(_plain_training),
    ("plain", "inference"): _plain_step(_plain_inference),
    ("function", "train"): _training_function,
    ("function", "inference"): _inference_function,
}
