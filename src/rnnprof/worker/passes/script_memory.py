"""The memory pass of a script: the profiler runs from before the script's first line.

Hooks tell what begins, never what ended, and in which training step it was is known only later
where several optimizers step in turn.  So marks are numbered instants; phases and training steps
become spans between them afterwards.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from torch.profiler import record_function

from rnnprof.breakdown.account import Span
from rnnprof.worker.passes.flat_phases import phase_names
from rnnprof.worker.passes.memory import MIN_STEPS, Recording
from rnnprof.worker.passes.script_steps import harness_of, is_out_of_memory
from rnnprof.worker.passes.script_timing import TimedSteps, announce, end_first_step
from rnnprof.worker.passes.timeline import PHASE_MARK, STEP_MARK, Held
from rnnprof.worker.workload.layers import UnsupportedError
from rnnprof.worker.workload.optimizer_steps import MAX_STEPS, MIN_OPTIMIZER_STEPS
from rnnprof.worker.workload.scripts.harness import ScriptEndedError

if TYPE_CHECKING:
    from rnnprof.worker.session import Session
    from rnnprof.worker.workload.scripts.harness import Harness

MARK: Final = "rnnprof:mark:"

NO_WEIGHTS: Final = "no module and no optimizer of torch was seen: no weights are known"
NO_FORWARD: Final = "no module's forward pass was seen: what is saved for backward is not known"
OTHER_THREAD: Final = (
    "the script trains in a thread of its own: torch's profiler records the main thread alone"
)
NO_COUNT: Final = "no training step of a script is run again to count its operations"


def script_memory_pass(session: Session) -> dict[str, Any]:
    """Run the script under the profiler for a few training steps; it answers from inside.

    Raises:
        ScriptEndedError: the script has ended before it had them.
    """
    session.device.ready(session.task.guard_bytes)
    steps = MemorySteps(session, Recording(session))
    steps.harness = harness_of(session, steps)
    session.tracker.enter("build")
    steps.mark("build")
    try:
        steps.harness.run()
    except ScriptEndedError as error:
        if steps.timed is None:
            raise
        return steps.timed.ended(error)


@dataclass(slots=True)
class MemorySteps:
    """Hears the script's training steps, and accounts for their memory after enough of them.

    Attributes:
        entered: the phase that begins at each mark; None at what may be the end of a training step.
        first: the mark at which the first training step begins.
        ends: the marks of what may be the end of a training step.
        timed: the timing that follows in the same process, if one is to follow and has begun.
        thread: the one that the profiler records.
    """

    session: Session
    recording: Recording
    harness: Harness = field(init=False)
    entered: list[str | None] = field(default_factory=list)
    first: int | None = None
    ends: list[int] = field(default_factory=list)
    timed: TimedSteps | None = None
    thread: int = field(default_factory=threading.get_ident)

    def __post_init__(self) -> None:
        self.recording.watched.weights_from = -1  # the first snapshot does not know every module
        self.recording.watched.held = self.held

    def held(self) -> Held | None:
        """What the training holds, as far as it is seen; None before its first step."""
        if self.first is None:
            return None
        harness = self.harness
        known = Held(harness.parameters(), harness.buffers(), harness.optimizers())
        return known if known.parameters else None

    def mark(self, name: str | None) -> None:
        """Put the next mark into the timeline, with a snapshot."""
        with record_function(f"{MARK}{len(self.entered)}"):
            self.recording.watched.look()
        self.entered.append(name)

    def begins(self) -> None:
        """The first training step begins."""
        if threading.get_ident() != self.thread:
            self.session.refuse(UnsupportedError(OTHER_THREAD))
        self.first = len(self.entered)
        self.mark(None)
        self.session.tracker.enter("other")

    def phase(self, name: str) -> None:
        """A phase begins; what comes before the first training step is all of the build."""
        if self.first is not None:
            announce(self.session, name)
            self.mark(name)

    def event(self) -> None:
        """An optimizer has stepped, or the weights have changed."""
        if self.session.tracker.announcing:
            self.session.device.synchronize()
        self.ends.append(len(self.entered))
        self.mark(None)

    def failed(self, error: BaseException) -> None:
        """End at once where memory ran out: the script may catch the error and go on."""
        if is_out_of_memory(error, self.session):
            self.session.refuse(error)

    def stepped(self, number: int) -> None:
        """A training step has ended."""
        self.session.findings["train_steps_run"] = number
        if self.session.tracker.announcing:
            end_first_step(self.session)
        if number >= MIN_STEPS and (number >= MAX_STEPS or self._is_enough()):
            self._finish(number)

    def _is_enough(self) -> bool:
        harness = self.harness
        return not harness.has_optimizer or harness.optimizer_steps >= MIN_OPTIMIZER_STEPS

    def _finish(self, number: int) -> None:
        session, recording = self.session, self.recording
        recording.end()
        marks = recording.timeline.marked(MARK)
        recording.timeline.spans += self._phases(marks) + self._train_steps(marks, number)
        session.findings |= recording.findings(NO_WEIGHTS) | self._own_findings()
        recording.close()
        if not session.task.is_timed:
            self.harness.finish(session.findings)
        self.timed = TimedSteps(session)
        self.timed.harness = self.harness
        self.timed.go_on(session.findings)

    def _own_findings(self) -> dict[str, Any]:
        harness = self.harness
        taken = harness.optimizer_steps if harness.has_optimizer else None
        few = [] if self._is_enough() else [
            f"the optimizer stepped only {taken} times in {harness.done} training steps"
        ]  # fmt: skip
        found: dict[str, Any] = {
            "optimizer_steps": taken,
            "warnings": few + self.recording.warnings(None),
            "flops_per_step": None,
            "flops_reason": NO_COUNT,
        }
        if self.recording.watched.snapshots and "forward" not in self.entered:
            found |= {"breakdown": None, "breakdown_reason": NO_FORWARD}
        return found

    def _phases(self, marks: Sequence[Span]) -> list[Span]:
        """Spans from mark to mark; the last mark only ends one."""
        assert self.first is not None
        build, training = self.entered[: self.first], filled(self.entered[self.first :])
        names = [*filled(build), *phase_names(training)]
        starts = [mark.start_ns for mark in marks]
        return [
            Span(f"{PHASE_MARK}{name}", start, end)
            for name, start, end in zip(names, starts, starts[1:], strict=False)
        ]

    def _train_steps(self, marks: Sequence[Span], number: int) -> list[Span]:
        """Each training step, from the end of the one before it."""
        assert self.first is not None
        ends = [self.ends[event] for event in self.harness.ended_by[:number]]
        bounds = [self.first, *ends]
        return [
            Span(f"{STEP_MARK}{index}", marks[start].start_ns, marks[end].start_ns)
            for index, (start, end) in enumerate(itertools.pairwise(bounds))
        ]


def filled(entered: Sequence[str | None]) -> list[str]:
    """The phases' names; a mark without one belongs to the phase that follows it."""
    names: list[str] = []
    following = "other"
    for name in reversed(entered):
        following = following if name is None else name
        names.append(following)
    return names[::-1]
