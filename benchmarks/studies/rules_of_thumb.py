"""Ten rules of thumb on batch size and time steps, held against measurements of this machine.

    python -m benchmarks.studies.rules_of_thumb [--output reports/rules-of-thumb/DEVICE/DATE]
        [--reuse]

Two runs are made: a profile of an LSTM under a memory limit, over batches with their neighbours
and many T, with the edges proven; and a study of the adding problem, with gradient reach, noise
scale and trainings to a target (benchmarks/studies/time_to_target.py makes the same).  Each rule
is then judged from their run files alone: *holds*, *holds under conditions* or *does not hold
here*.  ``--reuse`` judges again what stands in the folder.  Written: a page in English, its summary
in Chinese, and a chart for each rule.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from benchmarks.studies.rules import RULES, Judged, Rule, Seen
from benchmarks.studies.time_to_target import measure as measure_study
from rnnprof.maxbatch.certify import frontier_of
from rnnprof.points.fold import fold_run
from rnnprof.report.charts.kit.style import TITLE_PT, rendered, style
from rnnprof.runfile.journal import load
from rnnprof.runfile.points import Outcome
from rnnprof.runfile.records import Run
from rnnprof.study.trainability import trainability_of
from rnnprof.units import format_bytes, format_rate, format_ratio

BATCH: Final = "8,16,31,32,33,63,64,65,96,100,127,128,129,136,256"
STEPS: Final = "10,20,30,80,160"
PROCESSES: Final = "3"
"""The medians of two processes differ by a tenth and more: a neighbour's difference is less."""

LIMIT: Final = "512MiB"
CELL: Final = ("--cell", "lstm", "--input-size", "128", "--hidden-size", "256")

STUDY_BATCH: Final = "16:512:x2"
STUDY_STEPS: Final = "10,30,100"
TARGET: Final = 0.02
TRAIN_SECONDS: Final = 25.0

TEMPLATES: Final = Path(__file__).with_name("templates")
PAGES: Final = ("README.md", "README.zh-CN.md")
"""By the language: a template each."""


def measure_profile(folder: Path) -> None:
    """Times and peaks over the grid, each time in several processes; then the edges beyond it."""
    common = (
        *CELL,
        "--time-steps",
        STEPS,
        "--memory-limit",
        LIMIT,
        "-o",
        str(folder / "profile.jsonl"),
    )
    for command in (
        [
            *("profile", *common, "--batch", BATCH, "--point-seconds", "0.5"),
            *("--processes", PROCESSES, "--no-report", "--no-certify", "--overwrite"),
        ],
        ["max-batch", *common, "--extend"],
    ):
        subprocess.run([sys.executable, "-m", "rnnprof", *command], check=True)


def measure(folder: Path) -> None:
    """Both runs."""
    measure_profile(folder)
    study = folder / "adding-problem.jsonl"
    measure_study(study, STUDY_BATCH, STUDY_STEPS, TARGET, TRAIN_SECONDS)


def seen_in(folder: Path) -> tuple[Seen, Run]:
    """What stands in the folder."""
    profile, study = (load(folder / name) for name in ("profile.jsonl", "adding-problem.jsonl"))
    points = {p: m for p, m in fold_run(profile).items() if m.outcome is Outcome.MEASURED}
    limit_bytes = profile.header.limit_bytes
    assert limit_bytes is not None, "made under LIMIT"
    return Seen(points, frontier_of(profile), trainability_of(study), limit_bytes), profile


def write(folder: Path) -> list[tuple[Rule, Judged]]:
    """Judge, draw, and tell."""
    seen, profile = seen_in(folder)
    judged = [(rule, rule.judge(seen)) for rule in RULES]
    with style():
        for rule, found in judged:
            figure = Figure(figsize=(6.4, 3.4))
            axes = figure.add_axes((0.13, 0.16, 0.83, 0.70))
            found.draw(axes)
            figure.text(0.02, 0.95, rule.title, fontsize=TITLE_PT - 1, va="top")
            (folder / f"{rule.name}.png").write_bytes(rendered(figure, "png"))
    for name in PAGES:
        (folder / name).write_text(page(name, judged, profile), encoding="utf-8")
    return judged


def page(name: str, judged: Iterable[tuple[Rule, Judged]], run: Run) -> str:
    """A language's page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(
        bytes=format_bytes, rate=format_rate, ratio=format_ratio, spec=format
    )
    told: dict[str, Any] = {
        rule.name: {"title": rule.title, "verdict": found.verdict, "figures": found.figures}
        for rule, found in judged
    }
    return environment.get_template(f"{name}.j2").render(
        judged=told,
        device=run.header.environment.get("device_name"),
        workload=run.header.workload.describe(),
        limit=run.header.limit_bytes,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("rules-of-thumb"), help="a folder")
    parser.add_argument("--reuse", action="store_true", help="judge the runs that stand there")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not arguments.reuse:
        measure(arguments.output)
    for rule, found in write(arguments.output):
        print(f"{found.verdict:24} {rule.title}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
