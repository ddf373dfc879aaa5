"""The built-in loops against loops written by hand, to the byte, on a simulated GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rnnprof.simulate.description import GPU_VARIABLE, LIBRARY_VARIABLE, GpuDescription
from rnnprof.simulate.library import build
from rnnprof.workload import Workload

LAYER = Workload(input_size=64, hidden_size=128)
BATCH, TIME_STEPS, TRAINING_STEPS = 512, 32, 6


@pytest.fixture(scope="module")
def by_hand(gpu: GpuDescription | None) -> Any:
    """The script's peaks: of a cell, with cuDNN or without."""
    if gpu is None:
        pytest.skip("a real GPU is there")
    import json
    import os
    import subprocess
    import sys
    from pathlib import Path

    script = Path(__file__).parents[2] / "benchmarks" / "performance" / "plain_loop.py"
    libraries = os.pathsep.join(str(file) for file in build().files)
    told = {GPU_VARIABLE: gpu.as_text(), LIBRARY_VARIABLE: libraries}

    def run(impl: str) -> dict[str, Any]:
        wanted = {
            "cell": "lstm", "native": impl == "native", "limit_bytes": 2 << 30,
            "input_size": 64, "hidden_size": 128, "time_steps": TIME_STEPS,
            "training_steps": TRAINING_STEPS,
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-P", str(script), json.dumps(wanted), str(BATCH)],
            env={**os.environ, **told}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    return run


def fit(workers: Any, workload: Workload) -> dict[str, Any]:
    found: dict[str, Any] = workers.measured(
        "fit", workload, batch=BATCH, time_steps=TIME_STEPS, confirm_steps=TRAINING_STEPS
    )
    return found


@pytest.mark.parametrize("impl", ["native", "fused"])
def test_the_plain_loop_takes_what_a_script_takes(workers: Any, by_hand: Any, impl: str) -> None:
    script = by_hand(impl)
    assert script["error"] == ""
    plain = fit(workers, replace(LAYER, impl=impl))
    assert plain["train_steps_run"] == script["train_steps_run"]
    assert plain["peak_allocated_bytes"] == script["allocated_bytes"]
    assert plain["peak_charged_bytes"] == script["reserved_bytes"]
    function = fit(workers, replace(LAYER, impl=impl, loop="function"))
    assert function["peak_allocated_bytes"] < plain["peak_allocated_bytes"]


def test_nothing_of_the_workload_precedes_it_on_a_gpu(workers: Any) -> None:
    found = fit(workers, LAYER)
    assert (found["baseline_bytes"], found["baseline_note"]) == (0, None)


@pytest.mark.parametrize("mode", ["train", "inference"])
def test_what_a_loop_holds_is_in_the_breakdown(workers: Any, mode: str) -> None:
    plain = workers.measured("memory", replace(LAYER, mode=mode))
    function = workers.measured("memory", replace(LAYER, mode=mode, loop="function"))
    for found in (plain, function):
        assert found["breakdown"], found["breakdown_reason"]
        assert found["net_bytes_per_step"] == 0
    assert plain["peak_allocated_bytes"] > function["peak_allocated_bytes"]
