"""The generated tasks: their targets, their baselines, and who learns them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from rnnprof.runfile.study import Study
from rnnprof.worker.workload.layers import UnsupportedError
from rnnprof.worker.workload.lessons import ASK, BLANK, Adding, Copy, Lesson
from rnnprof.workload import Workload

CPU = torch.device("cpu")


@pytest.mark.parametrize("time_steps", [2, 3, 10, 31])
def test_the_adding_problem_asks_for_the_sum_of_two_marked_values(time_steps: int) -> None:
    torch.manual_seed(0)
    inputs, targets = Adding(time_steps, CPU).draw(64)
    assert inputs.shape == (time_steps, 64, 2)
    values, marks = inputs.unbind(-1)
    assert ((marks == 0) | (marks == 1)).all()
    assert (marks[: time_steps // 2].sum(0) == 1).all()
    assert (marks[time_steps // 2 :].sum(0) == 1).all()
    assert torch.allclose((values * marks).sum(0), targets)


def test_always_one_has_the_baseline_of_the_adding_problem() -> None:
    torch.manual_seed(0)
    task = Adding(20, CPU)
    _, targets = task.draw(100_000)
    loss = task.losses(torch.ones(20, 100_000, 1), targets).mean()
    assert float(loss) == pytest.approx(task.baseline, rel=0.02)


def test_copy_memory_asks_for_ten_symbols_after_a_silence() -> None:
    torch.manual_seed(0)
    task = Copy(40, CPU)
    inputs, kept = task.draw(8)
    assert inputs.shape == (40, 8, 10)
    assert (inputs.sum(-1) == 1).all()
    symbols = inputs.argmax(-1)
    assert torch.equal(symbols[:10], kept)
    assert (symbols == ASK).sum(0).tolist() == [1] * 8
    assert (symbols[29] == ASK).all()
    assert (symbols[10:29] == BLANK).all()
    right = torch.nn.functional.one_hot(kept, 8).float() * 100
    outputs = torch.cat([torch.zeros(30, 8, 8), right])
    assert float(task.losses(outputs, kept).max()) < 1e-6
    assert float(task.last_losses(outputs, kept).max()) < 1e-6


def test_who_guesses_has_the_baseline_of_copy_memory() -> None:
    task = Copy(50, CPU)
    _, kept = task.draw(16)
    loss = task.losses(torch.zeros(50, 16, 8), kept).mean()
    assert float(loss) == pytest.approx(10 * math.log(8) / 50)
    assert float(loss) == pytest.approx(task.baseline)


def test_a_task_has_a_least_length() -> None:
    with pytest.raises(UnsupportedError, match="21 time steps"):
        Lesson(Workload(input_size=10), Study(task="copy"), 20, CPU)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    "workload",
    [
        Workload(cell="gru"),
        Workload(cell="rnn-tanh", impl="loop", batch_first=True),
        Workload(bidirectional=True, layers=2, batch_first=True),
        Workload(proj_size=3),
        Workload(dtype="bf16", impl="loop"),
    ],
    ids=lambda workload: workload.name,
)
def test_every_kind_of_layer_has_a_loss(workload: Workload) -> None:
    small = replace(workload, input_size=2, hidden_size=8)
    lesson = Lesson(small, Study(task="adding"), 5, CPU)
    loss = lesson.loss(7)
    assert loss.shape == ()
    loss.backward()
    assert all(parameter.grad is not None for parameter in lesson.model.parameters())


def test_a_sequences_last_loss_does_not_touch_another() -> None:
    torch.manual_seed(0)
    lesson = Lesson(Workload(input_size=2, hidden_size=8), Study(task="adding"), 6, CPU)
    inputs, targets = lesson.task.draw(4)
    inputs.requires_grad_()
    losses = lesson.task.last_losses(lesson.outputs(inputs), targets)
    [gradient] = torch.autograd.grad(losses[2], [inputs])
    assert gradient[:, [0, 1, 3]].abs().max() == 0
    assert gradient[:, 2].abs().max() > 0
