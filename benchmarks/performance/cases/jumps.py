"""One training step in several needs more than the others."""

from __future__ import annotations

import torch
from torch import nn


def evaluates(batch, time_steps, device, every=6, times=6, hidden=32):
    """Every few steps an evaluation of a larger batch, as evaluations have: no graph is kept."""
    rnn, head = nn.GRU(16, hidden).to(device), nn.Linear(hidden, 8).to(device)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()])
    done = [0]

    def loss_of(sequences):
        return head(rnn(torch.randn(time_steps, sequences, 16))[0]).square().mean()

    def step(phase):
        optimizer.zero_grad()
        loss = loss_of(batch)
        loss.backward()
        optimizer.step()
        done[0] += 1
        if done[0] % every == 0:
            with torch.no_grad():
                loss_of(times * batch)
        return loss.detach()

    return step


def distills(batch, time_steps, device, after=15, hidden=32):
    """From a late step on the batch also passes through a teacher, whose outputs are kept."""
    rnn, teacher = nn.GRU(16, hidden).to(device), nn.GRU(16, 4 * hidden).to(device)
    match = nn.Linear(hidden, 4 * hidden).to(device)
    optimizer = torch.optim.Adam([*rnn.parameters(), *match.parameters()])
    done = [0]

    def step(phase):
        done[0] += 1
        x = torch.randn(time_steps, batch, 16)
        optimizer.zero_grad()
        output = rnn(x)[0]
        loss = output.square().mean()
        if done[0] >= after:
            with torch.no_grad():
                target = teacher(x)[0]
            loss = loss + (match(output) - target).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
