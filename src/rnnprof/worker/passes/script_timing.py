"""The timing pass of a script: its own steps, with the optimizers' hook alone in the timed ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rnnprof.stats.statistics import StopRule
from rnnprof.worker.passes.script_steps import (
    harness_of,
    is_out_of_memory,
    problem_of_first_step,
)
from rnnprof.worker.passes.step_clock import StepClock
from rnnprof.worker.workload.loss import finite_loss, loss_warnings
from rnnprof.worker.workload.scripts.harness import ScriptEndedError

if TYPE_CHECKING:
    from rnnprof.worker.session import Session
    from rnnprof.worker.workload.scripts.harness import Harness


def script_timing_pass(session: Session) -> dict[str, Any]:
    """Run the script until its steps are timed; the answer comes from inside it.

    Raises:
        ScriptEndedError: the script has ended before enough steps were timed for any answer.
    """
    session.device.ready(session.task.guard_bytes)
    steps = TimedSteps(session)
    steps.harness = harness_of(session, steps)
    session.tracker.enter("build")
    try:
        steps.harness.run()
    except ScriptEndedError as error:
        return steps.ended(error)


def announce(session: Session, name: str) -> None:
    """Enter a phase; in the first training step first wait for what the last one submitted."""
    if session.tracker.announcing:
        session.device.synchronize()
    session.tracker.enter(name)


def end_first_step(session: Session) -> None:
    """Announce no more phases, and end the pass if the first training step shows a problem."""
    session.tracker.announcing = False
    if (problem := problem_of_first_step(session)) is not None:
        session.refuse(problem)


@dataclass(slots=True)
class TimedSteps:
    """Hears the script's training steps and times them.

    Attributes:
        memory: findings of the memory pass that ran before in this process; None without one.
        events: what may have ended a training step, so far.
    """

    session: Session
    harness: Harness = field(init=False)
    memory: dict[str, Any] | None = None
    events: int = 0
    _clock: StepClock = field(init=False)
    _counted: int = 0

    def __post_init__(self) -> None:
        task = self.session.task
        rule = StopRule(task.precision_ratio, task.point_seconds)
        self._clock = StepClock(self.session.device, rule, self._watch_phases)

    def go_on(self, memory: dict[str, Any]) -> None:
        """Begin with the next training step, after a memory pass whose last step has ended.

        From here on a failure is the timing's: the findings that go with it say so.
        """
        self.memory = memory
        self.session.findings = {**memory, "timing": {}}
        self.harness.listener = self
        self.harness.hooks_off()
        self.session.tracker.enter("other")
        self._clock.begin()

    def begins(self) -> None:
        """The first training step begins."""
        self.session.tracker.enter("other")
        self._clock.begin()

    def phase(self, name: str) -> None:
        """A phase begins."""
        if self.session.tracker.announcing and self.harness.start_s is not None:
            announce(self.session, name)
        self._clock.phase(name)

    def event(self) -> None:
        """An optimizer has stepped, or the weights have changed."""
        self.events += 1

    def failed(self, error: BaseException) -> None:
        """End at once where memory ran out: the script may catch the error and go on."""
        if is_out_of_memory(error, self.session):
            self.session.refuse(error)

    def stepped(self, number: int) -> None:  # noqa: ARG002  # the clock counts for itself
        """A training step has ended; of several that end at once, one is counted."""
        if self._counted == self.events:
            return
        self._counted = self.events
        if self.session.tracker.announcing:
            end_first_step(self.session)
            self.harness.hooks_off()
            self.session.tracker.enter("other")
        if self._clock.stepped():
            self.harness.finish(self.findings())

    def ended(self, error: ScriptEndedError) -> dict[str, Any]:
        """The findings although the script has ended.

        Raises:
            ScriptEndedError: too few steps are timed.
        """
        if not self._clock.is_answer():
            raise error
        return self.findings()

    def findings(self) -> dict[str, Any]:
        """Fields of a timing; after a memory pass its fields, and the timing as one of them."""
        timing = {
            **self._clock.findings(),
            "sequences_per_step": None,
            "loss": finite_loss(self.harness.loss),
            "warnings": [] if self.harness.loss is None else loss_warnings(self.harness.loss),
        }
        return timing if self.memory is None else {**self.memory, "timing": timing}

    def _watch_phases(self) -> None:
        self.harness.wants_loss = True
        self.harness.hooks_on()
