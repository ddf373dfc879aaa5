"""Batch-size finders of rnnprof, accelerate and Lightning on one simulated GPU, and a plain loop.

    python -m benchmarks.performance.simulated_peers [--only lstm-native] [--output peers.json]
        [--quick]
    python -m benchmarks.performance.simulated_peers --reuse reports/simulated/peers.json >
        peers.txt

It runs in an environment with torch's CUDA build (tests/cuda/environment.py makes one), accelerate
and lightning, so it is not in the catalogue; no GPU is needed.  ``--reuse`` prints a kept run.  The
GPU is rnnprof's simulated T4: torch's own allocator, autograd and optimizer run, but no kernel, and
values are zeros, so only memory is compared.  The sizes of cuDNN's buffers (fused) come from a
formula.  Twelve rows: LSTM and GRU 256->512, T=64, Adam, fp32, native and fused, under 2 GiB, 8 GiB
(the allocator's fraction) and the whole simulated GPU.

  plain loop   the truth: the loop that most people write, for 30 training steps, each batch in a
               fresh process, forked from one that has torch and has made no CUDA call.  Bisection
               gives the largest batch that passes while the next does not; the 10 batches below it
               and the 10 above it then show whether the outcomes are monotone.
  rnnprof      the command ``rnnprof max-batch --simulate t4 --json`` with its defaults; *advised*
               is the largest safe batch, which leaves the headroom.
  accelerate   ``find_executable_batch_size(starting_batch_size=8192)`` around 10 training steps of
               the plain loop.
  lightning    ``Tuner.scale_batch_size`` (its BatchSizeFinder) on a small module with the same
               model, both modes, from 2, 10 training steps in each trial, at most 25 trials;
               otherwise its defaults: at most 8192, and binsearch subtracts 5% from its answer.

*holds* is whether the answer passes 30 training steps of the plain loop in a fresh process.
*probes* and *OOMs* count the finder's own trials, without rnnprof's scan of the answer's
neighbours. *wall* is the time of the whole process, in seconds.  *search* is, for the peers, the
time from the first trial to the end of the process; for rnnprof, the time of its probes in the run
file; for the plain loop, the time of the bisection.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import statistics
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from benchmarks.performance.finders import (
    Ended,
    PeerAnswer,
    Trial,
    print_alone,
    run_process,
)
from benchmarks.performance.results import surroundings
from benchmarks.performance.rows import aligned, chosen
from benchmarks.performance.simulated_loop import (
    AROUND,
    CASES,
    HIDDEN_SIZE,
    INPUT_SIZE,
    MODEL,
    PEERS,
    STEPS,
    WORDS,
    Case,
    Edge,
    PlainLoop,
    PlainTrial,
    serve_peer,
)
from rnnprof.runfile.codec import decode, encode
from rnnprof.runfile.journal import load as load_run
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Role
from rnnprof.simulate.description import describe
from rnnprof.simulate.library import build, load
from rnnprof.simulate.torchbuild import SimulationUnavailableError

QUICK: Final = ("lstm-native-2GiB", "lstm-fused-2GiB")


WIDTH: Final = 100


# --- records -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finder has answered.

    Attributes:
        batch: None where there is none, and *note* says why.
        trials: in order; empty for what rests on another's trials.
        neighbours: what rnnprof ran beside its answer, after the search.
        wall_s, search_s: None where nothing was run.
    """

    who: str
    batch: int | None
    trials: tuple[Trial, ...] = ()
    neighbours: tuple[Trial, ...] = ()
    wall_s: float | None = None
    search_s: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        error_ratio: the answer above the truth, as a share of it; negative below.
        holds: whether the answer passes in the plain loop; None without an answer.
    """

    who: str
    batch: int | None
    error_ratio: float | None
    holds: bool | None
    probes: int | None
    ooms: int | None
    wall_s: float | None
    search_s: float | None
    note: str


# --- rnnprof -------------------------------------------------------------------------------------


def ask_rnnprof(case: Case) -> list[Answer]:
    """``rnnprof max-batch --simulate``: its largest batch, and the one that it advises."""
    with tempfile.TemporaryDirectory() as name:
        run_file = Path(name) / "run.jsonl"
        ended = run_process(rnnprof_command(case, run_file), Path(name))
        try:
            told = json.loads(ended.stdout)
            fits = [each for each in load_run(run_file).observations if isinstance(each, Fit)]
        except ValueError:
            return [unanswered("rnnprof", ended)]
    return [rnnprof_answer(told, fits, ended.wall_s), *rnnprof_advice(told)]


def rnnprof_command(case: Case, run_file: Path) -> list[str]:
    """The command as a user would type it."""
    limit = [] if case.limit_bytes is None else ["--memory-limit", case.limit]
    return [
        *(sys.executable, "-m", "rnnprof", "max-batch", "--json", "--simulate", MODEL, *limit),
        *("--cell", case.cell, "--impl", case.impl, "--time-steps", str(STEPS)),
        *("--input-size", str(INPUT_SIZE), "--hidden-size", str(HIDDEN_SIZE)),
        *("-o", str(run_file)),
    ]


def rnnprof_answer(told: Mapping[str, Any], fits: Sequence[Fit], wall_s: float) -> Answer:
    """The certificate, with the probes that led to it."""
    (certificate,) = told["frontier"]
    probes = [fit for fit in fits if fit.role is not Role.NEIGHBOUR]
    is_certified = certificate["status"] == "certified"
    return Answer(
        "rnnprof",
        certificate.get("batch"),
        trials=tuple(map(trial_of, probes)),
        neighbours=tuple(trial_of(fit) for fit in fits if fit.role is Role.NEIGHBOUR),
        wall_s=wall_s,
        search_s=sum(fit.wall_s for fit in probes),
        note="" if is_certified else f"{certificate['status']}: {certificate['reason']}",
    )


def rnnprof_advice(told: Mapping[str, Any]) -> list[Answer]:
    """The largest safe batch, where there is one."""
    advice = told["advice"]["largest_safe"]
    return [Answer("rnnprof, advised", each["batch"]) for each in advice]


def trial_of(fit: Fit) -> Trial:
    """A fit pass of the run file."""
    return Trial(fit.batch, fit.outcome is Outcome.MEASURED, fit.train_steps_run)


# --- the peers -----------------------------------------------------------------------------------


def ask_peer(who: str, case: Case) -> Answer:
    """A peer's search in a fresh interpreter."""
    package = PEERS[who].package
    if importlib.util.find_spec(package) is None:
        return Answer(who, None, note=f"not importable: no module named {package!r}")
    with tempfile.TemporaryDirectory() as name:
        told = json.dumps(encode(case))
        command = [
            sys.executable,
            "-m",
            "benchmarks.performance.simulated_peers",
            "--peer",
            who,
            told,
        ]
        ended = run_process(command, Path(name))
    try:
        found = decode(PeerAnswer, json.loads(ended.stdout), "answer")
    except ValueError:
        return unanswered(who, ended)
    return Answer(
        who, found.batch, found.trials, wall_s=ended.wall_s, search_s=ended.search_s,
        note=found.error,
    )  # fmt: skip


def unanswered(who: str, ended: Ended) -> Answer:
    """A process that printed no answer."""
    note = f"no answer, exit code {ended.exit_code}: {ended.last_line[:WORDS]}"
    return Answer(who, None, wall_s=ended.wall_s, search_s=ended.search_s, note=note)


def answer_as_peer(who: str, told: str) -> NoReturn:
    """A peer's process: its answer, then the end."""
    case = decode(Case, json.loads(told), "case")
    simulate()
    print_alone(lambda: serve_peer(who, case))


# --- the comparison ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """All finders on one row.

    Attributes:
        trials: of the plain loop, by batch: the bisection, the neighbours and the answers.
    """

    case: Case
    edge: Edge
    answers: tuple[Answer, ...]
    trials: tuple[PlainTrial, ...]

    def rows(self) -> list[Row]:
        """The truth, then each finder's line."""
        return [self._truth_row(), *map(self._row, self.answers)]

    def _truth_row(self) -> Row:
        edge = self.edge
        note = f"not monotone: B={', '.join(map(str, edge.strays))}" if edge.strays else ""
        return Row(
            "plain loop", edge.batch, 0.0, True, edge.probes, edge.ooms, None, edge.search_s, note
        )

    def _row(self, answer: Answer) -> Row:
        held = next((trial for trial in self.trials if trial.batch == answer.batch), None)
        trials = answer.trials if answer.wall_s is not None else None
        return Row(
            who=answer.who,
            batch=answer.batch,
            error_ratio=answer.batch / self.edge.batch - 1 if answer.batch else None,
            holds=None if held is None else held.fits,
            probes=None if trials is None else len(trials),
            ooms=None if trials is None else sum(not trial.fits for trial in trials),
            wall_s=answer.wall_s,
            search_s=answer.search_s,
            note="; ".join(filter(None, [answer.note, *self._remarks(answer, held)])),
        )

    def _remarks(self, answer: Answer, held: PlainTrial | None) -> Iterator[str]:
        if answer.trials and answer.batch not in {t.batch for t in answer.trials if t.fits}:
            yield f"B={answer.batch} was never run"
        yield _end_of(held)
        yield self._early(answer)

    def _early(self, answer: Answer) -> str:
        """Its trials that failed at or below the truth: a fresh process has room for them."""
        early = [t.batch for t in answer.trials if not t.fits and t.batch <= self.edge.batch]
        return f"failed in its own trials: B={', '.join(map(str, early))}" if early else ""


def _end_of(held: PlainTrial | None) -> str:
    """How an answer that does not hold ends; an OOM in torch's usual words needs only the step."""
    if held is None or held.fits:
        return ""
    usual = held.error.startswith("OutOfMemoryError")
    how = "out of memory" if usual else held.error
    return f"plain loop: {how} at training step {held.train_steps_run + 1}"


def compare(case: Case) -> Comparison:
    """The truth, each finder's answer, and whether that holds."""
    loop = PlainLoop(case)
    edge = loop.edge()
    answers = [*ask_rnnprof(case), *(ask_peer(who, case) for who in PEERS)]
    for answer in answers:
        if answer.batch:
            loop.run(answer.batch)
    trials = tuple(loop.trials[batch] for batch in sorted(loop.trials))
    return Comparison(case, edge, tuple(answers), trials)


# --- the table -----------------------------------------------------------------------------------

HEADER: Final = (
    "cell", "impl", "limit", "who", "batch", "vs truth", "holds", "probes", "OOMs", "wall", "search"
)  # fmt: skip
LEFT: Final = frozenset({"cell", "impl", "who"})


def table(comparisons: Iterable[Comparison]) -> str:
    """A line for each finder of each row."""
    lines = [_cells(found.case, row) for found in comparisons for row in found.rows()]
    return aligned([HEADER, *lines], LEFT)


def _cells(case: Case, row: Row) -> tuple[str, ...]:
    is_truth = row.who == "plain loop"
    return (
        *(case.cell, case.impl, case.limit, row.who, _text(row.batch)),
        "truth" if is_truth else _percent(row.error_ratio),
        "-" if row.holds is None else "yes" if row.holds else "no",
        *(_text(row.probes), _text(row.ooms), _seconds(row.wall_s), _seconds(row.search_s)),
    )


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:+.1f}%"


def _seconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s:.1f}"


def notes(comparisons: Iterable[Comparison]) -> Iterator[str]:
    """What the table has no column for."""
    for found in comparisons:
        for row in found.rows():
            if row.note:
                yield textwrap.fill(
                    f"{found.case.name}, {row.who}: {row.note}", WIDTH, subsequent_indent="  "
                )


SUMMARY_HEADER: Final = (
    "finder", "hold", "lowest", "highest", "probes", "OOMs", "wall", "search",
)  # fmt: skip


def summary(comparisons: Iterable[Comparison]) -> str:
    """A line for each finder over all rows: the range of its answers, medians of the rest."""
    by_who: dict[str, list[Row]] = {}
    for found in comparisons:
        for row in found.rows()[1:]:
            by_who.setdefault(row.who, []).append(row)
    lines = [_summary_cells(who, rows) for who, rows in by_who.items()]
    return aligned([SUMMARY_HEADER, *lines], {"finder"})


def _summary_cells(who: str, rows: Sequence[Row]) -> tuple[str, ...]:
    errors = [row.error_ratio for row in rows if row.error_ratio is not None]
    return (
        *(who, f"{sum(row.holds is True for row in rows)} of {len(rows)}"),
        *(_percent(min(errors, default=None)), _percent(max(errors, default=None))),
        *(_median(row.probes for row in rows), _median(row.ooms for row in rows)),
        *(_median(row.wall_s for row in rows), _median(row.search_s for row in rows)),
    )


def _median(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.1f}" if known else "-"


def monotone(comparisons: Sequence[Comparison]) -> str:
    """In how many rows the neighbours of the truth are monotone."""
    rows = sum(not found.edge.strays for found in comparisons)
    return (
        f"Plain loop: the outcomes of the {2 * AROUND} neighbours of the truth are monotone in "
        f"{rows} of {len(comparisons)} rows."
    )


# --- the campaign --------------------------------------------------------------------------------


def document(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Everything that was seen, for a file."""
    versions = {}
    for package in ("torch", "rnnprof", "accelerate", "lightning"):
        is_there = importlib.util.find_spec(package) is not None
        versions[package] = importlib.metadata.version(package) if is_there else None
    return {
        "about": __doc__,
        **surroundings(),
        "simulated": describe(MODEL).as_text(),
        "versions": versions,
        "comparisons": encode(tuple(comparisons)),
    }  # fmt: skip


def report(kept: Mapping[str, Any]) -> str:
    """The tables of a document, under what ran them and when."""
    found = [decode(Comparison, each, "comparison") for each in kept["comparisons"]]
    versions = ", ".join(f"{package} {version}" for package, version in kept["versions"].items())
    return "\n".join([
        f"A simulated {describe(MODEL).name}: no kernel ran.  Wall and search are in seconds.",
        f"{kept['date'][:10]}, commit {kept['commit']}, {versions}.",
        *("", table(found), ""),
        "Over all rows; probes, OOMs, wall and search are medians.",
        *("", summary(found), "", monotone(found), *notes(found)),
    ])  # fmt: skip


def simulate() -> None:
    """Make the simulated GPU this process's, before torch is imported.

    Raises:
        SystemExit: there is no CUDA build of torch, or no compiler.
    """
    try:
        load(build(), describe(MODEL))
    except SimulationUnavailableError as error:
        raise SystemExit(str(error)) from None


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="rows with it in their name"
    )
    parser.add_argument("--output", type=Path, help="everything as JSON")
    parser.add_argument("--reuse", type=Path, metavar="FILE", help="print a kept run")
    parser.add_argument("--quick", action="store_true", help="two rows")
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)  # we ourselves, inside
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    if arguments.peer:
        answer_as_peer(*arguments.peer)
    if arguments.reuse:
        print(report(json.loads(arguments.reuse.read_text())))
        return
    cases = chosen(CASES, QUICK, arguments.only, quick=arguments.quick)
    simulate()
    found = []
    for case in cases:
        print(case.name, file=sys.stderr, flush=True)
        found.append(compare(case))
        if arguments.output:
            arguments.output.write_text(json.dumps(document(found)) + "\n")
    print(report(document(found)))


if __name__ == "__main__":
    main()
