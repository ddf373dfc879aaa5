"""The lengths of sequences differ from one training step to the next."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

if TYPE_CHECKING:
    from rnnprof.factory import PhaseMarker, Step


def uniform(batch: int, time_steps: int, device: torch.device, hidden: int = 32) -> Step:
    """Each sequence has its own length, from 1 to T; sequences are packed."""
    rnn = nn.LSTM(16, hidden).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())

    def step(phase: PhaseMarker) -> object:
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


def rarely_long(
    batch: int, time_steps: int, device: torch.device, hidden: int = 32, rare: float = 0.1
) -> Step:
    """Batches with a length of T/4, and one in ten with a length of T."""
    rnn = nn.GRU(16, hidden).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())

    def step(phase: PhaseMarker) -> object:
        length = time_steps if random.random() < rare else max(1, time_steps // 4)
        optimizer.zero_grad()
        loss = rnn(torch.randn(length, batch, 16))[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def curriculum(
    batch: int, time_steps: int, device: torch.device, hidden: int = 32, until: int = 8
) -> Step:
    """Sequences become longer with each step until they are T long."""
    rnn = nn.LSTM(16, hidden).to(device)
    optimizer = torch.optim.Adam(rnn.parameters())
    done = [0]

    def step(phase: PhaseMarker) -> object:
        done[0] += 1
        length = max(1, time_steps * min(done[0], until) // until)
        optimizer.zero_grad()
        loss = rnn(torch.randn(length, batch, 16))[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
