"""A script is run as Python runs it, and its training steps are seen from outside.

Each script runs in a process of its own: what it is given is global.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from script_driver import MODEL, run


def test_phases_and_steps_of_a_plain_loop(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
optimizer = torch.optim.Adam(model.parameters())
with torch.no_grad(): loss_of()  # a validation before training is no training step
while True:
    optimizer.zero_grad(); loss_of().backward(); optimizer.step()
    print("after", flush=True)
""",
    )
    one = ["forward", "backward", "other", "optimizer", "event"]
    assert found["told"] == ["begins", *one, 1, "data", *one, 2, "data", *one, 3]
    assert (found["end"], found["per"], found["modules"], found["parameters"]) == (
        "optimizer", 1, 1, 4,
    )  # fmt: skip
    assert found["printed"].count("after") == 2, "nothing of the script runs after the answer"


def test_a_closure_runs_inside_the_optimizer(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)
def closure():
    optimizer.zero_grad(); loss = loss_of(); loss.backward(); return loss
while True: optimizer.step(closure)
""",
        2,
    )
    assert [each for each in found["told"] if isinstance(each, int)] == [1, 2]
    assert found["told"][:4] == ["optimizer", "begins", "forward", "backward"]


def test_accumulation_is_one_training_step(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
optimizer = torch.optim.SGD(model.parameters(), 0.1)
while True:
    for _ in range(4): loss_of().backward()
    optimizer.step(); optimizer.zero_grad()
""",
        2,
        off=True,
    )
    assert found["told"].count("backward") == 4, "the second step is not watched"
    assert (found["per"], found["taken"]) == (1, 2)


def test_two_optimizers_in_turn(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
one = torch.optim.SGD(model.parameters(), 0.1); two = torch.optim.Adam(model.parameters())
while True:
    for which in (one, one, two):
        model.zero_grad(); loss_of().backward(); which.step()
""",
        3,
    )
    assert (found["per"], found["taken"]) == (3, 9)


def test_an_optimizer_for_each_parameter_that_steps_in_backward(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
own = {p: torch.optim.SGD([p], 0.1) for p in model.parameters()}
def update(p): own[p].step(); own[p].zero_grad()
for p in model.parameters(): p.register_post_accumulate_grad_hook(update)
while True: loss_of().backward()
""",
        3,
    )
    assert (found["per"], found["taken"]) == (4, 12)


def test_a_gradient_scaler_that_skips(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
optimizer = torch.optim.SGD(model.parameters(), 0.1)
scaler = torch.amp.GradScaler("cpu")
step = 0
while True:
    step += 1
    optimizer.zero_grad()
    loss = loss_of() * (float("inf") if step == 1 else 1)
    scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()
""",
        3,
    )
    assert [each for each in found["told"] if isinstance(each, int)] == [1, 2, 3]
    assert found["taken"] == 2


@pytest.mark.parametrize("passes", [1, 3])
def test_without_an_optimizer_a_change_of_the_weights_ends_a_step(
    tmp_path: Path, passes: int
) -> None:
    found = run(
        tmp_path,
        MODEL
        + f"""
while True:
    model.zero_grad()
    for _ in range({passes}): loss_of().backward()
    for p in model.parameters(): p.data.add_(p.grad, alpha=-0.1)
""",
        3,
    )
    assert (found["end"], found["per"]) == ("weights", passes)
    assert found["told"].count("backward") == 3 * passes


def test_out_of_memory_is_told_before_the_script_can_catch_it(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
class Large(nn.Module):
    def forward(self, x): return torch.empty(1 << 50)
try: Large()(torch.zeros(1, requires_grad=True))
except RuntimeError: pass
""",
    )
    assert "RuntimeError" in found["told"]
    assert "always_call" not in found["printed"]


def test_out_of_memory_in_an_optimizer_is_told(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
class Own(torch.optim.SGD):
    def step(self, closure=None): torch.empty(1 << 50)
optimizer = Own(model.parameters(), 0.1)
loss_of().backward()
try: optimizer.step()
except RuntimeError: pass
""",
    )
    assert found["told"][-2:] == ["optimizer", "RuntimeError"]


def test_the_end_of_the_script_tells_its_steps(tmp_path: Path) -> None:
    text = (
        MODEL
        + """
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(2): loss_of().backward(); optimizer.step()
sys.exit(0)
"""
    )
    assert run(tmp_path, text)["error"].startswith("ScriptEndedError: the script ended after 2")


def test_an_exit_code_stays_an_error(tmp_path: Path) -> None:
    assert run(tmp_path, "import sys; sys.exit(3)")["error"] == "SystemExit: 3"


def test_own_argv_folder_main_and_variables(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    text = """
import os, sys, pickle, beside
class Own: pass
pickle.loads(pickle.dumps(Own()))
raise RuntimeError([__name__, sys.argv[1:], beside.NAME, os.environ["SIZE"], __file__])
"""
    found = run(tmp_path, text, 1, "--batch", "8", env={"SIZE": "7"})
    shown = f"['__main__', ['--batch', '8'], 'beside', '7', '{tmp_path / 'train.py'}']"
    assert found["error"] == f"RuntimeError: {shown}"


def test_a_module_of_a_package_with_relative_imports(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sizes.py").write_text("BATCH = 2\nOTHER = 5")
    (package / "train.py").write_text("from .sizes import BATCH\nraise RuntimeError(BATCH)")
    found = run(tmp_path, "", target="pkg.train", module=True)
    assert found["error"] == "RuntimeError: 2"


def test_a_forked_copy_of_the_script_answers_nothing(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        MODEL
        + """
import os
optimizer = torch.optim.SGD(model.parameters(), 0.1)
pid = os.fork()
if pid == 0:
    for _ in range(9): loss_of().backward(); optimizer.step()
    print("child done", flush=True); os._exit(0)
os.waitpid(pid, 0)
""",
    )
    assert found["error"].startswith("ScriptEndedError: the script ended after 0")
    assert "child done" in found["printed"]


def test_values_are_set_in_memory_at_the_top_and_under_the_guard(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("SIZE = 1\nif __name__ == '__main__':\n    SIZE = 5")
    text = """
import config
SEQ, BATCH = 30, 32
if __name__ == "__main__":
    HIDDEN: int = 2 * 8
    raise RuntimeError([SEQ, BATCH, HIDDEN, config.SIZE])
"""
    values = {"BATCH": "7", "HIDDEN": "9", "config.SIZE": "3"}
    found = run(tmp_path, text, 1, set=values)
    assert found["error"] == "RuntimeError: [30, 7, 9, 3]"
    assert "SEQ, BATCH = 30, 32" in (tmp_path / "train.py").read_text()


def test_a_module_that_is_run_has_its_values_too(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "train.py").write_text(
        "if __name__ == '__main__':\n    BATCH = 2\n    raise RuntimeError(BATCH)"
    )
    found = run(tmp_path, "", target="pkg.train", module=True, set={"BATCH": "8"})
    assert found["error"] == "RuntimeError: 8"


def test_values_are_refused_where_a_spawned_process_reads_the_file_again(tmp_path: Path) -> None:
    text = """
import multiprocessing
BATCH = 2
if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=print).start()
"""
    found = run(tmp_path, text, set={"BATCH": "8"})
    assert found["error"].startswith("BadScriptError: a process that the script spawns reads")
