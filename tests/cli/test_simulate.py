"""``--simulate``: what it refuses, and what is said where a GPU is simulated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fakes import HEADER, FakeProbe, a_request, a_sweep, an_observer
from rnnprof.analysis.advice import SIMULATED, advise
from rnnprof.analysis.certify import frontier_of
from rnnprof.analysis.fold import fold_run
from rnnprof.cli.main import run
from rnnprof.engine.frontier import Frontier, FrontierListener
from rnnprof.engine.journal import run_of
from rnnprof.records import Grid, Record, Run, Settings
from rnnprof.report.answer import FUSED_LAW, frontier_in_words, gpus_in_words
from rnnprof.report.command import repeat_command
from rnnprof.report.document import document
from rnnprof.report.table import table
from rnnprof.simulate.description import describe

MEMORY_ALONE = Settings(processes=0)
HEAD = "version = 1\n"
THROUGHPUT = "[[throughput]]\nbatch = 8\nsteps = 16\nat_least = 100\n"


@pytest.fixture
def refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> object:
    monkeypatch.chdir(tmp_path)

    def ask(arguments: list[str], code: int = 2) -> str:
        assert run(arguments) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        assert not list(tmp_path.rglob("*.jsonl"))
        return " ".join(said.err.split())

    return ask


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["max-batch", "--simulate", "h10"], "did you mean"),
        (["max-batch", "--simulate", "memory=16GiB,sms=0,capability=7.5"], "sms"),
        (["max-batch", "--simulate", "t4", "--device", "cpu"], "exclude each other"),
        (["max-batch", "--simulate", "t4", "--card", "8GiB"], "exclude each other"),
        (["profile", "--simulate", "t4", "--point-seconds", "1"], "there are no times"),
        (["profile", "--simulate", "t4", "--processes", "3"], "there are no times"),
        (["profile", "--simulate", "t4", "--compile"], "triton compiles kernels"),
        (["trainability", "--simulate", "t4"], "takes kernels"),
        (["compare", ".", ".", "--batch", "2", "--steps", "2", "--simulate", "t4"], "times"),
        (["check", "--budget", "fast.toml", "--simulate", "t4"], "limits a throughput"),
        (["check", "--budget", "fits.toml", "--simulate", "t4,h100"], "give one GPU"),
        (["check", "--budget", "fits.toml", "--simulate", "t4", "--against", "."], "times"),
    ],
)
def test_what_a_simulated_gpu_cannot_answer_is_refused(
    refused, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "fast.toml").write_text(HEAD + THROUGHPUT)
    (tmp_path / "fits.toml").write_text(HEAD + "[[fits]]\nbatch = 8\nsteps = 16\n")
    assert said in refused(arguments)


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is a build with CUDA")
def test_a_torch_without_cuda_is_one_sentence_with_the_remedy(refused) -> None:
    said = refused(["max-batch", "--simulate", "t4", "--steps", "16"], code=4)
    assert "is not a CUDA build" in said
    assert "pip install --no-deps torch" in said


def simulated(folder: Path, model: str, settings: Settings = MEMORY_ALONE) -> Run:
    """A run as on that GPU, by a fake."""
    gpu = describe(model)
    environment = HEADER.environment | {
        "device": "cuda", "device_name": f"{gpu.name} (simulated)", "simulated": gpu.as_text(),
    }  # fmt: skip
    records: list[Record] = [replace(HEADER, environment=environment)]
    grid = Grid((8, 16, 512), (16, 32))
    records.append(a_request(grid, settings))
    a_sweep(FakeProbe(), records[1], records.append).run()
    frontier = Frontier(
        an_observer(FakeProbe(), records[1], records.append),
        records.append,
        FrontierListener(),
        65536,
    )
    frontier.run(grid.steps)
    made = run_of(records, folder / f"{model}.jsonl")
    assert made is not None
    return made


def test_no_time_is_measured_and_none_is_advised(tmp_path: Path) -> None:
    made = simulated(tmp_path, "t4")
    assert {type(o).__name__ for o in made.observations} == {"Fit", "Memory"}
    measurements, frontier = fold_run(made), frontier_of(made)
    advice = advise(made, measurements, frontier)
    assert (advice.batch, advice.reasons) == (None, (SIMULATED,))
    whole = document(made, measurements, frontier, advice)
    assert {point["simulated"] for point in whole["points"]} == {True}
    assert {point["step_time_s"] for point in whole["points"]} == {None}
    assert "Tesla T4 (simulated)" in table(made, measurements)
    json.dumps(whole, allow_nan=False)


def test_the_words_say_that_it_is_simulated_and_recommend_nothing(tmp_path: Path) -> None:
    made = simulated(tmp_path, "t4")
    frontier = frontier_of(made)
    said = frontier_in_words(made, frontier, advise(made, {}, frontier), 0.05)
    assert "simulated: no kernel ran" in said.splitlines()[0]
    assert "train with" not in said
    assert FUSED_LAW[:40] in said


def test_several_gpus_are_one_table(tmp_path: Path) -> None:
    found = []
    for model in ("t4", "h100"):
        made = simulated(tmp_path, model)
        frontier = frontier_of(made)
        found.append((made, frontier, advise(made, {}, frontier)))
    lines = gpus_in_words(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert "simulated: no kernel ran" in lines[0]
    assert lines[2].split() == ["GPU", "T", "largest", "safe", "charged", "allocated"]
    assert sum(line.startswith("Tesla T4") for line in lines) >= 2
    assert sum(line.startswith("NVIDIA H100") for line in lines) >= 2


def test_the_command_that_repeats_it_simulates_too(tmp_path: Path) -> None:
    words = repeat_command(simulated(tmp_path, "t4"))
    assert "--simulate t4" in words
    assert "--device" not in words
    assert "--processes" not in words
    assert "--point-seconds" not in words
