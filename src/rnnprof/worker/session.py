"""The task that a worker runs, and its device."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from rnnprof import protocol
from rnnprof.worker.backends.base import Device, Limit
from rnnprof.worker.phases import PhaseTracker


def _no_answer(_: Any) -> NoReturn:
    raise AssertionError("the pass returns its findings")


@dataclass(slots=True)
class Session:
    """The task that a worker runs.

    Attributes:
        device: where it runs.
        tracker: has the current phase.
        limit: of a fit pass, once it is set.
        findings: the results so far, reported also when the task fails.
        answer: sends the findings and ends the process; for what runs inside a script.
        refuse: the same with an error.
    """

    task: protocol.Task
    device: Device
    tracker: PhaseTracker
    limit: Limit | None = None
    findings: dict[str, Any] = field(default_factory=dict)
    answer: Callable[[dict[str, Any]], NoReturn] = _no_answer
    refuse: Callable[[BaseException], NoReturn] = _no_answer


def open_device(task: protocol.Task) -> Device:
    """The device that a task names; a GPU is selected before CUDA looks for devices."""
    if task.device == "cpu":
        from rnnprof.worker.backends.cpu import CpuDevice

        return CpuDevice()
    from rnnprof.worker.backends.cuda import CudaDevice

    if task.device_uuid is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = task.device_uuid
    return CudaDevice(task.device, task.device_uuid)
