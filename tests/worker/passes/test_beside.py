"""Memory beside a training that its limit does not count: children, and shared mappings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes import MIB
from rnnprof.device.process import children_bytes
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.protocol import Task
from rnnprof.runfile.points import Point
from rnnprof.workload import FactorySource, Workload

FACTORY = """
import mmap, os, time
import torch

def make(batch, steps, device):
    kept = []
    def step(phase):
        if not kept:
            pid = os.fork()
            if pid == 0:
                held = bytearray(os.urandom(1 << 20) * 48)
                time.sleep(600)
                os._exit(0)
            shared = mmap.mmap(-1, 32 << 20)
            shared.write(b"x" * (32 << 20))
            kept.extend([pid, shared])
            time.sleep(0.5)
        return torch.ones(batch).mean()
    return step
"""


def asked(supervisor: Supervisor, folder: Path, text: str) -> Answer:
    """A fit pass of the factory in *text*."""
    file = folder / "beside.py"
    file.write_text(text)
    path = f"{file}:make"
    task = Task(
        "fit", Workload(cell=None, factory=FactorySource(path)), point=Point(4, 4),
        limit_bytes=256 * MIB, guard_bytes=4 << 30, factory_path=path,
    )  # fmt: skip
    return supervisor.ask(task, 60.0)


def test_children_and_shared_mappings_are_seen_at_the_end_of_a_step(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    answer = asked(supervisor, tmp_path, FACTORY)
    assert answer.evidence is None, answer.evidence
    assert 40 * MIB < answer.findings["children_bytes"] < 250 * MIB
    assert 32 * MIB <= answer.findings["shared_bytes"] < 48 * MIB
    assert answer.findings["peak_charged_bytes"] is None
    assert "the limit does not count was mapped" in answer.findings["peak_charged_reason"]


PASSING = """
import mmap
import torch

def make(batch, steps, device):
    def step(phase):
        shared = mmap.mmap(-1, 300 << 20)  # as a batch that a data loader's worker hands over
        shared.close()
        return torch.ones(batch).mean()
    return step
"""


def test_what_was_shared_within_a_step_is_no_peak_of_the_limit(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    findings = asked(supervisor, tmp_path, PASSING).findings
    assert findings["peak_charged_bytes"] is None
    assert "the limit does not count was mapped" in findings["peak_charged_reason"]


def test_a_training_alone_has_nothing_beside_it(supervisor: Supervisor) -> None:
    task = Task(
        "fit", Workload(input_size=8, hidden_size=8), point=Point(4, 4), limit_bytes=256 * MIB,
        guard_bytes=4 << 30,
    )  # fmt: skip
    findings = supervisor.ask(task, 60.0).findings
    assert not findings.get("children_bytes")


def test_children_of_children_count() -> None:
    code = "import subprocess, sys, time; x = bytearray(8 << 20); x[:] = b'1' * len(x)\n"
    outer = code + f"subprocess.Popen([sys.executable, '-c', {code + 'time.sleep(60)'!r}])\n"
    before = children_bytes()
    if before is None:
        pytest.skip("this kernel tells of no children")
    process = subprocess.Popen(
        [sys.executable, "-c", outer + "print('up', flush=True); time.sleep(60)"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert (children_bytes() or 0) - before > 8 * MIB
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()
    assert children_bytes(Path("/nowhere")) is None
