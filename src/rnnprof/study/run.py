"""Run a study of trainability: each pass in a fresh worker, without those already in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rnnprof.engine.job import Job
from rnnprof.engine.listener import Listener
from rnnprof.engine.observer import Observer
from rnnprof.engine.reasons import Doing
from rnnprof.runfile.observations import Gradient, Learning, Observation
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Run
from rnnprof.runfile.study import Study

PASS_DEADLINE_S: Final = 600.0
"""Time besides a training run's budget: building, compiling, evaluating on fresh data."""


@dataclass(frozen=True, slots=True)
class StudyPass:
    """One pass of a study.

    Attributes:
        name: ``gradient`` or ``training``.
        train_steps: training steps before a gradient pass measures.
        index: number of the training run's seed, from 0.
    """

    point: Point
    name: str
    train_steps: int = 0
    index: int = 0

    def __str__(self) -> str:
        if self.name == "training":
            return f"training to the target, seed {self.index}"
        return f"gradients after {self.train_steps} training steps"


def lessons_of(
    study: Study, batch: tuple[int, ...], time_steps: tuple[int, ...]
) -> Iterator[StudyPass]:
    """The passes of a study: gradients at each T and the smallest batch, then training runs."""
    for length in time_steps:
        point = Point(min(batch), length)
        for train_steps in sorted({0, study.train_steps}):
            yield StudyPass(point, "gradient", train_steps)
    if study.target_loss is not None:
        for length in time_steps:
            for index in range(study.seeds):
                for each in batch:
                    yield StudyPass(Point(each, length), "training", index=index)


@dataclass(slots=True)
class TrainabilityStudy:
    """One invocation's passes of a study."""

    observer: Observer
    listener: Listener
    done: set[StudyPass] = field(default_factory=set)

    def recall(self, run: Run) -> None:
        """Take over the passes of earlier invocations of the same study."""
        alike = {r.request for r in run.requests if r.settings.study == self._study}
        self.done |= {
            _lesson(each, self.observer.request.settings.seed)
            for each in run.observations
            if each.request in alike
            and isinstance(each, (Gradient, Learning))
            and each.outcome is Outcome.MEASURED
        }

    def run(self) -> None:
        """Run every missing pass; a failed pass does not stop the others."""
        grid = self.observer.request.grid
        todo = list(lessons_of(self._study, grid.batch, grid.time_steps))
        for number, lesson in enumerate(todo):
            if lesson not in self.done:
                self.listener.noted(Doing(number + 1, len(todo), lesson.point, str(lesson)))
                self._observe(lesson)
        self.listener.closed()

    @property
    def _study(self) -> Study:
        study = self.observer.request.settings.study
        assert study is not None
        return study

    def _observe(self, lesson: StudyPass) -> None:
        study, settings = self._study, self.observer.request.settings
        budget_s = study.budget_s if lesson.name == "training" else 0.0
        self.observer.observe(
            lesson.point,
            f"{lesson.name}:{lesson.index}",
            Role.PROBE,  # not a point of the grid
            deadline=settings.timeout_s or PASS_DEADLINE_S + 2 * budget_s,
            study=study,
            train_steps=lesson.train_steps,
            seed=settings.seed + lesson.index,
        )


def _lesson(each: Observation, seed: int) -> StudyPass:
    if isinstance(each, Gradient):
        return StudyPass(each.point, "gradient", each.train_steps)
    assert isinstance(each, Learning)
    return StudyPass(each.point, "training", index=each.seed - seed)


def run_study(job: Job) -> None:
    """The work of ``trainability``."""
    job.observer.recall(job.run)
    study = TrainabilityStudy(job.observer, job.listener)
    study.recall(job.run)
    study.run()
