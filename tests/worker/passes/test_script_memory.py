"""Memory and timing of scripts on the real CPU, and how marks become phases and training steps."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rnnprof.breakdown.account import AllocatorEvent, Span
from rnnprof.engine.observer import split_answer
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import DATA_ENDED_TYPE, classify
from rnnprof.protocol import Task
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.runfile.points import Outcome, Point
from rnnprof.worker.channel import CLOSED
from rnnprof.worker.passes.script_fit import OWN_LIMIT
from rnnprof.worker.passes.script_memory import NO_FORWARD, OTHER_THREAD, MemorySteps, filled
from rnnprof.worker.passes.script_steps import end_of_script
from rnnprof.worker.passes.timeline import Held, Watched, allocated
from rnnprof.worker.workload.scripts.harness import ScriptEndedError
from rnnprof.workload import ScriptPlace, ScriptSource, workload_of_script

GIB = 1 << 30

HEAD = """
import sys, torch
from torch import nn
from torch.nn import functional as F
B, T, LAST = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
net = nn.LSTM(8, 16, batch_first=True)
head = nn.Linear(16, 4)
weights = [*net.parameters(), *head.parameters()]

def loss_of(parts=1):
    x, y = torch.randn(B, T, 8), torch.randint(4, (B, T))
    return F.cross_entropy(head(net(x)[0]).flatten(0, 1), y.flatten()) / parts
"""

PLAIN = """
optimizer = torch.optim.Adam(weights)
for step in range(LAST):
    optimizer.zero_grad()
    loss = loss_of()
    loss.backward()
    optimizer.step()
"""

MICRO_BATCHES = """
optimizer = torch.optim.SGD(weights, 0.1, momentum=0.9)
for step in range(4 * LAST):
    loss_of(4).backward()
    if step % 4 == 3:
        optimizer.step()
        optimizer.zero_grad()
"""

CLOSURE = """
optimizer = torch.optim.Adam(weights)
def closure():
    optimizer.zero_grad()
    loss = loss_of()
    loss.backward()
    return loss
for step in range(LAST):
    optimizer.step(closure)
"""

TWO_OPTIMIZERS = """
first, second = torch.optim.Adam(net.parameters()), torch.optim.SGD(head.parameters(), 0.1)
for step in range(LAST):
    for optimizer in (first, second):
        loss_of().backward()
        optimizer.step()
        optimizer.zero_grad()
"""

BY_HAND = """
for step in range(LAST):
    loss_of().backward()
    for each in weights:
        each.data.add_(each.grad, alpha=-0.1)
        each.grad = None
"""

NO_MODULE = """
flat = [each.detach().clone().requires_grad_() for each in (torch.randn(8, 4), torch.randn(4))]
optimizer = torch.optim.Adam(flat)
for step in range(LAST):
    optimizer.zero_grad()
    (torch.randn(B, 8) @ flat[0] + flat[1]).square().mean().backward()
    optimizer.step()
"""

WORKERS = """
class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        while True:
            yield torch.randn(T, 8)

optimizer = torch.optim.Adam(weights)
for x in torch.utils.data.DataLoader(Endless(), batch_size=B, num_workers=1):
    optimizer.zero_grad()
    head(net(x)[0]).square().mean().backward()
    optimizer.step()
"""


def ask(
    supervisor: Supervisor,
    folder: Path,
    body: str,
    do: str = "memory",
    last: int = 10**6,
    **more: Any,
) -> Answer:
    script = folder / "train.py"
    script.write_text(textwrap.dedent(HEAD + body))
    argv = ("{batch}", "{time_steps}", str(last))
    task = Task(
        do,
        workload_of_script(ScriptSource("train.py", argv=argv)),
        point=Point(4, 6),
        script=ScriptPlace(str(script), argv=argv),
        guard_bytes=4 * GIB,
        point_seconds=0.05,
        **more,
    )
    return supervisor.ask(task, 60)


def found_by(answer: Answer) -> dict[str, Any]:
    assert answer.evidence is None, answer.evidence
    return answer.findings


def check_sums(found: dict[str, Any]) -> dict[str, Any]:
    breakdown: dict[str, Any] = found["breakdown"]
    assert breakdown is not None, found["breakdown_reason"]
    assert sum(breakdown[part] for part in BREAKDOWN_PARTS) == found["peak_allocated_bytes"]
    assert breakdown["weights"] == found["model_bytes"]["weights"]
    return breakdown


WEIGHT_BYTES = 4 * (4 * 16 * (8 + 16 + 2) + 4 * 17)


def test_memory_and_then_time_of_a_plain_loop(supervisor: Supervisor, tmp_path: Path) -> None:
    found = found_by(ask(supervisor, tmp_path, PLAIN, is_timed=True))
    breakdown = check_sums(found)
    assert breakdown["weights"] == WEIGHT_BYTES
    step_counts = 4 * len(("ih", "hh", "ih bias", "hh bias", "head", "head bias"))
    assert breakdown["optimizer_state"] == 2 * WEIGHT_BYTES + step_counts
    assert breakdown["saved"] > 0
    assert found["train_steps_run"] == found["optimizer_steps"] == 3
    assert found["net_bytes_per_step"] == 0
    assert found["implementation"] in ("fused", "native")
    assert found["flops_reason"]
    assert list(found["phase_live_bytes"]) == ["data", "forward", "backward", "other", "optimizer"]
    timing = found["timing"]
    assert len(timing["samples_s"]) >= 3
    assert timing["loss"] == pytest.approx(1.4, abs=0.3)
    assert timing["sequences_per_step"] is None
    assert set(timing["phase_samples_s"]) == {"data", "forward", "backward", "optimizer", "other"}
    assert timing["warnings"] == found["warnings"] == []


def test_a_thread_of_the_scripts_own_is_timed_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    body = f"def train():\n{textwrap.indent(PLAIN, '    ')}\nimport threading\n"
    body += "thread = threading.Thread(target=train)\nthread.start()\nthread.join()\n"
    evidence = ask(supervisor, tmp_path, body, is_timed=True).evidence
    assert evidence is not None
    assert evidence.message == OTHER_THREAD
    assert classify(evidence).outcome is Outcome.UNSUPPORTED
    assert found_by(ask(supervisor, tmp_path, body, "timing"))["samples_s"]


def test_time_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    found = found_by(ask(supervisor, tmp_path, CLOSURE, "timing"))
    assert len(found["samples_s"]) >= 3
    assert found["conditions"]["cpu_count"] >= 1
    assert len(found["warmup_samples_s"]) >= 3
    assert "train_steps_run" not in found


def test_micro_batches_are_one_training_step(supervisor: Supervisor, tmp_path: Path) -> None:
    found = found_by(ask(supervisor, tmp_path, MICRO_BATCHES))
    check_sums(found)
    assert found["optimizer_steps"] == 3
    assert found["net_bytes_per_step"] == 0
    assert found["phase_peak_bytes"]["data"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "optimizer_steps"),
    [(CLOSURE, 3), (TWO_OPTIMIZERS, 6), (BY_HAND, None), (WORKERS, 3)],
    ids=["closure", "two optimizers", "by hand", "workers"],
)
def test_the_breakdown_sums_to_the_peak(
    body: str, optimizer_steps: int | None, supervisor: Supervisor, tmp_path: Path
) -> None:
    found = found_by(ask(supervisor, tmp_path, body, is_timed=True))
    check_sums(found)
    assert found["optimizer_steps"] == optimizer_steps
    assert found["net_bytes_per_step"] == 0
    assert len(found["timing"]["samples_s"]) >= 3


@pytest.mark.slow
def test_where_no_module_is_called_there_is_no_breakdown(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    found = found_by(ask(supervisor, tmp_path, NO_MODULE))
    assert found["breakdown"] is None
    assert found["breakdown_reason"] == NO_FORWARD
    assert found["peak_allocated_bytes"] > 0


@pytest.mark.parametrize("last", [2, 5])
def test_a_script_that_ends_early(last: int, supervisor: Supervisor, tmp_path: Path) -> None:
    """After two training steps nothing is known; after five, memory is, and time is not."""
    answer = ask(supervisor, tmp_path, PLAIN, last=last, is_timed=True)
    assert answer.evidence is not None
    assert answer.evidence.error_type == DATA_ENDED_TYPE
    assert f"ended after {last} training steps at B=4" in (answer.evidence.message or "")
    assert ("timing" in answer.findings) is (last == 5)
    memory, timing = split_answer(answer)
    if last == 5:
        assert timing is not None
        assert timing.evidence is answer.evidence
        check_sums(found_by(memory))


def test_time_of_a_script_that_ends_within_a_block(supervisor: Supervisor, tmp_path: Path) -> None:
    found = found_by(ask(supervisor, tmp_path, PLAIN, "timing", last=25))
    assert 3 <= len(found["samples_s"]) < 25


@pytest.mark.slow
@pytest.mark.parametrize("when", ["", "if step == 5: "])
def test_a_limit_of_the_scripts_own_is_refused(
    when: str, supervisor: Supervisor, tmp_path: Path
) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (9 << 30, 9 << 30))"
    own = PLAIN.replace("    loss = ", f"    {when}{limit}\n    loss = ")
    answer = ask(supervisor, tmp_path, own, "fit", limit_bytes=256 << 20, confirm_steps=8)
    assert answer.bad_factory
    assert answer.evidence is not None
    assert answer.evidence.message == OWN_LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 3])
def test_a_script_that_closes_every_descriptor_is_measured(
    first: int, supervisor: Supervisor, tmp_path: Path
) -> None:
    closing = f"import os; os.closerange({first}, 256)\n{PLAIN}"
    found_by(ask(supervisor, tmp_path, closing, "fit", limit_bytes=256 << 20))
    more = PLAIN.replace("    loss = ", "    import os; os.closerange(3, 5000)\n    loss = ")
    evidence = ask(supervisor, tmp_path, more, "fit", limit_bytes=256 << 20).evidence
    assert evidence is not None
    assert evidence.exit_code == 1
    assert evidence.log_tail.endswith(CLOSED)


def test_an_early_end_close_to_the_limit_may_be_a_caught_error() -> None:
    task = Task("fit", workload_of_script(ScriptSource("train.py")), limit_bytes=GIB)
    small, large = (end_of_script(ScriptEndedError(3, 0), task, GIB // n) for n in (2, 1))
    assert small.endswith("its data may be too small; --confirm-steps 3 asks for no more")
    assert large.endswith(
        "its data may be too small, or it catches an error for want of memory and goes on "
        "(1.00 GiB of 1.00 GiB in use)"
    )


def test_a_mark_without_a_name_belongs_to_what_follows() -> None:
    assert filled([None, "forward", None, None, "data"]) == [
        "forward",
        "forward",
        "data",
        "data",
        "data",
    ]
    assert filled(["optimizer", None]) == ["optimizer", "other"]
    assert filled([]) == []


def marks(count: int) -> list[Span]:
    return [Span(str(number), 10 * number, 10 * number + 1) for number in range(count)]


def test_training_steps_are_spans_between_the_events_that_ended_them() -> None:
    """Two optimizers: the first event of each cycle ends nothing; that is learned later."""
    steps = MemorySteps(SimpleNamespace(), SimpleNamespace(watched=Watched()))  # type: ignore[arg-type]
    steps.harness = SimpleNamespace(ended_by=[1, 3])  # type: ignore[assignment]
    steps.first = 1
    steps.entered = ["build", None, "forward", "optimizer", None, "other", "backward"]
    steps.entered += ["optimizer", None, "data", "forward", "optimizer", None, "optimizer", None]
    steps.ends = [4, 8, 12, 14]
    spans = steps._train_steps(marks(15), 2)
    assert [(span.start_ns, span.end_ns) for span in spans] == [(10, 80), (80, 140)]
    phases = steps._phases(marks(15))
    assert phases[0] == Span("rnnprof:phase:build", 0, 10)
    assert [span.end_ns for span in phases] == [span.start_ns for span in phases[1:]] + [140]
    assert phases[8].name == "rnnprof:phase:data"


def test_what_shared_memory_maps_is_not_of_the_allocator() -> None:
    events = [
        AllocatorEvent(1, 10, 40, 40),
        AllocatorEvent(2, 4096, 16000, 0),
        AllocatorEvent(3, 20, 8, 48),
        AllocatorEvent(4, 4096, -16000, 0),
        AllocatorEvent(5, 20, -8, 40),
        AllocatorEvent(6, 10, -40, 0),
    ]
    assert [event.at_ns for event in allocated(reversed(events))] == [1, 3, 5, 6]


def test_an_address_that_was_mapped_may_become_the_allocators() -> None:
    events = [
        AllocatorEvent(1, 10, 40, 0),
        AllocatorEvent(2, 10, 8, 8),
        AllocatorEvent(3, 10, -8, 0),
    ]
    assert [event.at_ns for event in allocated(events)] == [2, 3]


def test_a_sparse_gradient_is_its_indices_and_values() -> None:
    layer = torch.nn.Embedding(100, 4, sparse=True)
    layer(torch.tensor([1, 2, 2])).sum().backward()
    sizes = Held(list(layer.parameters())).sizes("cpu")
    assert sizes == {"weights": 1600, "gradients": 3 * 8 + 3 * 16, "optimizer_state": 0}


def test_a_lazy_parameter_has_no_storage_yet() -> None:
    layer = torch.nn.LazyLinear(3)
    assert Held(list(layer.parameters())).sizes("cpu")["weights"] == 0
