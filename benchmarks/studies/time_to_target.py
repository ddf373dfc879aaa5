"""Does the batch that goodput advises reach the target loss about as fast as any?

    python -m benchmarks.studies.time_to_target [--output FOLDER] [--batch 16:512:x2]
        [--time-steps 10,30,100]
    python -m benchmarks.studies.time_to_target --reuse RUN.jsonl

It trains an LSTM on the adding problem to a target loss on fresh data, with three seeds at each
batch and T and the same learning rate at every batch, and profiles the same grid into the same run
file. The noise scale is taken after 200 training steps.  The table shows for each T the fastest
batch, the batch that goodput advises, the batch that throughput alone advises, and how much longer
than the fastest each of these takes.  A batch has no median if fewer than two of its three seeds
reach the target loss in the given time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rnnprof.report.model import report_of
from rnnprof.runfile.journal import load
from rnnprof.runfile.records import Run
from rnnprof.study.trainability import ToTarget

CELL: Final = ("--cell", "lstm", "--hidden-size", "64")
LIMIT: Final = ("--memory-limit", "4GiB")
NEAR_RATIO: Final = 0.2
"""Advice within this share of the fastest time is good."""


@dataclass(frozen=True, slots=True)
class Row:
    """The result of the advice at one T; None where a time is not known.

    Attributes:
        quickest, advised, fastest: batches: by time to target, by goodput, by throughput.
        advised_over, fastest_over: their times over the fastest one's, less 1.
        noise: the noise scale that the advice is based on.
    """

    time_steps: int
    quickest: int | None
    quickest_s: float | None
    advised: int | None
    advised_over: float | None
    fastest: int | None
    fastest_over: float | None
    noise: float | None


def rnnprof(*arguments: str) -> None:
    """Run the command and show its progress."""
    subprocess.run([sys.executable, "-m", "rnnprof", *arguments], check=True)


def measure(path: Path, batch: str, time_steps: str, target: float, seconds: float) -> Run:
    """The study, then the profile, into one run file."""
    grid = ("--batch", batch, "--time-steps", time_steps, *LIMIT, "-o", str(path))
    rnnprof(
        *("trainability", *CELL, *grid, "--target", str(target), "--train-seconds", str(seconds)),
        *("--learning-rate", "0.003", "--overwrite"),
    )
    rnnprof(
        *("profile", *CELL, "--input-size", "2", *grid, "--point-seconds", "0.5"),
        *("--no-certify", "--no-report", "--extend"),
    )
    return load(path)


def rows_of(run: Run) -> list[Row]:
    """A row for each T."""
    report = report_of(run)
    measurements, found = report.measurements, report.trainability
    goodput = {each.time_steps: each for each in report.advice.goodput}
    rows = []
    for time_steps in sorted({each.point.time_steps for each in found.to_target}):
        at = [each for each in found.to_target if each.point.time_steps == time_steps]
        good = goodput.get(time_steps)
        rates = {
            m.point.batch: m.time_steps_per_s
            for m in measurements.values()
            if m.point.time_steps == time_steps and m.time_steps_per_s
        }
        fastest = max(rates, key=lambda batch: rates[batch] or 0.0, default=None)
        best = min((e for e in at if e.train_s), key=lambda e: e.train_s or 0.0, default=None)
        rows.append(
            Row(
                time_steps,
                best.point.batch if best else None,
                best.train_s if best else None,
                good.batch if good else None,
                _over(at, good.batch if good else None, best),
                fastest,
                _over(at, fastest, best),
                good.noise.scale.sequences if good and good.noise.scale else None,
            )
        )
    return rows


def _over(at: Sequence[ToTarget], batch: int | None, best: ToTarget | None) -> float | None:
    """How much longer a batch takes than the fastest."""
    own = next((each.train_s for each in at if each.point.batch == batch), None)
    if own is None or best is None or not best.train_s:
        return None
    return own / best.train_s - 1


def lines_of(rows: Sequence[Row]) -> list[str]:
    """The lines of the printed table."""
    columns = f"{'by goodput':>11} {'':>8} {'by speed':>9} {'':>8}  noise"
    lines = [f"{'T':>5} {'fastest':>9} {'':>9} {columns}"]
    for row in rows:
        seconds = "-" if row.quickest_s is None else f"{row.quickest_s:.2f} s"
        lines.append(
            f"{row.time_steps:>5} {_batch(row.quickest):>9} {seconds:>9} {_batch(row.advised):>11} "
            f"{_percent(row.advised_over):>8} {_batch(row.fastest):>9} "
            f"{_percent(row.fastest_over):>8}  {'-' if row.noise is None else f'{row.noise:.3g}'}"
        )
    near = [r for r in rows if r.advised_over is not None and r.advised_over <= NEAR_RATIO]
    lines.append(
        f"goodput's batch is within {NEAR_RATIO:.0%} of the fastest at {len(near)} of {len(rows)} T"
    )
    return lines


def _batch(batch: int | None) -> str:
    return "-" if batch is None else f"B={batch}"


def _percent(over: float | None) -> str:
    return "-" if over is None else f"+{over:.0%}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="a folder for the run file and the table")
    parser.add_argument("--batch", default="16:512:x2")
    parser.add_argument("--time-steps", default="10,30,100")
    parser.add_argument("--target", type=float, default=0.02)
    parser.add_argument("--train-seconds", type=float, default=25.0)
    parser.add_argument("--reuse", type=Path, help="use an existing run file of this benchmark")
    arguments = parser.parse_args()
    folder = arguments.output or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    run = load(arguments.reuse) if arguments.reuse else measure(
        folder / "adding-problem.jsonl", arguments.batch, arguments.time_steps, arguments.target,
        arguments.train_seconds,
    )  # fmt: skip
    rows = rows_of(run)
    lines = lines_of(rows)
    print("\n".join(lines))
    (folder / "time_to_target.txt").write_text("\n".join(lines) + "\n")
    document = {"about": __doc__, "rows": [asdict(row) for row in rows]}
    (folder / "time_to_target.json").write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
