"""The scripts of tests/scripts, what is typed for each, and what a person edits in its place.

``--set`` changes a script in memory.  The plain process cannot, so the files are copied, and the
same constants edited in the copy.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.performance.finders import ROOT
from rnnprof.placeholders import filled
from rnnprof.units import MIB

SCRIPTS: Final = ROOT / "tests" / "scripts"


@dataclass(frozen=True, slots=True)
class Edit:
    """A constant of a file, and the same line with placeholders."""

    file: str
    line: str
    edited: str


@dataclass(frozen=True, slots=True)
class Case:
    """A script and the question.

    Attributes:
        name: as ``--only`` takes it.
        target: a file in the folder, or a module.
        words: its own, with placeholders.
        assigned: what ``--set`` takes.
        edits: the same for a person.
        events_per_step: steps of optimizers, or backward passes, in one training step.
        counts: ``optimizer`` or ``backward``.
        timed_batch: at which its own loop is timed.
        needs: a package that it imports.
    """

    name: str
    target: str
    time_steps: int
    limit_mib: int
    words: tuple[str, ...] = ()
    assigned: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    events_per_step: int = 1
    counts: str = "optimizer"
    timed_batch: int = 64
    needs: str = "torch"

    @property
    def is_module(self) -> bool:
        """Whether it is run as ``python -m target``."""
        return not self.target.endswith(".py")

    @property
    def limit_bytes(self) -> int:
        """The limit above the baseline."""
        return self.limit_mib * MIB

    @property
    def limit(self) -> str:
        """As ``--memory-limit`` takes it."""
        return f"{self.limit_mib}MiB"

    @property
    def can_run(self) -> bool:
        """Whether its package is here."""
        return find_spec(self.needs) is not None

    @property
    def typed(self) -> list[str]:
        """The end of rnnprof's command line."""
        given = [word for each in self.assigned for word in ("--set", each)]
        target = ["-m", self.target] if self.is_module else [self.target]
        return [*given, "--", sys.executable, *target, *self.words]

    def words_at(self, batch: int) -> list[str]:
        """Its own words at a batch."""
        return [filled(word, batch, self.time_steps) for word in self.words]

    def copy_to(self, folder: Path, batch: int) -> None:
        """The scripts as a person would have them at this batch.

        Raises:
            SystemExit: a line to edit is not there.
        """
        shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
        for each in self.edits:
            path = folder / each.file
            before = path.read_text(encoding="utf-8")
            if before.count(each.line + "\n") != 1:
                raise SystemExit(f"{self.name}: {each.file} has no line {each.line!r}")
            new = filled(each.edited, batch, self.time_steps)
            path.write_text(before.replace(each.line, new), encoding="utf-8")


CASES: Final = (
    Case(
        "constants", "constants.py", 30, 96,
        assigned=("SEQ={time_steps}", "BATCH={batch}"),
        edits=(Edit("constants.py", "SEQ, BATCH = 30, 32", "SEQ, BATCH = {time_steps}, {batch}"),),
    ),
    Case(
        "word_lm", "word_lm.py", 35, 128, ("--batch-size", "{batch}", "--bptt", "{time_steps}"),
        counts="backward",
    ),
    Case("click_tagger", "click_tagger.py", 25, 96, ("-b", "{batch}", "--length", "{time_steps}")),
    Case(
        "overrides", "overrides.py", 20, 96,
        ("train.batch_size={batch}", "data.length={time_steps}"),
    ),
    Case(
        "charlm", "charlm.train", 40, 96,
        assigned=("charlm.config.BATCH_SIZE={batch}", "charlm.config.SEQ_LEN={time_steps}"),
        edits=(
            Edit("charlm/config.py", "BATCH_SIZE = 24", "BATCH_SIZE = {batch}"),
            Edit("charlm/config.py", "SEQ_LEN = 40", "SEQ_LEN = {time_steps}"),
        ),
    ),
    Case(
        "mixed_precision", "mixed_precision.py", 30, 96,
        ("--micro-batch", "{batch}", "--length", "{time_steps}"),
    ),
    Case(
        "packed", "packed.py", 40, 96,
        ("--epochs", "40", "--batch-size", "{batch}", "--longest", "{time_steps}"),
    ),
    Case(
        "spawned", "spawned.py", 50, 96,
        ("--epochs", "40", "--batch-size", "{batch}", "--length", "{time_steps}"),
    ),
    Case(
        "gan", "gan.py", 24, 96, ("--batch-size", "{batch}", "--length", "{time_steps}"),
        events_per_step=3,
    ),
    Case(
        "lightning", "lightning_trainer.py", 40, 512,
        ("--epochs", "40", "--batch-size", "{batch}", "--length", "{time_steps}"),
        needs="lightning",
    ),
    Case(
        "transformers", "hf_trainer.py", 32, 768,
        ("--per_device_train_batch_size", "{batch}", "--length", "{time_steps}"),
        needs="transformers",
    ),
    Case(
        "accelerate", "accelerate_loop.py", 36, 512,
        ("--epochs", "40", "--batch-size", "{batch}", "--length", "{time_steps}"),
        needs="accelerate",
    ),
)  # fmt: skip
QUICK: Final = ("constants", "word_lm")
