"""``rnnprof trainability``, with real trainings of a moment each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import CommandLine
from rnnprof.cli.main import run
from rnnprof.runfile.journal import load
from rnnprof.runfile.observations import Gradient, Learning
from rnnprof.runfile.points import Outcome
from rnnprof.study.trainability import trainability_of

SMALL = (
    "trainability", "--hidden-size", "16", "--time-steps", "6", "--draws", "10", "--parts", "4",
    "--small-batch", "4", "--train-steps", "5", "--memory-limit", "256MiB", "-o", "study.jsonl",
)  # fmt: skip
TARGET = (
    "--batch", "16,32", "--target", "0.15", "--seeds", "2", "--learning-rate", "0.01",
    "--evaluate-every", "10", "--train-seconds", "20",
)  # fmt: skip


def test_reach_noise_and_time_to_target_and_what_is_there_is_not_run_again(
    warm: CommandLine, tmp_path: Path
) -> None:
    result = warm(*SMALL, *TARGET, "--json", "-q")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert [(each["time_steps"], each["train_steps"]) for each in document["reach"]] == [
        (6, 0),
        (6, 5),
    ]
    assert all(len(each["reach"]["ratios"]) == 6 for each in document["reach"])
    [noise] = document["noise"]
    assert (noise["train_steps"], noise["small_batch"], noise["big_batch"]) == (5, 4, 16)
    assert [each["point"]["batch"] for each in document["to_target"]] == [16, 32]
    assert all(each["reached"] == each["seeds"] == 2 for each in document["to_target"])
    made = load(tmp_path / "study.jsonl")
    assert made.is_finished
    assert [type(o) for o in made.observations] == [Gradient] * 2 + [Learning] * 4
    for each in made.observations:
        assert each.outcome is Outcome.MEASURED
        if isinstance(each, Learning):
            assert each.sequences == each.train_steps * each.batch
            assert each.losses[0][0] == 0
            assert each.losses[-1][1] is not None
            assert each.losses[-1][1] <= 0.15
    more = warm(*SMALL, *TARGET[:-6], "--seeds", "3", *TARGET[6:], "--extend", "-q")
    assert more.returncode == 0, more.stderr
    assert "95% interval" in more.stdout
    again = load(tmp_path / "study.jsonl")
    assert trainability_of(again).study != trainability_of(made).study


def test_the_same_study_again_runs_nothing(warm: CommandLine, tmp_path: Path) -> None:
    assert warm(*SMALL, "-q").returncode == 0
    first = load(tmp_path / "study.jsonl")
    result = warm(*SMALL, "-q", "--extend")
    assert result.returncode == 0, result.stderr
    assert load(tmp_path / "study.jsonl").observations == first.observations
    assert "Gradient reach" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_target_that_is_met_at_the_start_or_never_is_told(warm: CommandLine) -> None:
    brief = ("--batch", "16", "--seeds", "1", "--evaluate-every", "2", "--train-seconds", "0.05")
    met = warm(*SMALL, *brief, "--target", "100", "-q")
    assert "met before any training" in met.stdout
    never = warm(*SMALL, *brief, "--target", "1e-9", "-q", "--overwrite")
    assert never.returncode == 0
    assert "not reached in the time given" in never.stdout
    assert "fewer than 3 seeds" in never.stdout


FACTORY = """
import torch
from torch import nn

from rnnprof import Training


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.layer = nn.GRU(8, 16)
        self.head = nn.Linear(16, 20)

    def forward(self, words):
        return self.head(self.layer(self.words(words))[0])


def make(batch, steps, device, probes=True):
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def losses(words):
        return nn.functional.cross_entropy(
            model(words[:-1]).flatten(0, 1), words[1:].flatten(), reduction="none"
        ).view(steps, batch)

    def step(phase):
        optimizer.zero_grad()
        loss = losses(torch.arange(steps + 1)[:, None].expand(-1, batch) % 20).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        return loss.detach()

    def probe():
        words = torch.randint(20, (steps + 1, batch))
        return words[:-1], losses(words)[-1].sum()

    return Training(step, model, optimizer, probe=probe if probes else None)
"""


def test_a_factory_of_words_with_a_probe_and_without(warm: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "lm.py").write_text(FACTORY)
    factory = (*SMALL[:1], *SMALL[3:], "--factory", f"{tmp_path}/lm.py:make", "--batch", "4")
    result = warm(*factory, "--target", "1.5", "--seeds", "1", "-q")
    assert result.returncode == 0, result.stderr
    assert "embedding's output" in " ".join(result.stdout.split())
    assert "were clipped" in " ".join(result.stdout.split())
    assert "1 of 1" in result.stdout
    blind = warm(*factory, "--factory-arg", "probes=false", "-q", "--overwrite")
    assert blind.returncode == 0, blind.stderr
    assert "not known: the factory gives no loss of the last time step" in " ".join(
        blind.stdout.split()
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "copy", "--time-steps", "20"], "21 time steps"),
        (["--input-size", "5"], "has 2 features"),
        (["--mode", "inference"], "learns nothing"),
        (["--optimizer", "none", "--target", "0.1"], "reaches no target"),
        (["--parts", "1"], "parts"),
        (["--reach-at", "2"], "share"),
        (["--rate-rule", "cubic"], "cubic"),
    ],
)
def test_what_cannot_be_studied_is_exit_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["trainability", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
