"""Code that benchmarks of batch-size finders share: trials, the truth, and finders' processes."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from rnnprof.outcomes import Evidence, classify
from rnnprof.runfile.codec import encode
from rnnprof.runfile.points import Outcome

ROOT: Final = Path(__file__).parents[2]

LIGHTNING_TRAINER_STEPS: Final = 100  # more than a trial's, which the tuner sets itself
LIGHTNING_DATA: Final = 1 << 20  # indices: the tuner stops at a data set's length
TINY: Final = 2  # sequences and time steps before the baseline, as in the fit pass
AT_MOST: Final = 65536
DEADLINE_S: Final = 120.0
FIRST_TRIAL: Final = "trying"
"""rnnprof's first word on a probe; the peers' processes say it as well."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A batch that was run: whether it fitted, and the training steps that came to their end."""

    batch: int
    fits: bool
    train_steps_run: int


@dataclass(frozen=True, slots=True)
class Truth:
    """The largest batch by brute force.

    Attributes:
        batch: the largest that fits with everything below it that was run, the next not; None
            with a reason.
        fits_above: batches that fit above one that was out of memory.
    """

    batch: int | None
    fits_above: tuple[int, ...] = ()
    reason: str = ""


def truth_of(fits: Mapping[int, bool]) -> Truth:
    """The largest batch that these outcomes by batch show."""
    first = min((batch for batch, passed in fits.items() if not passed), default=None)
    if first is None:
        return Truth(None, reason=f"no batch up to {max(fits, default=0)} was out of memory")
    above = tuple(sorted(batch for batch, passed in fits.items() if passed and batch > first))
    if first > 1 and first - 1 not in fits:
        reason = f"B={first} was out of memory and B={first - 1} was not run"
        return Truth(None, above, reason)
    return Truth(first - 1, above)


def missing_batch(fits: Mapping[int, bool]) -> int | None:
    """The next batch to run; None when the largest batch is known or above the cap."""
    first = min((batch for batch, passed in fits.items() if not passed), default=None)
    if first is None:
        largest = max(fits, default=0)
        return min(2 * largest, AT_MOST) or 1 if largest < AT_MOST else None
    below = max((batch for batch, passed in fits.items() if passed and batch < first), default=0)
    return None if first - below == 1 else (below + first) // 2


@dataclass(frozen=True, slots=True)
class Ended:
    """A finder's process: its output, the end of what it said, and its seconds."""

    exit_code: int
    stdout: str
    last_line: str
    wall_s: float
    search_s: float | None


def run_process(command: Sequence[str], folder: Path) -> Ended:
    """Run *command* in *folder* and mark the moment of its first trial."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("RNNPROF_")}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    began_s, tried_s, last_line = time.monotonic(), None, ""
    with (folder / "stdout").open("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        timer = threading.Timer(DEADLINE_S, process.kill)
        timer.start()
        assert process.stderr is not None
        with process:
            for line in process.stderr:
                if tried_s is None and line.startswith(FIRST_TRIAL):
                    tried_s = time.monotonic()
                last_line = line.strip() or last_line
        timer.cancel()
        ended_s = time.monotonic()
        output.seek(0)
        search_s = None if tried_s is None else ended_s - tried_s
        return Ended(process.returncode, output.read(), last_line, ended_s - began_s, search_s)


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What a peer's process prints: its answer and every batch that it ran."""

    batch: int | None
    trials: tuple[Trial, ...]
    error: str = ""


@dataclass(slots=True)
class Ledger:
    """Keeps what a peer runs; a trial that does not come to its end has failed."""

    trials: list[Trial] = field(default_factory=list)

    def begin(self, batch: int) -> None:
        """A batch is tried."""
        self.trials.append(Trial(batch, fits=False, train_steps_run=0))

    def stepped(self) -> None:
        """A training step has passed."""
        last = self.trials[-1]
        self.trials[-1] = replace(last, train_steps_run=last.train_steps_run + 1)

    def passed(self) -> None:
        """The trial has come to its end."""
        self.trials[-1] = replace(self.trials[-1], fits=True)

    @contextmanager
    def trial(self, batch: int) -> Iterator[None]:
        """From begin to passed."""
        self.begin(batch)
        yield
        self.passed()


Search = Callable[[], int | None]


def in_words(raised: Exception, charged_bytes: int | None, limit_bytes: int) -> str:
    """What ended a peer's search, and whether rnnprof would have taken it for short memory."""
    name, message = type(raised).__name__, str(raised)
    evidence = Evidence(
        error_type=name, message=message, charged_bytes=charged_bytes, limit_bytes=limit_bytes
    )
    first_line = message.strip().partition("\n")[0][:200]
    said = f"raised {name}: {first_line}"
    if classify(evidence).outcome is Outcome.OOM:
        said += " (an OOM that it does not recognise)"
    return said


def print_alone(search: Callable[[], PeerAnswer]) -> NoReturn:
    """Print the answer as the only thing on stdout, and end without tearing torch down."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write(json.dumps(encode(search())))
    answers.flush()
    os._exit(0)
