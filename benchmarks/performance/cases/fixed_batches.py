"""Training does not use the requested batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rnnprof.factory import PhaseMarker, Step

BATCH_SIZE = 24


def slices_small_data(
    batch: int, time_steps: int, device: torch.device, sequences: int = 300, hidden: int = 32
) -> Step:
    """``data[:batch]`` of 300 sequences: above 300 every batch is the same."""
    data = torch.randn(sequences, time_steps, 16)
    rnn = nn.LSTM(16, hidden, batch_first=True).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())

    def step(phase: PhaseMarker) -> object:
        optimizer.zero_grad()
        loss = rnn(data[:batch])[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def loads_constant(batch: int, time_steps: int, device: torch.device, hidden: int = 32) -> Step:
    """The loader has a constant batch size, which nobody replaced."""
    data = TensorDataset(torch.randn(1000, time_steps, 16))
    loader = DataLoader(data, batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
    rnn = nn.GRU(16, hidden, batch_first=True).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())

    def endless() -> Iterator[list[torch.Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def step(phase: PhaseMarker) -> object:
        (x,) = next(batches)
        optimizer.zero_grad()
        loss = rnn(x)[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def one_series(batch: int, time_steps: int, device: torch.device, hidden: int = 32) -> Step:
    """T steps of one long series at a time; the batch only scales the learning rate."""
    series, done = torch.randn(20000, 16), [0]
    rnn = nn.LSTM(16, hidden).to(device)
    optimizer = torch.optim.SGD(rnn.parameters(), lr=1e-4 * batch**0.5)
    state: list[tuple[torch.Tensor, torch.Tensor] | None] = [None]

    def step(phase: PhaseMarker) -> object:
        start = done[0] * time_steps % (len(series) - time_steps)
        done[0] += 1
        optimizer.zero_grad()
        output, (h, c) = rnn(series[start : start + time_steps], state[0])
        state[0] = h.detach(), c.detach()
        loss = output.square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
