"""Is the largest batch right where training steps differ or do not use their batch?

    python -m benchmarks.performance.unsteady_steps [--only NAME] [--folder FOLDER]
        [--truth-steps 60]
        [--deadline-s 180] [--output unsteady_steps.json]

It runs ``rnnprof max-batch --json`` on the twelve cases of ``benchmarks/performance/cases``, or on
those of --folder, and brute force where the answer is certified: two fresh workers run
--truth-steps training steps without a search, at the batch and one granularity above, under the
same limit and with another seed.  If one of them does not end as certified, another runs 5% away,
to distinguish a different heap layout from a wrong answer.

The table has a line for each case: the answer at each T, the batch that was requested of the cited
fit pass and the one that its recurrent layers saw, the status and the right status, the cost of the
search, brute force, and the sentence of the status.  Only the status is judged right or wrong: a
certificate is valid for its horizon, and brute force runs longer on purpose.

A folder of cases has one folder for each case: Python files with functions named ``make...``, and a
README whose last line holds options (``--time-steps 24 --memory-limit 48MiB --factory-arg hidden=48
size=8``; ``[...]`` is ignored, ``LOG=file`` sets a variable).  A case without such a function is
listed as no factory.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from benchmarks.performance.rows import aligned
from rnnprof.engine.identity import guard_bytes
from rnnprof.engine.supervisor import Supervisor
from rnnprof.errors import RnnprofError
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.journal import load
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run

CASES: Final = Path(__file__).parent / "cases"
STEPS: Final = "16"
LIMIT: Final = "48MiB"
README_STEPS: Final = "24"
"""For a case of a folder that names none; so is the limit."""

DEADLINE_S: Final = 180.0
"""Three times what an answer may take, because a machine can be busy.  After that, the row says how
many batches were tried."""

TRUTH_DEADLINE_S: Final = 120.0
TRUTH_STEPS: Final = 60
TRUTH_SEED: Final = 1
"""Not the search's seed, so that no answer depends on the data that it drew."""

NEAR_RATIO: Final = 0.05
"""The largest batches of equal commands differ by less than this, because heaps differ."""


@dataclass(frozen=True, slots=True)
class Case:
    """The inputs of ``max-batch``.

    Attributes:
        folder: in which the command runs.
        factory: ``file.py:function``; None where there is none.
        args: factory arguments, as ``name=value``.
        right: the statuses that are right; empty where nobody has said.
        why: the reason for them, in one line.
    """

    name: str
    folder: Path
    factory: str | None
    time_steps: str = STEPS
    limit: str = LIMIT
    args: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    why: str = ""


def _own(factory: str, right: str, why: str) -> Case:
    file, _, function = factory.partition(":")
    return Case(function, CASES, f"{file}.py:{function}", right=tuple(right.split()), why=why)


OWN: Final = (
    _own("leaks:keeps_graphs", "not_stationary", "one more graph is live after each step"),
    _own("leaks:carries_summary", "not_stationary", "backward needs all graphs since the start"),
    _own("plateaus:caches_shapes", "certified", "four masks, all allocated by step 4"),
    _own("plateaus:replays", "certified", "eight batches, all kept by step 8"),
    _own("jumps:evaluates", "certified", "the peak of step 6 is within the proof"),
    _own("jumps:distills", "certified", "for the steps of the proof: step 15 is not known"),
    _own("lengths:uniform", "certified", "the sum of many lengths is close to its mean"),
    _own(
        "lengths:rarely_long",
        "certified non_monotone",
        "a proof may draw no long batch; a contradiction between two draws is right too",
    ),
    _own("lengths:curriculum", "certified", "steps have their full length from step 8 on"),
    _own("fixed_batches:slices_small_data", "batch_not_used", "above 300 a step sees 300"),
    _own("fixed_batches:loads_constant", "batch_not_used", "a step sees 24 whatever is requested"),
    _own("fixed_batches:one_series", "batch_not_used", "a step sees one series, T steps of it"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one T of a case.

    Attributes:
        requested, seen: batch of the fit pass cited, and in its last step; None for unknown.
        truth: training steps that passed by brute force, and what ended them, by batch.
        seconds: of the whole command, for its first T.
    """

    case: Case
    status: str
    time_steps: int | None = None
    batch: int | None = None
    requested: int | None = None
    seen: int | None = None
    horizon: int | None = None
    granularity: int = 1
    probes: int | None = None
    ooms: int | None = None
    wall_s: float | None = None
    truth: dict[int, str] = field(default_factory=dict)
    sentence: str = ""

    @property
    def is_right(self) -> bool | None:
        """Whether the status is right; None where the right one is not known."""
        return self.status in self.case.right if self.case.right else None


# --- cases of a folder ---------------------------------------------------------------------------


def cases_in(folder: Path) -> Iterator[Case]:
    """Each folder's factories; one case without a factory where it has none."""
    for home in sorted(path for path in folder.iterdir() if (path / "README").is_file()):
        options = options_of((home / "README").read_text(encoding="utf-8"))
        factories: list[str | None] = [*factories_in(home)]
        for factory in factories or [None]:
            name = home.name if len(factories) < 2 else f"{home.name} {factory}"
            yield Case(name, home, factory, **options)


def factories_in(home: Path, beginning: str = "make") -> Iterator[str]:
    """``file.py:function`` of every top-level function whose name begins so."""
    for path in sorted([*home.rglob("*.py"), *home.rglob("*.ipynb")]):
        for name in _functions(path):
            if name.startswith(beginning):
                yield f"{path.relative_to(home)}:{name}"


def _functions(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        yield from re.findall(r'"def (\w+)\(', text)
        return
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (each.asname or each.name for each in node.names)


def options_of(readme: str) -> dict[str, Any]:
    """Keyword arguments of :class:`Case` from a README's last line."""
    *_, last = ["", *readme.strip().splitlines()]
    line = re.sub(r"\[.*?\]", "", last)
    time_steps = re.search(r"--time-steps ([\d,]+)", line)
    limit = re.search(r"--memory-limit (\w+)", line)
    args = re.search(r"--factory-arg((?: +\w+=\S+)+)", line)
    return {
        "time_steps": time_steps[1].rstrip(",") if time_steps else README_STEPS,
        "limit": limit[1] if limit else LIMIT,
        "args": tuple(a for a in args[1].split() if not a.endswith("...")) if args else (),
        "variables": tuple(re.findall(r"\b([A-Z_]+)=file\b", line)),
    }


# --- rnnprof's answer ----------------------------------------------------------------------------


def answer(case: Case, truth_steps: int, deadline_s: float = DEADLINE_S) -> list[Row]:
    """A row for each T, or one where the command had no answer."""
    if case.factory is None:
        return [Row(case, "not a factory")]
    with tempfile.TemporaryDirectory() as name:
        run_file, began_s = Path(name) / "run.jsonl", time.monotonic()
        try:
            ended = subprocess.run(
                command_of(case, run_file), cwd=case.folder, env=environment_of(case, Path(name)),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=deadline_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return [_no_end(case, fits_of(run_of(run_file)), deadline_s)]
        wall_s, run = time.monotonic() - began_s, run_of(run_file)
        try:
            edges = json.loads(ended.stdout)["frontier"]
        except ValueError:
            said = ended.stderr.strip().splitlines() or [""]
            return [Row(case, f"exit {ended.returncode}", wall_s=wall_s, sentence=said[-1])]
        rows = [row_of(case, edge, fits_of(run)) for edge in edges]
        rows[0] = replace(rows[0], wall_s=wall_s)
        return [with_truth(row, run, truth_steps) for row in rows]


def _no_end(case: Case, fits: Sequence[Fit], deadline_s: float) -> Row:
    """What was tried before the command was stopped."""
    ooms = [fit for fit in fits if fit.outcome is Outcome.OOM]
    tried = ", ".join(f"{fit.batch} {fit.outcome.value}" for fit in fits[-3:])
    sentence = f"the last batches tried: {tried}" if fits else "no batch was tried"
    return Row(
        case, "no end", probes=len(fits), ooms=len(ooms), wall_s=deadline_s, sentence=sentence
    )


def command_of(case: Case, run_file: Path) -> list[str]:
    """The command as a user would type it."""
    words = [word for each in case.args for word in ("--factory-arg", each)]
    return [
        *(sys.executable, "-m", "rnnprof", "max-batch", "--json", "-q", "--device", "cpu"),
        *("--factory", str(case.factory), *words, "--time-steps", case.time_steps),
        *("--memory-limit", case.limit, "-o", str(run_file)),
    ]


def environment_of(case: Case, folder: Path) -> dict[str, str]:
    """This process's environment without settings of rnnprof; nothing is written into the case."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("RNNPROF_")}
    if path := kept.get("PYTHONPATH"):
        kept["PYTHONPATH"] = os.pathsep.join(str(Path(p).resolve()) for p in path.split(os.pathsep))
    files = {name: str(folder / name) for name in case.variables}
    return {**kept, **files, "RNNPROF_NO_REPORT": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def run_of(run_file: Path) -> Run | None:
    """The run file, where one was written."""
    try:
        return load(run_file)
    except RnnprofError:
        return None


def fits_of(run: Run | None) -> list[Fit]:
    """Its fit passes."""
    return [each for each in run.observations if isinstance(each, Fit)] if run else []


def row_of(case: Case, edge: Mapping[str, Any], fits: Iterable[Fit]) -> Row:
    """The row of a certificate; fields that an older or newer rnnprof lacks are unknown."""
    time_steps = edge.get("time_steps", edge.get("steps"))
    cited = _cited(edge, [fit for fit in fits if fit.time_steps == time_steps])
    return Row(
        case,
        edge["status"],
        time_steps=time_steps,
        batch=edge.get("batch"),
        requested=cited.batch if cited else None,
        seen=cited.seen[-1].batch if cited and cited.seen else None,
        horizon=edge.get("horizon"),
        granularity=edge.get("granularity", 1),
        probes=edge.get("probes"),
        ooms=edge.get("ooms"),
        sentence=edge.get("reason") or "",
    )


def _cited(edge: Mapping[str, Any], fits: Iterable[Fit]) -> Fit | None:
    """The pass that proves the answer; without an answer the largest that fitted."""
    proof = (edge.get("fits") or {}).get("attempt")
    fitted = [fit for fit in fits if fit.outcome is Outcome.MEASURED]
    proofs = [fit for fit in fitted if fit.attempt == proof]
    return max(proofs or fitted, key=lambda fit: fit.batch, default=None)


# --- brute force ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a fresh worker: training steps that passed, and what ended them early."""

    passed: int
    ended_by: str | None

    def __str__(self) -> str:
        ending = f"{self.ended_by} in step {self.passed + 1}"
        return f"{self.passed} pass" if self.ended_by is None else ending


def with_truth(row: Row, run: Run | None, count: int) -> Row:
    """The row with brute force added, if a batch is certified."""
    if row.status != "certified" or run is None:
        return row
    with (
        tempfile.TemporaryDirectory() as name,
        patch.dict(os.environ, environment_of(row.case, Path(name))),
        Supervisor(folder=row.case.folder) as supervisor,
    ):
        return replace(row, truth=truth_of(row, partial(_trial, supervisor, row, run, count)))


def truth_of(row: Row, try_batch: Callable[[int], Trial]) -> dict[int, str]:
    """Trials at the batch and above it, and 5% away if they do not end as certified."""
    assert row.batch is not None
    batch, above = row.batch, row.batch + row.granularity
    trials = {each: try_batch(each) for each in (batch, above)}
    if trials[batch].ended_by is not None:
        below = max(1, math.floor(batch * (1 - NEAR_RATIO)))
        trials.setdefault(below, try_batch(below))
    if trials[above].ended_by is None:
        beyond = math.ceil(above * (1 + NEAR_RATIO))
        trials[beyond] = try_batch(beyond)
    return {each: str(trials[each]) for each in sorted(trials)}


def _trial(supervisor: Supervisor, row: Row, run: Run, count: int, batch: int) -> Trial:
    assert row.time_steps is not None
    task = Task(
        do="fit",
        workload=run.header.workload,
        point=Point(batch, row.time_steps),
        seed=TRUTH_SEED,
        factory_path=str(row.case.factory),
        limit_bytes=run.header.limit_bytes,
        guard_bytes=guard_bytes(),
        confirm_steps=count,
    )
    found = supervisor.ask(task, TRUTH_DEADLINE_S)
    passed = int(found.findings.get("train_steps_run", 0))  # type: ignore[call-overload]
    return Trial(passed, None if found.evidence is None else classify(found.evidence).outcome.value)


# --- table ---------------------------------------------------------------------------------------

HEADER: Final = (
    "case", "T", "answer", "requested", "seen", "status", "right", "horizon", "probes", "ooms",
    "seconds", "brute force", "sentence",
)  # fmt: skip
LEFT: Final = ("case", "status", "right", "brute force", "sentence")
SENTENCE_LENGTH: Final = 160


def table(rows: Iterable[Row]) -> str:
    """The rows as aligned text."""
    return aligned([HEADER, *map(_cells, rows)], LEFT)


def _cells(row: Row) -> tuple[str, ...]:
    counts = (row.horizon, row.probes, row.ooms)
    return (
        row.case.name,
        *map(_text, (row.time_steps, row.batch, row.requested, row.seen)),
        row.status,
        {None: "-", True: "yes", False: f"no: {' or '.join(row.case.right)}"}[row.is_right],
        *map(_text, counts),
        "-" if row.wall_s is None else f"{row.wall_s:.1f}",
        "; ".join(f"B={batch} {ending}" for batch, ending in row.truth.items()) or "-",
        row.sentence[:SENTENCE_LENGTH],
    )


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)


def summary(rows: Iterable[Row]) -> str:
    """How many statuses are right, among those whose right one is known."""
    judged = [row.is_right for row in rows if row.is_right is not None]
    return f"{sum(judged)} of {len(judged)} statuses are right" if judged else ""


def figures(row: Row) -> dict[str, Any]:
    """The row for JSON; the folder is the reader's own."""
    case = {key: value for key, value in asdict(row.case).items() if key != "folder"}
    return {**asdict(row), "case": case, "is_right": row.is_right}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="a case, by its beginning")
    parser.add_argument("--folder", type=Path, help="of cases, instead of the twelve")
    parser.add_argument("--truth-steps", type=int, default=TRUTH_STEPS, metavar="N")
    parser.add_argument("--deadline-s", type=float, default=DEADLINE_S, metavar="S")
    parser.add_argument("--output", type=Path, help="everything as JSON")
    arguments = parser.parse_args(argv)
    cases = list(cases_in(arguments.folder.resolve())) if arguments.folder else OWN
    if arguments.only:
        cases = [case for case in cases if case.name.startswith(tuple(arguments.only))]
    rows: list[Row] = []
    for case in cases:
        print(f"{case.name} ...", file=sys.stderr, flush=True)
        rows += answer(case, arguments.truth_steps, arguments.deadline_s)
        if arguments.output:
            text = json.dumps([figures(row) for row in rows], indent=1)
            arguments.output.write_text(text + "\n", encoding="utf-8")
    print("\n".join(filter(None, [table(rows), summary(rows)])))


if __name__ == "__main__":
    main()
