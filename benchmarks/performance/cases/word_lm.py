"""The training of tests/scripts/word_lm.py as a factory: sizes, text, loss and updates are equal.

make        the loop stays a loop, so its variables live from step to step, as in the script.
make_step   a step function: what a step made is dropped at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

WORDS = 100_000
VOCABULARY, EMSIZE, NHID = 500, 32, 64
LEARNING_RATE, CLIP = 5.0, 0.25
EVAL_BATCH_SIZE = 10


class RNNModel(nn.Module):
    """An LSTM between an embedding and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(VOCABULARY, EMSIZE)
        self.rnn = nn.LSTM(EMSIZE, NHID, 1)
        self.decoder = nn.Linear(NHID, VOCABULARY)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, words: Tensor, hidden: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        output, hidden = self.rnn(self.encoder(words), hidden)
        decoded = self.decoder(output).view(-1, VOCABULARY)
        return nn.functional.log_softmax(decoded, dim=1), hidden


def made_up_text() -> Tensor:
    """As the script makes it."""
    return torch.randint(1, 8, (WORDS,)).cumsum(0) % VOCABULARY


def batchify(data: Tensor, bsz: int) -> Tensor:
    """The text in columns."""
    nbatch = data.size(0) // bsz
    return data.narrow(0, 0, nbatch * bsz).view(bsz, -1).t().contiguous()


def init_hidden(bsz: int) -> tuple[Tensor, Tensor]:
    """The state before the first word."""
    return torch.zeros(1, bsz, NHID), torch.zeros(1, bsz, NHID)


class Training:
    """The model, one pass over a text, and an update."""

    def __init__(self, time_steps: int) -> None:
        self.time_steps = time_steps
        self.model, self.criterion = RNNModel(), nn.NLLLoss()

    def batches(self, source: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass."""
        for i in range(0, len(source) - 1, self.time_steps):
            length = min(self.time_steps, len(source) - 1 - i)
            yield source[i : i + length], source[i + 1 : i + 1 + length].view(-1)

    def evaluate(self, source: Tensor) -> float:
        """The loss of a text."""
        self.model.eval()
        total, hidden = 0.0, init_hidden(EVAL_BATCH_SIZE)
        with torch.no_grad():
            for data, targets in self.batches(source):
                output, hidden = self.model(data, hidden)
                total += len(data) * self.criterion(output, targets).item()
        self.model.train()
        return total / (len(source) - 1)

    def update(self) -> None:
        """As the script updates its weights."""
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for p in self.model.parameters():
            assert p.grad is not None
            p.data.add_(p.grad, alpha=-LEARNING_RATE)


def make(batch: int, time_steps: int, device: torch.device) -> Any:
    """The script's loop."""
    text = made_up_text()
    train_data = batchify(text[: -WORDS // 20], batch)
    val_data = batchify(text[-WORDS // 20 :], EVAL_BATCH_SIZE)
    training = Training(time_steps)

    def loop(_text: Tensor) -> Iterator[Tensor]:
        while True:
            hidden = init_hidden(batch)
            for data, targets in training.batches(train_data):
                training.model.zero_grad()
                hidden = (hidden[0].detach(), hidden[1].detach())
                output, hidden = training.model(data, hidden)
                loss: Tensor = training.criterion(output, targets)
                loss.backward()  # type: ignore[no-untyped-call]
                training.update()
                yield loss
            training.evaluate(val_data)

    steps = loop(text)
    return lambda: next(steps)


def make_step(batch: int, time_steps: int, device: torch.device) -> Any:
    """A step function."""
    columns = batchify(made_up_text()[: -WORDS // 20], batch)
    training = Training(time_steps)

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from training.batches(columns)

    chunks, hidden = endless(), init_hidden(batch)

    def step() -> Tensor:
        nonlocal hidden
        data, targets = next(chunks)
        training.model.zero_grad()
        hidden = (hidden[0].detach(), hidden[1].detach())
        output, hidden = training.model(data, hidden)
        loss: Tensor = training.criterion(output, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        training.update()
        return loss.detach()

    return step
