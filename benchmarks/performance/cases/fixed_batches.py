"""The batch that is asked for is not the one that is trained on."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BATCH_SIZE = 24


def slices_small_data(batch, time_steps, device, sequences=300, hidden=32):
    """``data[:batch]`` of 300 sequences: above 300 every batch is the same."""
    data = torch.randn(sequences, time_steps, 16)
    rnn = nn.LSTM(16, hidden, batch_first=True).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())

    def step(phase):
        optimizer.zero_grad()
        loss = rnn(data[:batch])[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def loads_constant(batch, time_steps, device, hidden=32):
    """The loader was made with a constant, which nobody replaced."""
    data = TensorDataset(torch.randn(1000, time_steps, 16))
    loader = DataLoader(data, batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
    rnn = nn.GRU(16, hidden, batch_first=True).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())

    def endless():
        while True:
            yield from loader

    batches = endless()

    def step(phase):
        (x,) = next(batches)
        optimizer.zero_grad()
        loss = rnn(x)[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def one_series(batch, time_steps, device, hidden=32):
    """T steps of one long series at a time; the batch does no more than scale the learning rate."""
    series, done = torch.randn(20000, 16), [0]
    rnn = nn.LSTM(16, hidden).to(device)
    optimizer = torch.optim.SGD(rnn.parameters(), lr=1e-4 * batch**0.5)
    state = [None]

    def step(phase):
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
