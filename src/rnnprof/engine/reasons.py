"""What a job reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from rnnprof.reasons import Reason
from rnnprof.runfile.points import Point
from rnnprof.workload import Workload


@dataclass(frozen=True, slots=True)
class Opens(Reason):
    """What a job is about to do, said before torch is imported.

    Attributes:
        device: as requested; *simulates* is the GPU that is simulated on it.
        limit_bytes: as requested; None for what is free.
    """

    workload: Workload
    device: str
    simulates: str | None
    limit_bytes: int | None


@dataclass(frozen=True, slots=True)
class PredictedLargest(Reason):
    """The largest batch at a T, as few points predict it; no proof.

    Attributes:
        points: with known peaks at this T.
    """

    time_steps: int
    batch: int
    points: int


@dataclass(frozen=True, slots=True)
class LimitKept(Reason):
    """The limit of a run is kept although less memory is free now."""

    limit_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class IncompleteRecordSaved(Reason):
    """The run file ended in an incomplete record, which is now in a file beside it.

    Attributes:
        file: name of that file.
    """

    file: str


@dataclass(frozen=True, slots=True)
class PassesLeftOut(Reason):
    """Memory passes that were left out, since others give their peaks.

    Attributes:
        left_out: how many.
        points: points that were run.
        precision_ratio: precision to which other passes give their peaks.
    """

    left_out: int
    points: int
    precision_ratio: float


@dataclass(frozen=True, slots=True)
class TimedAgain(Reason):
    """A point is timed again because its time was noisy."""

    point: Point
    noise: Reason


@dataclass(frozen=True, slots=True)
class Doing(Reason):
    """What a study runs next.

    Attributes:
        number: from 1, of *total*.
        lesson: what it runs, in a few words.
    """

    number: int
    total: int
    point: Point
    lesson: str


@dataclass(frozen=True, slots=True)
class TemplateRestarted(Reason):
    """The worker template ended and was started again.

    Attributes:
        how: how it ended, in a few words that follow its name.
        is_repeated: an attempt was lost with it, and is repeated.
    """

    how: str
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class SetupRuns(Reason):
    """The user's command of ``--setup`` begins."""

    command: str


@dataclass(frozen=True, slots=True)
class AnotherLength(Reason):
    """The T that is requested is not the one that a script trains with, and which it is not given.

    Attributes:
        asked, found: T.
    """

    asked: int
    found: int


@dataclass(frozen=True, slots=True)
class ScriptChecked(Reason):
    """A script's first pass begins, before anything is measured.

    Attributes:
        has_time_steps: whether the script is given the T of *point*.
    """

    point: Point
    has_time_steps: bool = True
