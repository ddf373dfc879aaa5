"""How a run went: its passes in their order, its pauses, and what was read of the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from rnnprof.points.noise import judge, taken_ratio
from rnnprof.points.reasons import Taker
from rnnprof.reasons import Reason
from rnnprof.runfile.observations import Conditions, Observation
from rnnprof.runfile.records import Run


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass with its conditions.

    Attributes:
        x: where it is drawn: minutes since the first pass, or its number.
        noisy: what made it noisy; None where nothing did.
    """

    x: float
    observation: Observation
    conditions: Conditions
    noisy: Reason | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Between two invocations: where it is drawn, and how long it was; None where unknown."""

    x: float
    length_s: float | None


@dataclass(frozen=True, slots=True)
class Course:
    """The passes in their order, along one axis.

    Attributes:
        places: by attempt, of every pass.
        is_timed: x is in minutes; else it is the pass's number.
        end: the right end of the axis.
    """

    places: dict[str, float]
    pauses: tuple[Pause, ...]
    is_timed: bool
    end: float


# --- when ----------------------------------------------------------------------------------------


def course_of(run: Run) -> Course:
    """Minutes since the first pass with pauses taken out; numbers if the clock is unknown."""
    began = {started.attempt: started for started in run.started}
    observed = [o for o in run.observations if o.attempt in began] or list(run.observations)
    times = [_epoch_s(began[o.attempt].at_utc) if o.attempt in began else None for o in observed]
    known = [time_s for time_s in times if time_s is not None]
    if not known or len(known) < len(observed) or max(known) <= min(known):
        return _numbered(observed)
    return _timed(observed, known)


def _epoch_s(at_utc: str) -> float | None:
    try:
        return datetime.fromisoformat(at_utc).timestamp()
    except (ValueError, OverflowError):
        return None


def _numbered(observed: Sequence[Observation]) -> Course:
    places = {o.attempt: float(number) for number, o in enumerate(observed, 1)}
    pauses = [
        Pause(number + 0.5, None)
        for number, (earlier, later) in enumerate(pairwise(observed), 1)
        if earlier.request != later.request
    ]
    return Course(places, tuple(pauses), False, max(places.values(), default=1.0))


def _timed(observed: Sequence[Observation], times_s: Sequence[float]) -> Course:
    lengths = _pause_lengths_s(observed, times_s)
    total_s = max(times_s) - min(times_s) - sum(lengths.values()) + observed[-1].wall_s
    drawn_s = PAUSE_SHARE * max(total_s, 1.0)
    places: dict[str, float] = {}
    pauses = []
    taken_out_s, last_s = 0.0, 0.0
    for index, (observation, time_s) in enumerate(zip(observed, times_s, strict=True)):
        if index in lengths:
            taken_out_s += lengths[index] - drawn_s
            middle_s = last_s + observed[index - 1].wall_s + drawn_s / 2
            pauses.append(Pause(middle_s / 60, lengths[index]))
        # a clock that was set back must not turn the order round
        last_s = max(last_s, time_s - times_s[0] - taken_out_s)
        places[observation.attempt] = last_s / 60
    return Course(places, tuple(pauses), True, (last_s + observed[-1].wall_s) / 60)


def _pause_lengths_s(observed: Sequence[Observation], times_s: Sequence[float]) -> dict[int, float]:
    """By the index of the first pass of an invocation: how long nothing had run."""
    return {
        index: max(0.0, times_s[index] - times_s[index - 1] - observed[index - 1].wall_s)
        for index in range(1, len(observed))
        if observed[index].request != observed[index - 1].request
    }


# --- what ----------------------------------------------------------------------------------------


def passes_of(run: Run, course: Course) -> tuple[Pass, ...]:
    """The passes that recorded their conditions, in order."""
    return tuple(
        Pass(course.places[o.attempt], o, o.conditions, judge(o.conditions))
        for o in run.observations
        if o.conditions is not None and o.attempt in course.places
    )


PAUSE_SHARE: Final = 0.02
"""Of the time drawn that a pause between invocations is drawn as, however long it was."""


def readings_of(passes: Iterable[Pass], field: str) -> list[tuple[Pass, float]]:
    """A reading of the GPU as each pass ended, those unknown left out.

    Args:
        field: of :class:`DeviceConditions`: ``sm_clock_mhz``, ``power_w`` and so on.
    """
    devices = [(each, each.conditions.device_after) for each in passes]
    readings = [(each, getattr(device, field)) for each, device in devices if device is not None]
    return [(each, float(value)) for each, value in readings if value is not None]


def shares_of(passes: Iterable[Pass], taker: Taker) -> list[tuple[Pass, float]]:
    """The processor time taken in each pass, as a share of one processor, unknown ones left out."""
    shares = [(each, taken_ratio(taker, each.conditions)) for each in passes]
    return [(each, share) for each, share in shares if share is not None]


def reasons_of(passes: Iterable[Pass]) -> dict[str, list[float]]:
    """Where each clock-event reason was in force, the most frequent first."""
    found: dict[str, list[float]] = {}
    for each in passes:
        device = each.conditions.device_after
        for reason in (device.event_reasons if device else None) or ():
            found.setdefault(reason, []).append(each.x)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))
