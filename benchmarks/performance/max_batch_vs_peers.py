"""The largest batch by rnnprof, accelerate and Lightning, under one limit, against brute force.

    python -m benchmarks.performance.max_batch_vs_peers [--only lstm] [--who rnnprof]
        [--limits 64MiB,128MiB]
        [--time-steps 32,64,128] [--device cpu] [--output max_batch_vs_peers.json] [--quick]

Each finder runs in a fresh interpreter.  The peers get what rnnprof's fit pass gives its workers:
thread pools started and two tiny steps run before the baseline, a heap that gives back at once,
and the limit above that baseline (CPU: RLIMIT_DATA; CUDA: the allocator's fraction).

What is run:
  rnnprof      the command ``rnnprof max-batch --json`` with its defaults, one T at a time and cold;
               ``frontier``: all T in one command.
  accelerate   ``find_executable_batch_size(starting_batch_size=4096)`` around a function that
               builds the workload and runs 3 training steps, as a short trial would.
  lightning    ``Tuner.scale_batch_size`` in both modes with its defaults (3 steps a trial, from 2,
               a margin of 5% off binsearch).  Its loop is Lightning's own, with automatic
               optimisation, as users write it: gradients are set to None after the forward pass,
               one model lives through all trials, and a language model's words are random.
  brute force  rnnprof's fit pass in fresh workers, 10 steps each: every batch from 5 below to 5
               above rnnprof's answer, more where the edge is not among them, and at the middle T
               12 batches drawn up to twice the answer, over 2 steps each.

On a CPU oneDNN keeps what it has compiled for each shape, some 1 MiB a batch that was tried: peers
search in one process, so that what they try leaves less for the next.  Its own out-of-memory says
"could not create a primitive", which neither peer takes for one.  No GPU has been tried yet.

``seconds`` is the wall clock of the whole process; ``search`` is from the first trial to its end,
without the start: imports, rnnprof's template and first answers, the peers' tiny steps.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from rnnprof.axes import parse_axis
from rnnprof.device.environment import machine_facts
from rnnprof.engine.supervisor import Supervisor
from rnnprof.outcomes import Evidence, classify
from rnnprof.protocol import Task
from rnnprof.runfile.codec import decode, encode
from rnnprof.runfile.journal import load
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome
from rnnprof.units import GIB, exact_bytes, format_bytes, parse_bytes
from rnnprof.workload import FactorySource, Workload

ROOT: Final = Path(__file__).parents[2]
LANGUAGE_MODEL: Final = ROOT / "examples" / "word_language_model.py"
SMALL_MODEL: Final = {
    "embedding_size": 64, "hidden_size": 128, "layers": 2, "vocabulary": 2000,
}  # fmt: skip

WORKLOADS: Final = {
    "lstm": Workload(cell="lstm"),
    "gru": Workload(cell="gru"),
    "rnn-tanh": Workload(cell="rnn-tanh"),
    "language-model": Workload(
        cell=None,
        input_size=0,
        hidden_size=0,
        layers=0,
        factory=FactorySource("word_language_model.py:make", SMALL_MODEL),
    ),
}

LIMITS: Final = "64MiB,128MiB"
STEPS: Final = "32,64,128"
QUICK_LIMIT: Final = "64MiB"
QUICK_STEPS: Final = "32"

START_BATCH: Final = 4096
"""Where accelerate begins: above every edge here, since it goes downwards only."""

TRIAL_STEPS: Final = 3
"""Of accelerate's function; Lightning's default is the same."""

LIGHTNING_TRAINER_STEPS: Final = 100  # more than a trial's, which the tuner sets itself
LIGHTNING_DATA: Final = 1 << 20  # indices: the tuner stops at a data set's length
CLIP: Final = 0.25  # the language model's own
TINY: Final = 2  # sequences and time steps before the baseline, as in the fit pass

CONFIRM_STEPS: Final = 10
DRAWN_CONFIRM_STEPS: Final = 2
DRAWN: Final = 12
AROUND: Final = 5
QUICK_AROUND: Final = 1
FIRST_BATCH: Final = 16
"""Where brute force begins when nobody has answered."""

AT_MOST: Final = 65536
GUARD_BYTES: Final = 8 * GIB
DEADLINE_S: Final = 120.0
FIRST_TRIAL: Final = "trying"
"""rnnprof's first word on a probe; the peers' processes say it as well."""


# --- records -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """What the finders are asked for."""

    name: str
    limit_bytes: int
    time_steps: int
    device: str = "cpu"

    @property
    def workload(self) -> Workload:
        """What is trained."""
        return WORKLOADS[self.name]

    def task(self, **changes: Any) -> Task:
        """A fit pass of it."""
        path = f"{LANGUAGE_MODEL}:make" if self.workload.factory else None
        task = Task(
            "fit", self.workload, time_steps=self.time_steps, device=self.device, factory_path=path
        )
        return replace(task, limit_bytes=self.limit_bytes, guard_bytes=GUARD_BYTES, **changes)


@dataclass(frozen=True, slots=True)
class Trial:
    """A batch that was run: whether it fitted, and the training steps that came to their end."""

    batch: int
    fits: bool
    train_steps_run: int


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
class Truth:
    """The edge by brute force.

    Attributes:
        batch: the largest that fits with everything below it that was run, the next not; None
            with a reason.
        fits_above: batches that fit above one that was out of memory.
    """

    batch: int | None
    fits_above: tuple[int, ...] = ()
    reason: str = ""


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


def truth_of(fits: Mapping[int, bool]) -> Truth:
    """The edge that these outcomes, by batch, amount to."""
    first = min((batch for batch, passed in fits.items() if not passed), default=None)
    if first is None:
        return Truth(None, reason=f"no batch up to {max(fits, default=0)} was out of memory")
    above = tuple(sorted(batch for batch, passed in fits.items() if passed and batch > first))
    if first > 1 and first - 1 not in fits:
        reason = f"B={first} was out of memory and B={first - 1} was not run"
        return Truth(None, above, reason)
    return Truth(first - 1, above)


def missing_batch(fits: Mapping[int, bool]) -> int | None:
    """The batch to run next for the edge to be known; None when it is, or is above the cap."""
    first = min((batch for batch, passed in fits.items() if not passed), default=None)
    if first is None:
        largest = max(fits, default=0)
        return min(2 * largest, AT_MOST) or 1 if largest < AT_MOST else None
    below = max((batch for batch, passed in fits.items() if passed and batch < first), default=0)
    return None if first - below == 1 else (below + first) // 2


@dataclass(slots=True)
class BruteForce:
    """Batches run one by one in fresh workers.

    Attributes:
        others: what ended neither by fitting nor by an OOM; it counts as not fitting.
    """

    crew: Supervisor
    case: Case
    trials: list[Trial] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    spent_s: float = 0.0

    def run(self, answer: int, around: int, drawn: int) -> None:
        """The neighbours of *answer*, some more at random, and what is missing for an edge."""
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
        answer = self.crew.ask(self.case.task(batch=batch, confirm_steps=confirm_steps), DEADLINE_S)
        self.spent_s += answer.wall_s
        verdict = None if answer.evidence is None else classify(answer.evidence)
        if verdict is not None and verdict.outcome is not Outcome.OOM:
            self.others.append(f"B={batch} {verdict.outcome}: {verdict.reason}")
        train_steps_run = int(answer.findings.get("train_steps_run", 0))  # type: ignore[call-overload]
        self.trials.append(Trial(batch, answer.evidence is None, train_steps_run))


# --- processes -----------------------------------------------------------------------------------


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


# --- inside a peer's process ---------------------------------------------------------------------


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


def accelerate_search(case: Case, ledger: Ledger) -> Search:
    """Build and train for a few steps, from a batch that is far too large downwards."""
    from accelerate.utils import find_executable_batch_size

    from rnnprof.worker.workload.workloads import build

    def train(batch_size: int) -> int:
        with ledger.trial(batch_size):
            training = build(case.task(), batch_size, case.time_steps)
            for _ in range(TRIAL_STEPS):
                training.step(lambda _name: nullcontext())
                ledger.stepped()
        return batch_size

    search: Search = find_executable_batch_size(train, starting_batch_size=START_BATCH)
    return search


def lightning_search(mode: str, case: Case, ledger: Ledger) -> Search:
    """The tuner on a module of the same network, loss and optimizer."""
    import lightning
    from lightning.pytorch.tuner import Tuner

    def trainer(time_steps: int) -> Any:
        return lightning.Trainer(
            accelerator="gpu" if case.device.startswith("cuda") else "cpu",
            devices=1,
            max_steps=time_steps,
            gradient_clip_val=CLIP if case.workload.factory else None,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    # what Lightning imports and makes at its first fit belongs to the baseline
    trainer(TINY).fit(lightning_module(replace(case, time_steps=TINY), Ledger()))
    return lambda: Tuner(trainer(LIGHTNING_TRAINER_STEPS)).scale_batch_size(
        lightning_module(case, ledger), mode=mode, max_trials=100
    )


def lightning_module(case: Case, ledger: Ledger) -> Any:
    """The workload as a LightningModule; its data are indices, its input is made in the step."""
    import lightning
    from torch.utils.data import DataLoader

    class Module(lightning.LightningModule):  # type: ignore[misc]  # its types are not read
        def __init__(self) -> None:
            super().__init__()
            self.batch_size = TINY
            self.network, self.loss_of, self.optimizer_of = network(case.workload)

        def train_dataloader(self) -> Any:
            return DataLoader(range(LIGHTNING_DATA), batch_size=self.batch_size)  # type: ignore[arg-type]

        def configure_optimizers(self) -> Any:
            return self.optimizer_of(self.parameters())

        def training_step(self, indices: Any, _: int) -> Any:
            return self.loss_of(len(indices), case.time_steps, self.device)

        def on_train_start(self) -> None:
            ledger.begin(self.batch_size)

        def on_train_batch_end(self, *_: Any) -> None:
            ledger.stepped()

        def on_train_end(self) -> None:
            ledger.passed()

    return Module()


def network(workload: Workload) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """The module, its loss on random input of (batch, steps, device), and its optimizer."""
    import torch

    from rnnprof.worker.workload.factories import load_factory
    from rnnprof.worker.workload.layers import recurrent_module

    if workload.factory is None:
        layer = recurrent_module(workload)

        def layer_loss(batch: int, time_steps: int, device: Any) -> Any:
            sequences = torch.empty((time_steps, batch, workload.input_size), device=device)
            return layer(sequences.uniform_(-1, 1))[0].square().mean()

        return layer, layer_loss, torch.optim.Adam

    sizes = workload.factory.args
    model = load_factory(f"{LANGUAGE_MODEL}:LanguageModel")(*(
        sizes[name] for name in ("vocabulary", "embedding_size", "hidden_size", "layers")
    ), 0.4)  # fmt: skip

    def word_loss(batch: int, time_steps: int, device: Any) -> Any:
        words = torch.randint(sizes["vocabulary"], (time_steps + 1, batch), device=device)
        return model(words[:-1], words[1:], model.zero_state(batch))[0]

    return model, word_loss, torch.optim.AdamW


@dataclass(frozen=True, slots=True)
class Peer:
    """A package and how it is asked."""

    package: str
    search: Callable[[Case, Ledger], Search]


PEERS: Final = {
    "accelerate": Peer("accelerate", accelerate_search),
    "lightning power": Peer("lightning", partial(lightning_search, "power")),
    "lightning binsearch": Peer("lightning", partial(lightning_search, "binsearch")),
}


def serve_peer(who: str, case: Case) -> PeerAnswer:
    """Search under the limit, set up as the fit pass does."""
    import torch._dynamo  # the first step of an optimizer imports it: over a second

    from rnnprof.worker.session import open_device
    from rnnprof.worker.workload.warm_up import warm_up

    device, ledger, error, batch = open_device(case.task()), Ledger(), "", None
    device.ready_for_fit(None)
    warm_up(case.task())
    search = PEERS[who].search(case, ledger)
    limit = device.set_limit(case.limit_bytes)
    print(FIRST_TRIAL, file=sys.stderr, flush=True)
    try:
        batch = search()
    except Exception as raised:
        error = in_words(raised, limit.charged_bytes(), case.limit_bytes)
    device.lift_limit()
    assert torch._dynamo
    return PeerAnswer(batch, tuple(ledger.trials), error)


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


def answer_as_peer(who: str, told: str) -> NoReturn:
    """A peer's process: its answer, then the end."""
    print_alone(lambda: serve_peer(who, decode(Case, json.loads(told), "case")))


def print_alone(search: Callable[[], PeerAnswer]) -> NoReturn:
    """Print the answer as the only thing on stdout, and end without tearing torch down."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write(json.dumps(encode(search())))
    answers.flush()
    os._exit(0)


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


def aligned(lines: Sequence[Sequence[str]], left: Container[str]) -> str:
    """Cells under the header that is the first line: words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join(
            cell.ljust(width) if name in left else cell.rjust(width)
            for name, cell, width in zip(lines[0], line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join(padded)


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

    crew: Supervisor
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
        force = BruteForce(self.crew, case)
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
    with Supervisor() as crew:
        campaign = Campaign(crew, lengths, arguments.who or ["rnnprof", *PEERS])
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
