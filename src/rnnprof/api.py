"""The Python API: it uses the same engine as the command line, and reads run files."""

from __future__ import annotations

import inspect
import os
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rnnprof import script_command
from rnnprof.axes import DEFAULT_AXES, DEFAULT_POINT_SECONDS, parse_axis
from rnnprof.device.selection import Selected, find_place, simulated_places
from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.errors import BadInputError, InconclusiveError
from rnnprof.gate.budget import Budget, MustFit, points_asked
from rnnprof.gate.evidence import Required
from rnnprof.gate.judge import gate
from rnnprof.gate.run import measure
from rnnprof.gate.verdicts import Finding, Verdict
from rnnprof.jobs import run_order
from rnnprof.maxbatch.certify import frontier_of
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.redaction import NO_SECRETS, Secrets
from rnnprof.report.words import say
from rnnprof.runfile import journal
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Run, Settings
from rnnprof.units import parse_size
from rnnprof.workload import (
    FactoryInput,
    ScriptPlace,
    Workload,
    factory_place,
    workload_of,
    workload_of_script,
)

Axis = str | Iterable[int]

Frontier = tuple[Certificate, ...]
"""One certificate for each T, in ascending order of T."""


@dataclass(frozen=True, slots=True)
class Script:
    """A training script with its command line, which runs unchanged.

    ``rnnprof.Script("python train.py --batch-size {batch} --bptt {time_steps}")``; the sizes of a
    point go where ``{batch}`` and ``{time_steps}`` stand, also in *env* and *set*.

    Attributes:
        command: the words, or one text that is split as a shell does.
        env: variables for the script.
        set: values of assignments at the top of the script, by ``NAME`` or ``module.NAME``.
        setup: shell command that runs once, before the script's first start.
        prepare: shell command that runs before each start of the script.
    """

    command: str | Sequence[str]
    _: KW_ONLY
    env: Mapping[str, str] | None = None
    set: Mapping[str, str] | None = None
    setup: str | None = None
    prepare: str | None = None


def profile(
    what: Workload | Script | None = None,
    *,
    batch: Axis | None = None,
    time_steps: Axis | None = None,
    settings: Settings | None = None,
    output: str | Path,
    device: str = "auto",
    simulate: str | None = None,
    extend: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Measure every point of the grid and return the run; workers are separate processes.

    Args:
        what: what is trained; by default an LSTM 256->512.
        batch, time_steps: an axis as on the command line, or the values; the default depends on
            the device.  Of a script without ``{time_steps}``, T is what its recurrent layers see.
        settings: how points are measured, and the memory limit.
        output: the run file, ``NAME.jsonl``; an unfinished run is resumed.
        device: a value of ``--device``.
        simulate: a GPU that is not present, as for ``--simulate``: its memory is measured, without
            times.
        extend: add points to the run in *output*, even if it is finished.
        overwrite: replace what is in *output*.
        listener: receives the progress.

    Raises:
        RnnprofError: for the same reasons as the command ``rnnprof profile``.
    """
    place = _place(device, simulate)
    defaults = DEFAULT_AXES[place.kind]
    made = _made(what)
    order = Order(
        made.workload,
        Grid(_axis(batch or defaults[0]), made.times(time_steps, defaults[1])),
        _settings(settings or Settings(point_seconds=DEFAULT_POINT_SECONDS[place.kind]), place),
        Path(output),
        device=place.device,
        device_uuid=place.uuid,
        gpu=place.gpu,
        script=made.place,
        secrets=made.secrets,
        extend=extend,
        overwrite=overwrite,
    )
    return run_order(order, listener or Listener())


def max_batch(
    what: Workload | Script | None = None,
    *,
    time_steps: Axis | None = None,
    settings: Settings | None = None,
    output: str | Path,
    device: str = "auto",
    simulate: str | None = None,
    extend: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Frontier:
    """Prove the largest batch that fits at each T; workers are separate processes.

    Args:
        what: what is trained; by default an LSTM 256->512.
        time_steps: an axis as on the command line, or the values; the default depends on the
            device.  Of a script without ``{time_steps}``, T is what its recurrent layers see.
        settings: ``at_most``, ``granularity``, ``confirm_steps`` and so on, and the memory limit.
        output: the run file, ``NAME.jsonl``; an unfinished run is resumed.
        device: a value of ``--device``.
        simulate: a GPU that is not present, as for ``--simulate``.
        extend, overwrite: add points to the run in *output*, or replace it.
        listener: receives the progress.

    Returns:
        The certificates of the requested T.

    Raises:
        RnnprofError: for the same reasons as the command ``rnnprof max-batch``.
    """
    place = _place(device, simulate)
    made = _made(what)
    lengths = made.times(time_steps, DEFAULT_AXES[place.kind][1])
    order = Order(
        made.workload,
        Grid((), lengths),
        _settings(settings or Settings(), place),
        Path(output),
        command="max-batch",
        device=place.device,
        device_uuid=place.uuid,
        gpu=place.gpu,
        script=made.place,
        secrets=made.secrets,
        extend=extend,
        overwrite=overwrite,
    )
    proven = frontier_of(run_order(order, listener or Listener()))
    return tuple(c for c in proven if not made.knows_times or c.time_steps in lengths)


def assert_fits(
    factory: str | Callable[..., Any] | Script | None = None,
    *,
    batch: int,
    time_steps: int,
    headroom: float = 0.0,
    memory_limit: int | str | None = None,
    workload: Workload | None = None,
    factory_args: Mapping[str, Any] | None = None,
    factory_env: Mapping[str, str] | None = None,
    factory_argv: Sequence[str] = (),
    device: str = "auto",
    simulate: str | None = None,
    confirm_steps: int = 10,
    output: str | Path | None = None,
) -> Finding:
    """Train for a few steps in a separate process, and fail the test if that does not fit.

    In a test: ``rnnprof.assert_fits(make, batch=64, time_steps=128, memory_limit="14GiB")``.

    Args:
        factory: a function of a module or file, ``make(batch, time_steps, device,
            **factory_args)``, or its location, as for ``--factory``; or a script; None to use
            *workload*.
        headroom: share of the limit that must stay free.
        memory_limit: bytes, or a text such as ``14GiB``; None for the device's free memory.
        workload: a built-in cell; by default an LSTM 256->512.
        factory_args: keyword arguments of *factory*; no record keeps what looks like a secret.
        factory_env: further ones, each with the environment variable that holds its value.
        factory_argv: words for the ``sys.argv`` of the factory's file.
        device: a value of ``--device``.
        simulate: a GPU that is not present, as for ``--simulate``.
        confirm_steps: training steps that must pass.
        output: where to keep the run file; None to delete it.

    Returns:
        The finding, with its figures.

    Raises:
        AssertionError: it does not fit; the message has the error's text or the bytes used.
        InconclusiveError: there is no answer, for example because other processes used the memory.
        RnnprofError: for the same reasons as the command ``rnnprof check``.
    """
    given = FactoryInput(factory_args or {}, factory_env or {}, tuple(factory_argv))
    made = _made_alone(factory, workload, given)
    settings = Settings(memory_limit=_bytes(memory_limit), confirm_steps=confirm_steps)
    budget = _must_fit(Point(batch, time_steps), headroom, confirm_steps)
    folded = _measured(budget, made, settings, _place(device, simulate), output)
    [finding] = (each for each in gate(budget, folded).findings if each.kind == "fits")
    return _required(finding, made.workload)


def _made_alone(
    factory: str | Callable[..., Any] | Script | None,
    workload: Workload | None,
    given: FactoryInput,
) -> _Made:
    """The one that is given of a factory, a script and a workload."""
    if not isinstance(factory, Script):
        return _workload(workload, factory, given)
    _refuse_beside_script(workload, given)
    return _made(factory)


def _must_fit(point: Point, headroom: float, confirm_steps: int) -> Budget:
    required = Required(confirm_steps=confirm_steps)
    return Budget(fits=(MustFit(point, headroom),), required=required)


def _measured(
    budget: Budget, made: _Made, settings: Settings, place: Selected, output: str | Path | None
) -> FoldedRun:
    """The run of a budget's points; its file is kept where *output* names one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fits.jsonl" if output is None else Path(output)
        order = _fits_order(made, settings, path, place)
        return measure(points_asked(budget), order, Listener())


def _bytes(memory_limit: int | str | None) -> int | None:
    if not isinstance(memory_limit, str):
        return memory_limit
    try:
        return parse_size(memory_limit)
    except ValueError as error:
        raise BadInputError(f"memory_limit={memory_limit!r}: {error}") from None


def _place(device: str, simulate: str | None) -> Selected:
    if simulate is None:
        return find_place(device)
    places = simulated_places(simulate, device)
    if len(places) > 1:
        raise BadInputError(f"simulate={simulate!r}: give one GPU")
    return places[0]


def _settings(settings: Settings, place: Selected) -> Settings:
    """The requested settings; a simulated GPU has no times to measure."""
    return settings if place.gpu is None else replace(settings, processes=0)


def _fits_order(made: _Made, settings: Settings, path: Path, place: Selected) -> Order:
    """An order without a grid: its points come from the budget."""
    return Order(
        made.workload,
        Grid((), ()),
        _settings(settings, place),
        path,
        device=place.device,
        device_uuid=place.uuid,
        gpu=place.gpu,
        factory_path=made.path,
        script=made.place,
        secrets=made.secrets,
        overwrite=True,
        for_gate=True,
    )


def _required(finding: Finding, workload: Workload) -> Finding:
    """The finding, if it passed.

    Raises:
        AssertionError: it failed.
        InconclusiveError: it has no answer.
    """
    if finding.verdict is Verdict.FAIL:
        raise AssertionError(f"{workload.describe()} at {finding.where}: {say(finding.reason)}")
    if finding.verdict is not Verdict.PASS:
        raise InconclusiveError(f"{finding.where}: {say(finding.reason)}")
    return finding


@dataclass(frozen=True, slots=True)
class _Made:
    """A workload, and where its factory or its script is."""

    workload: Workload
    path: str | None = None
    secrets: Secrets = NO_SECRETS
    script: script_command.Script | None = None

    @property
    def place(self) -> ScriptPlace | None:
        """Where the script is; None without one."""
        return None if self.script is None else self.script.place

    @property
    def knows_times(self) -> bool:
        """Whether the requested T are those that run."""
        return self.script is None or "time_steps" in self.script.source.placeholders

    def times(self, requested: Axis | None, default: str) -> tuple[int, ...]:
        """The T of the grid.

        Raises:
            BadInputError: several are requested, and the script is given none.
        """
        if self.script is None or self.knows_times:
            return _axis(requested or default)
        return self.script.times_of(None if requested is None else _axis(requested), "time_steps")


def _made(what: Workload | Script | None) -> _Made:
    """What is trained, with its script.

    Raises:
        BadInputError: the script cannot be run as it stands.
    """
    if not isinstance(what, Script):
        if what is not None and not isinstance(what, Workload):
            raise BadInputError(f"{what!r}: give a rnnprof.Script or a Workload")
        return _Made(what or Workload())
    given = script_command.ScriptInput(
        _words(what.command),
        {name: str(text) for name, text in (what.env or {}).items()},
        {name: str(text) for name, text in (what.set or {}).items()},
        what.setup,
        what.prepare,
    )
    script = script_command.read_script(given)
    workload = workload_of_script(script.source)
    return _Made(workload, secrets=script.secrets, script=script)


def _words(command: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(command, str):
        return tuple(map(str, command))
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise BadInputError(f"{str(error).lower()}: write the command as for a shell") from None


def _refuse_beside_script(workload: Workload | None, given: FactoryInput) -> None:
    if workload is not None:
        raise BadInputError("give a workload or a script, not both")
    for each in fields(given):
        if getattr(given, each.name):
            name = each.name.replace("env_args", "env")
            raise BadInputError(f"factory_{name} needs a factory: a script has its own words")


def _workload(
    workload: Workload | None, factory: str | Callable[..., Any] | None, given: FactoryInput
) -> _Made:
    if factory is None:
        for each in fields(given):
            if getattr(given, each.name):
                name = each.name.replace("env_args", "env")
                raise BadInputError(f"factory_{name} needs a factory")
        return _made(workload)
    if workload is not None:
        raise BadInputError("give a workload or a factory, not both")
    path, reference = factory_place(factory if isinstance(factory, str) else _home_of(factory))
    return _Made(workload_of(given.source(reference)), path, given.secrets(os.environ))


def _home_of(factory: Callable[..., Any]) -> str:
    """Where a worker finds a function: the file that defines it at its top level."""
    function = inspect.unwrap(factory)
    name = getattr(function, "__qualname__", "")
    file = inspect.getsourcefile(function) if inspect.isfunction(function) else None
    if file is None or not name.isidentifier():
        raise BadInputError(
            f"{factory!r} cannot be found by another process: give a function at the top of a "
            "file, or 'FILE.py:FUNCTION'"
        )
    return f"{file}:{name}"


def load(path: str | Path) -> Run:
    """Read a run file.

    Raises:
        RunFileError: it is missing, damaged, written by a newer rnnprof, or not a run file.
    """
    return journal.load(Path(path))


def _axis(values: Axis) -> tuple[int, ...]:
    return parse_axis(values if isinstance(values, str) else ",".join(map(str, values)))
