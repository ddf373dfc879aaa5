"""Run files of any size, made up by a law: for the cost of what reads them, never for a result.

Every environment field says that it is synthetic.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rnnprof import __version__
from rnnprof.runfile.certificates import Certificate, EdgeFit, EdgeOom, EdgeStatus
from rnnprof.runfile.journal import to_line
from rnnprof.runfile.observations import Breakdown, Conditions, Failure, Fit, Memory, Timing
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import (
    SCHEMA,
    Finished,
    Header,
    Host,
    Record,
    Request,
    Settings,
    Started,
)
from rnnprof.workload import Workload

MIB: Final = 1 << 20
LIMIT_BYTES: Final = 1 << 30
WEIGHTS_BYTES: Final = 6 * MIB
PER_SEQUENCE_BYTES: Final = 24 * 1024
PER_TIME_STEP_BYTES: Final = 34 * 1024
SAMPLES: Final = 120
"""About what two seconds of a step of 16 ms give."""

AT_UTC: Final = "2026-01-01T00:{:02d}:{:02d}Z"


def write_run(path: Path, batches: Sequence[int], time_steps: Sequence[int], seed: int = 0) -> int:
    """Write a finished run over the grid; returns the number of its records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [to_line(record) for record in _records(Grid(tuple(batches), tuple(time_steps)), seed)]
    path.write_bytes(b"".join(lines))
    return len(lines)


def square_grid(points: int) -> tuple[list[int], list[int]]:
    """Axes of about so many points, from 4 to 512 sequences and 8 to 512 time steps."""
    columns = math.isqrt(points)
    rows = points // columns
    return _spread(4, 512, columns), _spread(8, 512, rows)


def _spread(low: int, high: int, count: int) -> list[int]:
    """*count* different values, in proportion as far as they are different."""
    values: list[int] = []
    for index in range(count):
        ideal = low * (high / low) ** (index / max(1, count - 1))
        values.append(max(round(ideal), values[-1] + 1 if values else low))
    return values


def charged_bytes(point: Point) -> int:
    """What the law says that a point takes."""
    per_sequence = PER_SEQUENCE_BYTES + PER_TIME_STEP_BYTES * point.time_steps
    return 4 * WEIGHTS_BYTES + per_sequence * point.batch


def _records(grid: Grid, seed: int) -> Iterator[Record]:
    rng = random.Random(seed)
    environment = {"device": "cpu", "device_name": "synthetic", "torch": "synthetic"}
    workload = Workload()
    yield Header(SCHEMA, "0" * 16, workload, environment, LIMIT_BYTES)
    yield Request("r1", "profile", grid, Settings(memory_limit=LIMIT_BYTES), AT_UTC.format(0, 0))
    yield Host("r1", LIMIT_BYTES, __version__)
    for number, point in enumerate(grid.points()):
        yield from _point(number, point, rng)
    for time_steps in grid.time_steps:
        yield from _edge(time_steps)
    yield Finished("r1", AT_UTC.format(59, 59), 3599.0)


def _point(number: int, point: Point, rng: random.Random) -> Iterator[Record]:
    for kind in ("fit", "timing", "memory"):
        attempt = f"{kind[0]}{number}"
        minute, second = divmod(number % 3600, 60)
        at = AT_UTC.format(minute, second)
        yield Started(attempt, kind, point.batch, point.time_steps, Role.GRID, 0, "r1", at)
        if kind == "fit":
            fit = _fit(attempt, point, Role.GRID)
            yield fit
            if fit.outcome is Outcome.OOM:
                return
        else:
            yield _timing(attempt, point, rng) if kind == "timing" else _memory(attempt, point)


def _edge(time_steps: int) -> Iterator[Record]:
    batch = (LIMIT_BYTES - charged_bytes(Point(0, time_steps))) // (
        PER_SEQUENCE_BYTES + PER_TIME_STEP_BYTES * time_steps
    )
    fits = _fit(f"e{time_steps}-fits", Point(batch, time_steps), Role.PROBE)
    fails = _fit(f"e{time_steps}-fails", Point(batch + 1, time_steps), Role.PROBE)
    yield fits
    yield fails
    yield Certificate(
        time_steps=time_steps, status=EdgeStatus.CERTIFIED, granularity=1, at_most=65536,
        batch=batch,
        fits=EdgeFit(batch, fits.attempt, fits.peak_charged_bytes, fits.train_steps_run),
        fails=EdgeOom(batch + 1, fails.attempt, "backward", "can't allocate memory", 4096),
        confirmations=1, probes=2, ooms=1, attempts=(fits.attempt, fails.attempt), request="r1",
    )  # fmt: skip


def _fit(attempt: str, point: Point, role: Role) -> Fit:
    size = charged_bytes(point)
    known: dict[str, Any] = {
        "attempt": attempt, "batch": point.batch, "time_steps": point.time_steps, "role": role,
        "worker": 1,
        "process_index": 0, "request": "r1", "wall_s": 1.0, "limit_bytes": LIMIT_BYTES,
    }  # fmt: skip
    if size > LIMIT_BYTES:
        failure = Failure("backward", "RuntimeError", "can't allocate memory", 4096)
        return Fit(outcome=Outcome.OOM, reason="out of memory", failure=failure, **known)
    return Fit(
        outcome=Outcome.MEASURED, train_steps_run=10, baseline_bytes=100 * MIB,
        conditions=_conditions(),
        peak_process_bytes=size + 200 * MIB, peak_charged_bytes=size, loss=0.5, **known,
    )  # fmt: skip


def _timing(attempt: str, point: Point, rng: random.Random) -> Timing:
    step_s = 2e-3 + 1e-5 * point.time_steps + 4e-6 * point.batch * point.time_steps
    samples = tuple(step_s * rng.gauss(1.0, 0.02) for _ in range(SAMPLES))
    shares = {"data": 0.02, "forward": 0.35, "backward": 0.55, "optimizer": 0.08}
    return Timing(
        attempt=attempt, batch=point.batch, time_steps=point.time_steps, role=Role.GRID, worker=1,
        process_index=0, request="r1", outcome=Outcome.MEASURED, wall_s=2.0, samples_s=samples,
        warmup_samples_s=samples[:4], converged=True,
        phase_samples_s={phase: (share * step_s,) * 10 for phase, share in shares.items()},
        phase_step_samples_s=(step_s,) * 10, sequences_per_step=point.batch, loss=0.5,
        conditions=_conditions(),
    )  # fmt: skip


def _memory(attempt: str, point: Point) -> Memory:
    saved = PER_TIME_STEP_BYTES * point.batch * point.time_steps
    data = PER_SEQUENCE_BYTES * point.batch
    breakdown = Breakdown(
        WEIGHTS_BYTES, WEIGHTS_BYTES, 2 * WEIGHTS_BYTES, data, 0, saved, 0, MIB, 0, "backward"
    )
    phases = {"data": data, "forward": saved, "backward": saved + MIB, "optimizer": MIB}
    return Memory(
        attempt=attempt, batch=point.batch, time_steps=point.time_steps, role=Role.GRID, worker=1,
        process_index=0, request="r1", outcome=Outcome.MEASURED, wall_s=1.0, train_steps_run=3,
        optimizer_steps=3, peak_allocated_bytes=sum(breakdown.parts().values()),
        breakdown=breakdown,
        phase_peak_bytes=phases, phase_live_bytes=phases, net_bytes_per_step=0,
        implementation="fused",
    )  # fmt: skip


def _conditions() -> Conditions:
    return Conditions(1.0, 2, 1.0, 1.01, 0.0, 0.0)
