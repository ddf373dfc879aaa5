"""Memory grows over some training steps and then stops growing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from rnnprof.factory import PhaseMarker, Step

SHAPES = 4
REPLAYED = 8


def caches_shapes(batch: int, time_steps: int, device: torch.device, hidden: int = 32) -> Step:
    """A mask is kept for each of four lengths, which are used in turn."""
    rnn = nn.GRU(16, hidden).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())
    masks: dict[int, torch.Tensor] = {}
    done = [0]

    def mask_of(length: int) -> torch.Tensor:
        if length not in masks:
            masks[length] = (torch.rand(length, batch, hidden) > 0.2).float()
        return masks[length]

    def step(phase: PhaseMarker) -> object:
        length = max(1, time_steps - done[0] % SHAPES)
        done[0] += 1
        optimizer.zero_grad()
        loss = (rnn(torch.randn(length, batch, 16))[0] * mask_of(length)).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def replays(batch: int, time_steps: int, device: torch.device, hidden: int = 32) -> Step:
    """The last eight batches are kept, and the oldest of them is used once more."""
    rnn = nn.LSTM(16, hidden).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())
    kept: deque[torch.Tensor] = deque(maxlen=REPLAYED)

    def step(phase: PhaseMarker) -> object:
        kept.append(torch.randn(time_steps, batch, 16))
        optimizer.zero_grad()
        loss = rnn(kept[-1])[0].square().mean()
        loss.backward()
        rnn(kept[0])[0].square().mean().backward()
        optimizer.step()
        return loss.detach()

    return step
