"""torch's CUDA code on a simulated GPU: the product's own CUDA path, without a kernel."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rnnprof
from conftest import CommandLine
from rnnprof.errors import BadInputError
from rnnprof.outcomes import classify
from rnnprof.runfile import journal
from rnnprof.runfile.observations import BREAKDOWN_PARTS, Fit
from rnnprof.runfile.points import Outcome
from rnnprof.simulate.description import GpuDescription
from rnnprof.units import GIB, MIB
from rnnprof.workload import FactorySource, Workload

FACTORIES = Path(__file__).with_name("faulty_gpu.py")
SMALL = Workload(input_size=64, hidden_size=128)

CELLS = ("lstm", "gru", "rnn-tanh", "rnn-relu")
IMPLS = ("fused", "native", "loop")
DTYPES = ("fp32", "amp-bf16", "amp-fp16", "bf16", "fp16")
OPTIMIZERS = ("adam", "adamw", "sgd", "none")
EVERY = list(itertools.product(CELLS, IMPLS, DTYPES, OPTIMIZERS))
ONE_VARIED = [
    *((cell, "fused", "fp32", "adam") for cell in CELLS),
    *(("lstm", impl, "fp32", "adam") for impl in IMPLS),
    *(("gru", "native", dtype, "adam") for dtype in DTYPES),
    *(("lstm", "fused", dtype, "sgd") for dtype in DTYPES),
    *(("lstm", "fused", "fp32", optimizer) for optimizer in OPTIMIZERS),
]


@pytest.fixture(autouse=True)
def _simulated(gpu: GpuDescription | None) -> None:
    if gpu is None:
        pytest.skip("a real GPU is there: tests/cuda/test_live.py runs on it")


def of_factory(function: str, **args: Any) -> dict[str, Any]:
    source = FactorySource(f"{FACTORIES.name}:{function}", args)
    workload = Workload(cell=None, input_size=0, hidden_size=0, layers=0, factory=source)
    return {"workload": workload, "factory_path": f"{FACTORIES}:{function}"}


def test_the_facts_say_that_it_is_simulated(workers: Any, gpu: GpuDescription) -> None:
    assert workers.facts["device_name"] == f"{gpu.name} (simulated)"
    assert workers.facts["simulated"] == gpu.as_text()
    assert workers.facts["device_uuid"] == gpu.uuid
    assert workers.facts["device_memory_bytes"] == gpu.memory_bytes
    assert workers.facts["capability"] == "8.0"
    assert workers.facts["driver"]
    assert workers.facts["cudnn"]


def test_the_survey_tells_the_context(workers: Any, gpu: GpuDescription) -> None:
    survey = workers.measured("survey")
    assert survey["context_bytes"] == gpu.context_bytes
    assert survey["free_bytes"] == gpu.memory_bytes - gpu.context_bytes


def test_a_fit_stays_within_its_limit(workers: Any, gpu: GpuDescription) -> None:
    found = workers.measured("fit")
    assert found["train_steps_run"] >= 3
    assert 0 < found["peak_allocated_bytes"] <= found["peak_charged_bytes"] <= 2 * GIB
    assert found["peak_charged_bytes"] % (2 * MIB) == 0, "whole pages of the driver"
    assert found["peak_process_bytes"] == found["peak_charged_bytes"] + gpu.context_bytes
    assert found["retries"] == 0


def test_past_its_limit_a_fit_is_out_of_memory_in_torchs_words(workers: Any) -> None:
    answer = workers.ask("fit", Workload(), batch=512, time_steps=256, limit_bytes=256 * MIB)
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is Outcome.OOM, verdict.reason
    assert "CUDA out of memory. Tried to allocate" in (answer.evidence.message or "")
    assert verdict.requested_bytes
    assert (answer.evidence.charged_bytes or 0) <= 256 * MIB


def check_breakdown(
    workers: Any, cell: str, impl: str, dtype: str, optimizer: str
) -> dict[str, Any]:
    workload = replace(SMALL, cell=cell, impl=impl, dtype=dtype, optimizer=optimizer)
    found = workers.measured("memory", workload)
    breakdown = found["breakdown"]
    assert breakdown, found["breakdown_reason"]
    assert sum(breakdown[part] for part in BREAKDOWN_PARTS) == found["peak_allocated_bytes"]
    assert min(breakdown[part] for part in BREAKDOWN_PARTS) >= 0
    assert found["net_bytes_per_step"] == 0
    assert found["implementation"] == impl
    return found


@pytest.mark.parametrize("case", dict.fromkeys(ONE_VARIED), ids="-".join)
def test_the_breakdown_sums_to_the_byte(workers: Any, case: tuple[str, str, str, str]) -> None:
    found = check_breakdown(workers, *case)
    _, _, dtype, optimizer = case
    weights = found["breakdown"]["weights"]
    if dtype == "fp32":
        assert weights == found["model_bytes"]["weights"]
        states = 2 if optimizer.startswith("adam") else 0
        assert found["breakdown"]["optimizer_state"] == states * weights
    if dtype.startswith("amp"):
        assert found["breakdown"]["weight_casts"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("case", EVERY, ids="-".join)
def test_every_breakdown_sums_to_the_byte(workers: Any, case: tuple[str, str, str, str]) -> None:
    check_breakdown(workers, *case)


DEVICE_FAULTS = ("device_assert", "illegal_address", "launch_failure", "ecc", "device_lost")


@pytest.mark.parametrize(
    ("fault", "where", "outcome"),
    [
        *(
            ("cudaMalloc:1:out_of_memory:sticky", where, Outcome.OOM)
            for where in ("data", "forward", "backward")
        ),
        *((f"cudaLaunchKernel:1:{each}", "forward", Outcome.CRASHED) for each in DEVICE_FAULTS),
        ("cudaLaunchKernel:1:device_assert", "backward", Outcome.CRASHED),
        ("cudaLaunchKernel:1:illegal_address", "optimizer", Outcome.CRASHED),
    ],
)
def test_a_fault_is_judged_and_its_phase_named(
    workers: Any, fault: str, where: str, outcome: Outcome
) -> None:
    kind = of_factory("make", fault=fault, where=where)
    # the allocator's cache is what the warm-up has left: more than that has to be asked for
    answer = workers.ask("fit", **kind, batch=4096, time_steps=32)
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is outcome, verdict.reason
    assert answer.evidence.phase == where
    assert workers.measured("fit")["train_steps_run"] >= 3, "the next worker is fine"


def test_near_the_limit_a_library_that_cannot_start_is_out_of_memory(workers: Any) -> None:
    kind = of_factory("make", fault="cublasCreate_v2:1:alloc_failed:sticky", where="build")
    answer = workers.ask("fit", **kind)
    assert answer.evidence is None or classify(answer.evidence).outcome is Outcome.OOM


@pytest.mark.parametrize("kind", ["item", "list", "copy", "nonzero"])
def test_lengths_that_are_read_from_the_gpu_are_unsupported(workers: Any, kind: str) -> None:
    answer = workers.ask("fit", **of_factory("reads_lengths", kind=kind))
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is Outcome.UNSUPPORTED, verdict.reason
    assert "every value is zero" in verdict.reason
    assert "faulty_gpu.py" in verdict.reason


@pytest.mark.parametrize("function", ["convolves", "captures", "compiles"])
def test_what_has_no_kernel_here_is_unsupported(workers: Any, function: str) -> None:
    answer = workers.ask("fit", **of_factory(function))
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is Outcome.UNSUPPORTED, verdict.reason


MAPS = """
import torch
torch.nn.LSTM(8, 8).cuda()(torch.zeros(4, 2, 8, device="cuda"))[0].sum().backward()
print(open("/proc/self/maps").read())
"""


def test_no_library_of_nvidias_is_mapped(gpu: GpuDescription, tmp_path: Path) -> None:
    program = (
        "from rnnprof.simulate.description import describe\n"
        "from rnnprof.simulate.library import build, load\n"
        f"load(build(), describe({gpu.model!r}))\n{MAPS}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    mapped = {line.split()[-1] for line in ended.stdout.splitlines() if line.count("/")}
    theirs = [
        path
        for path in mapped
        if Path(path).name.startswith(("libcuda", "libcudart", "libcudnn", "libcublas", "libnv"))
        and "/rnnprof/simulate/" not in path
    ]
    assert any("/rnnprof/simulate/" in path for path in mapped)
    assert theirs == []


@pytest.mark.parametrize("cell", ["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def test_the_largest_batch_is_proven_on_both_sides(
    cell: str, rnnprof: CommandLine, tmp_path: Path
) -> None:
    ended = rnnprof(
        "max-batch", "--simulate", "t4", "--cell", cell, "--impl", "native", "--memory-limit",
        "1GiB", "--time-steps", "64", "--json", "-o", "run.jsonl", "-q",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    [edge] = json.loads(ended.stdout)["frontier"]
    assert edge["status"] == "certified"
    assert edge["fails"]["batch"] == edge["batch"] + 1
    assert edge["probes"] <= 24
    fits = [o for o in journal.load(tmp_path / "run.jsonl").observations if isinstance(o, Fit)]
    assert all(o.conditions is None or o.outcome for o in fits)


def test_a_profile_has_memory_and_no_times(rnnprof: CommandLine, tmp_path: Path) -> None:
    ended = rnnprof(
        "profile", "--simulate", "t4", "--batch", "8,32", "--time-steps", "16", "--json", "-o",
        "run.jsonl", "-q",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    for point in document["points"]:
        assert (point["outcome"], point["simulated"]) == ("measured", True)
        assert point["step_time_s"] is None
        parts = {k: v for k, v in point["breakdown_bytes"].items() if k != "phase"}
        assert sum(parts.values()) == point["allocated_bytes"]
    assert document["advice"]["recommendations"] == []


def test_a_gate_of_memory_on_a_runner_without_a_gpu(rnnprof: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "budget.toml").write_text(
        "version = 1\n[workload]\nhidden-size = 512\n[[fits]]\nbatch = 64\ntime-steps = 128\n"
        "headroom = '5%'\n[[max-batch]]\ntime-steps = 128\nat-least = 1000000\n"
        "[measure]\nat-most = 1000000\n"
    )
    ended = rnnprof(
        "check", "--budget", "budget.toml", "--simulate", "t4", "--junit", "out.xml", "-q"
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "PASS" in ended.stdout
    assert "simulated" in ended.stdout
    assert "simulated" in (tmp_path / "out.xml").read_text()


def test_a_gate_of_two_gpus_judges_each(rnnprof: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "budget.toml").write_text(
        "version = 1\n[workload]\ninput-size = 64\nhidden-size = 128\nimpl = 'native'\n"
        "[[fits]]\nbatch = 2048\ntime-steps = 64\n"
        "[measure]\nconfirm-steps = 3\nsimulate = 'memory=1GiB,sms=20,capability=8.6,t4'\n"
    )
    ended = rnnprof("check", "--budget", "budget.toml", "-o", "run.jsonl", "--json", "-q")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    small, t4 = json.loads(ended.stdout)["runs"]
    assert (small["verdict"], t4["verdict"]) == ("FAIL", "PASS")
    assert (small["run"], t4["run"]) == ("run-custom.jsonl", "run-t4.jsonl")
    assert small["limit_bytes"] < t4["findings"][0]["measured"] < t4["limit_bytes"]
    for name in ("run-custom.jsonl", "run-t4.jsonl"):
        assert journal.load(tmp_path / name).is_finished


def test_the_api_asks_of_a_simulated_gpu_too(tmp_path: Path) -> None:
    found = rnnprof.assert_fits(
        workload=SMALL, batch=64, time_steps=32, simulate="memory=1GiB,sms=20,capability=8.6",
        headroom=0.05, confirm_steps=3, output=tmp_path / "run.jsonl",
    )  # fmt: skip
    assert found.measured is not None
    assert 0 < found.measured < GIB
    assert rnnprof.load(tmp_path / "run.jsonl").is_simulated
    with pytest.raises(BadInputError, match="give one GPU"):
        rnnprof.assert_fits(workload=SMALL, batch=64, time_steps=32, simulate="t4,h100")
