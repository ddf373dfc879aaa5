"""What a study asks of the built-in cells and of factories, and what it is told if it cannot."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from rnnprof.factory import Training
from rnnprof.protocol import Task
from rnnprof.runfile.points import Point
from rnnprof.runfile.study import Study
from rnnprof.worker.passes.gradients import _noise, _reach
from rnnprof.worker.workload.factories import BadFactoryError
from rnnprof.worker.workload.learners import (
    NO_PROBE,
    BuiltIn,
    FromFactory,
    Squares,
    learner_of,
    norms_by_lag,
)
from rnnprof.worker.workload.raw_gradients import Unknown
from rnnprof.workload import Workload

STEPS, BATCH = 6, 4
SMALL = Workload(input_size=2, hidden_size=8)


def task(**study: Any) -> Task:
    return Task("gradient", SMALL, point=Point(BATCH, STEPS), study=Study(**study))


def mark(_: str) -> Any:
    return nullcontext()


def test_norms_come_by_lag_from_the_last_step() -> None:
    gradient = torch.zeros(3, 2, 2)
    gradient[2, :, 0] = 3.0  # the last step of both sequences
    gradient[0, 0] = torch.tensor([3.0, 4.0])
    assert norms_by_lag(gradient, 0) == [3.0, 0.0, 2.5]
    assert norms_by_lag(gradient.transpose(0, 1), 1) == [3.0, 0.0, 2.5]


def test_training_brings_the_loss_down_and_equal_seeds_are_equal() -> None:
    def trained(seed: int) -> list[float]:
        learner = learner_of(task(learning_rate=0.01), seed, mark)
        before = learner.fresh_loss()
        for _ in range(150):
            learner.train()
        return [before, learner.fresh_loss()]

    first = trained(1)
    assert first == trained(1) != trained(2)
    assert first[1] < 0.3 * first[0]


def test_clipping_is_counted() -> None:
    learner = learner_of(task(clip_norm=1e-9), 0, mark)
    for _ in range(5):
        learner.train()
    assert learner.clipping.count == 5
    assert learner_of(task(), 0, mark).clipping.count is None


@pytest.mark.parametrize(("rule", "rate"), [("fixed", 1e-3), ("sqrt", 2e-3), ("linear", 4e-3)])
def test_the_rate_goes_with_the_batch_by_its_rule(rule: str, rate: float) -> None:
    learner = BuiltIn(task(rate_rule=rule, rate_batch=BATCH // 4))
    assert learner.learning_rate == pytest.approx(rate)
    assert learner.optimizer is not None
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(rate)


def test_a_gradient_over_a_large_batch_has_less_noise() -> None:
    learner = learner_of(task(), 0, mark)
    squares = Squares()
    for _ in range(20):
        squares.draw(learner, small_batch=2, parts=16)
    assert sum(squares.big) < sum(squares.small)
    # and is that of the whole: the mean of the parts' gradients
    torch.manual_seed(5)
    parts = [learner.gradient(2) for _ in range(16)]
    torch.manual_seed(5)
    again = Squares()
    again.draw(learner, 2, 16)
    mean = [sum(tensors) / 16 for tensors in zip(*parts, strict=True)]  # type: ignore[arg-type]
    assert again.big[0] == pytest.approx(sum(float(t.square().sum()) for t in mean), rel=1e-4)


class Words(nn.Module):
    """Embedded words, summed up by an RNN; optionally a token at a time."""

    def __init__(self, *, stepped: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.layer = nn.RNN(5, 7)
        self.stepped = stepped

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        if self.stepped:
            embedded = torch.stack([self.embedding(word) for word in words])
        else:
            embedded = self.embedding(words)
        output: torch.Tensor = self.layer(embedded)[0]
        return output


def words_probe(model: nn.Module) -> Any:
    def probe() -> Any:
        words = torch.randint(11, (STEPS, BATCH))
        return words, model(words)[-1].sum()

    return probe


def from_factory(**parts: Any) -> FromFactory:
    return FromFactory(Training(lambda phase: torch.tensor(1.0), **parts), BATCH, STEPS, mark)


def test_words_are_looked_at_through_their_embedding() -> None:
    model = Words()
    of, norms = from_factory(model=model, probe=words_probe(model)).reach()
    assert of == "embedding"
    assert len(norms) == STEPS
    assert norms[0] > norms[-1] > 0


def test_a_batch_first_probe_is_read_by_its_steps() -> None:
    layer = nn.GRU(3, 4, batch_first=True)

    def probe() -> Any:
        inputs = torch.randn(BATCH, STEPS, 3, requires_grad=True)
        return inputs, layer(inputs)[0][:, -1].sum()

    of, norms = from_factory(model=layer, probe=probe).reach()
    assert (of, len(norms)) == ("input", STEPS)
    assert norms[0] > norms[-1] > 0


def test_a_loss_of_no_input_has_norms_of_nothing() -> None:
    inputs = torch.randn(STEPS, BATCH, 3, requires_grad=True)
    free = nn.Parameter(torch.ones(()))
    assert from_factory(probe=lambda: (inputs, free * 1)).reach()[1] == [0.0] * STEPS


def integers() -> Any:
    return torch.zeros(STEPS, BATCH, dtype=torch.int64), torch.ones((), requires_grad=True)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "gives no loss of the last time step"),
        ({"probe": integers}, "torch.int64, which have no gradient"),
        ({"probe": integers, "model": nn.Linear(1, 1)}, "has no embedding"),
        ({"probe": lambda: (torch.randn(STEPS, 2), torch.ones(()))}, "do not require grad"),
        ({"probe": words_probe(Words(stepped=True)), "model": None}, "no gradient"),
    ],
)
def test_what_cannot_be_asked_of_a_factory_is_told(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(Unknown, match=said):
        from_factory(**parts).reach()


def test_an_embedding_of_one_word_at_a_time_is_told_with_its_shapes() -> None:
    model = Words(stepped=True)
    with pytest.raises(Unknown, match=r"\(4, 5\)"):
        from_factory(model=model, probe=words_probe(model)).reach()


def test_inputs_without_time_are_told_with_their_shape() -> None:
    inputs = torch.randn(2, 3, 5, requires_grad=True)
    with pytest.raises(Unknown, match=r"\(2, 3, 5\)"):
        from_factory(probe=lambda: (inputs, inputs.sum())).reach()


@pytest.mark.parametrize(
    "returned", [None, (1, 2), (torch.zeros(STEPS, 1), 2), (torch.zeros(1), None, None)]
)
def test_a_probe_that_keeps_no_contract_is_the_factorys_fault(returned: Any) -> None:
    with pytest.raises(BadFactoryError, match="probe"):
        from_factory(probe=lambda: returned).reach()


def test_noise_needs_an_optimizer() -> None:
    with pytest.raises(Unknown, match="no optimizer"):
        from_factory().gradient(4)


def test_the_gradient_of_a_factorys_step_is_unclipped_and_changes_nothing() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=1.0)

    def step(_: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight * torch.tensor([1.0, 2.0, 3.0])).sum()
        loss.backward()
        nn.utils.clip_grad_norm_([weight], 1e-3)
        optimizer.step()
        return loss.detach()

    training = Training(step, optimizer=optimizer, sequences_per_step=12)
    learner = FromFactory(training, BATCH, STEPS, mark)
    assert learner.step_batch == 12
    [gradient] = learner.gradient(99)
    assert gradient.tolist() == [1.0, 2.0, 3.0]
    assert weight.tolist() == [1.0, 1.0, 1.0]
    learner.train()
    assert weight.tolist() != [1.0, 1.0, 1.0]  # the optimizer is its own again
    assert learner.clipping.count == 1


def test_a_step_that_never_comes_to_its_optimizer_is_told() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    with pytest.raises(Unknown, match="did not reach its optimizer"):
        from_factory(optimizer=optimizer).gradient(4)


def test_clipping_in_a_factorys_step_is_heard() -> None:
    weight = nn.Parameter(torch.ones(3))

    def step(_: Any) -> torch.Tensor:
        weight.grad = torch.ones(3)
        nn.utils.clip_grad_norm_([weight], 0.5)
        return weight.sum()

    own = nn.utils.clip_grad_norm_
    learner = FromFactory(Training(step), BATCH, STEPS, mark)
    for _ in range(3):
        learner.train()
    assert learner.clipping.count == 3
    assert nn.utils.clip_grad_norm_ is own


def test_the_noise_is_not_looked_at_before_training() -> None:
    learner = learner_of(task(), 0, mark)
    assert "initialisation" in _noise(learner, Study(), 0)["noise_reason"]


def test_gradients_that_are_no_numbers_are_recorded_as_unknown() -> None:
    learner = learner_of(task(draws=2), 0, mark)
    assert isinstance(learner, BuiltIn)
    with torch.no_grad():
        learner.parameters[0].fill_(math.nan)
    norms = _reach(learner, Study(draws=2))["lag_norms"]
    assert None in norms[0]
    assert None in _noise(learner, Study(draws=2, parts=2), 5)["big_squared"]


def test_without_a_probe_the_reason_is_in_the_record() -> None:
    assert _reach(from_factory(), Study()) == {"reach_reason": NO_PROBE}
