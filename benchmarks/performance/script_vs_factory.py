"""Does a script take the memory and the time of the same training as a factory?

    python -m benchmarks.performance.script_vs_factory [--output both.json]

tests/scripts/word_lm.py unchanged, and its training as a factory twice: with the script's loop and
all that it holds, and as a step function that one writes for the training alone.  The charged peak
of each after 10 training steps at the same batches and T=35 (``profile``), and the largest batch
under 128 MiB with probes and seconds (``max-batch``).

What the step function leaves out: the text (0.8 MiB) is dropped once it is in columns, and no
validation runs, whose shapes make oneDNN keep more (about 7 MiB), so that its largest batch is
larger than the script's as soon as 10 training steps go past the end of the text.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.performance.finders import ROOT
from benchmarks.performance.results import surroundings
from benchmarks.performance.rows import aligned
from benchmarks.performance.script_cases import CASES, SCRIPTS
from benchmarks.performance.script_truth import last_line, run_group
from rnnprof.runfile.codec import encode
from rnnprof.units import MIB

CASE: Final = next(case for case in CASES if case.name == "word_lm")
FACTORIES: Final = ROOT / "benchmarks" / "performance" / "cases" / "word_lm.py"
BATCHES: Final = (50, 100, 200)

WAYS: Final = {
    "script": tuple(CASE.typed),
    "factory, the same loop": ("--factory", f"{FACTORIES}:make"),
    "factory, a step function": ("--factory", f"{FACTORIES}:make_step"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One way to give the same training.

    Attributes:
        peaks_bytes: charged peaks by batch.
        wall_s: of max-batch.
    """

    way: str
    peaks_bytes: dict[int, int]
    batch: int | None
    probes: int
    wall_s: float


def ask(way: str, command: str, *options: str) -> dict[str, Any]:
    """The document of a command.

    Raises:
        SystemExit: there is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = ("-o", str(Path(folder) / "run.jsonl"))
        words = [
            *(sys.executable, "-m", "rnnprof", command, "--json", "--quiet", *output),
            *("-T", str(CASE.time_steps), "--memory-limit", CASE.limit, *options, *WAYS[way]),
        ]
        ended = run_group(words, SCRIPTS, {})
    try:
        found: dict[str, Any] = json.loads(ended.stdout)
    except ValueError:
        raise SystemExit(f"{way}: {command}: {last_line(ended)}") from None
    return found


def row_of(way: str) -> Row:
    """Peaks and largest batch."""
    grid = ",".join(map(str, BATCHES))
    points = ask(way, "profile", "-B", grid, "--confirm-steps", "10", "--no-certify")["points"]
    began_s = time.monotonic()
    (edge,) = ask(way, "max-batch")["frontier"]
    took_s = time.monotonic() - began_s
    peaks = {each["batch"]: each["charged_bytes"] for each in points}
    return Row(way, peaks, edge["batch"], edge["probes"], took_s)


def table(rows: Sequence[Row]) -> str:
    """A line a way; differences from the script."""
    header = ("way", *(f"peak at {batch}" for batch in BATCHES), "B", "probes", "seconds")
    script = rows[0].peaks_bytes
    lines = [
        (
            row.way,
            *(_against(row.peaks_bytes.get(batch), script.get(batch)) for batch in BATCHES),
            *("-" if row.batch is None else str(row.batch), str(row.probes), f"{row.wall_s:.0f}"),
        )
        for row in rows
    ]
    return aligned([header, *lines], {"way"})


def _against(size_bytes: int | None, base_bytes: int | None) -> str:
    if size_bytes is None or base_bytes is None:
        return "-"
    return f"{size_bytes / MIB:.2f} ({size_bytes / base_bytes - 1:+.2%})"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="everything as JSON")
    arguments = parser.parse_args(argv)
    rows = [row_of(way) for way in WAYS]
    if arguments.output:
        figures = {"about": __doc__, **surroundings(), "rows": encode(tuple(rows))}
        arguments.output.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
