"""The table of options: flags, variables, keys of TOML files and help derive from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from rnnprof import defaults
from rnnprof.cli import types

if TYPE_CHECKING:
    from collections.abc import Iterable

# groups of the help, in its order
TRAINED: Final = "What is trained"
GRID: Final = "Grid"
LIMIT: Final = "Limit and device"
PROOF: Final = "Proof"
ADVICE: Final = "Advice"
STUDY: Final = "Study"
GATE: Final = "Gate"
TIME: Final = "Time"
OUTPUT: Final = "Run file and output"
PLAIN: Final = "Options"
GROUPS: Final = (TRAINED, GRID, LIMIT, PROOF, ADVICE, STUDY, GATE, TIME, OUTPUT, PLAIN)

CONFIGURED: Final = ("profile", "max-batch", "trainability", "compare")
"""Commands that measure: variables and configuration files may set each of their options."""

PROFILE: Final = ("profile",)
MAX_BATCH: Final = ("max-batch",)
TRAINABILITY: Final = ("trainability",)
COMPARE: Final = ("compare",)
CHECK: Final = ("check",)
EDGES: Final = ("profile", "max-batch")
RUNS: Final = ("profile", "max-batch", "trainability")
SCRIPTED: Final = ("profile", "max-batch", "check")
"""Commands that run a script."""

COMPARE_PROCESSES: Final = 5
"""Timing processes per side: with three the interval is 1.5 times as wide."""

CHECK_PROCESSES: Final = 3
"""Fewer say nothing about the noise between processes."""

CHECK_SECONDS: Final = 600.0
"""Time in which more timing processes may start; a CI job has other work."""

EXPORT_FORMATS: Final = ("csv", "json", "parquet")

_POSITIVE: Final = click.IntRange(1, 1_000_000)
_UP_TO_100: Final = click.IntRange(1, 100)


class Entry(NamedTuple):
    """An option of one command or of several.

    Attributes:
        flags: as on the command line, the short form first: ``-B --batch``.
        group: of the help.
        commands: those that have it; an option that differs between commands has several entries.
        form: how its text is read.
        default: as text or as the value; help shows it.
        shape: a ``value``; a ``flag``; a ``count`` of how often it is given; a ``list``; or
            ``words``, a whole command, which the command line has after ``--``.
        parameter: its name in Python, if that is not the option's own.
        budget: table of a budget that may set it, ``workload`` or ``measure``.  Files of
            ``--workload`` have the options of ``workload``.
        has_variable: whether RNNPROF_* sets it although the command is not in CONFIGURED.
    """

    flags: str
    group: str
    commands: tuple[str, ...]
    help: str
    form: click.ParamType[Any] | None = None
    default: Any = None
    metavar: str | None = None
    shape: str = "value"
    parameter: str | None = None
    budget: str | None = None
    is_required: bool = False
    has_variable: bool = False

    @property
    def key(self) -> str:
        """Its name in TOML: the long flag without dashes before it."""
        return self.flags.rpartition("--")[2]

    @property
    def name(self) -> str:
        """Its name in Python."""
        return self.parameter or self.key.replace("-", "_")

    def variables(self, command: str, called: str | None = None) -> list[str]:
        """The environment variables that set it, in order of precedence.

        Args:
            called: the command in the first variable's name, if another.
        """
        if command not in CONFIGURED and not self.has_variable:
            return []
        own = self.key.replace("-", "_").upper()
        prefix = (called or command).replace("-", "_").upper()
        return [f"RNNPROF_{prefix}_{own}", f"RNNPROF_{own}"]


def entries_of(command: str) -> list[Entry]:
    """The options of a command, as its help lists them."""
    return [entry for entry in TABLE if command in entry.commands]


def by_key(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The entries by their names in TOML."""
    return {entry.key: entry for entry in entries}


def configured_keys() -> set[str]:
    """What a configuration file may set, for any command."""
    return {entry.key for command in CONFIGURED for entry in entries_of(command)}


def budget_entries(table: str) -> dict[str, Entry]:
    """What a table of a budget may set, by the names in TOML."""
    return by_key(entry for entry in TABLE if entry.budget == table)


def _flag(flags: str, group: str, commands: tuple[str, ...], text: str, **more: Any) -> Entry:
    return Entry(flags, group, commands, text, shape="flag", **more)


def _work(flags: str, text: str, form: Any = None, default: Any = None, **more: Any) -> Entry:
    """An option that says what is trained, on the command line or in a file."""
    return Entry(flags, TRAINED, CONFIGURED, text, form, default, budget="workload", **more)


def _script(flags: str, text: str, **more: Any) -> Entry:
    """An option of a script that is trained."""
    return Entry(flags, TRAINED, SCRIPTED, text, budget="workload", **more)


def _study(flags: str, text: str, form: Any, default: Any = None, metavar: str = "N") -> Entry:
    shown = None if isinstance(form, click.Choice) else metavar
    return Entry(flags, STUDY, TRAINABILITY, text, form, default, shown)


_WORKLOAD: Final = (
    _script("--script", "Your training script, unchanged; {batch} and {time_steps} stand where "
            "the sizes go.  It comes last.", metavar="COMMAND", shape="words"),
    _script("--env", "Variable for the script, such as BS={batch}; may be repeated.",
            metavar="NAME=TEXT", shape="list"),
    _script("--set", "Value of an assignment at the top of the script, or of a module.NAME, such "
            "as BATCH_SIZE={batch}; may be repeated.", metavar="NAME=TEXT", shape="list",
            parameter="assignments"),
    _script("--setup", "Shell command that runs once, before the script's first start.",
            metavar="COMMAND"),
    _script("--prepare", "Shell command that runs before each start of the script; the sizes go "
            "where {batch} and {time_steps} stand.",
            metavar="COMMAND"),
    Entry("--workload", TRAINED, CONFIGURED,
          "Read the options below from a file; flags override it.", types.EXISTING_FILE, None,
          "FILE.toml", parameter="workload_file"),
    _work("--cell", "Recurrent cell.", click.Choice(defaults.CELLS), defaults.CELL),
    _work("--impl", "cuDNN or oneDNN; torch without them; a cell in a loop.",
          click.Choice(defaults.IMPLS), defaults.IMPL),
    _work("--input-size", "Features of one time step.", types.SIZE, defaults.INPUT_SIZE,
          metavar="N"),
    _work("--hidden-size", "Hidden units.", types.SIZE, defaults.HIDDEN_SIZE, metavar="N"),
    _work("--layers", "Stacked layers.", click.IntRange(1, 1024), defaults.LAYERS, metavar="N"),
    _work("--bidirectional", "Run both directions.", shape="flag"),
    _work("--dropout", "Dropout between layers.", types.PROBABILITY, defaults.DROPOUT, metavar="P"),
    _work("--proj-size", "Projected output of an LSTM.", click.IntRange(0, types.MAX_SIZE),
          defaults.PROJ_SIZE, metavar="N"),
    _work("--batch-first", "Input as (batch, time steps, features).", shape="flag"),
    _work("--dtype", "Precision; fp32 leaves torch's flags alone.",
          click.Choice(defaults.DTYPES), defaults.DTYPE),
    _work("--optimizer", "Optimizer of the built-in cells and of short-form factories.",
          click.Choice(defaults.OPTIMIZERS), defaults.OPTIMIZER),
    _work("--mode", "Training steps, or forward passes alone.", click.Choice(defaults.MODES),
          defaults.MODE),
    _work("--compile", "Use torch.compile.", shape="flag"),
    _work("--loop",
          "plain holds input, output, state and loss until the next step replaces them; function "
          "is a step function, which drops them at its end.",
          click.Choice(defaults.LOOPS), defaults.LOOP),
    _work("--factory", "Your own training step: train.py:make or package.module:make.",
          metavar="FILE.py:MAKE"),
    _work("--factory-arg", "Keyword argument for the factory; may be repeated.",
          metavar="K=V", shape="list", parameter="factory_args"),
    _work("--factory-arg-env", "The same with the value of a variable, which is not kept.",
          metavar="K=VAR", shape="list", parameter="factory_env"),
    _work("--factory-argv", "Words of the script's own sys.argv; may be repeated.",
          metavar="WORDS", shape="list"),
)  # fmt: skip

_GRID: Final = (
    Entry("-B --batch", GRID, PROFILE,
          "Sequences per batch: 8,16,24 or 8:256:x2 or 16:128:+16.  "
          "[default: 4:128:x2; on CUDA 8:1024:x2]", types.AXIS, None, "AXIS"),
    Entry("-B --batch", GRID, TRAINABILITY,
          "Batches to train with; gradients are measured at the smallest.",
          types.AXIS, "32", "AXIS"),
    Entry("-B --batch", GRID, COMPARE, "For checkouts: sequences per batch.",
          types.AXIS, None, "AXIS"),
    Entry("-T --time-steps", GRID, PROFILE,
          "Time steps per sequence.  [default: 16:128:x2; on CUDA 16:512:x2]",
          types.AXIS, None, "AXIS"),
    Entry("-T --time-steps", GRID, MAX_BATCH,
          "Time steps per sequence: 128 or 16:128:x2.  [default: 16:128:x2; on CUDA 16:512:x2]",
          types.AXIS, None, "AXIS"),
    Entry("-T --time-steps", GRID, TRAINABILITY, "Time steps per sequence.",
          types.AXIS, "10,30,100", "AXIS"),
    Entry("-T --time-steps", GRID, COMPARE, "For checkouts: time steps.", types.AXIS, None, "AXIS"),
    Entry("--lengths", GRID, MAX_BATCH,
          "Mixed lengths of the training steps; each round ends with T.", types.AXIS, None, "AXIS"),
    Entry("--seed", GRID, RUNS, "For weights, input and the order of points.",
          click.IntRange(0, 2**63 - 1), defaults.SEED, "N", budget="measure"),
    Entry("--seed", GRID, COMPARE, "For weights and input.",
          click.IntRange(0, 2**63 - 1), defaults.SEED, "N"),
    _flag("--no-prune", GRID, PROFILE, "Run points that a smaller OOM already rules out."),
    _flag("--every-breakdown", GRID, PROFILE,
          "Run the memory pass at every point.  By default it is left out where the others "
          "predict the peak to 0.5% and no answer shows the breakdown."),
    _flag("--fast", GRID, PROFILE, "As by default: once it left memory passes out."),
)  # fmt: skip

_LIMIT: Final = (
    Entry("--device", LIMIT, CONFIGURED, "auto, cpu, cuda, cuda:N or a GPU's UUID.",
          None, "auto", "DEVICE", budget="measure"),
    Entry("--memory-limit", LIMIT, CONFIGURED,
          "What training may reserve for tensors, such as 512MiB.  [default: what is free]",
          types.BYTES, None, "SIZE", budget="measure"),
    Entry("--gpu-memory", LIMIT, CONFIGURED,
          "Use the limit of a CUDA GPU of that size, without its context.",
          types.BYTES, None, "SIZE", parameter="gpu_memory_bytes", budget="measure"),
    Entry("--reserve", LIMIT, EDGES,
          "Part of the limit kept free for what does not run here: DDP buckets, NCCL.",
          types.BYTES, None, "SIZE", budget="measure"),
    Entry("--simulate", LIMIT, CONFIGURED,
          "Memory on simulated GPUs, without times: t4, h100, ... or "
          "memory=16GiB,sms=40,capability=7.5.", None, None, "MODEL[,MODEL...]",
          budget="measure"),
    Entry("--simulate", LIMIT, CHECK,
          "Without RUN: judge memory on simulated GPUs, each by the same budget: t4,h100.",
          None, None, "MODEL[,MODEL...]", has_variable=True),
)  # fmt: skip

_PROOF: Final = (
    Entry("--confirm-steps", PROOF, EDGES, "Training steps that a batch must pass.",
          click.IntRange(1, 10_000), defaults.CONFIRM_STEPS, "N", budget="measure"),
    Entry("--through", PROOF, EDGES,
          "Prove the answer over this many training steps, such as an epoch.", _POSITIVE, None,
          "STEPS"),
    Entry("--confirm", PROOF, MAX_BATCH, "Fresh workers in which the answer must pass.",
          _UP_TO_100, defaults.CONFIRM, "N"),
    Entry("--granularity", PROOF, EDGES, "Search the multiples of N for the largest batch.",
          click.IntRange(1, 65536), defaults.GRANULARITY, "N", budget="measure"),
    Entry("--at-most", PROOF, MAX_BATCH, "The largest batch to try.",
          types.SIZE, defaults.AT_MOST, "N", budget="measure"),
    _flag("--no-certify", PROOF, PROFILE, "Do not prove the largest batch between grid points."),
)  # fmt: skip

_ADVICE: Final = (
    Entry("--headroom", ADVICE, EDGES, "Share of the limit that the largest safe batch keeps free.",
          types.RATIO, "5%", "SHARE"),
    Entry("--effective-batch", ADVICE, (*EDGES, "advise"),
          "Advise accumulation steps for this effective batch.", types.SIZE, None, "N"),
    Entry("--sequence-length", ADVICE, ("advise",),
          "Advise a chunk length for sequences of this length.", types.SIZE, None, "L"),
    Entry("--reach", ADVICE, ("advise",), "Time steps that a chunk's gradient must reach back.",
          types.SIZE, None, "K"),
)  # fmt: skip

_STUDY: Final = (
    _study("--task", "Task of the built-in cells; it sets --input-size.",
           click.Choice(defaults.TASKS), defaults.TASK),
    _study("--train-steps", "Training steps before the second measurement.",
           click.IntRange(0, 1_000_000), defaults.TRAIN_STEPS),
    _study("--draws", "Batches of fresh data for each of reach and noise.", _POSITIVE,
           defaults.DRAWS),
    _study("--small-batch", "Sequences of the noise scale's small batch.", _POSITIVE,
           defaults.SMALL_BATCH),
    _study("--parts", "Small batches that form the large batch.", click.IntRange(2, 1_000_000),
           defaults.PARTS),
    _study("--reach-at", "Share of the last step's gradient that still counts as reached.",
           types.RATIO, "0.1%", "SHARE"),
    _study("--learning-rate", "Learning rate of the built-in cells at --rate-batch.", types.SECONDS,
           str(defaults.LEARNING_RATE), "R"),
    _study("--rate-rule", "How the learning rate scales with the batch.",
           click.Choice(defaults.RATE_RULES), defaults.RATE_RULE),
    _study("--rate-batch", "The batch to which the learning rate applies.", _POSITIVE,
           defaults.RATE_BATCH),
    _study("--clip", "Clip gradients of the built-in cells to this norm.", types.SECONDS,
           None, "NORM"),
    _study("--target", "Also train to this loss at every point, and time it.", types.SECONDS,
           None, "LOSS"),
    _study("--seeds", "Trainings per point.", _POSITIVE, defaults.SEEDS),
    _study("--train-seconds", "Maximum time for one training.", types.SECONDS,
           str(defaults.TRAIN_SECONDS), "S"),
    _study("--evaluate-every", "Training steps between evaluations of the loss.", _POSITIVE,
           defaults.EVALUATE_EVERY),
)  # fmt: skip

_GATE: Final = (
    Entry("--budget", GATE, CHECK, "Limits that the run must keep.", types.FILE, None, "FILE.toml",
          is_required=True),
    Entry("--baseline", GATE, CHECK, "Also judge the growth compared with this run.", types.FILE,
          None, "RUN"),
    Entry("--against", GATE, CHECK,
          "Without RUN: also measure this checkout or environment, in turn, as the baseline.",
          None, None, "PLACE"),
    _flag("--strict", GATE, CHECK, "Exit with 3 where a verdict is inconclusive."),
)  # fmt: skip

_TIME: Final = (
    Entry("--point-seconds", TIME, PROFILE,
          "Maximum time for a point's timed steps.  [default: 2; on CUDA 1]",
          types.SECONDS, None, "S", budget="measure"),
    Entry("--point-seconds", TIME, COMPARE, "Maximum time for timed steps.",
          types.SECONDS, None, "S"),
    Entry("--processes", TIME, PROFILE, "Timing processes per point.", _UP_TO_100,
          defaults.PROCESSES, "N", budget="measure"),
    Entry("--processes", TIME, COMPARE,
          "For checkouts: timing processes per point and side, in turn.", _UP_TO_100,
          COMPARE_PROCESSES, "N"),
    Entry("--processes", TIME, CHECK,
          "Without RUN: timing processes per point to start with.  "
          f"[default: {CHECK_PROCESSES}]", _UP_TO_100, None, "N"),
    Entry("--max-seconds", TIME, CHECK,
          "Without RUN: time for more timing processes, until every verdict is clear.",
          types.SECONDS, str(CHECK_SECONDS), "S"),
    Entry("--timeout", TIME, RUNS, "Deadline of one pass.  [default: scaled to its expected cost]",
          types.SECONDS, None, "S", budget="measure"),
    Entry("--timeout", TIME, COMPARE, "Deadline of one pass.", types.SECONDS, None, "S"),
)  # fmt: skip

_OUTPUT: Final = (
    Entry("-o --output", OUTPUT, RUNS, "Run file.  [default: rnnprof-runs/WORKLOAD-DEVICE.jsonl]",
          types.FILE, None, "NAME.jsonl"),
    Entry("-o --output", OUTPUT, COMPARE,
          "For checkouts: NEW's run file; BASE's is NAME-base.jsonl beside it.",
          types.FILE, None, "NAME.jsonl"),
    Entry("-o --output", OUTPUT, CHECK, "Without RUN: its run file.", types.FILE, None,
          "NAME.jsonl"),
    _flag("--extend", OUTPUT, RUNS, "Add to the run in the file."),
    _flag("--overwrite", OUTPUT, RUNS, "Replace the file."),
    Entry("--report", OUTPUT, PROFILE,
          "Write the whole report there.  "
          "[default: its page and a picture beside the run file]", types.FOLDER, None, "DIR"),
    _flag("--no-report", OUTPUT, PROFILE, "Write only the run file."),
    Entry("--junit", OUTPUT, CHECK, "Also write JUnit XML.", types.FILE, None, "FILE.xml"),
    Entry("--markdown", OUTPUT, CHECK, "Also write a summary in Markdown.", types.FILE, None,
          "FILE.md"),
    Entry("--benchmark-json", OUTPUT, CHECK, "Also write the figures as customSmallerIsBetter.",
          types.FILE, None, "FILE.json"),
    _flag("--github", OUTPUT, CHECK, "Annotations, step summary and outputs of a job."),
    Entry("-o --output", PLAIN, ("report",),
          "Where the files go.  [default: NAME-report beside the first run]", types.FOLDER, None,
          "DIR"),
    _flag("--open", PLAIN, ("report",), "Show the page in a browser.", parameter="is_opened"),
    Entry("--format", PLAIN, ("export",), "[default: from the suffix of -o, or csv]",
          click.Choice(EXPORT_FORMATS), parameter="kind"),
    Entry("-o --output", PLAIN, ("export",), "Where it goes.  [default: stdout]", types.FILE,
          None, "FILE"),
    _flag("--json", OUTPUT, (*CONFIGURED, "check"), "One JSON document on stdout.",
          parameter="as_json"),
    _flag("--json", PLAIN, ("advise", "doctor"), "One JSON document on stdout.",
          parameter="as_json"),
    _flag("--simulate", PLAIN, ("doctor",), "What a simulated GPU needs, and what is missing."),
    _flag("-q --quiet", OUTPUT, (*CONFIGURED, "check"), "No progress."),
    _flag("-q --quiet", PLAIN, ("report",), "Do not list the files."),
    Entry("-v --verbose", OUTPUT, (*CONFIGURED, "check"), "One line per pass.", shape="count"),
)  # fmt: skip

TABLE: Final = (
    *_WORKLOAD, *_GRID, *_LIMIT, *_PROOF, *_ADVICE, *_STUDY, *_GATE, *_TIME, *_OUTPUT,
)  # fmt: skip
