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


class Training:
    """The script's state."""

    def __init__(self, batch: int, time_steps: int) -> None:
        self.batch, self.time_steps = batch, time_steps
        ids = torch.randint(1, 8, (WORDS,)).cumsum(0) % VOCABULARY
        train = ids[: -WORDS // 20]
        columns = len(train) // batch
        self.data = train[: columns * batch].view(batch, -1).t().contiguous()
        self.model, self.criterion = RNNModel(), nn.NLLLoss()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the text."""
        for i in range(0, len(self.data) - 1, self.time_steps):
            length = min(self.time_steps, len(self.data) - 1 - i)
            yield self.data[i : i + length], self.data[i + 1 : i + 1 + length].view(-1)

    def init_hidden(self) -> tuple[Tensor, Tensor]:
        """The state before the first word."""
        return torch.zeros(1, self.batch, NHID), torch.zeros(1, self.batch, NHID)

    def update(self) -> None:
        """As the script updates its weights."""
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for p in self.model.parameters():
            assert p.grad is not None
            p.data.add_(p.grad, alpha=-LEARNING_RATE)


def make(batch: int, time_steps: int, device: torch.device) -> Any:
    """The script's loop."""
    training = Training(batch, time_steps)

    def loop() -> Iterator[Tensor]:
        while True:
            hidden = training.init_hidden()
            for data, targets in training.batches():
                training.model.zero_grad()
                hidden = (hidden[0].detach(), hidden[1].detach())
                output, hidden = training.model(data, hidden)
                loss: Tensor = training.criterion(output, targets)
                loss.backward()  # type: ignore[no-untyped-call]
                training.update()
                yield loss

    steps = loop()
    return lambda: next(steps)


def make_step(batch: int, time_steps: int, device: torch.device) -> Any:
    """A step function."""
    training = Training(batch, time_steps)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from training.batches()

    chunks, hidden = batches(), training.init_hidden()

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
