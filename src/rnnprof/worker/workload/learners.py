"""What a study trains: a generated task or the user's factory, behind one interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from torch import Tensor, nn

from rnnprof.factory import Training
from rnnprof.worker.workload.factories import BadFactoryError
from rnnprof.worker.workload.lessons import Lesson
from rnnprof.worker.workload.loss import finite_loss
from rnnprof.worker.workload.precision import gradient_scaler
from rnnprof.worker.workload.raw_gradients import (
    Unknown,
    clipping_heard,
    raw_gradients,
    unscaled_grad,
)
from rnnprof.worker.workload.workloads import OPTIMIZERS, build, seed_all

if TYPE_CHECKING:
    from rnnprof import protocol
    from rnnprof.factory import PhaseMarker

NO_PROBE: Final = (
    "the factory gives no loss of the last time step: return rnnprof.Training(..., probe=), where "
    "probe() returns the inputs and that loss"
)
NO_OPTIMIZER: Final = "the factory gives no optimizer: return rnnprof.Training(..., optimizer=)"


@dataclass(slots=True)
class Clipping:
    """How often ``clip_grad_norm_`` has clipped gradients; None until it is called."""

    count: int | None = None

    def note(self, total_norm: Any, max_norm: float) -> None:
        """Count a measured norm, if it is above *max_norm*."""
        self.count = (self.count or 0) + int(float(total_norm) > max_norm)


class Learner(Protocol):
    """What a study needs from a workload.

    Attributes:
        learning_rate, baseline_loss: None where a factory decides, or has none.
        step_batch: sequences in the gradient of a factory's step; None where any batch is possible.
        has_fresh_loss: whether :meth:`fresh_loss` gives the loss on data that were not trained on.
    """

    learning_rate: float | None
    baseline_loss: float | None
    step_batch: int | None
    has_fresh_loss: bool
    clipping: Clipping

    def train(self) -> float | None:
        """Run one training step; return its loss, None if that is not a finite number."""

    def fresh_loss(self) -> float:
        """The loss on data that no training step uses."""

    def reach(self) -> tuple[str, list[float]]:
        """For one batch: what the gradient is taken of, and its norm by lag.

        Raises:
            Unknown: why there is none.
        """

    def gradient(self, batch: int) -> list[Tensor]:
        """The gradient of the loss over *batch* fresh sequences, by parameter.

        Raises:
            Unknown: why there is none.
        """


def learner_of(task: protocol.Task, seed: int, mark: PhaseMarker) -> Learner:
    """Build the task's learner, with all random numbers from *seed*."""
    assert task.study is not None
    seed_all(seed)
    if task.factory_path is None:
        return BuiltIn(task)
    return FromFactory(build_seeded(task, seed), task.point.batch, task.point.time_steps, mark)


def build_seeded(task: protocol.Task, seed: int) -> Training:
    """The factory's training, as in every other pass except for the seed."""
    return build(replace(task, seed=seed), task.point.batch, task.point.time_steps)


FRESH_SEQUENCES: Final = 512
"""They give a mean square error of 0.01 to about 6%."""


class BuiltIn:
    """A generated task, trained by the workload's optimizer."""

    has_fresh_loss = True
    step_batch: int | None = None

    def __init__(self, task: protocol.Task) -> None:
        study = task.study
        assert study is not None
        self.batch = task.point.batch
        self.lesson = Lesson(task.workload, study, task.point.time_steps, torch.device(task.device))
        self.parameters = list(self.lesson.model.parameters())
        make = OPTIMIZERS[task.workload.optimizer]
        self.optimizer = make(self.parameters) if make else None
        self.learning_rate: float | None = study.rate_at(task.point.batch)
        for group in self.optimizer.param_groups if self.optimizer else ():
            group["lr"] = self.learning_rate
        self.scaler = gradient_scaler(task.workload, self.lesson.device)
        self.baseline_loss: float | None = self.lesson.task.baseline
        self.clip_norm = study.clip_norm
        self.clipping = Clipping(None if study.clip_norm is None else 0)

    def train(self) -> float | None:
        """Run forward, backward, clipping and optimizer."""
        self.lesson.model.zero_grad(set_to_none=True)
        loss = self.lesson.loss(self.batch)
        torch.autograd.backward(self.scaler.scale(loss))
        if self.optimizer is None:
            return finite_loss(loss)
        if self.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            norm = nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
            self.clipping.note(norm, self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return finite_loss(loss)

    @torch.no_grad()
    def fresh_loss(self) -> float:
        """The loss over newly drawn sequences; no training step uses them."""
        self.lesson.model.eval()
        loss = float(self.lesson.loss(FRESH_SEQUENCES))
        self.lesson.model.train()
        return loss

    def reach(self) -> tuple[str, list[float]]:
        """Each sequence's own gradient: sequences are independent."""
        inputs, targets = self.lesson.task.draw(self.batch)
        inputs = inputs.requires_grad_()
        losses = self.lesson.task.last_losses(self.lesson.outputs(inputs), targets)
        [gradient] = unscaled_grad(losses.sum(), [inputs])
        assert gradient is not None
        return "input", norms_by_lag(gradient, time_dim=0)

    def gradient(self, batch: int) -> list[Tensor]:
        """The gradient of the mean loss."""
        found = unscaled_grad(self.lesson.loss(batch), self.parameters)
        return [gradient for gradient in found if gradient is not None]


class FromFactory:
    """A user's training; what it does not provide raises Unknown."""

    has_fresh_loss = False
    learning_rate: float | None = None
    baseline_loss: float | None = None

    def __init__(self, training: Training, batch: int, time_steps: int, mark: PhaseMarker) -> None:
        self.training = training
        self.step_batch: int | None = training.sequences_per_step or batch
        self.time_steps = time_steps
        self.mark = mark
        self.clipping = Clipping()

    def train(self) -> float | None:
        """Run the user's own step, and count torch's clipping."""
        with clipping_heard(self.clipping.note):
            return finite_loss(self.training.step(self.mark))

    def fresh_loss(self) -> float:
        """Raise Unknown: a factory has no fresh data."""
        raise Unknown("a factory's step trains on all data that it draws")

    def reach(self) -> tuple[str, list[float]]:
        """From the probe's inputs; for integer inputs from the output of the embedding."""
        with _embeddings(self.training.model) as embedded:
            inputs, loss = self._probe()
            of = "input"
            if not inputs.is_floating_point():
                if not embedded:
                    raise Unknown(
                        f"the probe's inputs are {inputs.dtype}, which have no gradient, and the "
                        "model has no embedding: return differentiable inputs"
                    )
                of, inputs = "embedding", _joined(embedded, self.time_steps)
            if not inputs.requires_grad:
                raise Unknown("the probe's inputs do not require grad: call requires_grad_()")
            [found] = unscaled_grad(loss, [inputs], allow_unused=True)
        gradient = torch.zeros_like(inputs) if found is None else found
        return of, norms_by_lag(gradient, _time_dim(gradient, self.time_steps))

    def gradient(self, batch: int) -> list[Tensor]:  # noqa: ARG002  # a step has its own
        """The gradient of one step, before clipping, without a loss scale; no weight changes."""
        optimizer = self.training.optimizer
        if optimizer is None:
            raise Unknown(NO_OPTIMIZER)
        return raw_gradients(optimizer, lambda: self.training.step(self.mark))

    def _probe(self) -> tuple[Tensor, Tensor]:
        if self.training.probe is None:
            raise Unknown(NO_PROBE)
        returned = self.training.probe()
        if not (isinstance(returned, tuple) and len(returned) == 2):
            raise BadFactoryError("probe() did not return a pair (inputs, loss)")
        inputs, loss = returned
        for name, value in (("inputs", inputs), ("loss", loss)):
            if not isinstance(value, Tensor):
                kind = type(value).__name__
                raise BadFactoryError(f"probe() returned a {kind} as {name}, not a tensor")
        return inputs, loss.sum()


def norms_by_lag(gradient: Tensor, time_dim: int) -> list[float]:
    """``|dL/dx_{T-k}|`` by lag k, the mean over sequences, from a gradient (T, batch, ...)."""
    by_time = gradient.detach().double().movedim(time_dim, 0)
    per_sequence = by_time.flatten(2).norm(dim=-1) if by_time.dim() > 2 else by_time.abs()
    return [float(norm) for norm in per_sequence.mean(dim=1).flip(0)]


def _time_dim(gradient: Tensor, time_steps: int) -> int:
    """Which of the first two dimensions is time; the first if both could be."""
    if gradient.dim() >= 2:
        for dim in (0, 1):
            if gradient.shape[dim] == time_steps:
                return dim
    raise Unknown(
        f"the probe's inputs have the shape {tuple(gradient.shape)}: one of the first two "
        f"dimensions must be time, with {time_steps} steps"
    )


@contextmanager
def _embeddings(model: nn.Module | None) -> Iterator[list[Tensor]]:
    """Collect the outputs of the model's embeddings inside the context."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        outputs.append(output)

    modules: Sequence[nn.Module] = [] if model is None else list(model.modules())
    hooks = [m.register_forward_hook(keep) for m in modules if isinstance(m, nn.Embedding)]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _joined(outputs: list[Tensor], time_steps: int) -> Tensor:
    """The embedding output that contains all time steps."""
    for output in outputs:
        if output.dim() == 3 and time_steps in output.shape[:2]:
            return output
    shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
    raise Unknown(f"no embedding returned all {time_steps} time steps at once, but {shapes}")


@dataclass(slots=True)
class Squares:
    """Squared gradient norms of small batches, and of the large batch that they form."""

    small: list[float] = field(default_factory=list)
    big: list[float] = field(default_factory=list)

    def draw(self, learner: Learner, small_batch: int, parts: int) -> None:
        """Add one large batch, computed from its parts."""
        total = learner.gradient(small_batch)
        squared = _squared(total)
        for _ in range(parts - 1):
            gradients = learner.gradient(small_batch)
            squared += _squared(gradients)
            total = [whole + part for whole, part in zip(total, gradients, strict=True)]
        self.small.append(squared / parts)
        self.big.append(_squared(total) / parts**2)


def _squared(gradients: Sequence[Tensor]) -> float:
    return sum(float(gradient.double().square().sum()) for gradient in gradients)
