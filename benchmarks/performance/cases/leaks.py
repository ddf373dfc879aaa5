"""Each training step leaves memory behind for good."""

from __future__ import annotations

import torch
from torch import nn


def keeps_graphs(batch, time_steps, device, hidden=32):
    """Predictions are kept for a plot, each with the graph that no backward pass frees."""
    rnn, head = nn.LSTM(16, hidden).to(device), nn.Linear(hidden, 1).to(device)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()])
    to_plot = []

    def step(phase):
        optimizer.zero_grad()
        loss = head(rnn(torch.randn(time_steps, batch, 16))[0]).square().mean()
        loss.backward()
        optimizer.step()
        to_plot.append(head(rnn(torch.randn(max(1, time_steps // 4), batch, 16))[0]))
        return loss.detach()

    return step


def carries_summary(batch, time_steps, device, hidden=32, learning_rate=0.01):
    """One number a sequence is carried to the next step, not detached: the graph grows behind it.

    The update by ``.data`` hides from autograd that the kept graphs are of older weights.
    """
    rnn = nn.GRU(16, hidden).to(device)
    carried = [torch.zeros(batch, 1, device=device)]

    def step(phase):
        rnn.zero_grad()
        output = rnn(torch.randn(time_steps, batch, 16) + carried[0])[0]
        carried[0] = output[-1].mean(1, keepdim=True)
        loss = output.square().mean()
        loss.backward(retain_graph=True)
        for parameter in rnn.parameters():
            parameter.data.add_(parameter.grad, alpha=-learning_rate)
        return loss.detach()

    return step
