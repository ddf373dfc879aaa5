"""A shared worker between two tasks: what of the device's memory it still holds.

Making a context and loading cuBLAS and cuDNN takes seconds, so that one worker serves the passes of
many points.  What the libraries keep is allocated by a tiny training step before the first task;
the next task may follow only if the allocator is back at that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnprof import protocol
from rnnprof.worker.workload.rehearsal import rehearse
from rnnprof.worker.workload.warm_up import warm_up_beside

if TYPE_CHECKING:
    from rnnprof.worker.backends.base import Device


@dataclass(frozen=True, slots=True)
class Rest:
    """What the caching allocator held after the warm-up.

    Attributes:
        allocated_bytes, reserved_bytes: with an empty cache.
    """

    allocated_bytes: int
    reserved_bytes: int

    @classmethod
    def after_warm_up(cls, task: protocol.Task, device: Device) -> Rest:
        """Run a tiny training step, drop it, and read what the libraries keep.

        Raises:
            UnsupportedError, BadFactoryError: the workload cannot be run here.
        """
        rehearse(task)
        device.ready(task.guard_bytes)
        warm_up_beside(task)
        return cls(*device.held_bytes())

    def now(self, device: Device) -> protocol.Resting:
        """What is held beyond that; an allocator's history is recorded no more."""
        if device.trace is not None:
            device.trace.end()
        allocated, reserved = device.held_bytes()
        return protocol.Resting(
            max(0, allocated - self.allocated_bytes), max(0, reserved - self.reserved_bytes)
        )
