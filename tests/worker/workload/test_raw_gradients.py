"""The gradient itself, however a step clips or scales it; and where it is not to be had."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_ as clip_by_another_name

from rnnprof.factory import Training
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.workload.learners import FromFactory
from rnnprof.worker.workload.raw_gradients import (
    CLIPPED_BETWEEN,
    HOOKED,
    NO_STEP,
    NOT_ACCUMULATED,
    Unknown,
    clipping_heard,
    raw_gradients,
    unscaled_grad,
)

SLOPES = [1.0, 2.0, 3.0]
LIMIT = 1e-3


class Step:
    """A loss with a known gradient; *change* comes between backward and optimizer."""

    def __init__(self, change: Callable[[list[Tensor]], object], passes: int = 1) -> None:
        self.weight = nn.Parameter(torch.ones(3))
        self.optimizer = torch.optim.SGD([self.weight], lr=1.0)
        self.change = change
        self.passes = passes

    def loss(self) -> Tensor:
        return (self.weight * torch.tensor(SLOPES)).sum() / self.passes

    def __call__(self, _: object = None) -> Tensor:
        self.optimizer.zero_grad()
        for _number in range(self.passes):
            self.loss().backward()  # type: ignore[no-untyped-call]
        self.change([self.weight])
        self.optimizer.step()
        return self.loss().detach()


def by_hand(parameters: list[Tensor]) -> None:
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad.clamp_(-LIMIT, LIMIT)


def by_another_gradient(parameters: list[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, LIMIT)


bound = partial(nn.utils.clip_grad_norm_, max_norm=LIMIT)


def by_default(
    parameters: list[Tensor], clip: Callable[..., Tensor] = clip_by_another_name
) -> None:
    clip(parameters, LIMIT)


CLIPS: dict[str, Callable[[list[Tensor]], object]] = {
    "not at all": lambda parameters: None,
    "by its full name": lambda parameters: nn.utils.clip_grad_norm_(parameters, LIMIT),
    "by another name": lambda parameters: clip_by_another_name(parameters, LIMIT),
    "by a default argument": by_default,
    "by a partial": bound,
    "by keywords": lambda parameters: clip_by_another_name(parameters=parameters, max_norm=LIMIT),
    "by value": lambda parameters: nn.utils.clip_grad_value_(parameters, LIMIT),
    "by hand": by_hand,
    "by another gradient": by_another_gradient,
}


@pytest.mark.parametrize("change", CLIPS.values(), ids=CLIPS)
@pytest.mark.parametrize("passes", [1, 3])
def test_the_gradient_before_anything_is_done_to_it(change, passes: int) -> None:
    step = Step(change, passes)
    [gradient] = raw_gradients(step.optimizer, step)
    assert gradient.tolist() == pytest.approx(SLOPES)
    assert step.weight.tolist() == [1.0, 1.0, 1.0]
    step()
    assert step.weight.tolist() != [1.0, 1.0, 1.0]  # the optimizer is its own again


def test_clipping_is_counted_by_every_name() -> None:
    heard = []
    for name in ("by its full name", "by another name", "by a default argument", "by a partial"):
        step = Step(CLIPS[name])
        learner = FromFactory(Training(step), 4, 6, PhaseTracker(lambda _: None))
        learner.train()
        assert learner.clipping.count == 1, name
    with clipping_heard(lambda norm, most: heard.append((float(norm), most))):
        Step(CLIPS["by another name"])()
    Step(CLIPS["by another name"])()
    assert heard == [(pytest.approx(14**0.5), LIMIT)]


def test_a_loss_scale_is_taken_out() -> None:
    step = Step(lambda parameters: None)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def scaled() -> None:
        scaler.scale(step.loss()).backward()
        scaler.step(step.optimizer)
        scaler.update()

    [gradient] = raw_gradients(step.optimizer, scaled)
    assert gradient.tolist() == SLOPES
    assert torch.amp.GradScaler.unscale_.__qualname__ == "GradScaler.unscale_"


def test_a_parameter_that_takes_no_part_has_a_gradient_of_nothing() -> None:
    step = Step(lambda parameters: None)
    idle = nn.Parameter(torch.ones(2))
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    step.optimizer.add_param_group({"params": [idle, frozen]})
    gradients = raw_gradients(step.optimizer, step)
    assert [each.tolist() for each in gradients] == [SLOPES, [0.0, 0.0], [0.0, 0.0]]


def test_where_the_gradient_is_not_to_be_had_the_reason_is() -> None:
    hooked = Step(lambda parameters: None)
    hooked.weight.register_hook(lambda gradient: gradient.clamp(-LIMIT, LIMIT))
    late = Step(lambda parameters: None)
    late.weight.register_post_accumulate_grad_hook(lambda p: p.grad.clamp_(-LIMIT, LIMIT))
    for step in (hooked, late):
        with pytest.raises(Unknown, match=HOOKED):
            raw_gradients(step.optimizer, step)

    def assigned() -> None:
        made.weight.grad = torch.ones(3)
        made.optimizer.step()

    made = Step(lambda parameters: None)
    with pytest.raises(Unknown, match=NOT_ACCUMULATED.replace("(", r"\(").replace(")", r"\)")):
        raw_gradients(made.optimizer, assigned)

    def clipped_between() -> None:
        for _ in range(2):
            between.loss().backward()
            clip_by_another_name([between.weight], LIMIT)
        between.optimizer.step()

    between = Step(lambda parameters: None)
    with pytest.raises(Unknown, match=CLIPPED_BETWEEN):
        raw_gradients(between.optimizer, clipped_between)
    with pytest.raises(Unknown, match=NO_STEP):
        raw_gradients(between.optimizer, lambda: None)


def test_small_gradients_of_fp16_do_not_vanish() -> None:
    """2**-26 is below the smallest number of fp16, and half of these sums come to nothing."""
    inputs = torch.ones(4, dtype=torch.float16, requires_grad=True)

    def loss() -> Tensor:
        return (inputs * 2.0**-13).float().sum() * 2.0**-13

    [vanished] = torch.autograd.grad(loss(), [inputs])
    assert vanished.tolist() == [0.0] * 4
    [found] = unscaled_grad(loss(), [inputs])
    assert found is not None
    assert found.tolist() == [2.0**-26] * 4


def test_a_scale_that_overflows_is_made_smaller() -> None:
    inputs = torch.ones(2, dtype=torch.float16, requires_grad=True)
    [found] = unscaled_grad((inputs * 1000.0).float().sum(), [inputs])
    assert found is not None
    assert found.tolist() == [1000.0, 1000.0]
    free = torch.ones(2, requires_grad=True)
    assert unscaled_grad(inputs.float().sum(), [free], allow_unused=True) == [None]
    [endless] = unscaled_grad((free * float("inf")).sum(), [free])
    assert endless is not None
    assert not endless.isfinite().any()


def test_fp32_changes_in_no_digit() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(4, 8)
    inputs = torch.randn(6, 3, 4)

    def loss() -> Tensor:
        return layer(inputs)[0].square().mean()

    weights = list(layer.parameters())
    plain = torch.autograd.grad(loss(), weights)
    for own, ours in zip(plain, unscaled_grad(loss(), weights), strict=True):
        assert ours is not None
        assert torch.equal(own, ours)
