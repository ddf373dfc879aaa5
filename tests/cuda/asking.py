"""A factory whose step runs code that a test hands in, prints what the code has said, and ends."""

from __future__ import annotations

import ctypes
import os


def inject(fault):
    """From now on, as the library's RNNPROF_SIMULATED_FAULT says."""
    os.environ["RNNPROF_SIMULATED_FAULT"] = fault
    for name in ("rnnprof_simulate_reset", "rnnprof_simulate_nvml_reset"):
        getattr(ctypes.CDLL(None), name)()


def set_nvml(state):
    """From now on NVML answers as the library's RNNPROF_SIMULATED_NVML says, and without faults."""
    os.environ["RNNPROF_SIMULATED_NVML"] = state
    inject("")


def make(batch, time_steps, device, code="", fault=""):
    """Nothing is made on the GPU: the code is the first to ask for it."""
    import torch

    def step(phase):
        if fault:
            inject(fault)
        names = {"torch": torch, "inject": inject, "set_nvml": set_nvml}
        names["uuid"] = os.environ["CUDA_VISIBLE_DEVICES"]
        exec(code, names)
        print(f"said {names['said']!r}", flush=True)  # a message of an error would be cut
        raise RuntimeError("said")

    return step
