"""A job from start to end: identity, run file, work."""

from __future__ import annotations

import contextlib
import signal
import textwrap
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rnnprof import protocol
from rnnprof.device.locks import gpu_lock
from rnnprof.engine.identity import (
    GpuSurvey,
    guard_bytes,
    host_of,
    make_header,
    resolve_gpu_limit,
    resolve_limit,
    shortage,
)
from rnnprof.engine.listener import Listener
from rnnprof.engine.observer import Observer, utc_now
from rnnprof.engine.order import Order
from rnnprof.engine.reasons import IncompleteRecordSaved, Opens
from rnnprof.engine.script_check import (
    CHECK_DEADLINE_S,
    Checked,
    check_script,
    has_time_steps,
    is_known,
    other_length,
    with_found_length,
)
from rnnprof.engine.script_cost import expected_cost
from rnnprof.engine.shell_commands import PREPARED, prepare, set_up
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.errors import (
    BadInputError,
    NoDeviceError,
    RnnprofError,
    RunFileError,
    WorkerStartError,
)
from rnnprof.outcomes import classify, said_before
from rnnprof.plain_text import WIDTH
from rnnprof.points.script_facts import script_facts
from rnnprof.reasons import Reason
from rnnprof.runfile.codec import decode, encode
from rnnprof.runfile.differences import differences
from rnnprof.runfile.journal import Journal, open_journal
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Finished, Header, Host, Request, Run
from rnnprof.units import format_bytes

DESCRIBE_DEADLINE_S: Final = 120.0

DESCRIBE_ATTEMPTS: Final = 3
"""A pass that describes the machine has no record: what ends its worker costs an attempt here."""

FROM_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that another process sends; a worker's own faults end it by others."""

SAID: Final = ("message", "nonsense", "log_tail", "error_type")
"""Fields of the evidence that a worker or the user's code wrote."""

CHECK_BATCH: Final = 2
"""Batch of the one training step that checks a factory, where no batch is requested."""


LOADS_LONG: Final = (
    "each worker loads the file again: move what trains, waits or downloads under "
    '`if __name__ == "__main__":`'
)


@dataclass(frozen=True, slots=True)
class Job:
    """An order in progress: its run file is open, and its workers can run tasks.

    Attributes:
        order: with its device pinned.
    """

    order: Order
    observer: Observer
    journal: Journal
    listener: Listener

    @property
    def run(self) -> Run:
        """What the file holds so far."""
        assert self.journal.run is not None
        return self.journal.run


def carry_out(
    order: Order, work: Callable[[Job], None], listener: Listener, supervisor: Supervisor | None
) -> Run:
    """Open the run file, do the *work*, and return the run.

    An unfinished run is resumed.  A *supervisor* that is passed in keeps running.

    Raises:
        RunFileError: the file holds another run, and what differs; the file is not changed.
        BadInputError: a factory or limit that cannot be used.
        WorkerStartError: torch cannot be imported.
    """
    began_s = time.monotonic()
    _check_working_folder()
    with (
        open_journal(order.path, discard=order.overwrite and not order.for_gate) as journal,
        contextlib.nullcontext(supervisor)
        if supervisor
        else Supervisor(gpu=order.gpu) as supervisor,
        contextlib.ExitStack() as held,
    ):
        supervisor.restarted = listener.noted
        _refuse_early(journal.run, order)
        if not supervisor.found.setdefault("opened", False):  # once for several jobs
            supervisor.found["opened"] = True
            listener.noted(_opening(order))
        kept = None if order.overwrite else journal.run
        site = _identify(order, kept, supervisor)
        held.enter_context(gpu_lock(None if order.gpu else site.uuid))
        set_up(site.order, supervisor, listener.noted)
        limit_bytes = _resolved_limit(site.order, kept, supervisor, listener)
        training_bytes = _training_bytes(site.order, limit_bytes)
        asked = site.order
        site, passes = _check(site, training_bytes, kept, supervisor, listener)
        order, header = site.order, make_header(site.order, site.facts, site.sources)
        request = _claim(journal, header, order, host_of(site.facts, limit_bytes))
        if journal.saved is not None:
            listener.noted(IncompleteRecordSaved(str(journal.saved)))
        observer = _observer(order, training_bytes, request, journal, supervisor)
        job = Job(order, observer, journal, listener)
        _keep(passes, job, other_length(asked, order))
        work(job)
        journal.append(Finished(request.request, utc_now(), max(0.0, time.monotonic() - began_s)))
        return job.run


def _opening(order: Order) -> Opens:
    """What the job is about to do."""
    limit_bytes = order.settings.memory_limit
    gpu = order.gpu.name if order.gpu else None
    return Opens(order.workload, order.device, gpu, limit_bytes)


def _check_working_folder() -> None:
    """Check that there is one: torch's libraries end a process that has none.

    Raises:
        BadInputError: it was removed.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise BadInputError("the working folder is gone: cd to another") from None


def asking(supervisor: Supervisor, order: Order) -> Callable[[protocol.Task, float], Answer]:
    """How this job asks workers; the order's secrets are struck from what they answer.

    Every record, message and page is made from these answers.
    """
    secrets = order.secrets

    def ask(task: protocol.Task, deadline_s: float) -> Answer:
        if task.do in PREPARED:
            prepare(task, order, supervisor)
        answer = supervisor.ask(task, deadline_s)
        evidence = answer.evidence
        if evidence is not None:
            texts = {name: secrets.struck(getattr(evidence, name)) for name in SAID}
            evidence = replace(evidence, **texts)
        return replace(answer, findings=secrets.struck(answer.findings), evidence=evidence)

    return ask


def _refuse_early(run: Run | None, order: Order) -> None:
    """Refuse what can be refused before torch is imported."""
    if run is None or not run.requests:
        return
    if order.overwrite:
        _refuse_others(run, order)
        return
    _refuse_another(run.header, replace(run.header, workload=order.workload), order)
    if order.extend:
        return
    changed = _request_differences(run.requests[-1], order)
    if run.is_finished and (changed or not order.lacks_report):
        raise RunFileError(
            f"{order.path} holds a finished run: --extend adds points to it, --overwrite replaces "
            "it, -o writes to another file"
        )
    if changed:
        raise RunFileError(
            f"{order.path} holds an unfinished run of another request ({'; '.join(changed)}): give "
            "the same command to resume it, --extend to add these points, or --overwrite to "
            "replace it"
        )


def _refuse_another(kept: Header, header: Header, order: Order) -> None:
    """Refuse to add to the run of another workload, on another machine or under another limit."""
    if kept != header:
        raise RunFileError(
            f"{order.path} holds another run ({'; '.join(differences(kept, header))}): write to "
            "another file with -o, or replace it with --overwrite"
        )


def _refuse_others(run: Run, order: Order) -> None:
    """A gate replaces its own run of an earlier time, and no other run."""
    if not all(request.for_gate for request in run.requests):
        raise RunFileError(
            f"{order.path} holds a run of rnnprof {run.requests[0].command}, which a gate does not "
            "replace: write to another file with -o"
        )


def _request_differences(last: Request, order: Order) -> list[str]:
    if last.command != order.command:
        return [f"the command was {last.command}, is {order.command}"]
    before = {**encode(last.grid), **encode(last.settings)}
    now = {**encode(order.grid), **encode(order.settings)}
    if order.script is not None and not has_time_steps(order):
        now.pop("time_steps")  # the record has the T that was seen
    return [
        f"--{name.replace('_', '-')} was {before[name]}, is {now[name]}"
        for name in now
        if before[name] != now[name]
    ]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a workload will be measured, as a worker found it.

    Attributes:
        order: with its GPU pinned.
        facts: of machine, device and libraries.
        sources: sha256 of the user's files that importing the factory loads.
    """

    order: Order
    facts: dict[str, Any]
    sources: dict[str, str]

    @property
    def uuid(self) -> str | None:
        """The GPU's UUID; None on the CPU."""
        return self.order.device_uuid


def _identify(order: Order, run: Run | None, supervisor: Supervisor) -> Site:
    """Let a worker describe torch, the device and the factory."""
    if order.device == "cpu":  # refused before torch is imported
        _refuse_gpu_memory(order)
        resolve_limit(order.settings.memory_limit, _kept_limit(order, run))
    answer = _described("describe", order, supervisor)
    if answer.evidence is not None:
        raise _describe_error(order, answer)
    facts = answer.findings["facts"]
    assert isinstance(facts, dict)
    uuid = facts.get("device_uuid")
    pinned = replace(order, device=order.device if uuid is None else "cuda", device_uuid=uuid)
    return Site(pinned, facts, decode(dict[str, str], answer.findings["sources"], "sources"))


def _described(do: str, order: Order, supervisor: Supervisor) -> Answer:
    """The answer of a first pass; it is asked again if its worker was ended from outside."""
    ask = asking(supervisor, order)
    for _ in range(DESCRIBE_ATTEMPTS - 1):
        answer = ask(order.task(do), DESCRIBE_DEADLINE_S)
        if answer.evidence is None or answer.evidence.signal not in FROM_OUTSIDE:
            return answer
    return ask(order.task(do), DESCRIBE_DEADLINE_S)


def _describe_error(order: Order, answer: Answer) -> RnnprofError:
    assert answer.evidence is not None
    if answer.evidence.error_type == "DeviceMissingError":
        return NoDeviceError(f"--device {order.device}: {answer.evidence.message}")
    if order.factory_path and answer.evidence.phase == "factory":
        return _factory_error(order, answer)
    reason = classify(answer.evidence).reason
    return WorkerStartError(
        f"the worker could not describe itself: {reason}\n{said_before(answer.evidence)}"
    )


def _refuse_gpu_memory(order: Order) -> None:
    if order.settings.gpu_memory_bytes is not None:
        raise BadInputError(
            "--gpu-memory describes another CUDA GPU, but this run is on the CPU: give "
            "--memory-limit"
        )


def _kept_limit(order: Order, run: Run | None) -> int | None:
    """The limit that is already resolved: of this run, or of the other side of a comparison."""
    return run.limit_bytes if run is not None else order.kept_limit_bytes


def _resolved_limit(
    order: Order, run: Run | None, supervisor: Supervisor, listener: Listener
) -> int:
    """What training may be charged, resolved once per run; note it if less memory is free now."""
    free_bytes, kept = None, _kept_limit(order, run)
    if order.device == "cpu":
        limit_bytes = resolve_limit(order.settings.memory_limit, kept)
    else:
        survey = _survey(order, supervisor)
        free_bytes = survey.free_bytes
        limit_bytes = resolve_gpu_limit(order.settings, kept, survey)
    short = None if kept is None else shortage(limit_bytes, free_bytes)
    is_told = order.extend and order.kept_limit_bytes is not None  # a later turn of a comparison
    if short is not None and not is_told:
        listener.noted(short)
    return limit_bytes


def _survey(order: Order, supervisor: Supervisor) -> GpuSurvey:
    answer = _described("survey", order, supervisor)
    if answer.evidence is not None:
        reason = classify(answer.evidence).reason
        raise WorkerStartError(f"the worker could not measure the GPU's free memory: {reason}")
    return decode(GpuSurvey, answer.findings, "survey")


def _check(
    site: Site,
    training_bytes: int,
    kept: Run | None,
    supervisor: Supervisor,
    listener: Listener,
) -> tuple[Site, Checked | None]:
    """Check the user's code before anything is measured.

    Returns:
        The site with what was found there, and the passes of a script, to be recorded.
    """
    if site.order.script is None:
        sources = site.sources | _check_factory(site.order, supervisor)
        return replace(site, sources=sources), None
    checked = _checked_script(site.order, training_bytes, kept, supervisor, listener)
    return Site(
        with_found_length(site.order, checked, kept),
        site.facts | checked.facts,
        site.sources | checked.sources,
    ), checked


def _checked_script(
    order: Order,
    training_bytes: int,
    kept: Run | None,
    supervisor: Supervisor,
    listener: Listener,
) -> Checked:
    """Check a script; for a further order of a supervisor only if it has another script."""
    what = (order.workload, order.script, order.device, order.device_uuid, training_bytes)
    known: tuple[object, Checked] | None = supervisor.found.get("check")
    if known is not None and known[0] == what:
        return replace(known[1], passes=())
    ask = asking(supervisor, order)
    checked = check_script(order, training_bytes, ask, listener.noted, kept)
    supervisor.found["check"] = (what, checked)
    return checked


def _keep(checked: Checked | None, job: Job, other: Reason | None) -> None:
    """Record the passes of a script's check, and note what its starts cost and hold.

    Args:
        other: that it trains with another T than the one requested.
    """
    if checked is None or not checked.passes:
        return
    request, limit_bytes = job.observer.request.request, job.observer.limit_bytes
    fits = []
    for started, fit in checked.records(job.order, request, limit_bytes):
        fits.append(fit)
        job.listener.probed(fit)
        if not is_known(fit, job.run):
            job.journal.append(started)
            job.journal.append(fit)
    facts = script_facts(fits, limit_bytes)
    held = facts.much_held if facts else None
    for reason in (other, expected_cost(job.order, job.run, fits), held):
        if reason is not None:
            job.listener.noted(reason)


def _check_factory(order: Order, supervisor: Supervisor) -> dict[str, str]:
    """Run one step at the smallest point, so that a broken factory is reported before the sweep.

    If it raises there, try the longest T: a model may need more time steps than the shortest.

    Returns:
        The sha256 of the user's files that are loaded by the end of that step.
    """
    if order.factory_path is None:
        return {}
    batch, lengths = min(order.grid.batch, default=CHECK_BATCH), order.grid.time_steps
    raised = None
    for time_steps in sorted({min(lengths), max(lengths)}):
        answer = _one_step(Point(batch, time_steps), order, supervisor)
        error = _error_of(answer, Point(batch, time_steps), order)
        if error is None:
            return decode(dict[str, str], answer.findings.get("sources", {}), "sources")
        raised = raised or error
    assert raised is not None, "there is at least one T"
    raise raised


def _one_step(point: Point, order: Order, supervisor: Supervisor) -> Answer:
    task = replace(
        order.task("check"),
        point=point,
        guard_bytes=guard_bytes(),
    )
    return asking(supervisor, order)(task, order.settings.timeout_s or CHECK_DEADLINE_S)


def _error_of(answer: Answer, point: Point, order: Order) -> BadInputError | None:
    """What one step of the factory raised at a point; None if it passed.

    Raises:
        BadInputError: the factory does not follow the protocol, at any point.
    """
    if answer.evidence is None:
        return None
    if answer.bad_factory:
        raise _factory_error(order, answer, f" at {point}")
    # an out-of-memory error, a crash or a hang is a result: the sweep records it
    is_broken = classify(answer.evidence).outcome is Outcome.FAILED
    return _factory_error(order, answer, f" at {point}") if is_broken else None


def _factory_error(order: Order, answer: Answer, where: str = "") -> BadInputError:
    assert answer.evidence is not None
    evidence, named = answer.evidence, f"--factory {order.factory_path}"
    if answer.bad_factory:
        return BadInputError(f"{named}: {evidence.message}")
    hint = LOADS_LONG if evidence.timed_out else str(answer.findings.get("hint") or "")
    lines = [f"{named}{where}: {classify(evidence).reason}", said_before(evidence)]
    lines.append(textwrap.fill(hint, WIDTH, break_long_words=False, break_on_hyphens=False))
    return BadInputError("\n".join(line for line in lines if line))


def _claim(journal: Journal, header: Header, order: Order, host: Host) -> Request:
    """Write the header or check that it is the same, then write this request and its host."""
    run = journal.run
    if run is None and not order.overwrite:
        journal.append(header)
    elif run is None or order.overwrite:
        journal.replace_with(header)
    else:
        _refuse_another(run.header, header, order)
    request = Request(
        uuid.uuid4().hex[:12], order.command, order.grid, order.settings, utc_now(), order.for_gate
    )
    journal.append(request)
    journal.append(replace(host, request=request.request))
    return request


def _training_bytes(order: Order, limit_bytes: int) -> int:
    """Memory for training: the limit without the reserve."""
    reserve = order.settings.reserve_bytes
    if reserve >= limit_bytes:
        raise BadInputError(
            f"--reserve {format_bytes(reserve)} leaves nothing of the limit of "
            f"{format_bytes(limit_bytes)}"
        )
    return limit_bytes - reserve


def _observer(
    order: Order, training_bytes: int, request: Request, journal: Journal, supervisor: Supervisor
) -> Observer:
    return Observer(
        task=order.task("fit"),
        request=request,
        limit_bytes=training_bytes,
        probe=asking(supervisor, order),
        record=journal.append,
        guard_bytes=guard_bytes,
    )
