"""The memory pass of a script on a GPU, also a simulated one: requested sizes and the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.workload import ScriptPlace, ScriptSource, workload_of_script

SCRIPT = """
import sys, torch
from torch import nn
B, T = int(sys.argv[1]), int(sys.argv[2])
net, head = nn.LSTM(64, 128, batch_first=True).cuda(), nn.Linear(128, 10).cuda()
optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()])
while True:
    x, y = torch.randn(B, T, 64).cuda(), torch.randint(10, (B, T)).cuda()
    optimizer.zero_grad()
    nn.functional.cross_entropy(head(net(x)[0]).flatten(0, 1), y.flatten()).backward()
    optimizer.step()
"""

WEIGHT_BYTES = 4 * (4 * 128 * (64 + 128 + 2) + 10 * 129)


def test_the_breakdown_of_a_script_sums_to_the_allocators_peak(
    workers: Any, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    argv = ("{batch}", "{time_steps}")
    found = workers.measured(
        "memory",
        workload_of_script(ScriptSource("train.py", argv=argv)),
        script=ScriptPlace(str(tmp_path / "train.py"), argv=argv),
    )
    breakdown = found["breakdown"]
    assert breakdown is not None, found["breakdown_reason"]
    assert sum(breakdown[part] for part in BREAKDOWN_PARTS) == found["peak_allocated_bytes"]
    assert breakdown["weights"] == breakdown["gradients"] == WEIGHT_BYTES
    assert breakdown["optimizer_state"] == 2 * WEIGHT_BYTES
    assert breakdown["rounding"] > 0
    assert found["net_bytes_per_step"] == 0
    assert found["peak_reserved_bytes"] >= found["peak_allocated_bytes"]
