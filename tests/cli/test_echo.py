"""What is printed: on any stream, whatever it can write, and as a command to paste."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from conftest import CommandLine
from rnnprof.cli import profile
from rnnprof.cli.echo import command_of, say_path
from rnnprof.cli.main import run
from rnnprof.engine.order import Order
from rnnprof.redaction import NO_SECRETS


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict"])
def test_a_stream_of_ascii_prints_every_command_and_message(
    rnnprof: CommandLine, encoding: str
) -> None:
    for arguments in (["profile", "--help"], ["advise", "深.jsonl"], ["profile", "--深"]):
        done = rnnprof(*arguments, PYTHONIOENCODING=encoding, LC_ALL="C")
        assert done.returncode == (0 if "--help" in arguments else 2), done.stderr
        assert "Traceback" not in done.stderr


def test_a_message_drives_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["advise", "\x1b[2J\u202e.jsonl"]) == 2
    assert run(["\x1b[2J"]) == 2
    assert run(["advise", "a", "\x1b[2J"]) == 2
    said = capsys.readouterr().err
    assert "?[2J" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_a_program_gets_a_path_as_it_is(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    say_path(Path("a\udcff\u00a0b/report.html"))
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == os.fsencode("a\udcff\u00a0b/report.html\n")


def test_a_stop_prints_the_command_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("")
    words = ["profile", "--factory", "my $(train).py:make", "--factory-arg", "a=b;c"]
    monkeypatch.setattr(sys, "argv", ["rnnprof", *words, "--overwrite"])
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rnnprof.jobs.run_order", stopped)
    order = Order.__new__(Order)
    object.__setattr__(order, "path", path)
    object.__setattr__(order, "secrets", NO_SECRETS)
    with pytest.raises(KeyboardInterrupt):
        profile.carry_out(order, {"verbose": 0, "quiet": True})
    said = capsys.readouterr().err
    assert shlex.split(said.partition("To resume: ")[2]) == ["rnnprof", *words]


def test_words_that_no_shell_holds_make_no_command() -> None:
    assert command_of(["rnnprof", "\ud800"]) == ""
    assert command_of(["rnnprof", "a b"]) == "rnnprof 'a b'"
