"""Published tables of recurrent layers, run on this device, with the published figures.

    python -m benchmarks.performance.known_tables [--table deepbench|flashrnn] [--dtype fp32]
        [--output FILE]
                                      [--at-most-gflop 60] [--point-seconds 1] [--device auto]

Each cell and hidden size is one ``rnnprof profile``.  Sizes whose step takes more floating-point
operations than ``--at-most-gflop`` are skipped and listed.  The differences between the methods are
in the table's own file in benchmarks/performance/workloads, and are printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rnnprof.breakdown.flops import step_flops
from rnnprof.units import format_bytes, format_seconds
from rnnprof.workload import Workload

FOLDER: Final = Path(__file__).with_name("workloads")


@dataclass(frozen=True, slots=True)
class Size:
    """One row of a table; the input is as wide as the hidden state."""

    cell: str
    hidden: int
    batch: int
    time_steps: int

    @property
    def gflop(self) -> float:
        """Of one training step, in 10^9 floating-point operations."""
        workload = Workload(self.cell, input_size=self.hidden, hidden_size=self.hidden)
        return (step_flops(workload, self.batch, self.time_steps)[0] or 0) / 1e9

    def __str__(self) -> str:
        return f"{self.cell} H={self.hidden} B={self.batch} T={self.time_steps}"


@dataclass(frozen=True, slots=True)
class Table:
    """A published table.

    Attributes:
        published_s: of a size, one time for each of *figures*.
    """

    about: str
    source: str
    optimizer: str
    figures: tuple[str, ...]
    sizes: tuple[Size, ...]
    published_s: dict[Size, tuple[float, ...]]


def read(name: str) -> Table:
    """The table ``workloads/NAME.toml``."""
    text = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    sizes = dict.fromkeys(
        Size(group["cell"], group["hidden"], batch, time_steps)
        for group in text["sizes"]
        for batch in group["batch"]
        for time_steps in group["time-steps"]
    )
    published = {
        Size(*row[:4]): tuple(each / 1e3 for each in row[4:]) for row in text["published_ms"]
    }
    return Table(
        " ".join(text["about"].split()), text["source"], text["optimizer"],
        tuple(text["figures"]), tuple(sizes), published,
    )  # fmt: skip


def profiled(table: Table, sizes: list[Size], options: list[str]) -> Iterator[tuple[Size, Any]]:
    """Each size with its point in ``profile --json``; sizes of one shape share an invocation."""
    groups = defaultdict(list)
    for size in sizes:
        groups[size.cell, size.hidden, size.time_steps].append(size)
    for (cell, hidden, time_steps), group in groups.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(sys.executable, "-m", "rnnprof", "profile", "--cell", cell, "--json", "-q"),
                *("--input-size", str(hidden), "--hidden-size", str(hidden)),
                *("--optimizer", table.optimizer, "--time-steps", str(time_steps)),
                *("--batch", ",".join(str(size.batch) for size in group)),
                *("--no-certify", "--no-report", "-o", f"{folder}/run.jsonl", *options),
            ]
            told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if told.returncode not in (0, 5):
            raise SystemExit(f"{' '.join(command)} failed with exit code {told.returncode}")
        points = {point["batch"]: point for point in json.loads(told.stdout)["points"]}
        yield from ((size, points[size.batch]) for size in group)


def line(table: Table, size: Size, point: Any) -> str:
    """A row: ours, then what was published."""
    ours = format_seconds(point["step_time_s"]) if point["step_time_s"] else point["outcome"]
    peak = point["allocated_bytes"]
    flop_per_s = point["flop_per_s"]
    theirs = table.published_s.get(size, (None,) * len(table.figures))
    return (
        f"{size!s:28} {ours:>10} {'-' if flop_per_s is None else f'{flop_per_s / 1e9:.1f}':>9} "
        f"{'-' if peak is None else format_bytes(peak):>9}"
        + "".join(f"{'-' if each is None else format_seconds(each):>12}" for each in theirs)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default="deepbench", choices=sorted(
        path.stem for path in FOLDER.glob("*.toml")))  # fmt: skip
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--point-seconds", default="1")
    parser.add_argument("--memory-limit", help="for each size; the device's free memory by default")
    parser.add_argument("--at-most-gflop", type=float, help="of a training step")
    parser.add_argument("--output", type=Path, help="the points as JSON")
    arguments = parser.parse_args()
    table = read(arguments.table)
    bound = arguments.at_most_gflop
    sizes = [size for size in table.sizes if bound is None or size.gflop <= bound]
    options = ["--device", arguments.device, "--dtype", arguments.dtype]
    options += ["--point-seconds", arguments.point_seconds]
    if arguments.memory_limit:
        options += ["--memory-limit", arguments.memory_limit]
    print(
        f"{arguments.dtype:28} {'a step':>10} {'GFLOP/s':>9} {'peak':>9}"
        + "".join(f"{name:>12}" for name in table.figures)
    )
    points = []
    for size, point in profiled(table, sizes, options):
        print(line(table, size, point), flush=True)
        points.append({"size": str(size), "point": point})
    left = [str(size) for size in table.sizes if size not in sizes]
    if left:
        print(f"left out, above {bound:g} GFLOP a step: {len(left)} of {len(table.sizes)}")
    print(f"{table.about} Published: {table.source}.")
    if arguments.output:
        document = {"table": arguments.table, "dtype": arguments.dtype, "points": points}
        arguments.output.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
