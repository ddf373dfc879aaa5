"""The gradient pass: reach and noise after some training steps; and training to a target."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from rnnprof.worker.workload.learners import Learner, Squares, learner_of
from rnnprof.worker.workload.raw_gradients import Unknown

if TYPE_CHECKING:
    from rnnprof.runfile.study import Study
    from rnnprof.worker.session import Session

SMOOTHING: Final = 20
"""The mean loss of this many training steps replaces a factory's loss on fresh data."""

NOISE_AT_START: Final = (
    "it is close to zero at initialisation and rises during training (arXiv 2505.23971): measure "
    "it after some training steps"
)


def gradient_pass(session: Session) -> dict[str, Any]:
    """Train, then compute gradients; what cannot be computed has its reason in the record."""
    task, study = session.task, session.task.study
    assert study is not None
    session.device.ready(task.guard_bytes)
    session.tracker.enter("build")
    learner = learner_of(task, task.seed, session.tracker)
    session.tracker.enter("other")
    losses = [learner.train() for _ in range(task.train_steps)]
    findings: dict[str, Any] = {
        "train_steps": task.train_steps,
        "clipped_steps": learner.clipping.count,
        "learning_rate": learner.learning_rate,
        "loss": losses[-1] if losses else None,
        **_reach(learner, study),
        **_noise(learner, study, task.train_steps),
    }
    session.device.synchronize()
    return findings


def _reach(learner: Learner, study: Study) -> dict[str, Any]:
    try:
        drawn = [learner.reach() for _ in range(study.draws)]
    except Unknown as reason:
        return {"reach_reason": str(reason)}
    return {"inputs": drawn[0][0], "lag_norms": [_finite(norms) for _, norms in drawn]}


def _noise(learner: Learner, study: Study, train_steps: int) -> dict[str, Any]:
    if train_steps == 0:
        return {"noise_reason": NOISE_AT_START}
    small = learner.step_batch or study.small_batch
    squares = Squares()
    try:
        for _ in range(study.draws):
            squares.draw(learner, small, study.parts)
    except Unknown as reason:
        return {"noise_reason": str(reason)}
    return {
        "small_batch": small,
        "big_batch": small * study.parts,
        "small_squared": _finite(squares.small),
        "big_squared": _finite(squares.big),
    }


def _finite(values: Iterable[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def training_pass(
    session: Session, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Train to the target loss or until the time is used; evaluate at intervals."""
    task, study = session.task, session.task.study
    assert study is not None
    assert study.target_loss is not None
    session.device.ready(task.guard_bytes)
    session.tracker.enter("build")
    learner = learner_of(task, task.seed, session.tracker)
    session.tracker.enter("other")
    recent: list[float | None] = []
    curve: list[tuple[int, float | None]] = []
    trained_s, taken = 0.0, 0
    while True:
        loss = _look(learner, recent)
        if loss is not None:
            curve.append((taken, loss if math.isfinite(loss) else None))
        reached = loss is not None and loss <= study.target_loss
        if reached or trained_s >= study.budget_s:
            break
        began_s = clock()
        recent += [learner.train() for _ in range(study.evaluate_every)]
        session.device.synchronize()
        trained_s += max(0.0, clock() - began_s)
        taken += study.evaluate_every
    return {
        "seed": task.seed,
        "learning_rate": learner.learning_rate,
        "target_loss": study.target_loss,
        "baseline_loss": learner.baseline_loss,
        "reached": reached,
        "train_steps": taken,
        "sequences": taken * (learner.step_batch or task.point.batch),
        "train_s": trained_s,
        "losses": curve,
        "clipped_steps": learner.clipping.count,
    }


def _look(learner: Learner, recent: list[float | None]) -> float | None:
    """The loss on fresh data; for a factory the mean of its last steps, None while too few."""
    if learner.has_fresh_loss:
        return learner.fresh_loss()
    if len(recent) < SMOOTHING:
        return None
    last = recent[-SMOOTHING:]
    return math.nan if None in last else sum(loss or 0.0 for loss in last) / SMOOTHING
