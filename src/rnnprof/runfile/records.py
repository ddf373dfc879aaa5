"""What was asked and what was observed: frozen records, the vocabulary of the run file.

Schema history
    1   2026-11: header, request, started, fit, memory, timing, calibration, certificate,
            finished.

Units are in the names; an unknown value is ``None`` with its reason beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

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

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Header:
    """The identity of a run: two files with equal headers hold the same run.

    Attributes:
        run_id: hash of the other fields.
        environment: facts from an allow-list; no user or host name.
        fingerprint: hash of the environment.
        limit_bytes: what training may reserve for tensors, resolved once.
    """

    schema: int
    run_id: str
    rnnprof_version: str
    workload: Workload
    environment: dict[str, Any]
    fingerprint: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """How points are measured; the same on resume.

    Attributes:
        memory_limit: the size asked for, or None for all that is free.
        card_bytes: size of the card that the limit stands for (its memory less the context
            measured here); the algorithms stay this device's.  None without ``--card``.
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

    memory_limit: int | None = None
    card_bytes: int | None = None
    point_seconds: float = 2.0
    processes: int = 1
    timeout_s: float | None = None
    seed: int = 0
    prune: bool = True
    confirm_steps: int = 10
    through: int = 0
    confirm: int = 1
    granularity: int = 1
    at_most: int = 65536
    headroom_ratio: float = 0.05
    reserve_bytes: int = 0
    lengths: tuple[int, ...] = ()
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
    wall_s: float


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt began; without an observation of the same attempt it was interrupted."""

    attempt: str
    observes: str
    batch: int
    steps: int
    role: Role
    process_index: int
    request: str
    at_utc: str


Record = Header | Request | Started | Observation | Certificate | Finished

KINDS: Final[dict[str, type[Any]]] = {
    "header": Header,
    "request": Request,
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

    @property
    def is_finished(self) -> bool:
        """Whether the last invocation came to its end."""
        done = {record.request for record in self.finished}
        return bool(self.requests) and self.requests[-1].request in done

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
            tuple(sorted({steps for grid in grids for steps in grid.steps})),
        )

    def points(self) -> tuple[Point, ...]:
        """Every point that was to be measured, by steps and then by batch; a study's are not."""
        grids = [r.grid for r in self.requests if r.settings.study is None]
        asked = {point for grid in grids for point in grid.points()}
        return tuple(sorted(asked, key=lambda point: (point.steps, point.batch)))
