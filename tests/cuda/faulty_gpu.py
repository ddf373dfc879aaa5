"""A factory on a simulated GPU whose calls fail on demand, in a phase of the step."""

from __future__ import annotations

import ctypes
import os

import torch

import rnnprof
from rnnprof.worker.workload.warm_up import WARM_UP_SIZE


def inject(fault):
    """From now on, as the library's RNNPROF_SIMULATED_FAULT says."""
    os.environ["RNNPROF_SIMULATED_FAULT"] = fault
    ctypes.CDLL(None).rnnprof_simulate_reset()


def make(batch, time_steps, device, fault="", where="forward", growing=0):
    """An LSTM; at every size but the warm-up's the calls fail from *where* on."""
    model = torch.nn.LSTM(16, 32, batch_first=False).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    is_armed = bool(fault) and batch != WARM_UP_SIZE
    kept = []

    def arm(phase):
        if is_armed and phase == where:
            inject(fault)

    def step(phase):
        optimizer.zero_grad(set_to_none=True)
        with phase("data"):
            arm("data")
            x = torch.empty(time_steps, batch, 16, device=device).uniform_()
            kept.append(torch.empty(growing, dtype=torch.uint8, device=device))
        with phase("forward"):
            arm("forward")
            loss = model(x)[0].square().mean()
        with phase("backward"):
            arm("backward")
            loss.backward()
        with phase("optimizer"):
            arm("optimizer")
            optimizer.step()
        return loss.detach()

    if is_armed and where == "build":
        inject(fault)
        torch.empty(64 << 20, dtype=torch.uint8, device=device)
    return rnnprof.Training(step, model=model, optimizer=optimizer)


def reads_lengths(batch, time_steps, device, kind="item"):
    """Asks the GPU how long the sequences are."""
    model = torch.nn.LSTM(16, 32).to(device)
    lengths = torch.full((batch,), time_steps, device=device)

    def step(phase):
        with phase("data"):
            longest = {
                "item": lambda: int(lengths.max().item()),
                "list": lambda: max(lengths.tolist()),
                "copy": lambda: int(lengths.cpu().max()),
                "nonzero": lambda: int(lengths.nonzero().shape[0]),
            }[kind]()
            x = torch.empty(max(1, longest), batch, 16, device=device)
        with phase("forward"):
            loss = model(x)[0].square().mean()
        with phase("backward"):
            loss.backward()
        return loss.detach()

    return step


def convolves(batch, time_steps, device):
    """A convolution by cuDNN, then an LSTM."""
    convolution = torch.nn.Conv1d(16, 16, 3, padding=1).to(device)
    model = torch.nn.LSTM(16, 32).to(device)

    def step(phase):
        with phase("forward"):
            x = convolution(torch.empty(batch, 16, time_steps, device=device)).permute(2, 0, 1)
            loss = model(x)[0].square().mean()
        with phase("backward"):
            loss.backward()
        return loss.detach()

    return step


def compiles(batch, time_steps, device):
    """A loop through torch.compile."""
    cell = torch.compile(torch.nn.LSTMCell(16, 32).to(device))
    x = torch.empty(batch, 16, device=device)

    def step(phase):
        with phase("forward"):
            return cell(x)[0].square().mean().detach()

    return step


def captures(batch, time_steps, device):
    """A CUDA graph."""
    model = torch.nn.LSTM(16, 32).to(device)
    x = torch.empty(time_steps, batch, 16, device=device)

    def step(phase):
        with phase("forward"):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                return model(x)[0].square().mean().detach()

    return step
