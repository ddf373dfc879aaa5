"""Ten rules of thumb on batch size and time steps, compared with measurements of this machine.

    python -m benchmarks.studies.rules_of_thumb [--output reports/rules-of-thumb/DEVICE/DATE]
        [--reuse]

It makes two runs: a profile of an LSTM under a memory limit, over batches with their neighbours and
many T, with proven largest batches; and a study of the adding problem, with gradient reach, noise
scale and trainings to a target loss (benchmarks/studies/time_to_target.py makes the same).  It then
judges each rule from these run files alone: *holds*, *holds under conditions* or *does not hold
here*.  ``--reuse`` judges the run files that are in the folder, and measures nothing.  The output
is a page in English, the same page in Chinese, and a chart for each rule.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from benchmarks.studies.messages import Catalogue, Value, load_catalogue
from benchmarks.studies.rules import RULES, Judged
from benchmarks.studies.seen import Seen
from benchmarks.studies.time_to_target import measure as measure_study
from rnnprof.maxbatch.certify import frontier_of
from rnnprof.points.fold import fold_run
from rnnprof.report.charts.kit.style import TITLE_PT, rendered, style
from rnnprof.runfile.journal import load
from rnnprof.runfile.points import Outcome
from rnnprof.runfile.records import Run
from rnnprof.study.trainability import trainability_of

BATCH: Final = "8,16,31,32,33,63,64,65,96,100,127,128,129,136,256"
STEPS: Final = "10,20,30,80,160"
PROCESSES: Final = "3"
"""The medians of two processes differ by a tenth or more, neighbouring batches by less."""

LIMIT: Final = "512MiB"
CELL: Final = ("--cell", "lstm", "--input-size", "128", "--hidden-size", "256")

STUDY_BATCH: Final = "16:512:x2"
STUDY_STEPS: Final = "10,30,100"
TARGET: Final = 0.02
TRAIN_SECONDS: Final = 25.0

TEMPLATES: Final = Path(__file__).with_name("templates")
PAGES: Final = {"en": "README.md", "zh-CN": "README.zh-CN.md"}
"""The page of each language; each has a catalogue."""


def measure_profile(folder: Path) -> None:
    """Measure times and peaks over the grid in several processes, then the largest batches."""
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
    """Make both runs."""
    measure_profile(folder)
    study = folder / "adding-problem.jsonl"
    measure_study(study, STUDY_BATCH, STUDY_STEPS, TARGET, TRAIN_SECONDS)


@dataclass(frozen=True, slots=True)
class Runs:
    """The profile and the study of one folder."""

    profile: Run
    study: Run

    def seen(self) -> Seen:
        """What both runs say, for the judges."""
        limit_bytes = self.profile.header.limit_bytes
        assert limit_bytes is not None, "measured under LIMIT"
        folded = fold_run(self.profile)
        points = {p: m for p, m in folded.items() if m.outcome is Outcome.MEASURED}
        study = trainability_of(self.study)
        return Seen(points, frontier_of(self.profile), study, limit_bytes)

    def conditions(self) -> dict[str, Value]:
        """Device, workloads and limit, as the pages name them."""
        header = self.profile.header
        workload, study = header.workload, self.study.header.workload
        return {
            "device": str(header.environment.get("device_name")),
            "limit": header.limit_bytes or 0,
            "cell": (workload.cell or "").upper(), "layers": workload.layers,
            "input_size": workload.input_size, "hidden_size": workload.hidden_size,
            "dtype": workload.dtype, "optimizer": workload.optimizer,
            "study_cell": (study.cell or "").upper(), "study_hidden_size": study.hidden_size,
        }  # fmt: skip


def load_runs(folder: Path) -> Runs:
    """Read the run files of a folder."""
    return Runs(load(folder / "profile.jsonl"), load(folder / "adding-problem.jsonl"))


def write(folder: Path) -> dict[str, Judged]:
    """Judge the runs of a folder, and write a chart for each rule and a page for each language."""
    runs = load_runs(folder)
    seen = runs.seen()
    judged = {name: judge(seen) for name, judge in RULES.items()}
    draw(folder, judged)
    for language, name in PAGES.items():
        (folder / name).write_text(page(language, judged, runs.conditions()), encoding="utf-8")
    return judged


def draw(folder: Path, judged: Mapping[str, Judged]) -> None:
    """A chart for each rule, with its English title."""
    english = load_catalogue("en")
    with style():
        for name, found in judged.items():
            figure = Figure(figsize=(6.4, 3.4))
            axes = figure.add_axes((0.13, 0.16, 0.83, 0.70))
            found.draw(axes)
            title = english.say(f"{name}.title")
            figure.text(0.02, 0.95, title, fontsize=TITLE_PT - 1, va="top")
            (folder / f"{name}.png").write_bytes(rendered(figure, "png"))


@dataclass(frozen=True, slots=True)
class Section:
    """One rule on a page; all but the name is in the page's language."""

    name: str
    title: str
    verdict: str
    sentences: list[str]


def page(language: str, judged: Mapping[str, Judged], conditions: Mapping[str, Value]) -> str:
    """The page in one language."""
    catalogue = load_catalogue(language)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("page.md.j2").render(
        say=catalogue.say,
        conditions=conditions,
        sections=[_section(catalogue, name, found) for name, found in judged.items()],
    )


def _section(catalogue: Catalogue, name: str, found: Judged) -> Section:
    return Section(
        name,
        title=catalogue.say(f"{name}.title"),
        verdict=catalogue.say(f"verdict.{found.verdict}"),
        sentences=[catalogue.text(note) for note in found.notes],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path("rules-of-thumb"), help="folder of runs and pages"
    )
    parser.add_argument("--reuse", action="store_true", help="use the run files in the folder")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not arguments.reuse:
        measure(arguments.output)
    english = load_catalogue("en")
    for name, found in write(arguments.output).items():
        print(f"{english.say(f'verdict.{found.verdict}'):24} {english.say(f'{name}.title')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
