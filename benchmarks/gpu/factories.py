"""Factories that fail on a GPU: device errors, a process that stops, too little memory.

Nothing fails at the size of a fit pass's warm-up, so that the baseline exists before the fault.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import torch

import rnnprof
from rnnprof.factory import PhaseMarker
from rnnprof.worker.workload.warm_up import WARM_UP_SIZE

Fault = Callable[[torch.device], object]

TOO_MUCH_BYTES = 1 << 30
"""Requested under a limit of half this size."""


def nothing(_device: torch.device) -> None:
    """Goes well."""


def device_assert(device: torch.device) -> torch.Tensor:
    """An index past the end: the kernel asserts."""
    values = torch.zeros(4, device=device)
    return values[torch.tensor([10], device=device)]


def illegal_address(device: torch.device) -> None:
    """Writes where nothing is mapped."""
    gpu = torch.device(device.type, torch.cuda.current_device())
    storage = torch._C._construct_storage_from_data_pointer(1 << 12, gpu, 4096)
    torch.empty(0, dtype=torch.uint8, device=gpu).set_(storage).fill_(1)


def stop(_device: torch.device) -> None:
    """Stops itself, as a debugger or a shell would."""
    os.kill(os.getpid(), signal.SIGSTOP)


def too_much(device: torch.device) -> None:
    """Asks for more than the limit."""
    torch.empty(TOO_MUCH_BYTES, dtype=torch.uint8, device=device)


FAULTS: dict[str, Fault] = {
    f.__name__: f for f in (nothing, device_assert, illegal_address, stop, too_much)
}


class Wrong(torch.autograd.Function):
    """The identity, with a backward pass that fails."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, wrong: Fault) -> torch.Tensor:
        ctx.wrong = wrong
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        ctx.wrong(gradient.device)
        return gradient, None


def make(
    batch: int,
    time_steps: int,
    device: torch.device,
    fault: str = "nothing",
    where: str = "forward",
) -> rnnprof.Training:
    """A small LSTM; its step fails in *where*, forward or backward."""
    go_wrong: Callable[..., torch.Tensor] = Wrong.apply
    wrong = nothing if batch <= WARM_UP_SIZE else FAULTS[fault]
    model = torch.nn.LSTM(16, 16).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(phase: PhaseMarker) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with phase("data"):
            x = torch.randn(time_steps, batch, 16, device=device)
        with phase("forward"):
            if where == "forward":
                wrong(x.device)
            output = go_wrong(model(x)[0], wrong if where == "backward" else nothing)
            loss = output.square().mean()
        with phase("backward"):
            loss.backward()  # type: ignore[no-untyped-call]
        with phase("optimizer"):
            optimizer.step()
        return loss.detach()

    return rnnprof.Training(step, model=model, optimizer=optimizer)
