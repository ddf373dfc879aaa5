"""Training that is made in another way than a plain loop, and scripts that leave traces."""

from __future__ import annotations

import fcntl
import os
import statistics
import sys
from pathlib import Path

import pytest

from rnnprof.worker.channel import moved_up
from rnnprof.worker.workload.hints import hint_for_script
from rnnprof.worker.workload.scripts.running import forget_shadowed
from rnnprof.workload import ScriptPlace
from script_driver import MODEL, run


def test_what_a_closure_changes_ends_no_training_step(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
optimizer = torch.optim.LBFGS(model.parameters(), max_iter=6)
def closure():
    optimizer.zero_grad(); loss = loss_of(); loss.backward(); return loss
while True: optimizer.step(closure)
""",
    )
    assert (found["end"], found["per"], found["ended_by"]) == ("optimizer", 1, [0, 1, 2])


def test_weights_that_change_within_a_training_step(tmp_path: Path) -> None:
    """Sharpness-aware minimisation climbs, differentiates once more, and then lets a step."""
    found = run(
        tmp_path,
        MODEL
        + """
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
while True:
    optimizer.zero_grad(); loss_of().backward()
    with torch.no_grad():
        for each in model.parameters(): each += 0.1 * each.grad
    optimizer.zero_grad(); loss_of().backward(); optimizer.step()
""",
    )
    assert (found["end"], found["per"], found["ended_by"]) == ("optimizer", 1, [0, 1, 2])
    assert found["told"].count("event") == 3


def test_an_optimizer_that_is_made_after_training_without_one(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
def own():
    model.zero_grad(); loss_of().backward()
    with torch.no_grad():
        for each in model.parameters(): each -= 0.1 * each.grad
own(); own()
optimizer = torch.optim.Adam(model.parameters())
while True:
    optimizer.zero_grad(); loss_of().backward(); optimizer.step()
""",
        5,
    )
    assert found["end"] == "optimizer"
    assert found["ended_by"] == list(range(5))
    assert found["told"].count("event") == 5


def test_gradients_of_functions(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
weights = {name: each.detach() for name, each in model.named_parameters()}
def loss_with(weights):
    return torch.func.functional_call(model, weights, (torch.randn(5, 3, 4),))[0].mean()
while True:
    found = torch.func.grad(loss_with)(weights)
    weights = {name: each - 0.1 * found[name] for name, each in weights.items()}
""",
    )
    assert (found["error"], found["end"], found["parameters"]) == (None, "backward", 4)


def test_weights_that_have_no_size_yet(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
import torch
model = torch.nn.LazyLinear(3)
def loss_of(): return model(torch.randn(2, 5)).mean()
while True:
    loss_of().backward()
    with torch.no_grad():
        for each in model.parameters(): each -= each.grad; each.grad = None
""",
    )
    assert (found["error"], found["end"]) == (None, "weights")


def test_training_in_a_thread(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
import threading
def train():
    optimizer = torch.optim.Adam(model.parameters())
    while True:
        optimizer.zero_grad(); loss_of().backward(); optimizer.step()
thread = threading.Thread(target=train)
thread.start()
thread.join()
""",
    )
    assert found["told"][:3] == ["begins", "forward", "backward"]
    assert found["modules"] == 1


def test_the_loss_is_the_one_before_it_was_scaled(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
optimizer = torch.optim.Adam(model.parameters())
scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
while True:
    optimizer.zero_grad(); scaler.scale(loss_of()).backward()
    scaler.step(optimizer); scaler.update()
""",
    )
    assert 0 < found["loss"] < 1


def test_an_error_of_a_hook_is_not_taken_for_the_scripts(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
class Odd(nn.Module):
    def forward(self, x): return model(x)
    def parameters(self): raise ValueError("none of your business")
odd = Odd()
while True:
    odd(torch.randn(5, 3, 4))[0].mean().backward()
    try: odd(torch.randn(5, 3, 4))
    except ValueError: print("caught")
""",
    )
    assert found["error"].startswith("HookError: rnnprof cannot follow this script: its hook ")
    assert found["error"].endswith("ValueError: none of your business")
    assert "caught" not in found["printed"]


@pytest.mark.slow
def test_what_torch_compile_traces_is_no_training(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
model = nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
@torch.compile(backend="aot_eager")
def forward(x): return model(x).square().mean()
@torch.compile(backend="eager")
def step(): optimizer.step()
while True:
    optimizer.zero_grad(); forward(torch.randn(3, 4)).backward(); step()
""",
    )
    assert (found["error"], found["end"], found["ended_by"]) == (None, "optimizer", [0, 1, 2])


def test_a_file_beside_the_script_comes_before_what_the_worker_has_loaded(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text("MINE = 7\n")
    found = run(tmp_path, MODEL + "import statistics\nprint('has', statistics.MINE)\n")
    assert "has 7" in found["printed"]


def test_what_a_new_process_would_have_loaded_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("os", "sys", "torch", "statistics"):
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "json").mkdir()  # a folder of data, not a package
    monkeypatch.setattr(sys, "modules", {**sys.modules, "statistics": statistics})
    forget_shadowed(tmp_path)
    assert {"os", "sys", "json"} <= set(sys.modules)
    assert "statistics" not in sys.modules


def test_a_batch_that_must_be_a_multiple_has_an_option() -> None:
    error = AssertionError("Batch size 20 must be a multiple of 8")
    hint = hint_for_script(error, ScriptPlace("train.py"), "cpu")
    assert hint.startswith("--granularity N searches the multiples of N")


def test_the_channel_is_out_of_reach_of_code_that_closes_descriptors() -> None:
    read, write = os.pipe()
    moved = moved_up(write)
    os.write(moved, b"x")
    assert os.read(read, 1) == b"x"
    assert moved >= 256
    assert fcntl.fcntl(moved, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(write)
    for each in (read, moved):
        os.close(each)
