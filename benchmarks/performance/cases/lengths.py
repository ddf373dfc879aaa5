"""Sequences whose lengths differ from training step to training step."""

from __future__ import annotations

import random

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence


def uniform(batch, time_steps, device, hidden=32):
    """Each sequence has a length of its own, from 1 to T; they are packed."""
    rnn = nn.LSTM(16, hidden).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())

    def step(phase):
        lengths = torch.randint(1, time_steps + 1, (batch,))
        packed = pack_padded_sequence(
            torch.randn(int(lengths.max()), batch, 16), lengths, enforce_sorted=False
        )
        optimizer.zero_grad()
        loss = rnn(packed)[0].data.square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def rarely_long(batch, time_steps, device, hidden=32, rare=0.1):
    """Batches of a quarter of T, and one in ten of all of it."""
    rnn = nn.GRU(16, hidden).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())

    def step(phase):
        length = time_steps if random.random() < rare else max(1, time_steps // 4)
        optimizer.zero_grad()
        loss = rnn(torch.randn(length, batch, 16))[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def curriculum(batch, time_steps, device, hidden=32, until=8):
    """Sequences become longer with each step until they are T long."""
    rnn = nn.LSTM(16, hidden).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())
    done = [0]

    def step(phase):
        done[0] += 1
        length = max(1, time_steps * min(done[0], until) // until)
        optimizer.zero_grad()
        loss = rnn(torch.randn(length, batch, 16))[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
