"""Is the step time of a script the one that its own clock shows, in the same process?

    python -m benchmarks.performance.script_clock [--runs 9] [--output clock.json]

Two processes of one script differ by more than 2% on most machines, whatever runs in them.  So the
script has a clock of its own: it writes the seconds between the ends of its training steps to a
file, while ``rnnprof profile`` times it.  The same steps are found in that file, and the medians
compared.  Between processes ``script_truth`` compares.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.performance.finders import ROOT
from benchmarks.performance.results import surroundings
from rnnprof.runfile.journal import load
from rnnprof.runfile.observations import Timing
from rnnprof.runfile.points import Outcome

SCRIPT: Final = ROOT / "benchmarks" / "performance" / "cases" / "own_clock.py"
BATCH: Final = 64
TIME_STEPS: Final = 40
RUNS: Final = 9


def compare_once(folder: Path) -> tuple[int, float, float]:
    """One run: how many steps were timed, rnnprof's median and the script's own, in seconds.

    Raises:
        SystemExit: there is no timing pass.
    """
    path = folder / "run.jsonl"
    command = [
        *(sys.executable, "-m", "rnnprof", "profile", "-B", str(BATCH), "-T", str(TIME_STEPS)),
        *("--env", "BATCH={batch}", "--env", "SEQ={time_steps}", "--no-certify", "--quiet"),
        *("--memory-limit", "96MiB", "-o", str(path), "--", sys.executable, str(SCRIPT)),
    ]
    places = {"CLOCK": str(folder), "SCRIPTS": str(ROOT / "tests" / "scripts")}
    ended = subprocess.run(
        command, env={**os.environ, **places}, capture_output=True, text=True, timeout=300
    )
    timed = [
        each.samples_s
        for each in (load(path).observations if path.exists() else ())
        if isinstance(each, Timing) and each.outcome is Outcome.MEASURED
    ]
    if not timed:
        raise SystemExit(f"no step time: {ended.stderr[-500:]}")
    own_s = same_steps(timed[-1], folder.glob("*.txt"))
    return len(own_s), statistics.median(timed[-1]), statistics.median(own_s)


def same_steps(samples_s: Sequence[float], files: Iterable[Path]) -> list[float]:
    """The script's own seconds of the steps that were timed: those that differ least."""
    found: list[tuple[float, list[float]]] = []
    for path in files:
        own_s = [float(line) for line in path.read_text().splitlines()]
        for start in range(len(own_s) - len(samples_s) + 1):
            window = own_s[start : start + len(samples_s)]
            apart = sum(abs(a - b) for a, b in zip(window, samples_s, strict=True))
            found.append((apart, window))
    return min(found)[1]


def main(argv: Sequence[str] | None = None) -> None:
    """Compare, and print a line a run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, help="everything as JSON")
    given = parser.parse_args(argv)
    rows = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            count, measured_s, own_s = compare_once(Path(folder))
        rows.append({"steps": count, "rnnprof_s": measured_s, "own_s": own_s})
        ratio = measured_s / own_s
        print(f"{count} steps: {measured_s:.6f} s, its own clock {own_s:.6f} s, ratio {ratio:.4f}")
    apart = [abs(row["rnnprof_s"] / row["own_s"] - 1) for row in rows]
    print(f"apart by {statistics.median(apart):.2%} (median), {max(apart):.2%} (most)")
    if given.output:
        given.output.write_text(
            json.dumps({"about": __doc__, **surroundings(), "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
