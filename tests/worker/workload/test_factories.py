"""A user's file in a real worker: how it is loaded, and what is said if that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.protocol import Task
from rnnprof.runfile.points import Point
from rnnprof.workload import FactorySource, Workload

GIB = 1 << 30

MAKE = """
def make(batch, time_steps, device, **args):
    model = torch.nn.GRU(2, 3)
    return model, lambda: model(torch.randn(time_steps, batch, 2))[0].square().mean()
"""


def ask(
    supervisor: Supervisor, path: Path, text: str, do: str = "check", *argv: str, **secret: object
) -> Answer:
    path.write_text(text)
    source = FactorySource(f"{path.name}:make", argv=argv)
    task = Task(
        do=do,
        workload=Workload(cell=None, input_size=0, hidden_size=0, layers=0, factory=source),
        point=Point(4, 5),
        factory_path=f"{path}:make",
        limit_bytes=GIB,
        guard_bytes=4 * GIB,
        point_seconds=0.05,
        secret_args=secret,
    )
    return supervisor.ask(task, 60)


@pytest.mark.parametrize("name", ["torch", "random", "rnnprof", "numpy", "tqdm", "my-train.v2"])
def test_a_file_may_have_the_name_of_a_module(
    supervisor: Supervisor, tmp_path: Path, name: str
) -> None:
    """The module stays what it is, for the file too."""
    real = name if name.isidentifier() and name != "tqdm" else "json"
    text = f"import torch, random, {real} as own\nassert own.__file__ != __file__\n{MAKE}"
    answer = ask(supervisor, tmp_path / f"{name}.py", text, "fit")
    assert answer.evidence is None, answer.evidence


def test_sys_argv_is_the_scripts(supervisor: Supervisor, tmp_path: Path) -> None:
    text = (
        """
import argparse, torch
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
assert parser.parse_args().data == "a b"
"""
        + MAKE
    )
    path = tmp_path / "train.py"
    assert ask(supervisor, path, text, "check", "--data", "a b").evidence is None
    answer = ask(supervisor, path, text, "describe")
    assert answer.evidence is not None
    assert "train.py: error: the following arguments are required: --data" in (
        answer.evidence.log_tail
    )
    assert "--factory-argv" in str(answer.findings["hint"])


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("input()", "EOF when reading a line (at train.py:1)", "a worker has no keyboard"),
        ("import no_such", "No module named 'no_such' (at train.py:1)", "the workers run "),
        ("open('data.txt')", "No such file", "a relative path starts at the folder of the command"),
        ("from .nets import N", "attempted relative import", "given as a module: --factory "),
        ("raise SystemExit('no GPU')", "no GPU (at train.py:1)", "must not end Python"),
        ("import torch\ntorch.zeros(1).to('cuda')", "", "use the factory's argument device"),
        ("raise RuntimeError('context has already been set')", "context", "force=True"),
    ],
)
def test_an_error_comes_with_what_to_do(
    supervisor: Supervisor, tmp_path: Path, text: str, message: str, hint: str
) -> None:
    answer = ask(supervisor, tmp_path / "train.py", text, "describe")
    assert answer.evidence is not None
    assert message in (answer.evidence.message or "")
    assert hint in str(answer.findings.get("hint"))


TRAINS = """
import torch
def train():
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters())
    model(torch.randn(2, 2)).sum().backward()
    optimizer.step()
train()
"""


def test_a_file_that_trains_when_it_is_loaded_is_refused(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    answer = ask(supervisor, tmp_path / "train.py", TRAINS + MAKE, "describe")
    assert answer.bad_factory
    assert answer.evidence is not None
    message = answer.evidence.message or ""
    assert message.startswith("train.py trains when it is loaded")
    assert message.endswith("(at train.py:7)")


@pytest.mark.parametrize("do", ["check", "fit", "memory", "timing"])
def test_a_factory_is_called_once_in_a_process(
    supervisor: Supervisor, tmp_path: Path, do: str
) -> None:
    text = f"""
import torch
loaded = open({str(tmp_path / "loaded")!r}, "a").write("x")
made = []
{MAKE.replace("    model =", "    assert not made; made.append(1); model =", 1)}"""
    assert ask(supervisor, tmp_path / "train.py", text, do).evidence is None
    assert (tmp_path / "loaded").read_text() == "x"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    return lambda a, b: None", "step(a, b): rnnprof calls step(phase) or step()"),
        ("    async def step(): pass\n    return step", "step is an async function"),
        ("    return lambda: (x for x in [1])", "the step returned a generator"),
        ("    return torch.nn.GRU(1, 1), lambda x: x", "forward_loss(x): rnnprof calls"),
    ],
)
def test_a_step_of_another_form_is_refused(
    supervisor: Supervisor, tmp_path: Path, body: str, words: str
) -> None:
    text = f"import torch\ndef make(batch, time_steps, device):\n{body}\n"
    answer = ask(supervisor, tmp_path / "train.py", text)
    assert answer.bad_factory
    assert answer.evidence is not None
    assert words in (answer.evidence.message or "")


def test_a_secret_argument_reaches_the_factory(supervisor: Supervisor, tmp_path: Path) -> None:
    text = "import torch\n" + MAKE.replace("    model =", "    assert args['t'] == 'v'; model =", 1)
    assert ask(supervisor, tmp_path / "train.py", text, "check", t="v").evidence is None
