"""Each training step leaves memory behind permanently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from rnnprof.factory import PhaseMarker, Step


def keeps_graphs(batch: int, time_steps: int, device: torch.device, hidden: int = 32) -> Step:
    """Predictions are kept for a plot, each with a graph that no backward pass frees."""
    rnn, head = nn.LSTM(16, hidden).to(device), nn.Linear(hidden, 1).to(device)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()])
    to_plot = []

    def step(phase: PhaseMarker) -> object:
        optimizer.zero_grad()
        loss = head(rnn(torch.randn(time_steps, batch, 16))[0]).square().mean()
        loss.backward()
        optimizer.step()
        to_plot.append(head(rnn(torch.randn(max(1, time_steps // 4), batch, 16))[0]))
        return loss.detach()

    return step


def carries_summary(
    batch: int, time_steps: int, device: torch.device, hidden: int = 32, learning_rate: float = 0.01
) -> Step:
    """One number a sequence is carried to the next step, not detached: the graph grows behind it.

    The update by ``.data`` hides from autograd that the kept graphs are of older weights.
    """
    rnn = nn.GRU(16, hidden).to(device)
    carried = [torch.zeros(batch, 1, device=device)]

    def step(phase: PhaseMarker) -> object:
        rnn.zero_grad()
        output = rnn(torch.randn(time_steps, batch, 16) + carried[0])[0]
        carried[0] = output[-1].mean(1, keepdim=True)
        loss = output.square().mean()
        loss.backward(retain_graph=True)
        for parameter in rnn.parameters():
            assert parameter.grad is not None
            parameter.data.add_(parameter.grad, alpha=-learning_rate)
        return loss.detach()

    return step
