"""One invocation of a command that measures: what, where, and to which file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprof import protocol
from rnnprof.redaction import NO_SECRETS, Secrets
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Settings
from rnnprof.simulate.description import GpuDescription
from rnnprof.workload import ScriptPlace, Workload

PRECISION_RATIO: Final = {"cpu": 0.03, "cuda": 0.01}
"""Half-width of the 95% interval of the median at which timing stops."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one invocation of a command measures.

    Attributes:
        path: the run file.
        command: ``profile``; ``max-batch``, whose grid has no batches; ``fits``, which runs each
            point once; or ``trainability``, whose settings have a study.
        device: ``cpu``, ``cuda`` or ``cuda:N``; with *device_uuid* the GPU is already known.
        gpu: the GPU to simulate; None where the device is present.
        factory_path: the factory's location: ``path/to/file.py:function`` or ``module:function``.
        script: the user's script and all that it is given.
        secrets: what the factory or the script is given and no record has.
        extend: add points to the run in the file, even if it is finished.
        overwrite: replace what is in the file.
        for_gate: made by ``check``, ``compare`` or ``assert_fits``; with *overwrite* it replaces
            only a run that one of them made.
        lacks_report: the report is not written yet: a finished run of the same request is taken up.
        kept_limit_bytes: the limit of the other side of a comparison, if none is requested.
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
    script: ScriptPlace | None = None
    secrets: Secrets = NO_SECRETS
    extend: bool = False
    overwrite: bool = False
    for_gate: bool = False
    lacks_report: bool = False
    kept_limit_bytes: int | None = None

    def task(self, do: str) -> protocol.Task:
        """A task of this order; *do* as in :class:`rnnprof.protocol.Task`."""
        return protocol.Task(
            do=do,
            workload=self.workload,
            device=self.device,
            device_uuid=self.device_uuid,
            seed=self.settings.seed,
            factory_path=self.factory_path,
            secret_args=dict(self.secrets.args),
            argv=self.secrets.argv,
            script=self.script,
            precision_ratio=PRECISION_RATIO["cpu" if self.device == "cpu" else "cuda"],
        )
