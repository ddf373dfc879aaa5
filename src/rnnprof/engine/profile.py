"""``profile`` from end to end: identity, journal, sweep; a list of verbs."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rnnprof import protocol
from rnnprof.analysis.outcomes import classify
from rnnprof.codec import encode
from rnnprof.engine.identity import guard_bytes, make_header, resolve_limit
from rnnprof.engine.journal import Journal, differences, open_journal
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.engine.sweep import Listener, Sweep, utc_now
from rnnprof.errors import BadInputError, RunFileError, WorkerStartError
from rnnprof.records import Finished, Grid, Header, Outcome, Request, Run, Settings
from rnnprof.workload import FactorySource, Workload

HELLO_DEADLINE_S: Final = 120.0
CHECK_DEADLINE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class ProfileOrder:
    """What ``profile`` is asked to do.

    Attributes:
        workload: with a factory, its source's hash is still empty.
        factory_path: where the factory is: ``path/to/file.py:function`` or ``module:function``.
        extend: add points to a run, also to a finished one.
        overwrite: begin anew, whatever the file holds.
    """

    workload: Workload
    grid: Grid
    settings: Settings
    path: Path
    factory_path: str | None = None
    extend: bool = False
    overwrite: bool = False


def profile(order: ProfileOrder, listener: Listener, supervisor: Supervisor | None = None) -> Run:
    """Sweep the grid and return the run; resumes an unfinished one.

    Raises:
        RunFileError: the file holds something else, spelled out; nothing in it is changed.
        BadInputError: a factory or limit that cannot be used.
        WorkerStartError: torch does not come up.
    """
    began_s = time.monotonic()
    with (
        open_journal(order.path, discard=order.overwrite) as journal,
        supervisor or Supervisor() as crew,
    ):
        _refuse_early(journal.run, order)
        header = _identify(order, journal.run, crew)
        order = replace(order, workload=header.workload)
        _check_factory(order, crew)
        request = _claim(journal, header, order)
        _sweep(order, header, request, journal, crew, listener)
        journal.append(Finished(request.request, utc_now(), time.monotonic() - began_s))
        run = journal.run
    assert run is not None
    return run


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
    before = {**encode(last.grid), **encode(last.settings)}
    now = {**encode(order.grid), **encode(order.settings)}
    return [
        f"--{name.replace('_', '-')} was {before[name]}, is {now[name]}"
        for name in now
        if before[name] != now[name]
    ]


def _identify(order: ProfileOrder, run: Run | None, crew: Supervisor) -> Header:
    before = run.header if run else None
    limit_bytes = resolve_limit(order.settings.memory_limit, before)
    answer = crew.ask(
        protocol.Task(do="hello", workload=order.workload, factory_path=order.factory_path),
        HELLO_DEADLINE_S,
    )
    if answer.evidence is not None:
        if order.factory_path:
            raise _factory_error(order, answer)
        reason = classify(answer.evidence).reason
        raise WorkerStartError(f"the worker could not describe itself: {reason}")
    workload = order.workload
    if workload.factory is not None:
        sha256 = str(answer.findings["factory_sha256"])
        source = FactorySource(workload.factory.reference, sha256, workload.factory.args)
        workload = replace(workload, factory=source)
    facts = answer.findings["facts"]
    assert isinstance(facts, dict)
    return make_header(workload, facts, limit_bytes)


def _check_factory(order: ProfileOrder, crew: Supervisor) -> None:
    """One step of the smallest point, so that a broken factory is told before the sweep."""
    if order.factory_path is None:
        return
    smallest = min(order.grid.points())
    task = protocol.Task(
        do="check",
        workload=order.workload,
        factory_path=order.factory_path,
        batch=smallest.batch,
        steps=smallest.steps,
        seed=order.settings.seed,
        guard_bytes=guard_bytes(),
    )
    answer = crew.ask(task, order.settings.timeout_s or CHECK_DEADLINE_S)
    if answer.evidence is None:
        return
    # an out-of-memory, a crash or a hang is a result: the sweep meets it and records it
    if answer.bad_factory or classify(answer.evidence).outcome is Outcome.FAILED:
        raise _factory_error(order, answer, f" at {smallest}")


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
    request = Request(uuid.uuid4().hex[:12], "profile", order.grid, order.settings, utc_now())
    journal.append(request)
    return request


def _sweep(
    order: ProfileOrder,
    header: Header,
    request: Request,
    journal: Journal,
    crew: Supervisor,
    listener: Listener,
) -> None:
    sweep = Sweep(
        workload=header.workload,
        request=request,
        limit_bytes=header.limit_bytes,
        factory_path=order.factory_path,
        probe=crew.ask,
        record=journal.append,
        listener=listener,
        guard_bytes=guard_bytes,
    )
    run = journal.run
    assert run is not None
    sweep.recall(run)
    sweep.run()
