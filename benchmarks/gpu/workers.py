"""Parts that use workers: facts about the GPU, long sequences, faults, correctness of memory."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.gpu.part import TINY, Bench, Stage, bench_of, ending, open_bench
from benchmarks.performance.children import in_child
from rnnprof.device.nvml import open_nvml
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.units import GIB, MIB
from rnnprof.workload import FactorySource, Workload


def identity(stage: Stage) -> None:
    """What the evidence is about: the libraries, the driver, the GPU."""
    import rnnprof

    nvml, missing = open_nvml()
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    stage.keep(
        rnnprof_version=rnnprof.__version__,
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=cudnn if torch.version.cuda else None,
        driver=nvml.driver_version() if nvml else None,
        nvml_missing=missing,
        gpu=None if stage.is_dry else torch.cuda.get_device_name(),
    )


def facts(stage: Stage) -> None:
    """What starting costs, what the template holds, and what NVML reports here."""
    began_s = time.monotonic()
    with Supervisor() as supervisor:
        ready = supervisor.start()
        stage.keep(start_s=time.monotonic() - began_s, import_s=ready.import_s)
        hello = [
            supervisor.ask(Task("describe", TINY, device=stage.device), 120.0) for _ in range(3)
        ]
        stage.keep(hello_wall_s=[answer.wall_s for answer in hello], hello=hello[0].findings)
        assert supervisor._template is not None
        stage.keep(template=_device_traces(supervisor._template.pid))
        bench = bench_of(stage, supervisor)
        survey = bench.ask("survey")
        stage.keep(survey={**survey.findings, **ending(survey)})
        fit = bench.ask("fit")
        stage.keep(fit={**fit.findings, **ending(fit)})


def _device_traces(pid: int) -> dict[str, Any]:
    """What of the driver a process has open: a template is to have no device and no context."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    opened = [entry.resolve() for entry in Path(f"/proc/{pid}/fd").iterdir()]
    devices = sorted({str(path) for path in opened if str(path).startswith("/dev/nvidia")})
    return {"libcuda_mapped": "libcuda.so" in maps, "open_devices": devices}


BREAKDOWN_CELLS: Final = ("lstm", "gru", "rnn-tanh", "rnn-relu")
BREAKDOWN_IMPLS: Final = ("fused", "native", "loop")
BREAKDOWN_DTYPES: Final = ("fp32", "amp-bf16", "amp-fp16", "bf16", "fp16")
BREAKDOWN_OPTIMIZERS: Final = ("adam", "sgd", "adamw", "none")

BREAKDOWN_POINT: Final = {"cpu": (2, 4), "cuda": (64, 64)}
"""B and T."""

LEAST_BREAKDOWN_S: Final = 5.0
"""No memory pass is begun with less time than that."""


def breakdown_workloads() -> list[Workload]:
    """Each cell, implementation, dtype and optimizer: first one varied at a time, then all."""
    default = Workload()
    one = [replace(default, cell=cell) for cell in BREAKDOWN_CELLS]
    one += [replace(default, impl=impl) for impl in BREAKDOWN_IMPLS]
    one += [replace(default, dtype=dtype) for dtype in BREAKDOWN_DTYPES]
    one += [replace(default, optimizer=optimizer) for optimizer in BREAKDOWN_OPTIMIZERS]
    every = [
        Workload(cell=cell, impl=impl, dtype=dtype, optimizer=optimizer)
        for dtype, optimizer, impl, cell in itertools.product(
            BREAKDOWN_DTYPES, BREAKDOWN_OPTIMIZERS, BREAKDOWN_IMPLS, BREAKDOWN_CELLS
        )
    ]
    return list(dict.fromkeys([*one, *every]))


def breakdown(stage: Stage) -> None:
    """Does the breakdown sum to the allocator's own peak, for each way to train?"""
    workloads = breakdown_workloads()
    batch, time_steps = BREAKDOWN_POINT[stage.device]
    tally: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    with open_bench(stage) as bench:
        for workload in workloads[:4] if stage.is_dry else workloads:
            if stage.left_s() < LEAST_BREAKDOWN_S:
                break
            answer = bench.ask("memory", workload, batch, time_steps, deadline_s=stage.left_s())
            verdict, reason = breakdown_verdict(answer)
            tally[verdict] += 1
            if reason is not None:
                reasons[f"{workload.describe()} {workload.impl}"] = reason
            stage.keep(counts=dict(tally), of=len(workloads), reasons=reasons)
    if tally["unequal"] or tally["none"]:
        raise RuntimeError(f"{tally['unequal']} unequal, {tally['none']} without a breakdown")


def breakdown_verdict(answer: Answer) -> tuple[str, str | None]:
    """``equal``, ``unequal``, ``none``, or how a pass that did not come through ended; and why."""
    if answer.evidence is not None:
        verdict = classify(answer.evidence)
        return str(verdict.outcome), verdict.reason
    found: Any = answer.findings
    breakdown, peak_bytes = found.get("breakdown"), found.get("peak_allocated_bytes")
    if breakdown is None:
        return "none", found.get("breakdown_reason")
    total_bytes = sum(breakdown[part] for part in BREAKDOWN_PARTS)
    if total_bytes != peak_bytes:
        return "unequal", f"parts sum to {total_bytes}, the peak is {peak_bytes} bytes"
    return "equal", None


LONG_STEPS: Final = (65_535, 65_536)
"""cuDNN's RNNs are said to end at the first: pytorch#133751."""

HUGE: Final = Workload(input_size=8, hidden_size=1024, dtype="fp16", optimizer="none")
HUGE_BATCH: Final = 1025
HUGE_STEPS: Final = 2048
"""Just above 2^31 hidden units over batch and steps: where an index of 32 bits would overflow."""

HUGE_LIMIT_BYTES: Final = 120 * GIB


def long_steps(stage: Stage) -> None:
    """Sequences at the ends of what an index holds: what error, and how it is judged."""
    with open_bench(stage) as bench:
        for time_steps in (3, 4) if stage.is_dry else LONG_STEPS:
            for cell in ("lstm", "gru"):
                workload = Workload(cell=cell, input_size=8, hidden_size=8)
                stage.keep(
                    **{f"{cell} T={time_steps}": ending(bench.ask("fit", workload, 2, time_steps))}
                )
        if not stage.is_dry:
            free = int(bench.facts["device_memory_bytes"] * 0.9)
            limit = min(HUGE_LIMIT_BYTES, free)
            answer = bench.ask("fit", HUGE, HUGE_BATCH, HUGE_STEPS, limit_bytes=limit)
            peak = answer.findings.get("peak_allocated_bytes")
            stage.keep(huge={**ending(answer), "peak_allocated_bytes": peak})


FACTORIES: Final = Path(__file__).with_name("factories.py")
FAULT_LIMIT_BYTES: Final = 512 * MIB
STOP_DEADLINE_S: Final = {"cpu": 2.0, "cuda": 8.0}

FAULTS: Final = {
    "out of memory in forward": ({"fault": "too_much"}, "oom"),
    "out of memory in backward": ({"fault": "too_much", "where": "backward"}, "oom"),
    "stopped": ({"fault": "stop"}, "timeout"),
    "device assert": ({"fault": "device_assert"}, "crashed"),
    "device assert in backward": ({"fault": "device_assert", "where": "backward"}, "crashed"),
    "illegal address": ({"fault": "illegal_address"}, "crashed"),
}
DEVICE_ALONE: Final = ("device", "illegal")


def faults(stage: Stage) -> None:
    """Each fault is judged as it should be, and the worker after it is fine."""
    unexpected = []
    with open_bench(stage) as bench:
        for name, (arguments, expected) in FAULTS.items():
            if not stage.has_kernels and name.startswith(DEVICE_ALONE):
                stage.keep(**{name: "needs kernels of a GPU"})
                continue
            found = _fault(bench, arguments)
            stage.keep(**{name: {"expected": expected, **found}})
            if (found["outcome"], found["next"]) != (expected, "measured"):
                unexpected.append(f"{name}: {found['outcome']}, then {found['next']}")
    if unexpected:
        raise RuntimeError("; ".join(unexpected))


def _fault(bench: Bench, arguments: dict[str, str]) -> dict[str, Any]:
    found = ending(_ask_factory(bench, arguments, stops=arguments["fault"] == "stop"))
    return {**found, "next": ending(_ask_factory(bench, {}))["outcome"]}


def _ask_factory(bench: Bench, arguments: dict[str, str], *, stops: bool = False) -> Any:
    source = FactorySource(f"{FACTORIES.name}:make", dict(arguments))
    return bench.ask(
        "fit",
        Workload(cell=None, input_size=0, hidden_size=0, layers=0, factory=source),
        factory_path=f"{FACTORIES}:make",
        limit_bytes=FAULT_LIMIT_BYTES,
        deadline_s=STOP_DEADLINE_S[bench.stage.device] if stops else 60.0,
    )


TRUTH_CELLS: Final = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
TRUTH_SHAPES: Final = ((64, 128), (256, 256))
TRUTH_STEPS: Final = 3
"""As many as a fit pass runs on a GPU."""

SLACK_BYTES: Final = {"cpu": MIB, "cuda": 0}
SHORT_RATIO: Final = 0.9


def truth(stage: Stage) -> None:
    """A fit pass compared with a bare script, and under limits just large enough and too small."""
    with open_bench(stage) as bench:
        shapes = ((16, 32),) if stage.is_dry else TRUTH_SHAPES
        for cell in ("lstm",) if stage.is_dry else TRUTH_CELLS:
            for batch, time_steps in shapes:
                stage.keep(
                    **{f"{cell} B={batch} T={time_steps}": _truth(bench, cell, batch, time_steps)}
                )


def _truth(bench: Bench, cell: str, batch: int, time_steps: int) -> dict[str, Any]:
    workload = Workload(cell=cell)
    fit = bench.ask("fit", workload, batch, time_steps)
    needed: Any = fit.findings.get("peak_charged_bytes")
    if needed is None:
        raise RuntimeError(f"{cell} B={batch} T={time_steps} did not fit: {ending(fit)}")
    slack = SLACK_BYTES[bench.stage.device]
    enough = bench.ask("fit", workload, batch, time_steps, limit_bytes=needed + slack)
    short = bench.ask("fit", workload, batch, time_steps, limit_bytes=int(SHORT_RATIO * needed))
    found = {
        "allocated_bytes": fit.findings.get("peak_allocated_bytes"),
        "charged_bytes": needed,
        "baseline_bytes": fit.findings.get("baseline_bytes"),
        "at_what_it_needed": ending(enough),
        "at_90_percent": ending(short),
        "retries_at_90_percent": short.findings.get("retries"),
    }
    if not bench.stage.is_dry:
        found["bare"] = in_child(lambda: bare_peaks(cell, batch, time_steps))
    return found


def bare_peaks(cell: str, batch: int, time_steps: int) -> dict[str, int]:
    """Peaks of the same training, written as a user would; in a process of its own."""
    torch.manual_seed(0)
    model = TRUTH_CELLS[cell](256, 512).to("cuda")
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(TRUTH_STEPS):
        optimizer.zero_grad(set_to_none=True)
        sequences = torch.empty(time_steps, batch, 256, device="cuda").uniform_(-1, 1)
        loss = model(sequences)[0].square().mean()
        loss.backward()
        optimizer.step()
        del loss
    torch.cuda.synchronize()
    return {
        "allocated_bytes": torch.cuda.max_memory_allocated(),
        "reserved_bytes": torch.cuda.max_memory_reserved(),
    }
