"""One invocation of a command that measures: what, where, and into which file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprof import protocol
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Settings
from rnnprof.simulate.description import GpuDescription
from rnnprof.workload import Workload

PRECISION_RATIO: Final = {"cpu": 0.03, "cuda": 0.01}
"""Half-width of the 95% interval of the median at which timing stops."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one invocation of a command is to measure.

    Attributes:
        workload: with a factory, its source's hash is still empty.
        command: ``profile``; ``max-batch``, whose grid has no batches; ``fits``, which only runs
            each point once; or ``trainability``, whose settings have a study.
        device: ``cpu``, ``cuda`` or ``cuda:N``; with *device_uuid* the GPU is known already.
        gpu: the GPU that is simulated; None where the device is present.
        factory_path: where the factory is: ``path/to/file.py:function`` or ``module:function``.
        extend: add points to a run, also to a finished one.
        overwrite: begin anew, whatever the file holds.
        kept_limit_bytes: the limit of the other side of a comparison, where none is asked for.
    """

    workload: Workload
    grid: Grid
    settings: Settings
    path: Path
    command: str = "profile"
    device: str = "cpu"
    device_uuid: str | None = None
    gpu: GpuDescription | None = None
    factory_path: str | None = None
    extend: bool = False
    overwrite: bool = False
    kept_limit_bytes: int | None = None

    def task(self, do: str) -> protocol.Task:
        """What a worker is to do for this order."""
        return protocol.Task(
            do=do,
            workload=self.workload,
            device=self.device,
            device_uuid=self.device_uuid,
            seed=self.settings.seed,
            factory_path=self.factory_path,
            precision_ratio=PRECISION_RATIO["cpu" if self.device == "cpu" else "cuda"],
        )
