"""A part of the evidence and its inputs; each part runs in its own process.

python -m benchmarks.gpu.part NAME MODULE:FUNCTION DEVICE FOLDER SECONDS
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from rnnprof.engine.identity import guard_bytes
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.points import Point
from rnnprof.simulate.description import GPU_VARIABLE
from rnnprof.simulate.loading import load_if_requested
from rnnprof.units import GIB, MIB
from rnnprof.workload import Workload

ROOT: Final = Path(__file__).parents[2]

LIMIT_BYTES: Final = {"cpu": 512 * MIB, "cuda": 8 * GIB}
"""Of a pass that is not there to meet its limit; a small GPU has so much."""

TINY: Final = Workload(input_size=8, hidden_size=8)
DEADLINE_S: Final = 60.0


class SkipPart(Exception):  # noqa: N818  # no error: the part has nothing to do here
    """The part does not run here; the text says why."""


@dataclass(slots=True)
class Stage:
    """What a part is given.

    Attributes:
        device: ``cuda``, or ``cpu`` for a dry run at tiny sizes.
        folder: what it writes goes there; ``runs`` and ``charts`` in it are kept whole.
        ends_s: by the monotonic clock; what runs on is killed.
        figures: kept so far, also where the part then fails.
    """

    name: str
    device: str
    folder: Path
    ends_s: float
    figures: dict[str, Any] = field(default_factory=dict)
    status: str = "unfinished"
    reason: str | None = None

    @property
    def is_dry(self) -> bool:
        """Whether this is a dry run: tiny sizes, on the CPU."""
        return self.device == "cpu"

    @property
    def has_kernels(self) -> bool:
        """Whether kernels run on a GPU: neither in a dry run nor on a simulated one."""
        return not self.is_dry and GPU_VARIABLE not in os.environ

    def left_s(self) -> float:
        """Time until this part is stopped."""
        return self.ends_s - time.monotonic()

    def needs_cuda(self) -> None:
        """Skip this part in a dry run."""
        if self.is_dry:
            raise SkipPart("needs CUDA")

    def keep(self, **figures: Any) -> None:
        """Keep figures, on disk at once."""
        self.figures |= figures
        for name, value in figures.items():
            print(f"{name}: {json.dumps(value, default=str)[:2000]}", flush=True)
        self._write()

    def end(self, status: str, reason: str | None = None) -> None:
        """Tell how it ended."""
        self.status, self.reason = status, reason
        self._write()

    def _write(self) -> None:
        found = {"status": self.status, "reason": self.reason, "figures": self.figures}
        path = self.folder / f"{self.name}.json"
        written = path.with_suffix(".new")
        written.write_text(json.dumps(found, default=str))
        written.replace(path)


@dataclass(slots=True)
class Bench:
    """Fresh workers on the device of a part, pinned to its GPU as an ordinary run pins it."""

    stage: Stage
    supervisor: Supervisor
    facts: dict[str, Any]
    device: str
    uuid: str | None

    def ask(
        self,
        do: str,
        workload: Workload = TINY,
        batch: int = 4,
        time_steps: int = 4,
        *,
        deadline_s: float = DEADLINE_S,
        **changes: Any,
    ) -> Answer:
        """Give a fresh worker one pass."""
        task = Task(
            do=do,
            workload=workload,
            point=Point(batch, time_steps),
            device=self.device,
            device_uuid=self.uuid,
            limit_bytes=LIMIT_BYTES[self.stage.device],
            guard_bytes=guard_bytes(),
        )
        return self.supervisor.ask(replace(task, **changes), deadline_s)


def bench_of(stage: Stage, supervisor: Supervisor) -> Bench:
    """Read the facts about the GPU from a worker of *crew*.

    Raises:
        RuntimeError: the worker could not describe itself.
    """
    hello = supervisor.ask(Task("describe", TINY, device=stage.device), 2 * DEADLINE_S)
    if hello.evidence is not None:
        raise RuntimeError(f"hello: {classify(hello.evidence).reason}")
    facts: Any = hello.findings["facts"]
    return Bench(stage, supervisor, facts, stage.device, facts.get("device_uuid"))


@contextmanager
def open_bench(stage: Stage) -> Iterator[Bench]:
    """Start the template and learn of the GPU.

    Raises:
        RuntimeError: the worker could not describe itself.
    """
    with Supervisor() as supervisor:
        yield bench_of(stage, supervisor)


def ending(answer: Answer) -> dict[str, Any]:
    """How an answer is judged, with the error's own words."""
    if answer.evidence is None:
        return {"outcome": "measured", "wall_s": round(answer.wall_s, 2)}
    verdict = classify(answer.evidence)
    return {
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "phase": answer.evidence.phase,
        "error_type": answer.evidence.error_type,
        "message": (answer.evidence.message or "")[:600],
        "requested_bytes": verdict.requested_bytes,
        "log_tail": answer.evidence.log_tail[-600:],
        "wall_s": round(answer.wall_s, 2),
    }


def main() -> None:
    name, entry, device, folder, seconds = sys.argv[1:]
    stage = Stage(name, device, Path(folder), time.monotonic() + float(seconds))
    module, _, function = entry.partition(":")
    try:
        getattr(import_module(module), function)(stage)
    except SkipPart as skipped:
        stage.end("skipped", str(skipped))
    else:
        stage.end("ok")


if __name__ == "__main__":
    load_if_requested(os.environ)  # a simulated GPU, before any part imports torch
    # by its own name, so that the parts import the very same classes
    import_module("benchmarks.gpu.part").main()
