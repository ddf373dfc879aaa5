"""The fit pass of a script: it runs under the limit until it has trained for enough steps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rnnprof.runfile.codec import encode
from rnnprof.simulate.description import GPU_VARIABLE
from rnnprof.worker.passes.fit import THRASHING_TIMES, look_beside, refuse_if_short
from rnnprof.worker.passes.script_steps import (
    harness_of,
    identity_of,
    is_out_of_memory,
    problem_of_first_step,
)
from rnnprof.worker.workload.loss import finite_loss
from rnnprof.worker.workload.optimizer_steps import MAX_STEPS, MIN_OPTIMIZER_STEPS
from rnnprof.worker.workload.scripts.running import BadScriptError
from rnnprof.worker.workload.seen import Watch, is_compiled
from rnnprof.worker.workload.warm_up import warm_up_beside

if TYPE_CHECKING:
    from rnnprof.worker.backends.base import Limit, Meter
    from rnnprof.worker.session import Session
    from rnnprof.worker.workload.scripts.harness import Harness

OWN_LIMIT: Final = (
    "the script sets a memory limit of its own (RLIMIT_DATA, or the fraction of the GPU's memory) "
    "in place of the one that it is measured under: leave that out"
)


NAMED_STEPS: Final = 2
"""Training steps whose phases are known: in the second the optimizer's state is in place, and most
batches that do not fit fail there."""


def script_fit_pass(session: Session) -> dict[str, Any]:
    """Run the script under the limit; the answer comes from inside it."""
    task, findings, device = session.task, session.findings, session.device
    session.tracker.enter("baseline")
    device.ready_for_fit(task.guard_bytes)
    findings["baseline_note"] = warm_up_beside(task) if device.warms_up_to_fit else None
    assert task.limit_bytes is not None
    session.limit = limit = device.set_limit(task.limit_bytes)
    findings |= limit.baseline()
    refuse_if_short(task, limit)
    steps = FitSteps(session, limit, device.meter())
    steps.harness = harness_of(session, steps)
    session.tracker.enter("build")
    steps.harness.watch = steps.watch_for(1)
    steps.harness.run()


@dataclass(slots=True)
class FitSteps:
    """Hears the script's training steps, and ends the pass after enough of them.

    Attributes:
        raw: live bytes and charged peak after each event that may end a training step.
    """

    session: Session
    limit: Limit
    meter: Meter
    harness: Harness = field(init=False)
    raw: list[tuple[int | None, int | None]] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """Training steps to run at least."""
        least = self.session.device.least_fit_steps
        return max(self.session.task.confirm_steps, least)

    def watch_for(self, number: int) -> Watch | None:
        """A watch of what modules get in training step *number*."""
        if is_compiled():
            return None
        return Watch(number, marks=number == 1 and GPU_VARIABLE not in os.environ)

    def begins(self) -> None:
        """Keep what the script holds before its first training step."""
        self.limit.training_begins()
        self.session.findings |= {
            "train_steps": self.asked,
            "live_bytes": [],
            "step_peak_bytes": [],
            "start_s": self.harness.start_s,
            "held_bytes": self.limit.charged_bytes(),
            "held_weight_bytes": self.harness.weight_bytes(),
        }
        self.session.tracker.enter("other")

    def phase(self, name: str) -> None:
        """Announce the phases of the first training step; wait for what they have submitted."""
        tracker = self.session.tracker
        if self.harness.start_s is None or not self.harness.is_watching:
            return
        if tracker.announcing:
            self.session.device.synchronize()
        tracker.enter(name)

    def event(self) -> None:
        """Read the memory at the end of what may be a training step."""
        if self.session.tracker.announcing:
            self.session.device.synchronize()
        self.raw.append(self.limit.stepped(len(self.raw) + 1))

    def failed(self, error: BaseException) -> None:
        """End at once where memory ran out: the script may catch the error and go on."""
        if is_out_of_memory(error, self.session):
            self._refuse_own_limit()
            self.session.refuse(error)

    def _refuse_own_limit(self) -> None:
        if not self.limit.is_in_force():
            self.session.refuse(BadScriptError(OWN_LIMIT))

    def stepped(self, number: int) -> None:
        """Take the end of a training step."""
        self.session.findings["train_steps_run"] = number
        self._keep_sizes(number)
        self._keep_seen(number)
        if number == 1:
            self._end_first()
        if number == NAMED_STEPS and self.harness.has_optimizer:
            self.harness.hooks_off()
            self.session.tracker.enter("other")
        if number >= self.asked - 1 and not self._needs_more(number):
            self._end_or_watch(number)

    def _end_first(self) -> None:
        self.session.tracker.announcing = False
        self._refuse_own_limit()
        if (problem := problem_of_first_step(self.session)) is not None:
            self.session.refuse(problem)

    def _end_or_watch(self, number: int) -> None:
        if number >= self.asked:
            self._finish()
        self.harness.wants_loss = True
        self.harness.hooks_on()
        self.harness.watch = self.watch_for(number + 1)

    def _needs_more(self, number: int) -> bool:
        """Whether a gradient scaler has skipped too much, or the allocator thrashes."""
        if number < self.asked:
            return False
        harness = self.harness
        few = harness.has_optimizer and harness.optimizer_steps < MIN_OPTIMIZER_STEPS
        if few and number < MAX_STEPS:
            return True
        return self.limit.has_thrashed() and number < THRASHING_TIMES * self.asked

    def _keep_sizes(self, number: int) -> None:
        live, peak = self.raw[self.harness.ended_by[number - 1]]
        for name, size in (("live_bytes", live), ("step_peak_bytes", peak)):
            if size is not None and len(self.session.findings[name]) == number - 1:
                self.session.findings[name].append(size)
        look_beside(self.session.findings)

    def _keep_seen(self, number: int) -> None:
        watch, findings = self.harness.watch, self.session.findings
        if watch is None or number < watch.number:
            return
        self.harness.watch = None
        if (seen := watch.seen()) is not None:
            findings["seen"] = [*findings.get("seen", [])[:1], encode(seen)]
        if watch.marks:
            findings["data_mark"] = watch.mark

    def _finish(self) -> None:
        session, harness = self.session, self.harness
        self._refuse_own_limit()
        session.device.synchronize()
        session.findings |= self.limit.peaks()
        session.findings |= {
            "conditions": self.meter.read(),
            "loss": finite_loss(harness.loss),
            "step_end": harness.step_end,
            "events_per_step": harness.events_per_step,
            "warnings": self._warnings(),
        }
        session.device.lift_limit()
        session.findings |= identity_of(session)
        harness.finish(session.findings)

    def _warnings(self) -> list[str]:
        harness, found = self.harness, []
        if harness.has_optimizer and harness.optimizer_steps < MIN_OPTIMIZER_STEPS:
            steps = f"{harness.optimizer_steps} times in {harness.done} training steps"
            found.append(f"the optimizer stepped only {steps}")
        if harness.ends.is_irregular:
            found.append(
                "the optimizers step in no regular order: each of their steps counts as a "
                "training step"
            )
        return found
