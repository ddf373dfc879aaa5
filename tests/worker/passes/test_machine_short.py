"""Memory that others take during a run: what it stops is left open, and what fits in less fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import MIB
from rnnprof.engine.observer import observation_of
from rnnprof.engine.supervisor import Supervisor
from rnnprof.outcomes import was_crowded_out
from rnnprof.protocol import Task
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Started
from rnnprof.workload import FactorySource, Workload

FACTORY = """
import torch
import rnnprof.worker.backends.cpu as cpu

cpu.available_bytes = lambda: {free_bytes} + cpu.LEFT_BYTES  # as if others held the rest

def make(batch, steps, device):
    def step(phase):
        taken = torch.ones(batch * 1024 * 1024 // 4)
        return taken.mean()
    return step
"""


def fit_of(
    supervisor: Supervisor, folder: Path, batch: int, free_bytes: int, predicted: int | None = None
) -> Fit:
    """A pass that takes so many MiB under a limit of 256 MiB."""
    file = folder / f"crowded_{free_bytes}.py"
    file.write_text(FACTORY.format(free_bytes=free_bytes))
    path = f"{file}:make"
    task = Task(
        "fit", Workload(cell=None, factory=FactorySource(path)), point=Point(batch, 8),
        limit_bytes=256 * MIB, guard_bytes=4 << 30, factory_path=path, predicted_bytes=predicted,
    )  # fmt: skip
    started = Started("a1", "fit", batch, 8, Role.PROBE, 0, "r1", "2026-11-30T00:00:00Z")
    observed = observation_of(started, supervisor.ask(task, 60.0), 256 * MIB)
    assert isinstance(observed, Fit)
    return observed


def test_what_needs_more_than_is_free_is_left_open(supervisor: Supervisor, tmp_path: Path) -> None:
    crowded = fit_of(supervisor, tmp_path, 128, 64 * MIB)
    assert crowded.outcome is Outcome.FAILED
    assert was_crowded_out(crowded)
    assert "B=128 needs more than the 64.0 MiB that are free here" in (crowded.reason or "")
    assert "the limit is 256 MiB" in (crowded.reason or "")


def test_what_fits_in_less_fits(supervisor: Supervisor, tmp_path: Path) -> None:
    assert fit_of(supervisor, tmp_path, 32, 64 * MIB).outcome is Outcome.MEASURED


@pytest.mark.parametrize(("batch", "outcome"), [(128, Outcome.MEASURED), (512, Outcome.OOM)])
def test_where_enough_is_free_the_limit_decides(
    supervisor: Supervisor, tmp_path: Path, batch: int, outcome: Outcome
) -> None:
    assert fit_of(supervisor, tmp_path, batch, 1024 * MIB).outcome is outcome


def test_what_is_predicted_above_what_is_free_is_not_run(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    spared = fit_of(supervisor, tmp_path, 128, 64 * MIB, predicted=130 * MIB)
    assert spared.outcome is Outcome.FAILED
    assert was_crowded_out(spared)
    assert spared.train_steps_run == 0
    assert "B=128 was not run: 130 MiB are predicted, 64.0 MiB are free here" in str(spared.reason)


@pytest.mark.parametrize(("free", "predicted"), [(64 * MIB, 60 * MIB), (1024 * MIB, 130 * MIB)])
def test_what_is_predicted_within_what_is_free_is_run(
    supervisor: Supervisor, tmp_path: Path, free: int, predicted: int
) -> None:
    ran = fit_of(supervisor, tmp_path, 32, free, predicted)
    assert ran.outcome is Outcome.MEASURED
