"""One task under way in a worker, and the device that it names."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from rnnprof import protocol
from rnnprof.worker.backends.base import Device, Limit
from rnnprof.worker.phases import PhaseTracker


@dataclass(slots=True)
class Session:
    """One task under way.

    Attributes:
        device: where it runs.
        tracker: knows the phase that the task stands in.
        limit: of a fit pass, once it is in force.
        findings: what is known so far, told also when the task fails.
    """

    task: protocol.Task
    device: Device
    tracker: PhaseTracker
    limit: Limit | None = None
    findings: dict[str, Any] = field(default_factory=dict)


def open_device(task: protocol.Task) -> Device:
    """The device that a task names; a GPU is pinned before CUDA looks for any."""
    if task.device == "cpu":
        from rnnprof.worker.backends.cpu import CpuDevice

        return CpuDevice()
    from rnnprof.worker.backends.cuda import CudaDevice

    if task.device_uuid is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = task.device_uuid
    return CudaDevice(task.device, task.device_uuid)
