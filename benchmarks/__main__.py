"""Run the benchmarks, and write the table of their results.

    python -m benchmarks                list the benchmarks, and when each was run here
    python -m benchmarks run NAME...    run at full size; the figures go to benchmarks/results
    python -m benchmarks all            run each in turn
    python -m benchmarks smoke          run each at its smallest size, and keep nothing
    python -m benchmarks table          write benchmarks/RESULTS.md from the kept results

Run nothing else at the same time: two busy programs on one machine disturb each other's figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.performance.catalogue import CATALOGUE, Benchmark
from benchmarks.performance.results import (
    FOLDER,
    PAGE,
    Result,
    load_results,
    page,
    save,
    surroundings,
)
from rnnprof.units import format_duration

SMOKE_DEADLINE_S = 120.0


def run(benchmark: Benchmark, arguments: Sequence[str], deadline_s: float | None = None) -> Result:
    """Run a benchmark, show its output, and return its result.

    Raises:
        SystemExit: it failed; nothing is kept.
    """
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"benchmarks.performance.{benchmark.name}", *arguments]
        with subprocess.Popen(
            [*command, "--output", str(figures)], stdout=subprocess.PIPE, text=True
        ) as process:
            printed = _shown(process, deadline_s)
        if process.returncode:
            raise SystemExit(f"{benchmark.name} failed with exit code {process.returncode}")
        return Result(
            benchmark=benchmark.name,
            command=("python", *command[1:]),
            wall_s=time.monotonic() - began_s,
            printed=tuple(printed),
            figures=json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else None,
            **surroundings(),
        )


def _shown(process: subprocess.Popen[str], deadline_s: float | None) -> list[str]:
    """The lines of its output, shown as they arrive; at the deadline the process is killed."""
    assert process.stdout is not None
    began_s, lines = time.monotonic(), []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.rstrip())
        if deadline_s is not None and time.monotonic() - began_s > deadline_s:
            process.kill()
    return lines


def show() -> None:
    """List the benchmarks."""
    known = load_results()
    for name, each in CATALOGUE.items():
        found = known.get(name)
        when = f"{found.date[:10]} at {found.commit}" if found else "not run here"
        print(f"{name:20} {each.minutes:3} min  {when:22} {each.question}")


def smoke() -> None:
    """Run each at its smallest size, to check that it still runs; keep nothing."""
    began_s = time.monotonic()
    for each in CATALOGUE.values():
        if each.smallest is not None:
            print(f"--- {each.name}", flush=True)
            took = format_duration(run(each, each.smallest, SMOKE_DEADLINE_S).wall_s)
            print(f"    {each.name} took {took}", flush=True)
    print(f"--- all took {format_duration(time.monotonic() - began_s)}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n\n")[0],
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action")
    named = actions.add_parser("run", help="one or more, at full size")
    named.add_argument("names", nargs="+", choices=CATALOGUE, metavar="NAME")
    actions.add_parser("all", help="each in turn, at full size")
    actions.add_parser("smoke", help="each at its smallest size; nothing is kept")
    actions.add_parser("table", help=f"write {PAGE.name}")
    arguments = parser.parse_args()
    match arguments.action:
        case None:
            show()
        case "smoke":
            smoke()
        case "table":
            PAGE.write_text(page(load_results().values()), encoding="utf-8")
        case _:
            FOLDER.mkdir(exist_ok=True)
            for name in arguments.names if arguments.action == "run" else CATALOGUE:
                print(f"--- {name}", flush=True)
                save(run(CATALOGUE[name], CATALOGUE[name].full))
            PAGE.write_text(page(load_results().values()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
