"""Is the largest batch on a simulated GPU exactly that of a plain training loop?

    python -m benchmarks.performance.plain_loop_truth [--only t4-lstm] [--output truth.json]
        [--quick]

It runs in an environment with torch's CUDA build (tests/cuda/environment.py makes one); no GPU is
needed.  48 rows: LSTM, GRU and tanh RNN 256->512, T=64, Adam, fp32, native and fused, on a
simulated T4 and A100 40GB, under 2 and 8 GiB, with torch's default allocator settings and with
expandable segments.

  answer      ``rnnprof max-batch --simulate`` with its defaults, in its own process.
  at B, B+1   benchmarks/performance/plain_loop.py, a script without rnnprof: it loads the
              simulated GPU's libraries, then torch, and trains 30 steps, each batch in its own
              process.  The table shows the training step that ran out of memory.

A row is equal if the script passes at the answer and runs out of memory at one sequence more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.performance.results import surroundings
from benchmarks.performance.rows import aligned, chosen
from rnnprof.runfile.codec import decode, encode
from rnnprof.simulate.description import GPU_VARIABLE, LIBRARY_VARIABLE, describe
from rnnprof.simulate.library import build
from rnnprof.simulate.torchbuild import SimulationUnavailableError
from rnnprof.units import GIB

SCRIPT: Final = Path(__file__).with_name("plain_loop.py")

INPUT_SIZE: Final = 256
HIDDEN_SIZE: Final = 512
TIME_STEPS: Final = 64
TRAINING_STEPS: Final = 30
DEADLINE_S: Final = 900.0

LIMITS: Final = {"2GiB": 2 * GIB, "8GiB": 8 * GIB}
ALLOCATOR_VARIABLE: Final = "PYTORCH_CUDA_ALLOC_CONF"
ALLOCATORS: Final = {"default": "", "expandable": "expandable_segments:True"}

ANSWER_ALONE: Final = (
    "import rnnprof.maxbatch.neighbours as around; around.COUNT = 0; "
    "from rnnprof.cli.main import main; main()"
)
"""The command without the 50 neighbours that it runs after its answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row's question; *limit* and *allocator* are keys of LIMITS and ALLOCATORS."""

    gpu: str
    cell: str
    impl: str
    limit: str
    allocator: str

    @property
    def name(self) -> str:
        """As ``--only`` takes it."""
        return "-".join((self.gpu, self.cell, self.impl, self.limit, self.allocator))


CASES: Final = tuple(
    Case(*each)
    for each in itertools.product(
        ("t4", "a100-40gb"), ("lstm", "gru", "rnn-tanh"), ("native", "fused"), LIMITS, ALLOCATORS
    )
)
QUICK: Final = ("t4-lstm-native-2GiB-default", "t4-lstm-fused-2GiB-default")


@dataclass(frozen=True, slots=True)
class Ran:
    """A batch in the plain script.

    Attributes:
        error: what ended it; empty where all training steps passed.
        reserved_bytes, allocated_bytes: peaks; None where it did not come so far.
    """

    batch: int
    train_steps_run: int
    error: str
    reserved_bytes: int | None
    allocated_bytes: int | None

    @property
    def fits(self) -> bool:
        """Whether all training steps passed."""
        return not self.error

    @property
    def is_out_of_memory(self) -> bool:
        """Whether it ended by an out-of-memory, in torch's words."""
        return self.error.startswith("OutOfMemoryError")


@dataclass(frozen=True, slots=True)
class Row:
    """An answer, and what the plain script says of it.

    Attributes:
        batch: the answer; None where there is none, and *note* says why.
        peak_bytes: that the proof was charged.
        step_function: the batch that a step function fits as well, where one was found.
    """

    case: Case
    batch: int | None
    peak_bytes: int | None = None
    step_function: int | None = None
    at: Ran | None = None
    above: Ran | None = None
    note: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether the script fits exactly the answer."""
        if self.at is None or self.above is None:
            return False
        return self.at.fits and self.above.is_out_of_memory


def ask(case: Case, folder: Path) -> Row:
    """The product's answer."""
    command = [
        *(sys.executable, "-c", ANSWER_ALONE, "max-batch", "--json", "--quiet"),
        *("--simulate", case.gpu, "--cell", case.cell, "--impl", case.impl),
        *("--memory-limit", case.limit, "--time-steps", str(TIME_STEPS)),
        *("--input-size", str(INPUT_SIZE), "--hidden-size", str(HIDDEN_SIZE)),
        *("-o", str(folder / "run.jsonl"), "--overwrite"),
    ]
    ended = run(command, case)
    try:
        document = json.loads(ended.stdout)
    except ValueError:
        return Row(case, None, note=_last_line(ended))
    (edge,) = document["frontier"]
    if edge["status"] != "certified":
        return Row(case, None, note=f"{edge['status']}: {edge['reason']}")
    more = [each["batch"] for each in document.get("step_function") or () if each["fits"]]
    return Row(case, edge["batch"], edge["fits"]["peak_bytes"], next(iter(more), None))


def train_plainly(case: Case, batches: Sequence[int], libraries: str) -> list[Ran]:
    """The outcome of each batch in the plain script.

    Raises:
        SystemExit: the script failed; its last line.
    """
    wanted = {
        "cell": case.cell,
        "native": case.impl == "native",
        "limit_bytes": LIMITS[case.limit],
        "input_size": INPUT_SIZE,
        "hidden_size": HIDDEN_SIZE,
        "time_steps": TIME_STEPS,
        "training_steps": TRAINING_STEPS,
    }
    # -P: its own folder is not on the path
    command = [sys.executable, "-P", str(SCRIPT), json.dumps(wanted), *map(str, batches)]
    simulated = {GPU_VARIABLE: describe(case.gpu).as_text(), LIBRARY_VARIABLE: libraries}
    ended = run(command, case, simulated)
    if ended.returncode:
        raise SystemExit(f"{case.name}: the plain script failed: {_last_line(ended)}")
    return [decode(Ran, json.loads(line), "ran") for line in ended.stdout.splitlines()]


def run(
    command: Sequence[str], case: Case, simulated: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A process with the case's allocator settings and no other settings of ours."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("RNNPROF_")}
    kept[ALLOCATOR_VARIABLE] = ALLOCATORS[case.allocator]
    return subprocess.run(
        command,
        env={**kept, **(simulated or {})},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def _last_line(ended: subprocess.CompletedProcess[str]) -> str:
    lines = ended.stderr.strip().splitlines() or ["it said nothing"]
    return f"exit code {ended.returncode}: {lines[-1]}"


def compare(case: Case, libraries: str) -> Row:
    """The answer, compared with the plain script."""
    with tempfile.TemporaryDirectory() as folder:
        row = ask(case, Path(folder))
    if row.batch is None:
        return row
    at, above = train_plainly(case, (row.batch, row.batch + 1), libraries)
    return Row(case, row.batch, row.peak_bytes, row.step_function, at, above)


# --- the table -----------------------------------------------------------------------------------

HEADER: Final = (
    "GPU", "cell", "impl", "limit", "allocator", "answer", "at B", "at B+1", "equal", "function",
)  # fmt: skip
LEFT: Final = frozenset({"GPU", "cell", "impl", "allocator", "at B", "at B+1"})


def table(rows: Iterable[Row]) -> str:
    """A line a row."""
    return aligned([HEADER, *map(_cells, rows)], LEFT)


def _cells(row: Row) -> tuple[str, ...]:
    case = row.case
    more = "-" if row.step_function is None else f"{row.step_function} fits"
    return (
        *(case.gpu, case.cell, case.impl, case.limit, case.allocator),
        *("-" if row.batch is None else str(row.batch), _ending(row.at), _ending(row.above)),
        *("yes" if row.is_equal else "NO", more),
    )


def _ending(ran: Ran | None) -> str:
    if ran is None:
        return "-"
    if ran.fits:
        return "fits"
    how = "OOM" if ran.is_out_of_memory else "error"
    return f"{how}, step {ran.train_steps_run + 1}"


def notes(rows: Iterable[Row]) -> Iterator[str]:
    """Why there is no answer, and errors that are no out-of-memory."""
    for row in rows:
        odd = [each.error for each in (row.at, row.above) if each and not each.is_out_of_memory]
        for text in filter(None, [row.note, *odd]):
            yield f"{row.case.name}: {text}"


def report(rows: Sequence[Row]) -> str:
    """The table, what it has no column for, and the count."""
    equal = sum(row.is_equal for row in rows)
    return "\n".join([table(rows), *notes(rows), f"equal in {equal} of {len(rows)}"])


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """Everything that was seen, for a file."""
    return {"about": __doc__, **surroundings(), "rows": encode(tuple(rows))}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="rows with it in their name"
    )
    parser.add_argument("--output", type=Path, help="everything as JSON")
    parser.add_argument("--quick", action="store_true", help="two rows")
    arguments = parser.parse_args(argv)
    cases = chosen(CASES, QUICK, arguments.only, quick=arguments.quick)
    try:
        libraries = os.pathsep.join(str(file) for file in build().files)
    except SimulationUnavailableError as error:
        raise SystemExit(str(error)) from None
    rows = []
    for case in cases:
        rows.append(compare(case, libraries))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        if arguments.output:
            arguments.output.write_text(json.dumps(document(rows)) + "\n")
    print(report(rows))


if __name__ == "__main__":
    main()
