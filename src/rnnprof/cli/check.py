"""``rnnprof check``: a gate for CI, on an existing run or on one that it measures."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from rnnprof.cli import options as opt
from rnnprof.cli.command import MeasuringCommand, TableCommand, table_options
from rnnprof.cli.config import USERS_CODE, Defaults, checked
from rnnprof.cli.echo import command_of, say
from rnnprof.cli.outputs import check_outputs
from rnnprof.cli.printed import note_printed
from rnnprof.cli.system_errors import refusal_of
from rnnprof.cli.table import CHECK_PROCESSES, budget_entries, by_key, entries_of
from rnnprof.cli.types import FILE
from rnnprof.errors import BadInputError, RnnprofError

OUTPUTS: Final = {
    "output": "-o", "junit": "--junit", "markdown": "--markdown",
    "benchmark_json": "--benchmark-json",
}  # fmt: skip
"""The options that name files to write, and their flags."""

_TRAINED: Final = {*USERS_CODE, *opt.CELL_OPTIONS}
"""Options that say what is trained: where a budget states one, no variable names other code."""

INPUTS: Final = {"budget": "--budget", "run": "RUN", "baseline": "--baseline"}

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rnnprof.engine.order import Order
    from rnnprof.gate.budget import Budget
    from rnnprof.gate.formats.shared import CheckContext, Judged
    from rnnprof.gate.verdicts import Gate, WordedGate
    from rnnprof.maxbatch.folded import FoldedRun
    from rnnprof.reasons import Reason
    from rnnprof.runfile.records import Run
    from rnnprof.workload import Workload


class _Measurement(MeasuringCommand):
    """The options of ``profile`` for a gate: no configuration file changes what it judges."""

    def configuration(self, ctx: click.Context) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def hears(self, ctx: click.Context, name: str) -> bool:
        """No variable changes what a budget sets: a job would then judge something else."""
        defaults = ctx.default_map
        if not isinstance(defaults, Defaults):
            return True
        if name in USERS_CODE and not defaults.stated.keys().isdisjoint(_TRAINED):
            return False
        return name not in defaults.stated


@click.command(cls=TableCommand)
@click.argument("run", required=False, type=FILE)
@table_options("check")
def command(**options: Any) -> int:
    """A CI gate: compare a run with a budget and a baseline.

    Without RUN it measures what the budget requires, of the budget's [workload] or of the script
    after --. Exit codes: 0 passed (or inconclusive, with a
    warning), 1 failed, 3 not comparable, or inconclusive with --strict; of several GPUs the worst.
    """  # fmt: skip
    from rnnprof.gate.judge import gate
    from rnnprof.report.words.gate import worded

    budget = read_budget(options["budget"])
    asked = _options_of(budget, options["budget"], _script_of(budget, options))
    if options["simulate"] is not None and not _is_overruled("simulate", budget):
        asked["simulate"] = options["simulate"]
    _check_simulation(budget, asked, options)
    trained = opt.workload_from(asked["context"], asked, runs=options["run"] is None)
    _check_against(options)
    _check_files(options, _read_by(asked))
    _check_baseline(asked, options)
    base = _folded(options["baseline"]) if options["baseline"] else None
    _check_times(trained, budget, base, options)
    if options["run"] is None:
        return _answer(_measured_and_judged(asked, budget, base, options), options)
    run = _folded(options["run"])
    differing = _differing(trained.workload, run.run) if budget.workload else ()
    verdict = worded(gate(budget, run, base, differing))
    return _answer([(verdict, _context(run, base, options))], options)


def _check_times(
    trained: opt.Trained, budget: Budget, base: FoldedRun | None, options: Mapping[str, Any]
) -> None:
    """Check that a script that is given no T is measured at one.

    Raises:
        BadInputError: budget and baseline require several.
    """
    from rnnprof.gate.run import asked_of

    if options["run"] is None and trained.script is not None:
        asked = asked_of(budget, base)
        times = {*asked.edges, *(point.time_steps for point in asked.fits)}
        trained.script.times_of(sorted(times), options["budget"].name)


def _folded(path: Path) -> FoldedRun:
    """The run of a file, folded once for all that is said of it.

    Raises:
        RunFileError: when it is missing, foreign, newer or damaged.
    """
    from rnnprof.maxbatch.folded import FoldedRun
    from rnnprof.runfile.journal import load

    return FoldedRun.of(load(path))


def _measured_and_judged(
    asked: dict[str, Any], budget: Budget, base: FoldedRun | None, options: Mapping[str, Any]
) -> list[tuple[WordedGate, CheckContext]]:
    """The gate of the device, or of each GPU that is simulated."""
    from rnnprof.gate.judge import gate
    from rnnprof.report.words.gate import worded

    orders = _orders(asked, budget, options)
    for order in orders:
        _check_files({**options, "output": order.path}, _read_by(asked))
    if options["against"] is not None:
        base, run = _measured_in_turn(orders[0], asked, budget, options)
        verdict = worded(gate(budget, run, base, in_turn=True))
        return [(verdict, _context(run, base, options))]
    judged = []
    for order, name in zip(orders, _names_of(orders), strict=True):
        run = _measured(order, budget, base, options, name)
        note_printed(run.run)
        judged.append((worded(gate(budget, run, base)), _context(run, base, options, name)))
    return judged


def _names_of(orders: Sequence[Order]) -> Sequence[str | None]:
    """``simulated-t4`` for each of several GPUs; one alone goes without a name."""
    from rnnprof.cli.orders import models_of

    if len(orders) == 1:
        return [None]
    models = models_of(order.gpu for order in orders if order.gpu is not None)
    return [f"simulated-{model}" for model in models]


def _check_against(options: Mapping[str, Any]) -> None:
    """Check that --against, which measures both sides, gets no measured one.

    Raises:
        BadInputError: a run or a baseline is given.
    """
    for name, flag in (("run", "RUN"), ("baseline", "--baseline")):
        if options["against"] is not None and options[name] is not None:
            raise BadInputError(f"--against measures both sides: leave {flag} out")


def _check_baseline(asked: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Check that a baseline, which is a run of one GPU, is used for one GPU.

    Raises:
        BadInputError: several GPUs are to be compared with it.
    """
    from rnnprof.simulate.description import describe_all

    if options["baseline"] is None or options["run"] is not None or asked["simulate"] is None:
        return
    if len(describe_all(asked["simulate"])) > 1:
        raise BadInputError(
            f"--baseline {options['baseline']} is a run of one GPU, and --simulate "
            f"{asked['simulate']} names several: name only that one"
        )


def _check_simulation(budget: Budget, asked: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Check that a simulated gate judges only memory, and only what it measures itself.

    Raises:
        BadInputError: names what a simulated GPU cannot answer.
    """
    simulated = asked["simulate"]
    if simulated is None:
        return
    if budget.throughput:
        raise BadInputError(
            f"--simulate {simulated}: {options['budget']} limits a throughput, and {opt.NO_KERNEL}"
        )
    if options["run"] is not None and options["simulate"] is not None:
        raise BadInputError(f"--simulate {simulated} measures a run: leave RUN out")
    if options["against"] is not None:
        raise BadInputError(f"--against measures times, and {opt.NO_KERNEL}")


def read_budget(path: Path) -> Budget:
    """The budget in a TOML file.

    Raises:
        BadInputError: the file cannot be read, is not TOML, or is not a budget.
    """
    from rnnprof.gate.budget_file import parse_budget
    from rnnprof.toml_file import read_toml

    return parse_budget(read_toml(path), path.name, budget_entries("measure"))


def _script_of(budget: Budget, options: Mapping[str, Any]) -> list[str]:
    """The script on the command line, as words for ``profile``.

    Raises:
        BadInputError: the budget states what is trained too, or a run is judged, which has it.
    """
    flags = {"env": "--env", "assignments": "--set", "setup": "--setup", "prepare": "--prepare"}
    given = [name for name in ("script", *flags) if options[name]]
    if not given:
        return []
    if options["run"] is not None:
        flag = "the script" if options["script"] else flags[given[0]]
        raise BadInputError(f"{options['run']} is measured already: leave {flag} out")
    stated = [key for key in budget.workload if key not in ("env", "set", "setup", "prepare")]
    if options["script"] and stated:
        raise BadInputError(
            f"{options['budget'].name} states what is trained ([workload] {stated[0]}), and so "
            "does the script after --: leave one of the two out"
        )
    words = []
    for name, flag in flags.items():
        texts = options[name] if isinstance(options[name], tuple) else (options[name],)
        words += [word for text in texts if text is not None for word in (flag, text)]
    return [*words, "--", *options["script"]] if options["script"] else words


def _options_of(budget: Budget, path: Path, given: Sequence[str] = ()) -> dict[str, Any]:
    """The options of ``profile``, as the budget's ``[workload]`` and ``[measure]`` set them.

    Args:
        given: words of the command line, which come first.
    """
    profile = by_key(entries_of("profile"))
    measure = {key: value for key, value in budget.measure.items() if key in profile}
    values = checked(budget.workload, path.name, budget_entries("workload"))
    values |= checked(measure, path.name, profile)
    context = _measurement.make_context("check", list(given), default_map=values)
    return {**context.params, "context": context}


@click.command(cls=_Measurement)
@table_options("profile", variables_of="check")
def _measurement() -> None:
    """The options that a budget may set, and the others that a measurement needs."""


def _is_overruled(name: str, budget: Budget) -> bool:
    """Whether only a variable sets the option, and the budget has its own value."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.ENVIRONMENT and name in budget.measure


def _check_files(options: Mapping[str, Any], read: Mapping[str, Path | None]) -> None:
    """Check that nothing that the gate writes replaces what it reads, or another of its files.

    Args:
        read: what the measurement reads.

    Raises:
        BadInputError: names both options.
    """
    outputs = {flag: options[name] for name, flag in OUTPUTS.items()}
    inputs = {flag: options[name] for name, flag in INPUTS.items()}
    check_outputs(outputs, {**inputs, **read})


def _read_by(asked: Mapping[str, Any]) -> dict[str, Path | None]:
    """The file of the factory or the script, as the budget names it."""
    file, _, function = str(asked["factory"] or "").rpartition(":")
    scripts = [Path(word) for word in asked["script"][:4] if word.endswith(".py")]
    return {
        "the factory": Path(file) if function and file.endswith(".py") else None,
        "the script": scripts[0] if scripts else None,
    }


def _differing(workload: Workload, run: Run) -> tuple[Reason, ...]:
    """How the run's workload differs from the budget's, a reason each."""
    from rnnprof.gate.reasons import KeyDiffers
    from rnnprof.runfile.codec import encode

    asked, found = encode(workload), encode(run.header.workload)
    for encoded, script in ((asked, workload.script), (found, run.header.workload.script)):
        encoded["script"] = None if script is None else script.describe()
        encoded["setup"] = None if script is None else script.setup
        encoded["prepare"] = None if script is None else script.prepare
    return tuple(
        KeyDiffers(name.replace("_", "-"), found[name], asked[name])
        for name in asked
        if asked[name] != found[name]
    )


def _orders(asked: dict[str, Any], budget: Budget, options: Mapping[str, Any]) -> list[Order]:
    """What to measure on each GPU, as the budget and the command line set it."""
    from rnnprof.cli.orders import orders_of, run_path

    source = asked["context"].get_parameter_source("processes")
    if source is ParameterSource.DEFAULT and asked["simulate"] is None:
        asked["processes"] = CHECK_PROCESSES
    if options["processes"] is not None:
        asked["processes"] = options["processes"]
    asked |= {
        "batch": (), "time_steps": (), "at_most": budget.measure.get("at-most"),
        "output": options["output"], "extend": False, "overwrite": True,
    }  # fmt: skip
    orders = [
        replace(each, for_gate=True) for each in orders_of(asked["context"], asked, suffix="-check")
    ]
    if len(orders) > 1:
        return orders
    # CI jobs keep the file of a single GPU by a name that is the same if it is simulated
    [order] = orders
    kind = "cpu" if order.device == "cpu" else "cuda"
    return [replace(order, path=run_path(options["output"], f"{order.workload.name}-{kind}-check"))]


def _measured(
    order: Order,
    budget: Budget,
    base: FoldedRun | None,
    options: Mapping[str, Any],
    gpu: str | None,
) -> FoldedRun:
    """Measure what the budget and the baseline require; more while a verdict is open."""
    from rnnprof.cli.progress import listener_for
    from rnnprof.cli.stops import hear_sigterm
    from rnnprof.gate.judge import gate
    from rnnprof.gate.run import asked_of, measure

    listener = listener_for(options["verbose"], quiet=options["quiet"])
    hear_sigterm()
    if gpu is not None:
        listener.noted(f"{gpu}:")
    with _naming(gpu):
        return measure(
            asked_of(budget, base),
            order,
            listener,
            lambda run: _is_settled(gate(budget, run, base)),
            options["max_seconds"],
        )


@contextlib.contextmanager
def _naming(gpu: str | None) -> Iterator[None]:
    """Put the GPU's name into an error, if there are several GPUs."""
    try:
        yield
    except RnnprofError as error:
        if gpu is None:
            raise
        raise type(error)(f"{gpu}: {error}") from None


def _measured_in_turn(
    order: Order, asked: dict[str, Any], budget: Budget, options: Mapping[str, Any]
) -> tuple[FoldedRun, FoldedRun]:
    """Baseline and run, process by process in turn; more while a verdict is open."""
    from rnnprof.cli.progress import listener_for
    from rnnprof.cli.sides import base_path, place_of, side_of
    from rnnprof.cli.stops import hear_sigterm
    from rnnprof.gate.judge import gate
    from rnnprof.gate.paired import Side, measure_in_turn
    from rnnprof.gate.run import asked_in_turn

    place = place_of(options["against"])
    if place is None:
        raise BadInputError(f"--against {options['against']}: give a run file to --baseline")
    base = side_of(place, order, asked["context"], asked, base_path(order.path))
    listener = listener_for(options["verbose"], quiet=options["quiet"])
    hear_sigterm()
    return measure_in_turn(
        asked_in_turn(budget),
        base,
        Side(order),
        listener,
        lambda base, run: _is_settled(gate(budget, run, base, in_turn=True)),
        options["max_seconds"],
    )


def _is_settled(result: Gate) -> bool:
    """Whether more processes could not decide any open verdict."""
    from rnnprof.gate.verdicts import Verdict

    return not any(
        finding.verdict is Verdict.INCONCLUSIVE and finding.kind in ("throughput", "time_growth")
        for finding in result.findings
    )


def _answer(gates: Sequence[tuple[WordedGate, CheckContext]], options: Mapping[str, Any]) -> int:
    """Print and write the verdict in every form that was requested; return the exit code."""
    from rnnprof.gate.formats.documents import gates_benchmarks, gates_json
    from rnnprof.gate.formats.github import github, write_github
    from rnnprof.gate.formats.junit import gates_junit
    from rnnprof.gate.formats.markdown import gates_markdown
    from rnnprof.gate.formats.text import gates_text
    from rnnprof.report.words.gate import judged

    whole = judged(gates)

    files: dict[str, Callable[[Judged], str]] = {
        "junit": gates_junit,
        "markdown": gates_markdown,
        "benchmark_json": gates_benchmarks,
    }
    for name, text_of in files.items():
        if options[name] is not None:
            _write(options[name], text_of(whole), name)
    if options["github"]:
        texts = github(whole, os.environ)
        write_github(texts)
        # these are commands for the job, and every text within is escaped
        click.echo(texts.annotations if options["as_json"] else texts.log, err=options["as_json"])
    if options["as_json"]:
        click.echo(gates_json(whole))
    elif not options["github"]:
        say(gates_text(whole))
    return whole.verdict.exit_code(strict=options["strict"])


def _context(
    folded: FoldedRun, base: FoldedRun | None, options: Mapping[str, Any], gpu: str | None = None
) -> CheckContext:
    """The facts that a report states beside the verdict."""
    from rnnprof.gate.formats.shared import CheckContext
    from rnnprof.redaction import command_shown

    run, header = folded.run, folded.run.header
    given = sys.argv[2:] if sys.argv[1:2] == ["check"] else []
    return CheckContext(
        run_name=Path(run.path or "run").name,
        base_name=Path(base.run.path or "baseline").name if base else None,
        workload=header.workload.describe(),
        device=str(header.environment.get("device_name") or "not known"),
        limit_bytes=run.limit_bytes,
        command=command_of(["rnnprof", "check", *command_shown(given)]),
        budget_name=str(options["budget"]),
        is_strict=options["strict"],
        judged_at=datetime.now(UTC),
        gpu=gpu,
    )


def _write(path: Path, text: str, name: str) -> None:
    from rnnprof.atomic import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        flag = "--" + name.replace("_", "-")
        raise refusal_of(f"{flag}: cannot write {path}", error) from None
