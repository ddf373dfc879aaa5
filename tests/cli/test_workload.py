"""Workload options by flag, variable and file: which of them wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnnprof.cli.main import run
from rnnprof.workload import Workload


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Workload]:
    """The workloads that ``profile`` was asked for, without running them."""
    monkeypatch.chdir(tmp_path)
    orders: list[Workload] = []

    def note(order: Any, _options: Any) -> None:
        orders.append(order.workload)

    monkeypatch.setattr("rnnprof.cli.profile.carry_out", note)
    monkeypatch.setattr("rnnprof.cli.profile._answer", lambda *_: 0)
    return orders


def test_every_option_reaches_the_workload(asked: list[Workload]) -> None:
    flags = (
        "--cell gru --impl loop --input-size 3 --hidden-size 4 --layers 2 --bidirectional "
        "--dropout 0.25 --proj-size 2 --batch-first --dtype amp-bf16 --optimizer sgd "
        "--mode inference --compile --loop function"
    )
    assert run(["profile", *flags.split()]) == 0
    assert asked == [
        Workload(
            "gru",
            "loop",
            3,
            4,
            2,
            True,
            0.25,
            2,
            True,
            "amp-bf16",
            "sgd",
            "inference",
            True,
            "function",
        )
    ]


def test_a_flag_beats_a_variable_beats_the_file_beats_the_defaults_file(
    asked: list[Workload], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rnnprof.toml").write_text("layers = 9\nhidden-size = 9\ninput-size = 9\n")
    (tmp_path / "work.toml").write_text(
        'cell = "gru"\nlayers = 2\nhidden-size = 2\nbidirectional = true\n'
    )
    monkeypatch.setenv("RNNPROF_LAYERS", "3")
    assert run(["profile", "--workload", "work.toml", "--cell", "lstm"]) == 0
    assert asked == [Workload("lstm", layers=3, hidden_size=2, input_size=9, bidirectional=True)]


def test_a_factory_may_stand_in_the_file(asked: list[Workload], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def make(batch, steps, device, width): ...\n")
    (tmp_path / "work.toml").write_text('factory = "train.py:make"\nfactory-arg.width = 3\n')
    assert run(["profile", "--workload", "work.toml"]) == 0
    (workload,) = asked
    assert workload.factory is not None
    assert workload.factory.reference == "train.py:make"
    assert workload.factory.args == {"width": 3}


def test_a_factorys_arguments_in_the_file_keep_their_types(
    asked: list[Workload], tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("def make(batch, steps, device, **options): ...\n")
    (tmp_path / "work.toml").write_text(
        'factory = "train.py:make"\n'
        'factory-arg = {sizes = ["a", true], by = {deep = [1.5]}, on = true, name = "x"}\n'
    )
    assert run(["profile", "--workload", "work.toml"]) == 0
    (workload,) = asked
    assert workload.factory is not None
    assert workload.factory.args == {
        "sizes": ["a", True], "by": {"deep": [1.5]}, "on": True, "name": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("workload", "name", "words"),
    [
        (Workload(), "lstm-256-512-1", "lstm 256->512, 1 layer, fp32, adam"),
        (
            Workload("gru", "loop", 8, 16, 2, bidirectional=True, dropout=0.5, dtype="bf16"),
            "gru-8-16-2-loop-bidirectional-dropout0.5-bf16",
            "gru 8->16, 2 layers, loop, bidirectional, dropout 0.5, bf16, adam",
        ),
        (
            Workload(mode="inference", compile=True),
            "lstm-256-512-1-inference-compiled",
            "lstm 256->512, 1 layer, fp32, inference, compiled",
        ),
    ],
)
def test_names(workload: Workload, name: str, words: str) -> None:
    assert workload.name == name
    assert workload.describe() == words
