"""``--simulate``: what it refuses, and what is said where a GPU is simulated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fakes import HEADER, FakeProbe, a_request, a_sweep, an_observer, run_into
from rnnprof.advice.reasons import SpeedUnknown, Unfinished
from rnnprof.cli.main import run
from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.errors import BadInputError
from rnnprof.gate.budget import Asked
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.frontier import Frontier
from rnnprof.report.export.document import document
from rnnprof.report.model import report_of
from rnnprof.report.text.answer import FUSED_LAW, frontier_in_words, gpus_in_words
from rnnprof.report.text.command import repeat_command
from rnnprof.report.text.table import table
from rnnprof.runfile.journal import run_of
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Record, Run, Settings
from rnnprof.simulate.description import describe

MEMORY_ALONE = Settings(processes=0)
HEAD = "version = 1\n"
THROUGHPUT = "[[throughput]]\nbatch = 8\ntime-steps = 16\nat-least = 100\n"


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
        (["max-batch", "--simulate", "t4", "--gpu-memory", "8GiB"], "exclude each other"),
        (["profile", "--simulate", "t4", "--point-seconds", "1"], "there are no times"),
        (["profile", "--simulate", "t4", "--processes", "3"], "there are no times"),
        (["profile", "--simulate", "t4", "--compile"], "triton compiles kernels"),
        (["trainability", "--simulate", "t4"], "takes kernels"),
        (["compare", ".", ".", "--batch", "2", "--time-steps", "2", "--simulate", "t4"], "times"),
        (["check", "--budget", "fast.toml", "--simulate", "t4"], "limits a throughput"),
        (["check", "--budget", "fits.toml", "--simulate", "t4,T4"], "t4 is named twice"),
        (["check", "--budget", "fits.toml", "--simulate", "t4,"], "no GPU to simulate is given"),
        (["check", "--budget", "fits.toml", "--simulate", "t4,h10"], "did you mean h100?"),
        (
            ["check", "--budget", "fits.toml", "--simulate", "t4,h100", "--baseline", "b.jsonl"],
            "--baseline b.jsonl is a run of one GPU, and --simulate t4,h100 names several",
        ),
        (["check", "--budget", "two.toml", "--baseline", "b.jsonl"], "names several"),
        (["check", "--budget", "fits.toml", "--simulate", "t4,h100", "-o", "a"], "NAME.jsonl"),
        (["check", "--budget", "fits.toml", "--simulate", "t4,h100", "--against", "."], "times"),
        (["check", "b.jsonl", "--budget", "fits.toml", "--simulate", "t4,h100"], "leave RUN out"),
        (["check", "--budget", "fits.toml", "--simulate", "t4", "--against", "."], "times"),
    ],
)
def test_what_a_simulated_gpu_cannot_answer_is_refused(
    refused, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "fast.toml").write_text(HEAD + THROUGHPUT)
    (tmp_path / "fits.toml").write_text(HEAD + "[[fits]]\nbatch = 8\ntime-steps = 16\n")
    (tmp_path / "two.toml").write_text(
        HEAD + "[[fits]]\nbatch = 8\ntime-steps = 16\n[measure]\nsimulate = 't4,h100'\n"
    )
    assert said in refused(arguments)


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is a build with CUDA")
def test_a_torch_without_cuda_is_one_sentence_with_the_remedy(refused) -> None:
    said = refused(["max-batch", "--simulate", "t4", "--time-steps", "16"], code=4)
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
        Listener(),
        65536,
    )
    frontier.run(grid.time_steps)
    made = run_of(records, folder / f"{model}.jsonl")
    assert made is not None
    return made


def test_no_time_is_measured_and_none_is_advised(tmp_path: Path) -> None:
    made = simulated(tmp_path, "t4")
    assert {type(o).__name__ for o in made.observations} == {"Fit", "Memory"}
    report = report_of(made)
    advice = report.advice
    assert (advice.recommendations, advice.reasons) == ((), (Unfinished(), SpeedUnknown()))
    whole = document(report)
    assert {point["simulated"] for point in whole["points"]} == {True}
    assert {point["step_time_s"] for point in whole["points"]} == {None}
    assert "Tesla T4 (simulated)" in table(report)
    json.dumps(whole, allow_nan=False)


def test_the_words_say_that_it_is_simulated_and_recommend_nothing(tmp_path: Path) -> None:
    made = simulated(tmp_path, "t4")
    said = frontier_in_words(report_of(made))
    assert "simulated: no kernel ran" in said.splitlines()[0]
    assert "train with" not in said
    assert FUSED_LAW[:40] in said


def test_several_gpus_are_one_table(tmp_path: Path) -> None:
    found = [report_of(simulated(tmp_path, model)) for model in ("t4", "h100")]
    lines = gpus_in_words(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert "simulated: no kernel ran" in lines[0]
    assert lines[2].split() == ["GPU", "T", "largest", "safe", "charged", "allocated"]
    assert sum(line.startswith("Tesla T4") for line in lines) >= 2
    assert sum(line.startswith("NVIDIA H100") for line in lines) >= 2


def test_the_command_that_repeats_it_simulates_too(tmp_path: Path) -> None:
    words = repeat_command(report_of(simulated(tmp_path, "t4")))
    assert "--simulate t4" in words
    assert "--device" not in words
    assert "--processes" not in words
    assert "--point-seconds" not in words


# a gate of several GPUs, measured by a fake

BATCH_64 = HEAD + "[[fits]]\nbatch = 64\ntime-steps = 32\n"
LAW_LIMITS = {"t4": 64 << 20, "h100": 256 << 20}
"""B=64 T=32 takes 76 MiB by the law of :class:`FakeProbe`."""


@pytest.fixture
def gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def measure(asked: Asked, order: Order, listener: Listener, *_: object) -> FoldedRun:
        gpu = order.gpu
        assert gpu is not None
        if gpu.model == "l4":
            raise BadInputError("the limit is more than this GPU has")
        facts = {"device_name": f"{gpu.name} (simulated)", "simulated": gpu.as_text()}
        header = replace(HEADER, environment=facts)
        probe = FakeProbe(limit_bytes=LAW_LIMITS[gpu.model], least_steps=10)
        monkeypatch.setattr("fakes.HEADER", header)
        points = Grid((asked.fits[0].batch,), (asked.fits[0].time_steps,))
        return FoldedRun.of(run_into(order.path, probe, points, order.settings))

    def check(*arguments: str) -> tuple[int, str, str]:
        code = run(["check", "--budget", "budget.toml", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rnnprof.gate.run.measure", measure)
    (tmp_path / "budget.toml").write_text(BATCH_64)
    return check


def test_each_gpu_is_judged_by_the_same_budget(gate, tmp_path: Path) -> None:
    code, out, err = gate("--simulate", "t4,h100", "-o", "run.jsonl")
    assert code == 1
    first, second, last = (
        out.index(text) for text in ("simulated-t4: run-t4.jsonl", "simulated-h100: run-h", "2 GPU")
    )
    assert first < second < last
    assert out.splitlines()[-1] == "2 GPUs: 1 passed, 1 failed (simulated-t4)."
    assert max(map(len, out.splitlines())) <= 80
    assert err.splitlines() == ["simulated-t4:", "simulated-h100:"]
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {"run-t4.jsonl", "run-h100.jsonl"}


@pytest.mark.parametrize("from_where", ["environment", "budget"])
def test_several_gpus_from_the_environment_or_the_budget(
    gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_where: str
) -> None:
    if from_where == "environment":
        monkeypatch.setenv("RNNPROF_SIMULATE", "h100,t4")
    else:
        measure = "[measure]\nsimulate = 'h100,t4'\n"
        (tmp_path / "budget.toml").write_text(BATCH_64 + measure)
    code, out, _ = gate("--json", "-q")
    assert code == 1
    documents = json.loads(out)["runs"]
    assert [each["exit_code"] for each in documents] == [0, 1]
    assert [each["run"] for each in documents] == [
        "lstm-256-512-1-simulated-h100-check.jsonl", "lstm-256-512-1-simulated-t4-check.jsonl",
    ]  # fmt: skip


def test_every_form_holds_every_gpu(gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    code, out, _ = gate(
        "--simulate", "t4,h100", "--github", "-q", "--junit", "a.xml", "--markdown", "a.md",
        "--benchmark-json", "a.json",
    )  # fmt: skip
    assert code == 1
    assert out.count("::error") == 1
    assert (tmp_path / "a.xml").read_text().count("<testsuite ") == 2
    summary = (tmp_path / "summary").read_text()
    assert summary == (tmp_path / "a.md").read_text()
    assert summary.count("### ") == 2
    assert "\nFAIL\n" in (tmp_path / "output").read_text()
    [row] = json.loads((tmp_path / "a.json").read_text())
    assert row["name"] == "simulated-h100: fits B=64 T=32"


def test_one_gpu_is_told_without_its_model(gate) -> None:
    code, out, err = gate("--simulate", "h100")
    assert (code, err) == (0, "")
    assert out.startswith("lstm-256-512-1-cuda-check.jsonl, ")
    assert "GPUs" not in out
    assert "simulated-h100" not in out


def test_an_error_on_one_of_several_gpus_says_on_which(gate) -> None:
    code, out, err = gate("--simulate", "t4,l4", "-q")
    assert (code, out) == (2, "")
    assert err == "rnnprof: simulated-l4: the limit is more than this GPU has\n"
    assert gate("--simulate", "l4", "-q")[2] == "rnnprof: the limit is more than this GPU has\n"
