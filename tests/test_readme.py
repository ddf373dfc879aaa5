"""README.md and README.zh-CN.md name the same commands, and what they show runs."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rnnprof.cli.main import cli
from rnnprof.placeholders import filled

ROOT = Path(__file__).parents[1]


def commands(text: str) -> set[str]:
    """The commands of rnnprof that a text's code names."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    code = "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])
    return set(re.findall(r"\brnnprof ([a-z][a-z-]+)", code))


def test_both_readmes_have_the_same_commands() -> None:
    english = (ROOT / "README.md").read_text(encoding="utf-8")
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    table = "\n".join(re.findall(r"^\| (`rnnprof .*?`) \|", chinese, re.MULTILINE))
    assert commands(table) == commands(english)
    assert commands(chinese) == commands(table)


READMES = ("README.md", "README.zh-CN.md", "docs/scripts.md")


def shell_lines(name: str) -> list[str]:
    """The lines of the shell that a text shows, without comments."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("rnnprof ")]


@pytest.mark.parametrize("name", READMES)
def test_every_command_is_one_that_the_command_line_reads(name: str) -> None:
    for line in shell_lines(name):
        _, command, *words = shlex.split(line, comments=True)
        parser = cli.get_command(click.Context(cli), command)
        assert parser is not None, line
        own = words[: words.index("--")] if "--" in words else words
        context = click.Context(parser, info_name=command)
        parser.make_parser(context).parse_args(args=own)  # refuses options that do not exist


def test_the_first_command_is_of_a_script_and_gives_options_that_the_example_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, in_chinese = (shlex.split(shell_lines(name)[0]) for name in READMES[:2])
    assert first == in_chinese
    python, script, *words = first[first.index("--") + 1 :]
    assert (python, script) == ("python", "train.py")
    given = [filled(word, 20, 20) for word in words]
    example = str(ROOT / "examples" / "train_script.py")
    monkeypatch.setattr(sys, "argv", [example, *given, "--steps", "50"])
    runpy.run_path(example, run_name="__main__")
    # untrained it is ln 1000 = 6.9 nats
    assert float(re.findall(r"step 50: loss ([\d.]+)", capsys.readouterr().out)[0]) < 6.0


@pytest.mark.slow
def test_the_first_command_answers(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text((ROOT / "examples" / "train_script.py").read_text())
    words = shlex.split(shell_lines("README.md")[0])
    words[words.index("python")] = sys.executable
    environment = {
        **os.environ, "RNNPROF_MEMORY_LIMIT": "64MiB", "RNNPROF_CONFIRM_STEPS": "2",
        "RNNPROF_GRANULARITY": "8",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "T=35: " in done.stdout
    assert "Before its first training step the script holds" in done.stdout
