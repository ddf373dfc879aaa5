"""Help, version, pipes, and the progress on a terminal."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

import rnnprof
from rnnprof.cli.main import COMMANDS, Terminated, cli, run
from rnnprof.cli.progress import Bar, Lines
from rnnprof.points.measurement import Measurement
from rnnprof.report.words.progress import point_ended
from rnnprof.runfile.points import Outcome, Point


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_command_says(name: str) -> None:
    module, summary = COMMANDS[name]
    assert import_module(module).command.get_short_help_str(80) == summary
    assert summary in CliRunner().invoke(cli, ["--help"]).output


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"rnnprof {rnnprof.__version__}\n"


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_a_stop_that_a_library_wraps_is_a_stop(
    monkeypatch: pytest.MonkeyPatch, stop: type[BaseException], code: int
) -> None:
    class Descriptor:
        def __set_name__(self, owner: type, name: str) -> None:
            raise stop

    def wrapped(*_: object, **__: object) -> None:
        try:
            type("Axis", (), {"scale": Descriptor()})
        except RuntimeError:
            raise
        except BaseException as error:  # Python 3.12 wraps no more
            raise RuntimeError("Error calling __set_name__") from error

    monkeypatch.setattr(cli, "main", wrapped)
    assert run(["profile"]) == code


def test_an_error_without_a_stop_behind_it_is_internal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "main", broken)
    assert run(["profile"]) == 70
    assert "internal error: RuntimeError: a bug" in capsys.readouterr().err


def test_help_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = tmp_path / "long_answer.py"
    script.write_text(
        "from rnnprof.cli import main\n"
        "main.cli.main = lambda **_: [print('x' * 10) for _ in range(100_000)]\n"
        "main.main([])\n"
    )
    command = f"{sys.executable} {script} | head -n 1"
    process = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert process.stdout == "xxxxxxxxxx\n"
    assert process.stderr == ""


MEASURED = Measurement(
    Point(4, 8), Outcome.MEASURED, step_time_s=0.01, time_steps_per_s=3200.0,
    peak_charged_bytes=1 << 20, peak_allocated_bytes=3 << 20, peak_process_bytes=5 << 20,
)  # fmt: skip


def test_one_plain_line_a_point(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(verbosity=1)
    lines.begun(2, 3)
    lines.entering(Point(4, 8), "fit")
    lines.entering(Point(1, 1), "rates")
    lines.ended(MEASURED, 1, 61.0)
    lines.noted("a note")
    line = "B=4 T=8: training step 10.0 ms, 3.20 k time steps/s, memory 1.00 MiB"
    assert capsys.readouterr().err.splitlines() == [
        "2 points to run (1 of 3 are complete or implied already)",
        "    B=4 T=8: fit pass",
        "    the device: rates to compare with",
        f"[1/2] {line}; about 1 min 01 s left",
        "a note",
    ]


def test_a_line_tells_no_other_memory_than_what_the_limit_counts() -> None:
    unknown = replace(MEASURED, peak_charged_bytes=None)
    line = "B=4 T=8: training step 10.0 ms, 3.20 k time steps/s, memory -"
    assert point_ended(unknown) == line


def test_the_bar_writes_over_one_line_and_leaves_it_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    bar = Bar()
    bar.begun(4, 4)
    bar.ended(MEASURED, 1, 30.0)
    bar.entering(Point(4, 16), "timing")
    written = terminal.getvalue().split("\r\x1b[2K")[-1]
    assert written.startswith("█████·····")
    assert "1/4  B=4 T=16: timing pass  30 s left" in written
    assert len(written) < 60
    bar.closed()
    assert terminal.getvalue().endswith("\r\x1b[2K")
