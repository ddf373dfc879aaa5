"""A factory that leaves something behind in its process, as users' code does by mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import torch

import rnnprof

LEFT = sys.modules.setdefault("left_by_the_factory", SimpleNamespace(calls=0, kept=[]))
"""Of the process: the file itself is loaded anew by each pass."""


def make(
    batch, time_steps, device, keeps=0, only_once=False, dies_at=0, breaks=False, runs_on=False
):
    """An LSTM.

    Args:
        keeps: bytes of the GPU that a global list goes on holding.
        only_once: whether a second call in the same process raises, as starting a process group.
        dies_at: the call in a process that ends it.
        runs_on: whether a process that it starts is left running.
        breaks: whether a later step asks the GPU for something that it refuses.
    """
    LEFT.calls += 1
    if only_once and LEFT.calls > 1:
        raise RuntimeError("trying to initialize the default process group twice!")
    if LEFT.calls == dies_at:
        os._exit(3)
    if runs_on:
        subprocess.Popen(["sleep", "60"])
    model = torch.nn.LSTM(16, 32).to(device)
    optimizer = torch.optim.Adam(model.parameters())

    def step(phase):
        optimizer.zero_grad(set_to_none=True)
        with phase("data"):
            x = torch.empty(time_steps, batch, 16, device=device).uniform_()
        with phase("forward"):
            loss = model(x)[0].square().mean()
        with phase("backward"):
            loss.backward()
        with phase("optimizer"):
            optimizer.step()
        if keeps:
            LEFT.kept.append(torch.empty(keeps, dtype=torch.uint8, device=device))
        if breaks:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return loss.detach()

    return rnnprof.Training(step, model=model, optimizer=optimizer)
