"""The largest batch by rnnprof, accelerate and Lightning under one limit, and by brute force.

    python -m benchmarks.performance.max_batch_vs_peers [--only lstm] [--who rnnprof]
        [--limits 64MiB,128MiB]
        [--time-steps 32,64,128] [--device cpu] [--output max_batch_vs_peers.json] [--quick]

Each finder runs in a fresh interpreter.  The peers have the same conditions as rnnprof's workers in
a fit pass: thread pools are started and two tiny steps run before the baseline, the heap returns
freed memory at once, and the limit is above that baseline (CPU: RLIMIT_DATA; CUDA: the allocator's
fraction).

Methods:
  rnnprof      the command ``rnnprof max-batch --json`` with its defaults, one T at a time, from a
               cold start; ``frontier``: all T in one command.
  accelerate   ``find_executable_batch_size(starting_batch_size=4096)`` around a function that
               builds the workload and runs 3 training steps, like a short trial.
  lightning    ``Tuner.scale_batch_size`` in both modes with its defaults (3 steps in each trial,
               from 2; binsearch subtracts a margin of 5%).  Its loop is Lightning's own, with
               automatic optimisation, as users write it: gradients are set to None after the
               forward pass, one model is used in all trials, and a language model's words are
               random.
  brute force  rnnprof's fit pass in fresh workers, 10 steps each: every batch from 5 below to 5
               above rnnprof's answer, more if the largest batch is not among them, and at the
               middle T 12 random batches up to twice the answer, over 2 steps each.

On a CPU, oneDNN keeps what it compiles for each shape, about 1 MiB for each batch that is tried.
Peers search in one process, so each trial leaves less memory for the next.  When oneDNN runs out of
memory it reports "could not create a primitive", which neither peer recognises as out of memory.
Nothing has run on a GPU yet.

``seconds`` is the wall time of the whole process; ``search`` is the time from the first trial to
the end of the search, without startup: imports, rnnprof's template and first answers, the peers'
tiny steps.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from benchmarks.performance.finders import (
    DEADLINE_S,
    Ended,
    PeerAnswer,
    Trial,
    Truth,
    missing_batch,
    print_alone,
    run_process,
    truth_of,
)
from benchmarks.performance.max_batch_peers import (
    LANGUAGE_MODEL,
    PEERS,
    WORKLOADS,
    Case,
    serve_peer,
)
from benchmarks.performance.rows import aligned
from rnnprof.axes import parse_axis
from rnnprof.device.environment import machine_facts
from rnnprof.engine.supervisor import Supervisor
from rnnprof.outcomes import classify
from rnnprof.runfile.codec import decode, encode
from rnnprof.runfile.journal import load
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome
from rnnprof.units import exact_bytes, format_bytes, parse_bytes

LIMITS: Final = "64MiB,128MiB"
STEPS: Final = "32,64,128"
QUICK_LIMIT: Final = "64MiB"
QUICK_STEPS: Final = "32"
CONFIRM_STEPS: Final = 10
DRAWN_CONFIRM_STEPS: Final = 2
DRAWN: Final = 12
AROUND: Final = 5
QUICK_AROUND: Final = 1
FIRST_BATCH: Final = 16
"""Where brute force begins when nobody has answered."""


# --- records -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What a finder has answered.

    Attributes:
        answers: by T; None where there is none, and *note* says why.
        trials: in order, by T.
        wall_s: of the whole process; None where nothing was run.
        search_s: from the first trial to the end of the process; None where there was none.
    """

    who: str
    answers: Mapping[int, int | None]
    trials: Mapping[int, Sequence[Trial]] = field(default_factory=dict)
    wall_s: float | None = None
    search_s: float | None = None
    note: str = ""

    def was_run(self, time_steps: int) -> bool:
        """Whether the answer at T is a batch that the finder itself saw fit."""
        answer = self.answers[time_steps]
        return any(t.batch == answer and t.fits for t in self.trials.get(time_steps, ()))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; the figures of several T are joined in one."""

    workload: str
    limit_bytes: int
    time_steps: tuple[int, ...]
    who: str
    answers: tuple[int | None, ...]
    truths: tuple[int | None, ...]
    errors_ratio: tuple[float | None, ...]
    probes: int | None
    ooms: int | None
    train_steps_run: int | None
    wall_s: float | None
    search_s: float | None
    note: str


# --- truth ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class BruteForce:
    """Batches run one by one in fresh workers.

    Attributes:
        others: what ended neither by fitting nor by an OOM; it counts as not fitting.
    """

    supervisor: Supervisor
    case: Case
    trials: list[Trial] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    spent_s: float = 0.0

    def run(self, answer: int, around: int, drawn: int) -> None:
        """The neighbours of *answer*, some random batches, and those that the truth still needs."""
        near = range(max(1, answer - around), answer + around + 1)
        for batch in near:
            self._try(batch, CONFIRM_STEPS)
        far = [batch for batch in range(1, 2 * answer + 1) if batch not in near]
        rng = random.Random(str(self.case))
        for batch in sorted(rng.sample(far, min(drawn, len(far)))):
            self._try(batch, DRAWN_CONFIRM_STEPS)
        while (missing := missing_batch(self.fits())) is not None:
            self._try(missing, CONFIRM_STEPS)

    def fits(self) -> dict[int, bool]:
        """The outcomes by batch."""
        return {trial.batch: trial.fits for trial in self.trials}

    def finding(self) -> Finding:
        """As a finder's, for the table."""
        time_steps, truth = self.case.time_steps, truth_of(self.fits())
        notes = [truth.reason, *self.others]
        if truth.fits_above:
            notes.append(f"fits above an OOM: B={', '.join(map(str, truth.fits_above))}")
        trials = {time_steps: self.trials}
        answers = {time_steps: truth.batch}
        return Finding("brute force", answers, trials, self.spent_s, None, _together(notes))

    def _try(self, batch: int, confirm_steps: int) -> None:
        answer = self.supervisor.ask(
            self.case.task(batch=batch, confirm_steps=confirm_steps), DEADLINE_S
        )
        self.spent_s += answer.wall_s
        verdict = None if answer.evidence is None else classify(answer.evidence)
        if verdict is not None and verdict.outcome is not Outcome.OOM:
            self.others.append(f"B={batch} {verdict.outcome}: {verdict.reason}")
        train_steps_run = int(answer.findings.get("train_steps_run", 0))  # type: ignore[call-overload]
        self.trials.append(Trial(batch, answer.evidence is None, train_steps_run))


# --- processes -----------------------------------------------------------------------------------


def ask_rnnprof(case: Case, lengths: Sequence[int]) -> Finding:
    """``rnnprof max-batch`` over one T or several."""
    who = "rnnprof" if len(lengths) == 1 else "rnnprof frontier"
    with tempfile.TemporaryDirectory() as name:
        run_file = Path(name) / "run.jsonl"
        ended = run_process(rnnprof_command(case, lengths, run_file), Path(name))
        try:
            frontier = json.loads(ended.stdout)["frontier"]
            trials = trials_of(run_file)
        except ValueError:
            return _unanswered(who, lengths, ended)
    found = {certificate["time_steps"]: certificate for certificate in frontier}
    answers = {
        time_steps: found[time_steps]["batch"] if time_steps in found else None
        for time_steps in lengths
    }
    notes = [
        f"T={c['time_steps']} {c['status']}: {c['reason']}"
        for c in frontier
        if c["status"] != "certified"
    ]
    return Finding(who, answers, trials, ended.wall_s, ended.search_s, "; ".join(notes))


def rnnprof_command(case: Case, lengths: Sequence[int], run_file: Path) -> list[str]:
    """The command as a user would type it."""
    factory = case.workload.factory
    words = ["--cell", str(case.workload.cell)]
    if factory is not None:
        words = ["--factory", f"{LANGUAGE_MODEL}:make"]
        for key, value in factory.args.items():
            words += ["--factory-arg", f"{key}={value}"]
    return [
        *(sys.executable, "-m", "rnnprof", "max-batch", "--json", *words),
        *("--time-steps", ",".join(map(str, lengths)), "--device", case.device),
        *("--memory-limit", exact_bytes(case.limit_bytes), "-o", str(run_file)),
    ]


def trials_of(run_file: Path) -> dict[int, list[Trial]]:
    """The fit passes of a run file, by T."""
    trials: dict[int, list[Trial]] = {}
    for fit in load(run_file).observations:
        if isinstance(fit, Fit):
            trial = Trial(fit.batch, fit.outcome is Outcome.MEASURED, fit.train_steps_run)
            trials.setdefault(fit.time_steps, []).append(trial)
    return trials


def ask_peer(who: str, case: Case) -> Finding:
    """A peer's search in a fresh interpreter."""
    package = PEERS[who].package
    if importlib.util.find_spec(package) is None:
        note = f"not importable: no module named {package!r}"
        return Finding(who, {case.time_steps: None}, note=note)
    with tempfile.TemporaryDirectory() as name:
        told = json.dumps(encode(case))
        command = [
            sys.executable,
            "-m",
            "benchmarks.performance.max_batch_vs_peers",
            "--peer",
            who,
            told,
        ]
        ended = run_process(command, Path(name))
        try:
            answer = decode(PeerAnswer, json.loads(ended.stdout), "answer")
        except ValueError:
            return _unanswered(who, [case.time_steps], ended)
    return Finding(
        who,
        {case.time_steps: answer.batch},
        {case.time_steps: answer.trials},
        ended.wall_s,
        ended.search_s,
        answer.error,
    )


def _unanswered(who: str, lengths: Sequence[int], ended: Ended) -> Finding:
    note = f"no answer, exit code {ended.exit_code}: {ended.last_line[:200]}"
    answers = dict.fromkeys(lengths)
    return Finding(who, answers, {}, ended.wall_s, ended.search_s, note)


def answer_as_peer(who: str, told: str) -> NoReturn:
    """A peer's process: its answer, then the end."""
    print_alone(lambda: serve_peer(who, decode(Case, json.loads(told), "case")))


# --- the table -----------------------------------------------------------------------------------


def row_of(case: Case, finding: Finding, truths: Mapping[int, Truth]) -> Row:
    """A finder's line, judged by the truth."""
    lengths = tuple(finding.answers)
    trials = [trial for time_steps in lengths for trial in finding.trials.get(time_steps, ())]
    was_run = finding.wall_s is not None
    return Row(
        workload=case.name,
        limit_bytes=case.limit_bytes,
        time_steps=lengths,
        who=finding.who,
        answers=tuple(finding.answers.values()),
        truths=tuple(truths[time_steps].batch for time_steps in lengths),
        errors_ratio=tuple(
            _error(finding.answers[time_steps], truths[time_steps]) for time_steps in lengths
        ),
        probes=len(trials) if was_run else None,
        ooms=sum(not trial.fits for trial in trials) if was_run else None,
        train_steps_run=sum(trial.train_steps_run for trial in trials) if was_run else None,
        wall_s=finding.wall_s,
        search_s=finding.search_s,
        note=_together([finding.note, *_remarks(finding, truths)]),
    )


def _together(notes: Iterable[str]) -> str:
    return "; ".join(filter(None, notes))


def _error(answer: int | None, truth: Truth) -> float | None:
    return answer / truth.batch - 1 if answer is not None and truth.batch else None


def _remarks(finding: Finding, truths: Mapping[int, Truth]) -> Iterator[str]:
    for time_steps, answer in finding.answers.items():
        batch = truths[time_steps].batch
        if answer is not None and batch is not None and answer > batch:
            is_above = answer in truths[time_steps].fits_above
            yield f"B={answer} " + ("fits, above an OOM" if is_above else "does not fit")
        if answer and finding.who != "brute force" and not finding.was_run(time_steps):
            yield f"B={answer} was never run"


HEADER: Final = (
    "workload", "limit", "T", "who", "answer", "truth", "error %", "probes", "OOMs", "steps run",
    "seconds", "search", "note",
)  # fmt: skip
LEFT: Final = frozenset({"workload", "who", "note"})


def table(rows: Iterable[Row]) -> str:
    """The rows as aligned text."""
    return aligned([HEADER, *(_cells(row) for row in rows)], LEFT)


def _cells(row: Row) -> tuple[str, ...]:
    errors = (None if error is None else f"{100 * error:+.1f}" for error in row.errors_ratio)
    return (
        row.workload,
        format_bytes(row.limit_bytes),
        _joined(row.time_steps),
        row.who,
        _joined(row.answers),
        _joined(row.truths),
        _joined(errors),
        *(_joined([count]) for count in (row.probes, row.ooms, row.train_steps_run)),
        *("-" if s is None else f"{s:.1f}" for s in (row.wall_s, row.search_s)),
        row.note,
    )


def _joined(values: Iterable[object]) -> str:
    return "/".join("-" if value is None else str(value) for value in values)


# --- the campaign --------------------------------------------------------------------------------


@dataclass(slots=True)
class Campaign:
    """All finders on one workload and limit after another.

    Attributes:
        around: batches on each side of the answer that brute force runs.
        drawn: batches that it draws at the middle T.
    """

    supervisor: Supervisor
    lengths: Sequence[int]
    finders: Sequence[str]
    around: int = AROUND
    drawn: int = DRAWN
    rows: list[Row] = field(default_factory=list)
    forces: list[BruteForce] = field(default_factory=list)

    def run(self, name: str, limit_bytes: int, device: str) -> None:
        """Each T by itself, then all of them at once."""
        truths: dict[int, Truth] = {}
        for time_steps in self.lengths:
            case = Case(name, limit_bytes, time_steps, device)
            findings = [self._ask(who, case) for who in self.finders]
            force = self._force(case, findings)
            truths[time_steps] = truth_of(force.fits())
            self._keep(row_of(case, found, truths) for found in (*findings, force.finding()))
        if len(self.lengths) > 1 and "rnnprof" in self.finders:
            self._keep([row_of(case, ask_rnnprof(case, self.lengths), truths)])

    def _ask(self, who: str, case: Case) -> Finding:
        print(
            f"{case.name} {format_bytes(case.limit_bytes)} T={case.time_steps} {who}",
            file=sys.stderr,
        )
        return ask_rnnprof(case, [case.time_steps]) if who == "rnnprof" else ask_peer(who, case)

    def _force(self, case: Case, findings: Sequence[Finding]) -> BruteForce:
        answers = [answer for found in findings if (answer := found.answers[case.time_steps])]
        force = BruteForce(self.supervisor, case)
        is_middle = case.time_steps == self.lengths[len(self.lengths) // 2]
        answer = answers[0] if answers else FIRST_BATCH  # rnnprof's, where it has one
        force.run(answer, self.around, self.drawn if is_middle else 0)
        self.forces.append(force)
        return force

    def _keep(self, rows: Iterable[Row]) -> None:
        self.rows += rows

    def document(self) -> dict[str, Any]:
        """Everything that was seen, for a file."""
        versions = {}
        for package in ("torch", "rnnprof", "accelerate", "lightning"):
            is_there = importlib.util.find_spec(package) is not None
            versions[package] = importlib.metadata.version(package) if is_there else None
        return {
            "about": __doc__,
            "machine": machine_facts(),
            "versions": versions,
            "rows": [asdict(row) for row in self.rows],
            "brute_force": [
                {**asdict(force.case), "trials": [asdict(trial) for trial in force.trials]}
                for force in self.forces
            ],
        }


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=WORKLOADS, action="append", help="a workload")
    parser.add_argument("--who", choices=("rnnprof", *PEERS), action="append", help="a finder")
    parser.add_argument("--limits", help=f"[{LIMITS}]")
    parser.add_argument("--time-steps", help=f"[{STEPS}]")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path, help="everything as JSON")
    parser.add_argument("--quick", action="store_true", help="one workload, limit and T")
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)  # we ourselves, inside
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    if arguments.peer:
        answer_as_peer(*arguments.peer)
    quick = arguments.quick
    names = (arguments.only or list(WORKLOADS))[: 1 if quick else None]
    limits = (arguments.limits or (QUICK_LIMIT if quick else LIMITS)).split(",")
    lengths = parse_axis(arguments.time_steps or (QUICK_STEPS if quick else STEPS))
    began_s = time.monotonic()
    with Supervisor() as supervisor:
        campaign = Campaign(supervisor, lengths, arguments.who or ["rnnprof", *PEERS])
        if quick:
            campaign.around, campaign.drawn = QUICK_AROUND, 0
        for name in names:
            for limit in limits:
                campaign.run(name, parse_bytes(limit), arguments.device)
                if arguments.output:
                    text = json.dumps(campaign.document(), indent=1)
                    arguments.output.write_text(text + "\n")
    print(table(campaign.rows))
    print(f"\n{time.monotonic() - began_s:.0f} s in all; batches were drawn at the middle T only")


if __name__ == "__main__":
    main()
