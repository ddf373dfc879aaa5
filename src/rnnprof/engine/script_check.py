"""The first pass of a script: whether it trains, its sources and facts, and the T that it has."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from rnnprof import protocol
from rnnprof.defaults import FIRST_UNITS
from rnnprof.engine.identity import guard_bytes
from rnnprof.engine.observer import observation_of, proof_seed, started_of
from rnnprof.engine.order import Order
from rnnprof.engine.reasons import AnotherLength, ScriptChecked
from rnnprof.engine.supervisor import Answer
from rnnprof.errors import BadInputError, MachineError
from rnnprof.outcomes import (
    CROWDED_OUT,
    DATA_ENDED_TYPE,
    Evidence,
    classify,
    is_suspect,
    said_before,
)
from rnnprof.placeholders import TIME_STEPS
from rnnprof.plain_text import WIDTH
from rnnprof.points.seen import largest
from rnnprof.reasons import Reason
from rnnprof.runfile.codec import DecodeError, decode
from rnnprof.runfile.observations import Fit, Seen
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Run, Started
from rnnprof.script_command import UNKNOWN_T

CHECK_DEADLINE_S: Final = 300.0

START_PHASES: Final = frozenset({None, "baseline", "build"})
"""A pass that ends in one of them has not begun its first training step."""

Ask = Callable[[protocol.Task, float], Answer]


@dataclass(frozen=True, slots=True)
class FirstPass:
    """One attempt of the check, before the run file has a header."""

    point: Point
    train_steps: int
    answer: Answer

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        evidence = self.answer.evidence
        return Outcome.MEASURED if evidence is None else classify(evidence).outcome

    def records(self, order: Order, request: str, limit_bytes: int) -> tuple[Started, Fit]:
        """It as an ordinary fit pass of *order*, whose grid has the T that was found."""
        found = self.point.time_steps if has_time_steps(order) else order.grid.time_steps[0]
        point = Point(self.point.batch, found)
        role = Role.GRID if point in order.grid.points() else Role.PROBE
        started = started_of(point, "fit", role, request)
        fit = observation_of(started, self.answer, limit_bytes)
        assert isinstance(fit, Fit)
        return started, fit


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of a script found.

    Attributes:
        facts: of torch, after the first training step; empty if no pass came so far.
        sources: sha256 of the user's files that are loaded by then.
        seen_time_steps: the largest T that recurrent layers saw; None without one.
        passes: the attempts, in order.
    """

    facts: dict[str, Any]
    sources: dict[str, str]
    seen_time_steps: int | None
    passes: tuple[FirstPass, ...]

    def records(
        self, order: Order, request: str, limit_bytes: int
    ) -> Iterator[tuple[Started, Fit]]:
        """The passes as ordinary fit passes of *order*, whose grid has the T that was found."""
        return (each.records(order, request, limit_bytes) for each in self.passes)


def has_time_steps(order: Order) -> bool:
    """Whether the script is given T."""
    script = order.workload.script
    return script is not None and "time_steps" in script.placeholders


def check_script(
    order: Order,
    limit_bytes: int,
    ask: Ask,
    noted: Callable[[Reason], None],
    kept: Run | None = None,
) -> Checked:
    """Run a script at its first point, as a fit pass under the limit.

    If that is out of memory or dies, the smallest batch is tried: what happens there is a result.
    If a training step raises, the longest T is tried: a model may need more than the shortest.

    Args:
        limit_bytes: memory for training, without the reserve.
        ask: runs a task in a fresh worker, within a deadline in seconds.
        kept: the run that the order adds to: its passes drew other data.

    Raises:
        BadInputError: it raised, ended, or came to no training step.
        MachineError: other processes use the memory that the limit counts on.
    """
    passes: list[FirstPass] = []
    errors: list[Exception] = []
    point: Point | None = first_point(order)
    while point is not None:
        noted(ScriptChecked(point, has_time_steps=has_time_steps(order)))
        number = len(_fits_at(point, kept))
        passes.append(_run(order, point, number, limit_bytes, ask))
        error = _error_of(order, passes[-1])
        errors += [error] if error else []
        point = None if passes[-1].outcome is Outcome.MEASURED else _next_point(order, passes)
    if error is not None:
        raise errors[0]
    return _found(_without_suspicion(passes))


def first_point(order: Order) -> Point:
    """The point of the check: the smallest of the grid; of a search its first batch."""
    unit = order.settings.granularity
    most = max(1, order.settings.at_most // unit) * unit
    batch = min(order.grid.batch, default=min(FIRST_UNITS * unit, most))
    return Point(batch, min(order.grid.time_steps, default=1))


def _next_point(order: Order, passes: list[FirstPass]) -> Point | None:
    """The point to try after the last pass did not end well; None for none."""
    last = passes[-1]
    smallest = Point(order.settings.granularity, first_point(order).time_steps)
    longest = Point(first_point(order).batch, max(order.grid.time_steps, default=1))
    is_first, evidence = len(passes) == 1, last.answer.evidence
    may_be_memory = evidence is not None and (is_suspect(evidence) or _is_crowded_out(last))
    if last.outcome is Outcome.FAILED and not may_be_memory:
        may_be_short = is_first and _has_trained(last) and has_time_steps(order)
        return longest if may_be_short and longest != last.point else None
    if _is_without_step(last) or not is_first or smallest.batch >= last.point.batch:
        return None
    return smallest


def _run(order: Order, point: Point, number: int, limit_bytes: int, ask: Ask) -> FirstPass:
    settings = order.settings
    task = replace(
        order.task("fit"),
        point=point,
        limit_bytes=limit_bytes,
        guard_bytes=guard_bytes(),
        seed=proof_seed(settings.seed, point, number),
        point_seconds=settings.point_seconds,
    )
    if order.command != "profile":  # as long as a proof, so that it need not be run again
        task = replace(task, confirm_steps=settings.confirm_steps)
    answer = ask(task, settings.timeout_s or CHECK_DEADLINE_S)
    return FirstPass(point, task.confirm_steps, answer)


def _error_of(order: Order, first: FirstPass) -> Exception | None:
    """Why a pass shows that the script cannot be measured; None if it is a result."""
    evidence = first.answer.evidence
    if evidence is None:
        return None
    name = f"{_name_of(order)} at {_shown(order, first.point)}"
    if first.answer.bad_factory:
        return BadInputError(f"{_name_of(order)}: {evidence.message}")
    if _is_crowded_out(first):
        return MachineError(f"{name}: {classify(evidence).reason}")
    if _is_without_step(first):
        reason = (
            f"no training step within {evidence.deadline_s or 0:.0f} s (--timeout): a training "
            "step ends where an optimizer has stepped, or backward() where there is none; what a "
            "child process trains is not seen"
        )
        return _bad_script(name, reason, first.answer)
    if first.outcome is Outcome.FAILED or _has_left(first):
        return _bad_script(name, _reason_of(evidence), first.answer)
    return None


def _has_left(first: FirstPass) -> bool:
    """Whether the script ended its process itself before its first training step."""
    evidence = first.answer.evidence
    if evidence is None or first.outcome is not Outcome.CRASHED:
        return False
    return evidence.exit_code is not None and evidence.phase in START_PHASES


def _reason_of(evidence: Evidence) -> str:
    """Why it failed; what happens in the build of a script happens before it trains."""
    reason = classify(evidence).reason
    is_start = evidence.phase in START_PHASES
    where = f"in {evidence.phase}" if evidence.phase else "before its first phase"
    return reason.replace(where, "before its first training step", 1) if is_start else reason


def _bad_script(name: str, reason: str, answer: Answer) -> BadInputError:
    assert answer.evidence is not None
    hint = textwrap.fill(
        str(answer.findings.get("hint") or ""), WIDTH,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    lines = [f"{name}: {reason}", said_before(answer.evidence), hint]
    return BadInputError("\n".join(line for line in lines if line))


def _name_of(order: Order) -> str:
    script = order.workload.script
    assert script is not None
    return f"-m {script.target}" if script.is_module else script.target


def _shown(order: Order, point: Point) -> str:
    """The point as the script was given it."""
    return str(point) if has_time_steps(order) else f"B={point.batch}"


def _has_trained(first: FirstPass) -> bool:
    """Whether it came to a training step and did not end for want of data."""
    evidence = first.answer.evidence
    if evidence is None or evidence.error_type == DATA_ENDED_TYPE:
        return False
    return evidence.phase not in START_PHASES


def _is_without_step(first: FirstPass) -> bool:
    evidence = first.answer.evidence
    return evidence is not None and evidence.timed_out and evidence.phase in START_PHASES


def _is_crowded_out(first: FirstPass) -> bool:
    evidence = first.answer.evidence
    return evidence is not None and evidence.error_type == CROWDED_OUT


def _without_suspicion(passes: list[FirstPass]) -> list[FirstPass]:
    """The passes; where a library could not start, the smaller batch that was tried decides why."""
    first, *others = passes
    evidence = first.answer.evidence
    if not others or evidence is None or not is_suspect(evidence):
        return passes
    smaller_passed = others[0].answer.evidence is None
    judged = replace(evidence, smaller_passed=smaller_passed)
    return [replace(first, answer=replace(first.answer, evidence=judged)), *others]


def _found(passes: list[FirstPass]) -> Checked:
    facts: dict[str, Any] = {}
    sources: dict[str, str] = {}
    seen: int | None = None
    for each in passes:
        findings = each.answer.findings
        facts = _decoded(dict[str, Any], findings, "facts") or facts
        sources = _decoded(dict[str, str], findings, "sources") or sources
        most = largest(_decoded(tuple[Seen, ...], findings, "seen") or ())
        seen = seen if most is None else most.time_steps
    return Checked(facts, sources, seen, tuple(passes))


def _decoded(kind: Any, findings: dict[str, Any], name: str) -> Any:
    try:
        return decode(kind, findings[name], name) if name in findings else None
    except DecodeError:  # the record of the pass says that its answer is unusable
        return None


def with_found_length(order: Order, checked: Checked, kept: Run | None) -> Order:
    """The order; without ``{time_steps}``, T is what recurrent layers saw, or the label given.

    Args:
        kept: the run that the order adds to: its T stays.

    Raises:
        BadInputError: a gate names another T.
    """
    if has_time_steps(order):
        return order
    asked = order.grid.time_steps
    found = asked[:1] or (1,) if checked.seen_time_steps is None else (checked.seen_time_steps,)
    if kept is not None and kept.requests:
        found = kept.requests[-1].grid.time_steps
    if order.for_gate and asked and set(asked) != set(found):
        named = " and ".join(f"T={each}" for each in asked)
        raise BadInputError(
            f"{_name_of(order)} trains with T={found[0]}, not with {named}: put {TIME_STEPS} where "
            f"its sequence length goes, or name T={found[0]}"
        )
    return replace(order, grid=Grid(order.grid.batch, found))


def other_length(order: Order, found: Order) -> AnotherLength | None:
    """That *order* names a T which the script does not train with; None if it names none."""
    asked, seen = order.grid.time_steps, found.grid.time_steps
    if asked == seen or asked in ((), UNKNOWN_T):
        return None
    return AnotherLength(asked[0], seen[0])


def is_known(fit: Fit, run: Run) -> bool:
    """Whether a run has a fit pass that says as much, so that the check only repeats it."""
    return any(
        other.outcome is fit.outcome
        and other.limit_bytes == fit.limit_bytes
        and other.train_steps_run >= fit.train_steps_run
        and fit.role in (other.role, Role.PROBE)
        for other in _fits_at(fit.point, run)
    )


def _fits_at(point: Point, run: Run | None) -> list[Fit]:
    """The fit passes that a run has at a point."""
    found = () if run is None else run.observations
    return [each for each in found if isinstance(each, Fit) and each.point == point]
