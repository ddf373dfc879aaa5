"""Time to the first answer: the start of each command and of the template, and what forks save.

    python -m benchmarks.performance.startup [--repetitions 5] [--lengths 6] [--output startup.json]

``first measurement`` is the time of ``rnnprof profile`` of one point up to the line with its step
time.  Python's own import times break down the worker's first second.  A frontier shows what the
template saves: ``max_batch`` of an LSTM at several T, once with one template for all probes and
once with a new template for each probe, like a program that starts a process for every trial.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest import mock

import rnnprof
from rnnprof import protocol
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.runfile.records import Settings
from rnnprof.units import format_seconds
from rnnprof.workload import Workload

COMMANDS: Final = {
    "rnnprof --version": ("--version",),
    "rnnprof --help": ("--help",),
    "rnnprof profile --help": ("profile", "--help"),
    "rnnprof doctor": ("doctor",),
}

AIM_S: Final = {"rnnprof --help": 0.3, "rnnprof profile --help": 0.3}
"""Below it a command feels as if it had been there already."""

FRONTIER: Final = Workload(hidden_size=128, input_size=64)
LENGTHS: Final = (16, 24, 32, 48, 64, 96)
LIMIT_BYTES: Final = 64 << 20
IMPORTS: Final = ("torch", "torch._dynamo", "rnnprof.worker.passes.serve")


def command(*arguments: str) -> None:
    """Run it to its end; exit codes other than 0 are ``doctor``'s to give."""
    subprocess.run([sys.executable, "-m", "rnnprof", *arguments], capture_output=True, check=False)


def first_measurement() -> None:
    """Profile one point, up to the line that reports it.

    Raises:
        SystemExit: there was no such line.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = (
            *("profile", "--batch", "16", "--time-steps", "16", "--no-certify", "--no-report"),
            *("--memory-limit", "512MiB", "-o", "run.jsonl"),
        )
        with subprocess.Popen(
            [sys.executable, "-m", "rnnprof", *arguments], cwd=folder, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            if not any("a step" in line for line in process.stderr):
                raise SystemExit("profile reported no point")
            process.kill()


def imports_s() -> dict[str, float]:
    """Seconds that each import of the template takes with all that it imports itself."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "\n".join(f"import {n}" for n in IMPORTS)],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    found = re.findall(r"^import time:\s+\d+ \|\s+(\d+) \| (\S+)$", told, re.MULTILINE)
    return {name: int(micro) / 1e6 for micro, name in found if name in IMPORTS}


def template() -> dict[str, float]:
    """The template's start, and a task of nothing in a fresh worker, after the first."""
    with Supervisor() as supervisor:
        [started_s] = timeit.repeat(supervisor.start, number=1, repeat=1)
        task = protocol.Task(do="describe", workload=Workload())
        supervisor.ask(task, 60)
        return {
            "start_s": started_s,
            "hello_s": min(timeit.repeat(lambda: supervisor.ask(task, 60), number=1, repeat=5)),
        }


class Forgetful(Supervisor):
    """A new template for every task."""

    def ask(self, task: protocol.Task, deadline_s: float) -> Answer:
        self.close()
        return Supervisor.ask(self, task, deadline_s)


def frontier(supervisor: type[Supervisor], lengths: int) -> dict[str, Any]:
    """Seconds and probes of the frontier at so many T."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("rnnprof.engine.job.Supervisor", supervisor),
    ):
        began_s = time.perf_counter()
        edges = rnnprof.max_batch(
            FRONTIER, time_steps=LENGTHS[:lengths], settings=Settings(memory_limit=LIMIT_BYTES),
            output=Path(folder) / "run.jsonl",
        )  # fmt: skip
        wall_s = time.perf_counter() - began_s
    return {
        "wall_s": wall_s,
        "probes": sum(edge.probes for edge in edges),
        "batches": {edge.time_steps: edge.batch for edge in edges},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--lengths", type=int, default=len(LENGTHS), help="of the frontier; 0: none"
    )
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    seconds = {
        name: timeit.repeat(partial(command, *words), number=1, repeat=arguments.repetitions)
        for name, words in COMMANDS.items()
    }
    seconds["first measurement"] = timeit.repeat(
        first_measurement, number=1, repeat=arguments.repetitions
    )
    for name, each in seconds.items():
        aim = f"  (aim {format_seconds(AIM_S[name])})" if name in AIM_S else ""
        print(f"{name:24} {format_seconds(statistics.median(each)):>8}{aim}", flush=True)
    imported, forked = imports_s(), template()
    print(f"{'template, to its first fork':24} {format_seconds(forked['start_s']):>8}, of which:")
    for name in IMPORTS:
        print(f"  import {name:26} {format_seconds(imported.get(name)):>8}")
    print(f"{'a fresh worker, and its answer':30} {format_seconds(forked['hello_s']):>8}")
    kept, anew = (
        frontier(supervisor, arguments.lengths) if arguments.lengths else None
        for supervisor in (Supervisor, Forgetful)
    )
    if kept and anew:
        print(
            f"frontier of {arguments.lengths} T, {kept['probes']} probes: {kept['wall_s']:.1f} s "
            f"with one template, {anew['wall_s']:.1f} s ({anew['probes']} probes) with a new one "
            "each time"
        )
    if arguments.output:
        document = {
            "seconds": seconds, "imports_s": imported, "template": forked,
            "one_template": kept, "a_template_each": anew,
        }  # fmt: skip
        arguments.output.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
