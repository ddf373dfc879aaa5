"""Gradient reach and noise scale, compared with theory on two problems.

    python -m benchmarks.performance.trainability_truth [--repetitions 100]
        [--output trainability_truth.json]

*Reach.*  A linear recurrent network ``h_t = g Q h_{t-1} + W x_t`` with Q orthogonal: the gradient
of ``v . h_T`` with respect to ``x_{T-k}`` is ``g^k`` times a vector whose length, on average, does
not depend on k.  ``rnnprof trainability`` runs on it, in a worker, for four gains.

*Noise.*  Linear regression on Gaussian data at a fixed point, at a distance d from the solution in
n dimensions and with label noise s: per sample, the gradient has the mean ``2 d`` and a covariance
with the trace ``4 ((|d|^2 + s^2) n + |d|^2)``, so the noise scale is known.  It is estimated many
times, each time with the defaults of the study, and the table shows how many of the 95% intervals
hold the truth.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

GAINS: Final = (0.8, 0.95, 1.0, 1.05)
STEPS: Final = 60
INPUTS: Final = 256
HIDDEN: Final = 64

DIMENSIONS: Final = 20
DISTANCE: Final = 1.0
LABEL_NOISE: Final = 2.0


def make_linear(batch: int, time_steps: int, device: Any, gain: float) -> Any:  # noqa: ARG001
    """The factory of the linear network."""
    import torch

    from rnnprof.factory import Training

    recurrent = gain * torch.linalg.qr(torch.randn(HIDDEN, HIDDEN))[0]
    inward = torch.randn(INPUTS, HIDDEN) / math.sqrt(INPUTS)

    def probe() -> Any:
        inputs = torch.randn(time_steps, batch, INPUTS, requires_grad=True)
        state = torch.zeros(batch, HIDDEN)
        for each in inputs:
            state = state @ recurrent + each @ inward
        return inputs, (state * torch.randn(batch, HIDDEN)).sum()

    return Training(lambda _phase: probe()[1].detach(), probe=probe)


def measured_slope(gain: float) -> dict[str, Any]:
    """Run the command as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(
                sys.executable,
                "-m",
                "rnnprof",
                "trainability",
                "--json",
                "-q",
                "--train-steps",
                "0",
            ),
            *("--factory", f"{Path(__file__).resolve()}:make_linear", "--factory-arg"),
            *(f"gain={gain}", "--batch", "8", "--time-steps", str(STEPS), "--reach-at", "0"),
            *("-o", str(Path(folder) / "reach.jsonl"), "--memory-limit", "1GiB"),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise SystemExit(ended.stderr)
    [found] = json.loads(ended.stdout)["reach"]
    return {"gain": gain, "theory": math.log(gain), "slope": found["reach"]["slope_per_lag"],
            "trend": found["reach"]["trend"]}  # fmt: skip


def noise_truth(distance: float = DISTANCE, noise: float = LABEL_NOISE) -> float:
    """The noise scale of the regression."""
    squared = distance**2
    return ((squared + noise**2) * DIMENSIONS + squared) / squared


def regression(batch: int) -> Any:
    """The regression as a training whose step draws *batch* samples."""
    import torch
    from torch import nn

    from rnnprof.factory import Training

    model = nn.Linear(DIMENSIONS, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(DISTANCE / math.sqrt(DIMENSIONS))  # the solution is 0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(_phase: Any) -> Any:
        optimizer.zero_grad()
        residuals = model(torch.randn(batch, DIMENSIONS))[:, 0] - LABEL_NOISE * torch.randn(batch)
        loss = residuals.square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Training(step, model=model, optimizer=optimizer)


def estimate(seed: int) -> Any:
    """One estimate, with the study's own numbers of draws and batches."""
    import torch

    from rnnprof.runfile.study import Study
    from rnnprof.study.noise_scale import Draw, noise_scale
    from rnnprof.worker.workload.learners import FromFactory, Squares

    torch.manual_seed(seed)
    study = Study()
    training = regression(study.small_batch)
    learner = FromFactory(training, study.small_batch, 1, lambda _: nullcontext())
    squares = Squares()
    for _ in range(study.draws):
        squares.draw(learner, study.small_batch, study.parts)
    draws = [Draw(*pair) for pair in zip(squares.small, squares.big, strict=True)]
    return noise_scale(draws, study.small_batch, study.big_batch)


def noise_coverage(
    repetitions: int, estimate_of: Callable[[int], Any] = estimate
) -> dict[str, Any]:
    """How many intervals hold the truth."""
    truth = noise_truth()
    found = [estimate_of(seed) for seed in range(repetitions)]
    held = [f for f in found if f.interval and f.interval[0] <= truth <= f.interval[1]]
    known = sorted(f.sequences for f in found if f.sequences is not None)
    return {
        "truth": truth,
        "repetitions": repetitions,
        "intervals_that_hold_it": len(held),
        "median_estimate": known[len(known) // 2] if known else None,
        "unbounded": sum(not f.is_bounded for f in found),
        "estimates": [[f.sequences, *_ends(f)] for f in found],
    }


def _ends(found: Any) -> list[float | None]:
    low, high = found.interval or (None, None)
    return [low, None if high is None or math.isinf(high) else high]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=100, help="of the noise scale")
    parser.add_argument("--gain", type=float, action="append", help=f"[default: {GAINS}]")
    parser.add_argument("--output", type=Path, help="the figures as JSON")
    arguments = parser.parse_args()
    slopes = [measured_slope(gain) for gain in arguments.gain or GAINS]
    print(f"{'gain':>6} {'log gain':>10} {'slope':>10} {'off by':>9}  trend")
    for each in slopes:
        off = each["slope"] - each["theory"]
        told = f"{off / each['theory']:+.3%}" if each["theory"] else f"{off:+.1e}"
        theory, slope = each["theory"], each["slope"]
        print(f"{each['gain']:>6} {theory:>10.6f} {slope:>10.6f} {told:>9}  {each['trend']}")
    noise = noise_coverage(arguments.repetitions)
    print(
        f"noise scale: truth {noise['truth']:.1f} sequences, median estimate "
        f"{noise['median_estimate']:.1f}; {noise['intervals_that_hold_it']} of "
        f"{noise['repetitions']} intervals hold the truth, {noise['unbounded']} have no upper end"
    )
    if arguments.output:
        document = {"about": __doc__, "reach": slopes, "noise": noise}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
