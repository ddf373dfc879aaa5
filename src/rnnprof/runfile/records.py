"""What was asked and what was observed: frozen records, the vocabulary of the run file.

Schema history
    1   2026-11: never released, and refused.
    2   2026-11: the header is identity alone (limit as requested, source digests); ``host`` has the
            resolved limit and the machine's facts; ``time_steps``, charged bytes, breakdown.

Units are in the names; an unknown value is ``None`` with its reason beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from rnnprof import defaults
from rnnprof.ranges import Bytes, Count, Real, Seconds, Whole
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import (
    Calibration,
    Fit,
    Gradient,
    Learning,
    Memory,
    Observation,
    Timing,
)
from rnnprof.runfile.points import Grid, Point, Role
from rnnprof.runfile.study import Study
from rnnprof.workload import Workload

SCHEMA: Final = 2


@dataclass(frozen=True, slots=True)
class Header:
    """The identity of a run: two files with equal headers hold the same run, and merge.

    Attributes:
        run_id: hash of the other fields.
        environment: facts that choose kernels, workspaces or arithmetic, from an allow-list: the
            GPU's model (on the CPU the processor), driver, torch, cuDNN, flags, allocator settings,
            simulated or not.
        limit_bytes: the memory limit as requested; None for all that is free.
        gpu_memory_bytes: size of the GPU that the limit stands for; None where it stands for none.
        sources: sha256 of the user's files that are loaded by the end of the first training step,
            by their paths under the script's or package's root; empty for a built-in cell.
    """

    schema: int
    run_id: str
    workload: Workload
    environment: dict[str, Any]
    limit_bytes: Bytes | None = None
    gpu_memory_bytes: Bytes | None = None
    sources: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Host:
    """Where an invocation ran: what may differ between two files of one run.

    Attributes:
        request: of the invocation.
        limit_bytes: what training may be charged, as it was resolved.
        facts: from an allow-list, without user or host name: processors, memory, kernel, Python,
            the GPU's UUID and memory.
    """

    request: str
    limit_bytes: Bytes
    rnnprof_version: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """How points are measured; the same on resume.

    Attributes:
        memory_limit: the size asked for, or None for all that is free.
        gpu_memory_bytes: size of the GPU that the limit stands for (its memory less the context
            measured here); the algorithms stay this device's.  None without ``--gpu-memory``.
        point_seconds: at most this long is spent on a point's timed steps.
        processes: timing passes per point, each in a process of its own; 0 for memory alone.
        timeout_s: deadline of one pass; None scales it to the expected cost.
        prune: points dominated by an OOM are implied, not run.
        confirm_steps: training steps that a probe of the edge has to pass.
        through: training steps that the proof of the largest batch runs, where more than
            *confirm_steps*; 0 for no more.
        confirm: fresh workers in which the largest batch has to pass.
        granularity: the edge is sought among multiples of it.
        at_most: the largest batch that ``max-batch`` tries.
        headroom_ratio: share of the limit between the edge and the batch advised.
        reserve_bytes: set aside of the limit for what is not here.
        lengths: T of the mixed steps of a probe; empty for the same T in all.
        certify: the edge is proven at each T of the grid.
        fast: memory passes whose peak the others tell to half a percent are left out.
        study: how trainability is measured; None where it is not.
    """

    memory_limit: Bytes | None = None
    gpu_memory_bytes: Bytes | None = None
    point_seconds: Real = 2.0
    processes: Whole = defaults.PROCESSES
    timeout_s: Seconds | None = None
    seed: Whole = defaults.SEED
    prune: bool = True
    confirm_steps: Count = defaults.CONFIRM_STEPS
    through: Whole = 0
    confirm: Whole = defaults.CONFIRM
    granularity: Count = defaults.GRANULARITY
    at_most: Count = defaults.AT_MOST
    headroom_ratio: Real = 0.05
    reserve_bytes: Bytes = 0
    lengths: tuple[Whole, ...] = ()
    certify: bool = True
    fast: bool = False
    study: Study | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One invocation: what was asked for."""

    request: str
    command: str
    grid: Grid
    settings: Settings
    at_utc: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The invocation named came to its end."""

    request: str
    at_utc: str
    wall_s: Seconds


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt began; without an observation of the same attempt it was interrupted."""

    attempt: str
    observes: str
    batch: Count
    time_steps: Count
    role: Role
    process_index: Whole
    request: str
    at_utc: str


Record = Header | Request | Host | Started | Observation | Certificate | Finished

KINDS: Final[dict[str, type[Any]]] = {
    "header": Header,
    "request": Request,
    "host": Host,
    "started": Started,
    "fit": Fit,
    "memory": Memory,
    "timing": Timing,
    "calibration": Calibration,
    "gradient": Gradient,
    "training": Learning,
    "certificate": Certificate,
    "finished": Finished,
}

KIND_OF: Final = {cls: kind for kind, cls in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Run:
    """A run file, read: its identity and everything that was asked and observed, in order."""

    header: Header
    requests: tuple[Request, ...] = ()
    started: tuple[Started, ...] = ()
    observations: tuple[Observation, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    finished: tuple[Finished, ...] = ()
    path: str | None = None
    hosts: tuple[Host, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether the last invocation came to its end."""
        done = {record.request for record in self.finished}
        return bool(self.requests) and self.requests[-1].request in done

    @property
    def limit_bytes(self) -> int:
        """What training may be charged: as the first invocation resolved it, or as requested."""
        if self.hosts:
            return self.hosts[0].limit_bytes
        return self.header.limit_bytes or 0

    @property
    def environment(self) -> dict[str, Any]:
        """Facts of the run's identity, and of the machine where its first invocation ran."""
        facts = self.hosts[0].facts if self.hosts else {}
        return {**self.header.environment, **facts}

    @property
    def rnnprof_version(self) -> str | None:
        """Of the last invocation; None where none was recorded."""
        return self.hosts[-1].rnnprof_version if self.hosts else None

    @property
    def is_simulated(self) -> bool:
        """Whether the GPU was only described: no kernel ran, so there are no times."""
        return self.header.environment.get("simulated") is not None

    @property
    def grid(self) -> Grid:
        """The axes of every request together; a study's are not among them."""
        grids = [request.grid for request in self.requests if request.settings.study is None]
        return Grid(
            tuple(sorted({batch for grid in grids for batch in grid.batch})),
            tuple(sorted({time_steps for grid in grids for time_steps in grid.time_steps})),
        )

    def points(self) -> tuple[Point, ...]:
        """Every point that was to be measured, by steps and then by batch; a study's are not."""
        grids = [r.grid for r in self.requests if r.settings.study is None]
        asked = {point for grid in grids for point in grid.points()}
        return tuple(sorted(asked, key=lambda point: (point.time_steps, point.batch)))
