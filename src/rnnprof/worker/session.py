"""The task that a worker runs, and its device."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from rnnprof import protocol
from rnnprof.worker.backends.base import Device, Limit
from rnnprof.worker.phases import PhaseTracker


@dataclass(slots=True)
class Session:
    """The task that a worker runs.

    Attributes:
        device: where it runs.
        tracker: has the current phase.
        limit: of a fit pass, once it is set.
        findings: the results so far, reported also when the task fails.
    """

    task: protocol.Task
    device: Device
    tracker: PhaseTracker
    limit: Limit | None = None
    findings: dict[str, Any] = field(default_factory=dict)


def open_device(task: protocol.Task) -> Device:
    """The device that a task names; a GPU is selected before CUDA looks for devices."""
    if task.device == "cpu":
        from rnnprof.worker.backends.cpu import CpuDevice

        return CpuDevice()
    from rnnprof.worker.backends.cuda import CudaDevice

    if task.device_uuid is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = task.device_uuid
    return CudaDevice(task.device, task.device_uuid)
