"""Factories whose memory follows no law, or that cannot run everywhere."""

from __future__ import annotations

import random

import torch
from torch import nn

import rnnprof

KIB = 1 << 10


def _training(batch, time_steps, extra_bytes, scale=1.0):
    """A small GRU, and *extra_bytes* that live in the middle of each training step."""
    rnn = nn.GRU(8, 16)
    optimizer = torch.optim.SGD(rnn.parameters(), lr=0.1)

    def step(phase):
        optimizer.zero_grad(set_to_none=True)
        with phase("forward"):
            held = torch.ones(max(1, int(extra_bytes())), dtype=torch.uint8)
            loss = rnn(torch.randn(time_steps, batch, 8))[0].square().mean() * scale
        with phase("backward"):
            loss.backward()
        del held
        with phase("optimizer"):
            optimizer.step()
        return loss.detach()

    return rnnprof.Training(step, model=rnn, optimizer=optimizer)


def random_memory(batch, time_steps, device):
    """From nothing to 128 KiB a sequence, drawn at each step from entropy, not from the seed."""
    draw = random.SystemRandom()
    return _training(batch, time_steps, lambda: draw.random() * 128 * KIB * batch)


def falling_memory(batch, time_steps, device):
    """A larger batch takes less: 256 MiB over B."""
    return _training(batch, time_steps, lambda: (256 << 20) / batch)


def spikes(batch, time_steps, device, every=7):
    """Every seventh step takes 64 KiB a sequence more."""
    done = [0]

    def extra_bytes():
        done[0] += 1
        return 64 * KIB * batch if done[0] % every == 0 else 0

    return _training(batch, time_steps, extra_bytes)


def loss_is_nan(batch, time_steps, device):
    """From the first step on the loss and all weights are NaN."""
    return _training(batch, time_steps, lambda: 16 * KIB * batch, scale=float("nan"))


def raises_in_make(batch, time_steps, device, multiple=3):
    """Some batches cannot be built."""
    if batch % multiple == 0:
        raise ValueError(f"batch must not be a multiple of {multiple}")
    return _training(batch, time_steps, lambda: 32 * KIB * batch)


def needs_long_sequences(batch, time_steps, device):
    """Three convolutions shorten the sequence: T below 29 cannot run."""
    front = nn.Sequential(nn.Conv1d(4, 8, 7, 2), nn.Conv1d(8, 8, 7, 2), nn.Conv1d(8, 8, 3, 2))
    rnn = nn.GRU(8, 16, batch_first=True)
    modules = nn.ModuleList([front, rnn])
    optimizer = torch.optim.SGD(modules.parameters(), lr=0.1)

    def step(phase):
        optimizer.zero_grad(set_to_none=True)
        with phase("forward"):
            loss = rnn(front(torch.randn(batch, 4, time_steps)).transpose(1, 2))[0].square().mean()
        with phase("backward"):
            loss.backward()
        with phase("optimizer"):
            optimizer.step()
        return loss.detach()

    return rnnprof.Training(step, model=modules, optimizer=optimizer)
