"""The frozen records of a run file: requests and observations.

Schema history
    1   2026-11: never released; it is refused.
    2   2026-11: the header has only the identity (requested limit, source digests); ``host`` has
            the resolved limit and the machine's facts; ``time_steps``, charged bytes, breakdown.

Names contain the units; an unknown value is ``None``, with a reason beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from msgspec import Meta

from rnnprof import defaults
from rnnprof.ranges import (
    Bytes,
    Count,
    Duration,
    Extent,
    Limit,
    Ratio,
    Seconds,
    Text,
    Whole,
    ZeroToMillion,
)
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

MOST_PROCESSES: Final = 10_000
"""The command line takes 100; ``check`` adds more, one at a time, while a verdict is not clear."""


@dataclass(frozen=True, slots=True)
class Header:
    """The identity of a run: two files with equal headers hold the same run and can be merged.

    Attributes:
        schema: version of the file format.
        run_id: hash of the other fields.
        workload: what is trained.
        environment: facts that choose kernels, workspaces or arithmetic, from an allow-list: the
            GPU's model (on the CPU the processor), driver, torch, cuDNN, flags, allocator settings,
            simulated or not.
        limit_bytes: the requested memory limit; None for all free memory.
        gpu_memory_bytes: memory of the GPU given by ``--gpu-memory``; None without it.
        sources: sha256 of the user's files that are loaded by the end of the first training step,
            by their paths under the script's or package's root; empty for a built-in cell.
    """

    schema: int
    run_id: Text
    workload: Workload
    environment: dict[str, Any]
    limit_bytes: Limit | None = None
    gpu_memory_bytes: Limit | None = None
    sources: dict[Text, Text] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Host:
    """Where an invocation ran: facts that may differ between two files of one run.

    Attributes:
        request: id of the invocation.
        limit_bytes: what training may be charged, after the limit was resolved.
        rnnprof_version: version of rnnprof that ran it.
        facts: from an allow-list, without user or host name: processors, memory, kernel, Python,
            the GPU's UUID and memory.
    """

    request: Text
    limit_bytes: Limit
    rnnprof_version: Text
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """How points are measured; a resumed run keeps its settings.

    Attributes:
        memory_limit: the requested limit in bytes, or None for all free memory.
        gpu_memory_bytes: memory of another GPU; the limit is this size less the context measured
            here, while kernels are chosen for the present GPU.  None without ``--gpu-memory``.
        point_seconds: the most time for a point's timed steps.
        processes: timing passes per point, each in a separate process; 0 to measure only memory.
        timeout_s: deadline of one pass; None scales it to the expected cost.
        seed: seed of weights, data and the order of the points.
        prune: do not run points that another point's OOM implies.
        confirm_steps: training steps that a proof must pass.
        through: training steps of the proof of the largest batch, if more than *confirm_steps*;
            0 for no more.
        confirm: fresh workers in which the largest batch must pass.
        granularity: only multiples of it are tried as the largest batch.
        at_most: the largest batch that ``max-batch`` tries.
        headroom_ratio: share of the limit that the largest safe batch leaves free.
        reserve_bytes: part of the limit that is reserved for memory that is not measured.
        lengths: T of the mixed steps of a probe; empty for the same T in all steps.
        certify: prove the largest batch at each T of the grid.
        fast: leave out memory passes whose peak other passes give to half a percent.
        study: how trainability is measured; None if it is not.
    """

    memory_limit: Limit | None = None
    gpu_memory_bytes: Limit | None = None
    point_seconds: Duration = 2.0
    processes: Annotated[int, Meta(ge=0, le=MOST_PROCESSES)] = defaults.PROCESSES
    timeout_s: Duration | None = None
    seed: Count = defaults.SEED
    prune: bool = True
    confirm_steps: Annotated[int, Meta(ge=1, le=10_000)] = defaults.CONFIRM_STEPS
    through: ZeroToMillion = 0
    confirm: Annotated[int, Meta(ge=1, le=100)] = defaults.CONFIRM
    granularity: Annotated[int, Meta(ge=1, le=65536)] = defaults.GRANULARITY
    at_most: Extent = defaults.AT_MOST
    headroom_ratio: Ratio = 0.05
    reserve_bytes: Bytes = 0
    lengths: tuple[Extent, ...] = ()
    certify: bool = True
    fast: bool = False
    study: Study | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One invocation and what it requests.

    Attributes:
        request: id of the invocation.
        command: name of the command.
        grid: the requested points.
        settings: how they are measured.
        at_utc: when it began.
        for_gate: made by ``check``, ``compare`` or ``assert_fits``, which replace such a run, and
            no other, when they are run again.
    """

    request: Text
    command: Text
    grid: Grid
    settings: Settings
    at_utc: Text
    for_gate: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an invocation.

    Attributes:
        request: id of the invocation.
        at_utc: when it ended.
        wall_s: duration of the invocation.
    """

    request: Text
    at_utc: Text
    wall_s: Seconds


@dataclass(frozen=True, slots=True)
class Started:
    """The start of an attempt; if no observation of the attempt follows, it was interrupted.

    Attributes:
        attempt: id of the attempt.
        observes: name of the pass.
        batch: sequences per batch (B).
        time_steps: time steps per sequence (T).
        role: why the point is observed.
        process_index: number of this timing process at the point, from 0.
        request: id of the invocation.
        at_utc: when it began.
    """

    attempt: Text
    observes: Text
    batch: Extent
    time_steps: Extent
    role: Role
    process_index: Whole
    request: Text
    at_utc: Text


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
    """The content of a run file: identity, requests and observations, in order."""

    header: Header
    requests: tuple[Request, ...] = ()
    started: tuple[Started, ...] = ()
    observations: tuple[Observation, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    finished: tuple[Finished, ...] = ()
    path: Text | None = None
    hosts: tuple[Host, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether the last invocation has ended."""
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
        """Version of the last invocation; None where none was recorded."""
        return self.hosts[-1].rnnprof_version if self.hosts else None

    @property
    def is_simulated(self) -> bool:
        """Whether the GPU was simulated: no kernel ran, so there are no times."""
        return self.header.environment.get("simulated") is not None

    @property
    def grid(self) -> Grid:
        """The axes of all requests together, without studies of trainability."""
        grids = [request.grid for request in self.requests if request.settings.study is None]
        return Grid(
            tuple(sorted({batch for grid in grids for batch in grid.batch})),
            tuple(sorted({time_steps for grid in grids for time_steps in grid.time_steps})),
        )

    def points(self) -> tuple[Point, ...]:
        """Every requested point, by time steps and then by batch, without studies."""
        grids = [r.grid for r in self.requests if r.settings.study is None]
        asked = {point for grid in grids for point in grid.points()}
        return tuple(sorted(asked, key=lambda point: (point.time_steps, point.batch)))
