"""The sweep: every point of the grid, each pass in a fresh worker, each record in the journal.

It starts no process and opens no file: it takes an observer and a clock.  The same code runs with
real workers and with fakes.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rnnprof.breakdown.memory_model import MemoryModel
from rnnprof.defaults import NEAR_BEST_RATIO
from rnnprof.engine.listener import Listener
from rnnprof.engine.observer import Observer
from rnnprof.engine.plan import anchor_of, remaining_s, shuffled
from rnnprof.engine.reasons import PassesLeftOut, PredictedLargest, TimedAgain
from rnnprof.outcomes import was_crowded_out
from rnnprof.points.fold import by_point, fold, missing_passes, rates_of
from rnnprof.points.implied import dominating_oom
from rnnprof.points.known import PRECISION_RATIO, KnownPeaks
from rnnprof.points.measurement import Measurement
from rnnprof.points.noise import judge
from rnnprof.points.reasons import ImpliedBy
from rnnprof.runfile.observations import Calibration, Fit, Observation, Timing
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Run, Settings

MIN_POINTS_FOR_ANCHOR: Final = 3
"""With fewer points the sweep is too short for the machine to drift."""


POINTS_TO_PREDICT: Final = 3
"""Points of a T with which its largest batch is predicted."""

RATES_POINT: Final = Point(1, 1)
"""Rates belong to the device, not to a point of the grid."""


@dataclass(slots=True)
class Sweep:
    """One invocation's sweep over the grid.

    Attributes:
        seen: observations by point.
        ooms: the points that were out of memory.
        done: the points that this invocation has completed, with their wall times.
        calibrations: rates of the device, observed in this run.
        left_out: memory passes that ``fast`` left out.
        predicted: T whose largest batch was predicted.
    """

    observer: Observer
    listener: Listener
    clock: Callable[[], float] = time.monotonic
    seen: dict[Point, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    ooms: set[Point] = field(default_factory=set)
    done: list[tuple[Point, float]] = field(default_factory=list)
    calibrations: list[Observation] = field(default_factory=list)
    left_out: int = 0
    predicted: set[int] = field(default_factory=set)

    @property
    def settings(self) -> Settings:
        """How points are measured."""
        return self.observer.request.settings

    def recall(self, run: Run) -> None:
        """Take over earlier observations, except those that failed because the machine was full."""
        for point, observations in by_point(run.observations).items():
            self._take(point, *(o for o in observations if not was_crowded_out(o)))
        self.observer.recall(run)
        self.calibrations += [o for o in run.observations if isinstance(o, Calibration)]

    def run(self) -> None:
        """Run every point that is not complete, and the anchor first, midway and last."""
        points = self.observer.request.grid.points()
        anchor = anchor_of(points)
        order = [anchor, *(p for p in shuffled(points, self.settings.seed) if p != anchor)]
        todo = [point for point in order if self._missing(point)]
        self.listener.begun(len(todo), len(points))
        if todo:
            self._measure_rates()
        for index, point in enumerate(todo):
            self._run_point(point, todo[index + 1 :])
            if index + 1 == (len(todo) + 1) // 2:
                self._time_anchor(anchor, len(todo))
        self._time_anchor(anchor, len(todo))
        self._break_down_shown()
        if self.settings.fast and self.left_out:
            self.listener.noted(PassesLeftOut(self.left_out, len(todo), PRECISION_RATIO))
        self.listener.closed()

    def _measure_rates(self) -> None:
        """Measure the device's rates once per run; a noisy measurement is repeated.

        Without timing passes the rates are not needed.
        """
        if self.settings.processes == 0 or any(
            o.outcome is Outcome.MEASURED and judge(o.conditions) is None for o in self.calibrations
        ):
            return
        if judge(self.observe(RATES_POINT, "rates", Role.PROBE).conditions):
            self.observe(RATES_POINT, "rates", Role.PROBE)

    def _missing(self, point: Point) -> list[str]:
        if not self.seen[point] and self._implied_by(point) is not None:
            return []
        return missing_passes(self.seen[point], self.settings.processes)

    def _implied_by(self, point: Point) -> Point | None:
        if not self.settings.prune:
            return None
        return dominating_oom(point, self.ooms)

    def _take(self, point: Point, *observations: Observation) -> None:
        self.seen[point] += observations
        if _is_oom(self.seen[point]):
            self.ooms.add(point)
        else:
            self.ooms.discard(point)

    def _run_point(self, point: Point, rest: Sequence[Point]) -> None:
        began_s = self.clock()
        while missing := self._missing(point):
            if missing[0] == "memory" and self._is_known(point):
                self.left_out += 1
                break
            if self._is_one_process(point, missing):
                self._observe_both(point, missing[0])
            else:
                self._observe_well(point, missing[0])
        self.done.append((point, max(0.0, self.clock() - began_s)))
        left = [p for p in rest if self._missing(p)]
        # implied points were not run
        observed = [(p, wall_s) for p, wall_s in self.done if self.seen[p]]
        left_s = remaining_s(left, observed, self.observer.request.grid.points())
        self.listener.ended(self._measurement(point), len(self.done), left_s)
        self._predict_at(point.time_steps)

    def _predict_at(self, time_steps: int) -> None:
        """Tell the largest batch at a T once three of its points predict it."""
        known = [s for s in self.observer.peaks if s.point.time_steps == time_steps]
        points = len({sample.point for sample in known})
        if time_steps in self.predicted or points < POINTS_TO_PREDICT:
            return
        self.predicted.add(time_steps)
        model = MemoryModel.fit(known)
        edge = 0.0 if model is None else model.edge(time_steps, self.observer.limit_bytes)
        if 1 <= edge < math.inf:
            self.listener.noted(PredictedLargest(time_steps, int(edge), points))

    def _break_down_shown(self) -> None:
        """Run the memory passes that were left out where answers show the breakdown.

        At each T these are the largest batch, and the smallest near the best throughput.
        """
        for point in self._shown() if self.settings.fast else ():
            if self._missing(point) == ["memory"]:
                self._observe_well(point, "memory")
                self.left_out -= 1

    def _shown(self) -> list[Point]:
        by_length: dict[int, list[Measurement]] = defaultdict(list)
        for point in self.observer.request.grid.points():
            found = self._measurement(point)
            if found.outcome is Outcome.MEASURED:
                by_length[point.time_steps].append(found)
        shown = []
        for group in by_length.values():
            group.sort(key=lambda found: found.point.batch)
            best = max(found.time_steps_per_s or 0.0 for found in group)
            near = (1 - NEAR_BEST_RATIO) * best
            shown += [group[-1].point]
            shown += [f.point for f in group if best and (f.time_steps_per_s or 0.0) >= near][:1]
        return shown

    def _is_known(self, point: Point) -> bool:
        """Whether other passes already give the peak that a memory pass would measure."""
        if not self.settings.fast:
            return False
        everything = (each for group in self.seen.values() for each in group)
        return KnownPeaks.of(everything).at(point) is not None

    def _is_one_process(self, point: Point, missing: Sequence[str]) -> bool:
        """Whether one start of a script serves the memory pass and the first timing pass."""
        is_script = self.observer.task.script is not None
        both = missing[0].startswith("timing") and "memory" in missing
        return is_script and both and not self._is_known(point)

    def _measurement(self, point: Point) -> Measurement:
        if self.seen[point]:
            return fold(
                point, self.seen[point], self.observer.task.workload, rates_of(self.calibrations)
            )
        cause = self._implied_by(point)
        reason = None if cause is None else ImpliedBy(cause)
        return Measurement(point, Outcome.IMPLIED_OOM, reason=reason)

    def _observe_well(self, point: Point, name: str) -> None:
        """Observe, and report it if noise makes another attempt necessary."""
        self._note_noise(point, name, self.observe(point, name))

    def _observe_both(self, point: Point, name: str) -> None:
        """As :meth:`_observe_well` for a timing pass *name*, after a memory pass in its process."""
        self.listener.entering(point, "memory and timing")
        memory, timing = self.observer.observe_both(point, int(name.partition(":")[2]))
        self._take(point, memory)
        if timing is not None:
            self._take(point, timing)
            self._note_noise(point, name, timing)

    def _note_noise(self, point: Point, name: str, observation: Observation) -> None:
        noise = judge(observation.conditions) if isinstance(observation, Timing) else None
        if noise and name in self._missing(point):
            self.listener.noted(TimedAgain(point, noise))

    def _time_anchor(self, anchor: Point, todo: int) -> None:
        measured = self.seen[anchor] and fold(anchor, self.seen[anchor]).outcome is Outcome.MEASURED
        if not measured or self.settings.processes == 0 or todo < MIN_POINTS_FOR_ANCHOR:
            return
        timing = self.observe(anchor, "timing:0", Role.ANCHOR)
        if judge(timing.conditions):
            self.observe(anchor, "timing:0", Role.ANCHOR)

    def observe(self, point: Point, name: str, role: Role = Role.GRID) -> Observation:
        """Run one pass in a fresh worker and record what was seen."""
        self.listener.entering(point, name.partition(":")[0])
        observation = self.observer.observe(point, name, role)
        if role is Role.GRID:
            self._take(point, observation)
        if isinstance(observation, Calibration):
            self.calibrations.append(observation)
        return observation


def _is_oom(observations: Sequence[Observation]) -> bool:
    fits = [o for o in observations if isinstance(o, Fit)]
    return bool(fits) and fits[-1].outcome is Outcome.OOM
