"""``profile`` from end to end: identity, journal, sweep; a list of verbs."""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rnnprof import protocol
from rnnprof.analysis.fold import was_crowded_out
from rnnprof.analysis.outcomes import classify
from rnnprof.analysis.stationary import batch_to_confirm, confirming_steps
from rnnprof.codec import decode, encode
from rnnprof.engine.cards import card_lock
from rnnprof.engine.frontier import LEAVES_MEMORY, Frontier
from rnnprof.engine.identity import (
    Survey,
    guard_bytes,
    make_header,
    resolve_card_limit,
    resolve_limit,
    shortage,
)
from rnnprof.engine.journal import Journal, differences, open_journal
from rnnprof.engine.loops import try_step_functions
from rnnprof.engine.neighbours import run_neighbours
from rnnprof.engine.observer import Observer, utc_now
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.engine.sweep import Listener, Sweep
from rnnprof.engine.trainability import TrainabilityStudy
from rnnprof.errors import (
    BadInputError,
    NoDeviceError,
    RnnprofError,
    RunFileError,
    WorkerStartError,
)
from rnnprof.records import (
    Finished,
    Fit,
    Grid,
    Header,
    Outcome,
    Point,
    Request,
    Role,
    Run,
    Settings,
)
from rnnprof.simulate.description import GpuDescription
from rnnprof.units import format_bytes
from rnnprof.workload import FactorySource, Workload

HELLO_DEADLINE_S: Final = 120.0
CHECK_DEADLINE_S: Final = 300.0

CHECK_BATCH: Final = 2
"""Of the one step that shows whether a factory works, where no batch is asked for."""

PRECISION_RATIO: Final = {"cpu": 0.03, "cuda": 0.01}
"""Half-width of the 95% interval of the median at which timing stops."""


@dataclass(frozen=True, slots=True)
class ProfileOrder:
    """What ``profile`` is asked to do.

    Attributes:
        workload: with a factory, its source's hash is still empty.
        command: ``profile``; ``max-batch``, whose grid has no batches; ``fits``, which only runs
            each point once; or ``trainability``, whose settings have a study.
        device: ``cpu``, ``cuda`` or ``cuda:N``; with *device_uuid* the card is known already.
        gpu: the GPU that is simulated; None where the device is present.
        factory_path: where the factory is: ``path/to/file.py:function`` or ``module:function``.
        extend: add points to a run, also to a finished one.
        overwrite: begin anew, whatever the file holds.
        kept_limit_bytes: the limit of the other side of a comparison, where none is asked for.
    """

    workload: Workload
    grid: Grid
    settings: Settings
    path: Path
    command: str = "profile"
    device: str = "cpu"
    device_uuid: str | None = None
    gpu: GpuDescription | None = None
    factory_path: str | None = None
    extend: bool = False
    overwrite: bool = False
    kept_limit_bytes: int | None = None

    def task(self, do: str) -> protocol.Task:
        """What a worker is to do for this order."""
        return protocol.Task(
            do=do,
            workload=self.workload,
            device=self.device,
            device_uuid=self.device_uuid,
            seed=self.settings.seed,
            factory_path=self.factory_path,
            precision_ratio=PRECISION_RATIO["cpu" if self.device == "cpu" else "cuda"],
        )


def profile(order: ProfileOrder, listener: Listener, supervisor: Supervisor | None = None) -> Run:
    """Sweep the grid, seek the edges alone or run the points once, and return the run.

    An unfinished run is resumed.  A *supervisor* that is handed in is left running.

    Raises:
        RunFileError: the file holds something else, spelled out; nothing in it is changed.
        BadInputError: a factory or limit that cannot be used.
        WorkerStartError: torch does not come up.
    """
    began_s = time.monotonic()
    with (
        open_journal(order.path, discard=order.overwrite) as journal,
        contextlib.nullcontext(supervisor) if supervisor else Supervisor(gpu=order.gpu) as crew,
        contextlib.ExitStack() as held,
    ):
        _refuse_early(journal.run, order)
        place = _identify(order, journal.run, crew)
        held.enter_context(card_lock(None if order.gpu else place.uuid))
        header = _make_header(place, journal.run, crew, listener)
        order = replace(place.order, workload=header.workload)
        _check_factory(order, crew)
        request = _claim(journal, header, order)
        observer = _observer(order, header, request, journal, crew)
        _observe(order, observer, journal, listener)
        journal.append(Finished(request.request, utc_now(), time.monotonic() - began_s))
        run = journal.run
    assert run is not None
    return run


def _observe(order: ProfileOrder, observer: Observer, journal: Journal, listener: Listener) -> None:
    if order.command == "profile":
        _sweep(order, observer, journal, listener)
        return
    assert journal.run is not None
    observer.recall(journal.run)
    if order.command == "max-batch":
        _certify(order, observer, journal, listener, order.settings.at_most)
    elif order.command == "trainability":
        study = TrainabilityStudy(observer, listener)
        study.recall(journal.run)
        study.run()
    else:
        _run_once(order, observer, journal.run, listener)


def _refuse_early(run: Run | None, order: ProfileOrder) -> None:
    """What can be refused before torch is imported."""
    if run is None or not run.requests or order.extend:
        return
    if run.is_finished:
        raise RunFileError(
            f"{order.path} holds a finished run: --extend adds points to it, --overwrite begins "
            "anew, -o writes elsewhere"
        )
    changed = _request_differences(run.requests[-1], order)
    if changed:
        raise RunFileError(
            f"{order.path} holds an unfinished run of another request ({'; '.join(changed)}): give "
            "the same command to resume it, --extend to add these points, or --overwrite"
        )


def _request_differences(last: Request, order: ProfileOrder) -> list[str]:
    if last.command != order.command:
        return [f"it was {last.command}, is {order.command}"]
    before = {**encode(last.grid), **encode(last.settings)}
    now = {**encode(order.grid), **encode(order.settings)}
    return [
        f"--{name.replace('_', '-')} was {before[name]}, is {now[name]}"
        for name in now
        if before[name] != now[name]
    ]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workload will be measured: the order with its card pinned, and the worker's facts."""

    order: ProfileOrder
    facts: dict[str, Any]

    @property
    def uuid(self) -> str | None:
        """The card's; None on the CPU."""
        return self.order.device_uuid


def _identify(order: ProfileOrder, run: Run | None, crew: Supervisor) -> Place:
    """Ask a worker what torch, the device and the factory are."""
    if order.device == "cpu":  # refused before torch is imported
        _refuse_card(order)
        resolve_limit(order.settings.memory_limit, _kept_limit(order, run))
    answer = crew.ask(order.task("hello"), HELLO_DEADLINE_S)
    if answer.evidence is not None:
        raise _hello_error(order, answer)
    facts = answer.findings["facts"]
    assert isinstance(facts, dict)
    workload = order.workload
    if workload.factory is not None:
        sha256 = str(answer.findings["factory_sha256"])
        source = FactorySource(workload.factory.reference, sha256, workload.factory.args)
        workload = replace(workload, factory=source)
    uuid = facts.get("device_uuid")
    pinned = order.device if uuid is None else "cuda"
    return Place(replace(order, workload=workload, device=pinned, device_uuid=uuid), facts)


def _hello_error(order: ProfileOrder, answer: Answer) -> RnnprofError:
    assert answer.evidence is not None
    if answer.evidence.error_type == "DeviceMissingError":
        return NoDeviceError(f"--device {order.device}: {answer.evidence.message}")
    if order.factory_path and answer.evidence.phase == "factory":
        return _factory_error(order, answer)
    reason = classify(answer.evidence).reason
    return WorkerStartError(f"the worker could not describe itself: {reason}")


def _refuse_card(order: ProfileOrder) -> None:
    if order.settings.card_bytes is not None:
        raise BadInputError(
            "--card stands for another CUDA card, and this is the CPU: give --memory-limit"
        )


def _kept_limit(order: ProfileOrder, run: Run | None) -> int | None:
    """The limit that is resolved already: of the run, or of the other side."""
    return run.header.limit_bytes if run is not None else order.kept_limit_bytes


def _make_header(place: Place, run: Run | None, crew: Supervisor, listener: Listener) -> Header:
    """The run's identity, with its limit resolved once; that less is free by now is told."""
    order, free_bytes = place.order, None
    kept = _kept_limit(order, run)
    if order.device == "cpu":
        limit_bytes = resolve_limit(order.settings.memory_limit, kept)
    else:
        survey = _survey(order, crew)
        free_bytes = survey.free_bytes
        limit_bytes = resolve_card_limit(order.settings, kept, survey)
    short = None if kept is None else shortage(limit_bytes, free_bytes)
    is_told = order.extend and order.kept_limit_bytes is not None  # a later turn of a comparison
    if short is not None and not is_told:
        listener.noted(short)
    return make_header(order.workload, place.facts, limit_bytes)


def _survey(order: ProfileOrder, crew: Supervisor) -> Survey:
    answer = crew.ask(order.task("survey"), HELLO_DEADLINE_S)
    if answer.evidence is not None:
        reason = classify(answer.evidence).reason
        raise WorkerStartError(f"the worker could not survey the card: {reason}")
    return decode(Survey, answer.findings, "survey")


def _check_factory(order: ProfileOrder, crew: Supervisor) -> None:
    """One step of the smallest point, so that a broken factory is told before the sweep.

    Where it raises there, one at the longest T: a model may need more time steps than the shortest.
    """
    if order.factory_path is None:
        return
    batch, lengths = min(order.grid.batch, default=CHECK_BATCH), order.grid.steps
    raised = None
    for steps in sorted({min(lengths), max(lengths)}):
        found = _error_at(Point(batch, steps), order, crew)
        if found is None:
            return
        raised = raised or found
    if raised is not None:
        raise raised


def _error_at(point: Point, order: ProfileOrder, crew: Supervisor) -> BadInputError | None:
    """What one step of the factory raises at a point; None for nothing.

    Raises:
        BadInputError: the factory does not keep to the protocol, whatever the point.
    """
    task = replace(
        order.task("check"), batch=point.batch, steps=point.steps, guard_bytes=guard_bytes()
    )
    answer = crew.ask(task, order.settings.timeout_s or CHECK_DEADLINE_S)
    if answer.evidence is None:
        return None
    if answer.bad_factory:
        raise _factory_error(order, answer, f" at {point}")
    # an out-of-memory, a crash or a hang is a result: the sweep meets it and records it
    is_broken = classify(answer.evidence).outcome is Outcome.FAILED
    return _factory_error(order, answer, f" at {point}") if is_broken else None


def _factory_error(order: ProfileOrder, answer: Answer, where: str = "") -> BadInputError:
    assert answer.evidence is not None
    evidence = answer.evidence
    if answer.bad_factory:
        return BadInputError(f"--factory {order.factory_path}: {evidence.message}")
    reason = classify(evidence).reason
    return BadInputError(f"--factory {order.factory_path}{where}: {reason}")


def _claim(journal: Journal, header: Header, order: ProfileOrder) -> Request:
    """Write the header or see that it is the same, then this invocation's request."""
    run = journal.run
    if run is None and not order.overwrite:
        journal.append(header)
    elif run is None or order.overwrite:
        journal.replace_with(header)
    elif run.header != header:
        raise RunFileError(
            f"{order.path} holds another run ({'; '.join(differences(run.header, header))}): write "
            "to another file with -o, or begin anew with --overwrite"
        )
    request = Request(uuid.uuid4().hex[:12], order.command, order.grid, order.settings, utc_now())
    journal.append(request)
    return request


def _observer(
    order: ProfileOrder, header: Header, request: Request, journal: Journal, crew: Supervisor
) -> Observer:
    reserve = order.settings.reserve_bytes
    if reserve >= header.limit_bytes:
        raise BadInputError(
            f"--reserve {format_bytes(reserve)} leaves nothing of the limit of "
            f"{format_bytes(header.limit_bytes)}"
        )
    return Observer(
        task=order.task("fit"),
        request=request,
        limit_bytes=header.limit_bytes - reserve,
        probe=crew.ask,
        record=journal.append,
        guard_bytes=guard_bytes,
    )


def _sweep(order: ProfileOrder, observer: Observer, journal: Journal, listener: Listener) -> None:
    """Every point of the grid, then the edge at each T that lies within it."""
    sweep = Sweep(observer, listener)
    assert journal.run is not None
    sweep.recall(journal.run)
    sweep.run()
    if order.settings.certify:
        _certify(order, observer, journal, listener, max(order.grid.batch))


def _run_once(order: ProfileOrder, observer: Observer, run: Run, listener: Listener) -> None:
    """Each point that has not been run yet, over as many steps as a proof takes."""
    fits = [o for o in run.observations if isinstance(o, Fit) and o.is_of_the_workload]
    steps = order.settings.confirm_steps
    same = [fit for fit in fits if fit.limit_bytes == observer.limit_bytes]
    known = {fit.point for fit in same if not was_crowded_out(fit) and _tells(fit, steps)}
    for point in order.grid.points():
        if point not in known:
            listener.probing(point, "whether it fits")
            fits = [_run_point(point, steps, observer, listener, Role.GRID)]
            _settle_suspicion(fits, order.settings, observer, listener)


def _tells(fit: Fit, steps: int) -> bool:
    """Whether a pass need not be run again: it did not fit, or fitted over as many steps."""
    return fit.outcome is not Outcome.MEASURED or fit.steps_run >= steps


def _settle_suspicion(
    fits: list[Fit], settings: Settings, observer: Observer, listener: Listener
) -> None:
    """Run for longer what looks as if training steps left memory behind."""
    count = confirming_steps(settings.confirm_steps)
    while (
        batch := batch_to_confirm(fits, settings.confirm_steps, settings.granularity)
    ) is not None:
        point = Point(batch, fits[0].steps)
        listener.probing(point, LEAVES_MEMORY)
        fits.append(_run_point(point, count, observer, listener))


def _run_point(
    point: Point, steps: int, observer: Observer, listener: Listener, role: Role = Role.PROBE
) -> Fit:
    fit = observer.observe(point, "fit", role, confirm_steps=steps)
    assert isinstance(fit, Fit)
    listener.probed(fit)
    return fit


def _certify(
    order: ProfileOrder, observer: Observer, journal: Journal, listener: Listener, at_most: int
) -> None:
    assert journal.run is not None
    frontier = Frontier(observer, journal.append, listener, at_most)
    frontier.recall(journal.run)
    certificates = frontier.run(order.grid.steps)
    if order.device != "cpu":
        try_step_functions(observer, certificates, listener, journal.run)
    if order.gpu is not None and order.command == "max-batch":
        run_neighbours(observer, certificates, listener, journal.run)
