"""A run with a study of trainability: two timed batches, gradients, and three trainings."""

from __future__ import annotations

from dataclasses import replace

from fakes import a_fit, a_gradient, a_learning, a_run, a_timing
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Run
from rnnprof.runfile.study import Study


def studied() -> Run:
    points = (Point(8, 16), Point(64, 16))
    observed = [
        o for p in points for o in (a_fit(p, peak_charged_bytes=1 << 20), a_timing(p, *[1e-3] * 9))
    ]
    gradient = a_gradient(
        Point(8, 16), train_steps=50, inputs="input", clipped_steps=10,
        lag_norms=((1.0, 0.5, 0.25, 1e-5),) * 2, small_batch=2, big_batch=16,
        small_squared=(3.0,) * 20, big_squared=(1.0,) * 20,
    )  # fmt: skip
    trainings = [
        a_learning(Point(64, 16), seed=seed, target_loss=0.1, reached=seed < 2,
               train_steps=100 + seed, sequences=6400, train_s=2.0 + seed)
        for seed in range(3)
    ]  # fmt: skip
    run = a_run([*observed, gradient, *trainings], Grid((8, 64), (16,)))
    request = replace(run.requests[0], settings=replace(run.requests[0].settings, study=Study()))
    return replace(run, requests=(*run.requests, request))
