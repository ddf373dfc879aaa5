"""The CUDA path: on a real GPU where there is one, else on a simulated one.

``make test`` runs these tests in an environment that has torch's CUDA build; elsewhere they skip
with the reason.  What needs kernels (times, values, a real fault) carries the marker ``gpu``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rnnprof.device.selection import find_place
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.points import Point
from rnnprof.simulate.description import GpuDescription, describe
from rnnprof.simulate.library import check
from rnnprof.units import GIB
from rnnprof.workload import Workload

DEADLINE_S = 90.0
LIMIT_BYTES = 2 * GIB
SMALL = Workload(input_size=64, hidden_size=128)
MODEL = "a100-40gb"


@cache
def has_gpu() -> bool:
    """Whether torch and NVML both know of a real GPU."""
    return find_place("auto").kind == "cuda"


@cache
def why_not() -> str | None:
    """Why there is no GPU to test on, not even a simulated one; None where the tests have to run.

    A torch without CUDA or a missing compiler is the machine's; a library that does not build is
    ours, and then the tests fail.
    """
    if has_gpu():
        return None
    left = Path(sys.prefix) / "missing"  # by environment.py, with pip's own words
    if left.exists():
        return left.read_text().strip()
    missing = [each.sentence for each in check() if not each.ok and each.name != "library"]
    return missing[0] if missing else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if "cuda" in item.path.parts]
    if here and (reason := why_not()):
        for item in here:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def gpu() -> GpuDescription | None:
    """The GPU that is simulated; None where a real one is there."""
    return None if has_gpu() else describe(MODEL)


class Gpu:
    """Fresh workers on the GPU, pinned as a run pins them."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        hello = supervisor.ask(Task("describe", SMALL, device="cuda"), DEADLINE_S)
        assert hello.evidence is None, classify(hello.evidence).reason
        self.facts: Any = hello.findings["facts"]
        self.uuid = self.facts["device_uuid"]

    def ask(self, do: str, workload: Workload = SMALL, **changes: Any) -> Answer:
        point = Point(changes.pop("batch", 16), changes.pop("time_steps", 32))
        task = Task(do, workload, point, "cuda", self.uuid, limit_bytes=LIMIT_BYTES)
        return self.supervisor.ask(replace(task, point_seconds=0.2, **changes), DEADLINE_S)

    def measured(self, do: str, workload: Workload = SMALL, **changes: Any) -> dict[str, Any]:
        answer = self.ask(do, workload, **changes)
        assert answer.evidence is None, classify(answer.evidence).reason
        return answer.findings


@pytest.fixture(scope="session")
def workers(gpu: GpuDescription | None) -> Iterator[Gpu]:
    kept = {name: os.environ.pop(name, None) for name in ("CUDA_VISIBLE_DEVICES",)}
    with Supervisor(gpu=gpu) as supervisor:
        yield Gpu(supervisor)
    os.environ.update({name: text for name, text in kept.items() if text is not None})
