"""Secrets of a factory are in no file and in no output."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from conftest import CommandLine
from rnnprof.report.model import report_of
from rnnprof.report.text.command import repetition
from rnnprof.runfile.journal import load

TOKEN = "hf_QwErTyUiOpAsDfGhJk"
WORD = "correct-horse-battery"

TRAIN = """
import base64, sys, torch
def make(batch, time_steps, device, token, url, at=99):
    assert token == {token!r} and "--password" in sys.argv, sys.argv
    print("token", token, base64.b64encode(token.encode()).decode(), sys.argv[-1], flush=True)
    if batch >= at:
        raise ValueError(f"{{url}} refused {{token}}")
    model = torch.nn.GRU(2, 3)
    def step():
        loss = model(torch.randn(time_steps, batch, 2))[0].square().mean()
        loss.backward()
        return loss
    return step
"""

URL = "https://user:pw123456@host/data"


def command(folder: Path, *more: str) -> tuple[str, ...]:
    (folder / "train.py").write_text(TRAIN.format(token=TOKEN))
    return (
        "max-batch", "--factory", f"{folder}/train.py:make", "--factory-arg-env", "token=HUB",
        "--factory-arg", f"url={URL}", "--factory-argv", f"--password {WORD}",
        "--time-steps", "3", "--memory-limit", "64MiB", "--confirm-steps", "1",
        "-o", f"{folder}/run.jsonl", *more,
    )  # fmt: skip


def check_hidden(text: str) -> None:
    for secret in (TOKEN, WORD, URL, "pw123456", base64.b64encode(TOKEN.encode()).decode()):
        assert secret not in text


def test_nothing_that_is_kept_or_shown_has_a_secret(warm: CommandLine, tmp_path: Path) -> None:
    result = warm(*command(tmp_path, "--factory-arg", "at=4", "-v", "--json"), HUB=TOKEN)
    assert result.returncode == 5
    check_hidden(result.stdout + result.stderr)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "train.py":
            check_hidden(path.read_text(errors="replace"))
    run = (tmp_path / "run.jsonl").read_text()
    assert '"secret_args":["url"],"env_args":{"token":"HUB"}' in run
    assert '"argv":["--password","***"]' in run
    assert "raised in build: ValueError: *** refused ***" in run
    failed = json.loads(result.stdout)["failures"][-1]
    assert failed["log_tail"] == "token *** *** ***"
    assert "last lines printed:\n  token *** *** ***" in result.stderr
    again = repetition(report_of(load(tmp_path / "run.jsonl")))
    for words in ("--factory-arg-env token=HUB", "'url=***'", "--password"):
        assert words in again.command
    assert "*** stands for a value that is not kept" in again.remark


def test_a_broken_factorys_message_has_no_secret(warm: CommandLine, tmp_path: Path) -> None:
    result = warm(*command(tmp_path, "--factory-arg", "at=1"), HUB=TOKEN)
    assert result.returncode == 2
    check_hidden(result.stdout + result.stderr)
    assert "*** refused ***" in result.stderr
    assert "last lines printed:\n  token *** *** ***" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--factory-arg-env", "token=NOT_SET_HERE"), "the variable NOT_SET_HERE is not set"),
        (("--factory-arg-env", "token=EMPTY"), "the variable EMPTY is empty"),
        (("--factory-arg-env", "token"), "--factory-arg-env token: write NAME=VARIABLE"),
        (("--factory-arg", "api key=hunter22"), "write NAME=VALUE"),
        (("--factory-arg", "token=***"), "no record keeps this value: give it again"),
        (("--factory-argv", "'hunter22"), "--factory-argv: no closing quotation"),
        (("--factory-arg", "a=1", "--factory-arg-env", "a=HOME"), "is given as --factory-arg too"),
    ],
)
def test_bad_arguments_are_refused_without_their_values(
    warm: CommandLine, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "train.py").write_text("def make(): ...")
    result = warm("profile", "--factory", f"{tmp_path}/train.py:make", *arguments, EMPTY="")
    assert result.returncode == 2
    assert words in result.stderr
    assert "hunter22" not in result.stderr


BUDGET = """
version = 1
[workload]
factory = "{folder}/train.py:make"
factory-arg = {{url = "{url}", at = 99}}
factory-arg-env.token = "HUB"
factory-argv = "--password {word}"
[measure]
memory-limit = "64MiB"
confirm-steps = 1
[[fits]]
batch = 1
time-steps = 3
"""


def test_a_budgets_secrets_are_in_no_file(warm: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN.format(token=TOKEN))
    (tmp_path / "budget.toml").write_text(BUDGET.format(folder=tmp_path, url=URL, word=WORD))
    outputs = ("--junit", "a.xml", "--markdown", "a.md", "--benchmark-json", "a.json")
    result = warm("check", "--budget", "budget.toml", "-o", "run.jsonl", "-v", *outputs, HUB=TOKEN)
    assert result.returncode == 0, result.stderr
    assert "train.py:make(at=99, url=***, token=$HUB) --password ***" in result.stdout.replace(
        "\n  ", " "
    )
    check_hidden(result.stdout + result.stderr)
    for name in ("run.jsonl", "a.xml", "a.md", "a.json"):
        check_hidden((tmp_path / name).read_text())
