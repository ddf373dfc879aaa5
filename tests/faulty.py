"""Factories that go wrong on demand: each fault, in each phase of the step or in build."""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import sys
import time
from pathlib import Path

import torch

import rnnprof
from leaving import WAYS


class OddError(Exception):
    """An error of the user's own."""


def sigkill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)


def sigsegv() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(3)


def sys_exit() -> None:
    sys.exit(4)


def error() -> None:
    raise OddError("the user's own words")


def hang() -> None:
    print("about to hang", flush=True)
    time.sleep(600)


def hang_hard() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


def hang_with_child() -> None:
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    hang()


def garbage() -> None:
    for _ in range(2000):
        print('{"kind":"Done","findings":{}}' * 10)
        print("\x00\xff garbage", file=sys.stderr)


def oom() -> None:
    torch.empty(1 << 45, dtype=torch.uint8)


def memory_error() -> None:
    raise MemoryError


def nothing() -> None:
    return None


def slow() -> None:
    time.sleep(0.3)


def nonsense() -> None:
    """Answers with a line that is no message, and goes on."""
    say(b"what?\n")


def too_much() -> None:
    """Answers without an end."""
    say(b"x" * (20 << 20))


def twice() -> None:
    """Answers, and goes on to answer again."""
    say_done(train_steps_run=3, samples_s=[1.0])


def absurd() -> None:
    """Answers with fields of the wrong kind, and ends well."""
    say_done(train_steps_run="many", samples_s=["fast"])
    os._exit(0)


def negative() -> None:
    """Answers with numbers that cannot be, and ends well."""
    say_done(train_steps_run=3, samples_s=[-1.0], peak_process_bytes=-5, peak_allocated_bytes=-5)
    os._exit(0)


def beyond() -> None:
    """Answers with a number that no machine has, and ends well."""
    say_done(train_steps_run=3, samples_s=[1.0], peak_process_bytes=10**400)
    os._exit(0)


def say_done(**findings: object) -> None:
    say(json.dumps({"kind": "Done", "findings": findings}).encode() + b"\n")


def say(text: bytes) -> None:
    """Write on the worker's own answer socket."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            channel = socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:  # no socket
            continue
        with channel:
            if channel.family == socket.AF_UNIX:
                channel.sendall(text)


def shared_memory() -> None:
    """Takes a GiB that RLIMIT_DATA does not count."""
    taken = mmap.mmap(-1, 1 << 30)
    for at in range(0, len(taken), mmap.PAGESIZE):
        taken[at] = 1


FAULTS = {
    function.__name__: function
    for function in (
        sigkill, sigsegv, sigterm, leave, sys_exit, error, hang, hang_hard, hang_with_child,
        garbage, oom, memory_error, nothing, slow, nonsense, too_much, twice, absurd, negative,
        beyond, shared_memory,
    )
} | WAYS  # fmt: skip


def make(batch, time_steps, device, fault="nothing", where="forward", at_batch=0, loss="scalar"):
    """A tiny model whose step goes wrong in the phase *where*, at *at_batch* or everywhere."""
    wrong = FAULTS[fault] if batch == at_batch or not at_batch else nothing
    if where == "build":
        wrong()
    model = torch.nn.Linear(8, 8).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(phase):
        optimizer.zero_grad(set_to_none=True)
        with phase("data"):
            if where == "data":
                wrong()
            x = torch.randn(batch * time_steps, 8, device=device)
        with phase("forward"):
            if where == "forward":
                wrong()
            output = model(x)
            value = output.square().mean()
        with phase("backward"):
            if where == "backward":
                wrong()
            value.backward()
        with phase("optimizer"):
            if where == "optimizer":
                wrong()
            optimizer.step()
        return {
            "scalar": value.detach(),
            "vector": output.detach()[0],
            "nan": value.detach() * float("nan"),
            "none": None,
        }[loss]

    return rnnprof.Training(step, model=model, optimizer=optimizer)


def short(batch, time_steps, device, vector=False):
    """The short form."""
    model = torch.nn.LSTM(8, 16)

    def forward_loss():
        output, _ = model(torch.randn(time_steps, batch, 8))
        return output.square().mean(dim=(0, 1)) if vector else output.square().mean()

    return model, forward_loss


def bare(batch, time_steps, device):
    """The bare step, with one mark only."""
    model = torch.nn.GRU(8, 16)

    def step(phase):
        with phase("forward"):
            loss = model(torch.randn(time_steps, batch, 8))[0].square().mean()
        loss.backward()
        return loss

    return step


def accumulating(batch, time_steps, device):
    """Two micro-batches a step: marks recur, and twice the batch is trained on."""
    model = torch.nn.LSTM(8, 16)
    optimizer = torch.optim.Adam(model.parameters())

    def step(phase):
        optimizer.zero_grad(set_to_none=True)
        for _ in range(2):
            with phase("data"):
                x = torch.randn(time_steps, batch, 8)
            with phase("forward"):
                loss = model(x)[0].square().mean() / 2
            with phase("backward"):
                loss.backward()
        with phase("optimizer"):
            optimizer.step()
        return loss.detach()

    return rnnprof.Training(step, model=model, optimizer=optimizer, sequences_per_step=2 * batch)


def leaking(batch, time_steps, device):
    """Keeps every output."""
    model = torch.nn.Linear(8, 8)
    kept = []

    def step(phase):
        with phase("forward"):
            kept.append(model(torch.randn(1024, 8)).detach())
        return kept[-1].sum()

    return rnnprof.Training(step, model=model)


def needs_even_batch(batch, time_steps, device):
    """Raises for some shapes only, the warm-up's among them."""
    if batch < 4:
        raise ValueError("batch must be at least 4")
    return make(batch, time_steps, device)


def returns_module(batch, time_steps, device):
    return torch.nn.Linear(2, 2)


def returns_none(batch, time_steps, device):
    return None


def wrong_phase(batch, time_steps, device):
    def step(phase):
        with phase("fwd"):
            return torch.zeros(())

    return step


def takes_nothing():
    return None


not_a_function = 3


def two_kinds(batch, time_steps, device):
    """A layer that oneDNN fuses and one that it does not."""
    lstm, gru = torch.nn.LSTM(8, 8), torch.nn.GRU(8, 8)
    model = torch.nn.ModuleList([lstm, gru])

    def step(phase):
        with phase("data"):
            x = torch.randn(time_steps, batch, 8)
        with phase("forward"):
            loss = gru(lstm(x)[0])[0].square().mean()
        with phase("backward"):
            loss.backward()
        return loss.detach()

    return rnnprof.Training(step, model=model)
