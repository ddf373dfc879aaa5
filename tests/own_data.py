"""Factories whose data is not what was requested: smaller, of one seed, or soon at an end."""

import random

import numpy as np
import torch


def _step(layer, data):
    def step(phase):
        with phase("data"):
            x = data()
        layer.zero_grad()
        with phase("forward"):
            loss = layer(x)[0].square().mean()
        with phase("backward"):
            loss.backward()
        return loss.detach()

    return step


def limited(batch, time_steps, device, sequences=4):
    """A data set of so many sequences: a larger batch holds no more."""
    whole = torch.randn(time_steps, sequences, 8)
    return _step(torch.nn.GRU(8, 4), lambda: whole[:, :batch])


def ends(batch, time_steps, device, after=3, by="next", where="step"):
    """Data for so many training steps, read at once or through a generator."""
    batches = iter([torch.randn(time_steps, batch, 8)] * after)

    def generated():
        while True:
            yield next(batches)

    source = generated() if by == "generator" else batches
    if where == "build":
        list(batches)
        next(batches)
    return _step(torch.nn.GRU(8, 4), lambda: next(source))


def drawn(batch, time_steps, device, by="torch"):
    """Data drawn by one of the libraries, or by a generator with a seed of its own."""

    def draw():
        size = time_steps * batch * 8
        if by == "numpy":
            values = torch.from_numpy(np.random.rand(size)).float()
        elif by == "random":
            values = torch.tensor([random.random() for _ in range(size)])
        elif by == "itself":
            values = torch.rand(size, generator=torch.Generator().manual_seed(1))
        else:
            values = torch.rand(size)
        return values.reshape(time_steps, batch, 8)

    return _step(torch.nn.GRU(8, 4), draw)


def told_worst(batch, time_steps, device, *, worst, expected):
    """Refuses to be told otherwise than is expected."""
    if worst != expected:
        raise ValueError(f"worst is {worst}")
    return _step(torch.nn.GRU(8, 4), lambda: torch.randn(time_steps, batch, 8))


def own_worst(batch, time_steps, device, worst=None):
    return told_worst(batch, time_steps, device, worst=worst, expected="mine")
