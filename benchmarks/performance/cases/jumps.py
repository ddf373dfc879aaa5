"""Some training steps need more memory than the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from rnnprof.factory import PhaseMarker, Step


def evaluates(
    batch: int,
    time_steps: int,
    device: torch.device,
    every: int = 6,
    times: int = 6,
    hidden: int = 32,
) -> Step:
    """Every few steps, an evaluation on a larger batch, as is usual without a graph."""
    rnn, head = nn.GRU(16, hidden).to(device), nn.Linear(hidden, 8).to(device)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()])
    done = [0]

    def loss_of(sequences: int) -> torch.Tensor:
        loss: torch.Tensor = head(rnn(torch.randn(time_steps, sequences, 16))[0]).square().mean()
        return loss

    def step(phase: PhaseMarker) -> object:
        optimizer.zero_grad()
        loss = loss_of(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        done[0] += 1
        if done[0] % every == 0:
            with torch.no_grad():
                loss_of(times * batch)
        return loss.detach()

    return step


def distills(
    batch: int, time_steps: int, device: torch.device, after: int = 15, hidden: int = 32
) -> Step:
    """From a late step on, the batch also passes through a teacher, and its outputs are kept."""
    rnn, teacher = nn.GRU(16, hidden).to(device), nn.GRU(16, 4 * hidden).to(device)
    match = nn.Linear(hidden, 4 * hidden).to(device)
    optimizer = torch.optim.Adam([*rnn.parameters(), *match.parameters()])
    done = [0]

    def step(phase: PhaseMarker) -> object:
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
