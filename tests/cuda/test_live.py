"""The CUDA path on a live GPU: what fakes cannot prove."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import CommandLine
from rnnprof.device.locks import gpu_lock
from rnnprof.device.selection import find_place
from rnnprof.outcomes import classify
from rnnprof.runfile import journal
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.runfile.points import Outcome
from rnnprof.units import GIB, MIB
from rnnprof.workload import FactorySource, Workload

pytestmark = pytest.mark.gpu

FACTORIES = Path(__file__).parents[2] / "benchmarks" / "gpu" / "factories.py"
DEADLINE_S = 90.0
LIMIT_BYTES = 2 * GIB
SMALL_LIMIT_BYTES = 256 * MIB
SMALL = Workload(input_size=64, hidden_size=128)
SHORT = ("--batch", "4,8", "--time-steps", "16", "--point-seconds", "0.1", "-o", "run.jsonl")


@pytest.fixture
def facts(workers: Any) -> dict[str, Any]:
    found: dict[str, Any] = workers.facts
    return found


def test_the_card_and_its_driver_are_known(facts: dict[str, Any]) -> None:
    assert facts["device"] == "cuda"
    assert facts["device_uuid"].startswith(("GPU-", "MIG-"))
    assert facts["driver"]
    assert facts["cudnn"]
    assert facts["device_memory_bytes"] > GIB


def test_auto_means_the_card() -> None:
    assert find_place("auto").kind == "cuda"


def test_the_survey_tells_the_context(workers: Any) -> None:
    survey = workers.measured("survey")
    assert 64 * MIB < survey["context_bytes"] < 4 * GIB
    assert survey["free_bytes"] <= survey["total_bytes"]


def test_a_fit_stays_within_its_limit(workers: Any) -> None:
    found = workers.measured("fit")
    assert found["train_steps_run"] >= 3
    assert 0 < found["peak_allocated_bytes"] <= found["peak_charged_bytes"] <= LIMIT_BYTES
    assert found["peak_process_bytes"] > found["peak_charged_bytes"]
    assert found["retries"] == 0


def test_equal_seeds_give_equal_losses(workers: Any) -> None:
    first, second, other = (workers.measured("fit", seed=seed)["loss"] for seed in (1, 1, 2))
    assert first == pytest.approx(second, rel=1e-4)
    assert first != pytest.approx(other, rel=1e-4)


def test_past_its_limit_a_fit_is_out_of_memory(workers: Any) -> None:
    answer = workers.ask(
        "fit", Workload(), batch=512, time_steps=256, limit_bytes=SMALL_LIMIT_BYTES
    )
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is Outcome.OOM, verdict.reason
    assert verdict.requested_bytes
    assert answer.evidence.charged_bytes is not None
    assert answer.evidence.charged_bytes <= SMALL_LIMIT_BYTES


@pytest.mark.parametrize(
    ("workload", "implementation"),
    [
        (SMALL, "fused"),
        (replace(SMALL, cell="gru", layers=2, bidirectional=True), "fused"),
        (replace(SMALL, cell="rnn-tanh"), "fused"),
        (replace(SMALL, impl="native"), "native"),
        (replace(SMALL, impl="loop"), "loop"),
        (replace(SMALL, dtype="amp-bf16"), "fused"),
    ],
    ids=["lstm", "gru", "rnn", "native", "loop", "amp"],
)
def test_the_breakdown_sums_to_the_allocators_own_peak(
    workers: Any, workload: Workload, implementation: str
) -> None:
    found = workers.measured("memory", workload)
    assert found["implementation"] == implementation
    assert found["breakdown"], found["breakdown_reason"]
    assert (
        sum(found["breakdown"][part] for part in BREAKDOWN_PARTS) == found["peak_allocated_bytes"]
    )
    assert found["net_bytes_per_step"] == 0


def test_steps_are_timed_on_the_card_and_on_the_host(workers: Any) -> None:
    found = workers.measured("timing")
    assert len(found["samples_s"]) >= 3
    assert min(found["samples_s"]) > 0
    assert found["host_enqueue_s"] > 0
    assert found["block_wait_s"] >= 0
    assert found["conditions"]["device_after"]["sm_clock_mhz"]


def test_a_device_assert_costs_its_own_point_alone(workers: Any) -> None:
    source = FactorySource(f"{FACTORIES.name}:make", {"fault": "device_assert"})
    wrong = Workload(cell=None, factory=source)
    answer = workers.ask("fit", wrong, factory_path=f"{FACTORIES}:make")
    assert answer.evidence is not None
    assert classify(answer.evidence).outcome is Outcome.CRASHED, classify(answer.evidence).reason
    assert workers.measured("fit")["train_steps_run"] >= 3


def test_a_card_that_another_run_holds_is_refused(workers: Any, rnnprof: CommandLine) -> None:
    with gpu_lock(workers.uuid):
        ended = rnnprof("profile", "--device", "cuda", *SHORT)
    assert ended.returncode == 4, ended.stderr
    assert "another rnnprof is measuring" in ended.stderr


def test_a_smaller_card_is_its_size_less_the_context(rnnprof: CommandLine, tmp_path: Path) -> None:
    ended = rnnprof("profile", "--device", "cuda", "--gpu-memory", "8GiB", *SHORT)
    assert ended.returncode == 0, ended.stderr
    run = journal.load(tmp_path / "run.jsonl")
    assert 4 * GIB < run.limit_bytes < 8 * GIB
    assert run.requests[-1].settings.gpu_memory_bytes == 8 * GIB


def test_a_profile_measures_every_point_and_its_run_loads(
    rnnprof: CommandLine, tmp_path: Path
) -> None:
    ended = rnnprof("profile", "--device", "cuda", "--json", *SHORT)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert [point["outcome"] for point in document["points"]] == ["measured"] * 2
    assert all(point["step_time_s"] > 0 for point in document["points"])
    run = journal.load(tmp_path / "run.jsonl")
    assert run.is_finished
    assert run.header.environment["device"] == "cuda"
