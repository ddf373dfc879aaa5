"""Which source of an option wins, and that a broken one breaks only what measures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from conftest import CommandLine
from fakes import FakeProbe, run_into
from rnnprof.cli import check
from rnnprof.cli.main import run
from rnnprof.cli.max_batch import command as max_batch
from rnnprof.cli.profile import command as profile
from rnnprof.runfile.points import Grid

BROKEN = {
    "no TOML": ("rnnprof.toml", "[[["),
    "an unknown key": ("rnnprof.toml", "at-mots = 16\n"),
    "nested": ("rnnprof.toml", "a = " + "[" * 5000),
    "nested by dots": ("rnnprof.toml", ".".join("a" * 2000) + " = 1\n"),
    "a number too long": ("rnnprof.toml", "layers = 0x" + "f" * 9000 + "\n"),
    "not UTF-8": ("rnnprof.toml", "\udcff"),
    "pyproject": ("pyproject.toml", "[tool.rnnprof\n"),
    "pyproject, no table": ("pyproject.toml", "[tool]\nrnnprof = 3\n"),
}

SOURCES = ("flag", "own variable", "variable", "workload file", "rnnprof.toml", "default")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RNNPROF_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture(params=BROKEN.values(), ids=BROKEN.keys())
def broken(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A folder with a run and a configuration that cannot be used."""
    name, text = request.param
    run_into(folder / "run.jsonl", FakeProbe(), Grid((2,), (4,)))
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return folder


def stated(source: str, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """State a number of layers by one source; what the command line gets of it."""
    match source:
        case "flag":
            return ["--layers", str(number)]
        case "own variable":
            monkeypatch.setenv("RNNPROF_MAX_BATCH_LAYERS", str(number))
        case "variable":
            monkeypatch.setenv("RNNPROF_LAYERS", str(number))
        case "workload file":
            (folder / "work.toml").write_text(f"layers = {number}\n")
            return ["--workload", "work.toml"]
        case "rnnprof.toml":
            (folder / "rnnprof.toml").write_text(f"layers = {number}\n")
    return []


@pytest.mark.parametrize("first", range(len(SOURCES)))
def test_each_source_beats_all_that_come_after_it(
    first: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = []
    for number, source in enumerate(SOURCES[first:], 11 + first):
        arguments += stated(source, number, folder, monkeypatch)
    context = max_batch.make_context("max-batch", arguments)
    assert context.params["layers"] == (1 if SOURCES[first] == "default" else 11 + first)


@pytest.mark.parametrize("first", range(len(SOURCES)))
@pytest.mark.parametrize("second", range(len(SOURCES)))
def test_of_two_sources_the_earlier_counts(
    first: int, second: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = sorted({first, second})
    arguments = []
    for each in pair:
        arguments += stated(SOURCES[each], 11 + each, folder, monkeypatch)
    layers = max_batch.make_context("max-batch", arguments).params["layers"]
    assert layers == (1 if SOURCES[pair[0]] == "default" else 11 + pair[0])


def test_a_variable_of_one_command_is_no_other_commands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNNPROF_MAX_BATCH_HEADROOM", "20%")
    assert max_batch.make_context("max-batch", []).params["headroom"] == 0.2
    assert profile.make_context("profile", []).params["headroom"] == 0.05


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("RNNPROF_FAST", "1", "fast", True),
        ("RNNPROF_PROFILE_OVERWRITE", "true", "overwrite", True),
        ("RNNPROF_VERBOSE", "2", "verbose", 2),
        ("RNNPROF_FACTORY_ARG", "a=1 b=2", "factory_args", ("a=1", "b=2")),
        ("RNNPROF_PROFILE_BATCH", "", "batch", None),
    ],
)
def test_flags_counts_and_lists_have_variables_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: Any
) -> None:
    monkeypatch.setenv(variable, text)
    assert profile.make_context("profile", []).params[name] == value


def test_a_configuration_may_name_the_workload_file(folder: Path) -> None:
    (folder / "rnnprof.toml").write_text('workload = "work.toml"\nlayers = 3\nhidden-size = 7\n')
    (folder / "work.toml").write_text("layers = 2\n")
    params = profile.make_context("profile", []).params
    assert (params["layers"], params["hidden_size"]) == (2, 7)


def test_a_configuration_may_hold_what_only_another_command_knows(folder: Path) -> None:
    (folder / "rnnprof.toml").write_text('report = "reports"\nat-most = 16\ndraws = 9\n')
    assert max_batch.make_context("max-batch", []).params["at_most"] == 16


# ---- a budget


BUDGET = "version = 1\n[workload]\nlayers = 2\n[measure]\nseed = 5\n[[fits]]\nbatch=1\ntime-steps=1"


@pytest.mark.parametrize("prefix", ["RNNPROF_", "RNNPROF_CHECK_"])
def test_a_budget_beats_variables_and_configuration_for_what_it_states(
    prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAYERS", "SEED", "HIDDEN_SIZE"):
        monkeypatch.setenv(f"{prefix}{name}", "9")
    (folder / "rnnprof.toml").write_text("layers = 8\nseed = 8\ninput-size = 8\n")
    (folder / "work.toml").write_text("layers = 7\n")
    monkeypatch.setenv("RNNPROF_WORKLOAD", "work.toml")
    (folder / "budget.toml").write_text(BUDGET)
    path = folder / "budget.toml"
    asked = check._options_of(check.read_budget(path), path)
    assert (asked["layers"], asked["seed"], asked["hidden_size"]) == (2, 5, 9)
    assert asked["input_size"] == 256, "a gate judges the same in every folder"


@pytest.mark.parametrize("name", ["RNNPROF_PROCESSES", "RNNPROF_CHECK_PROCESSES"])
def test_a_variable_sets_what_neither_budget_nor_flag_states(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "budget.toml"
    path.write_text(BUDGET)
    budget = check.read_budget(path)
    given = {"processes": None, "output": None}
    for number in (check.CHECK_PROCESSES, 7):
        asked = check._options_of(budget, path)
        [order] = check._orders(asked, budget, given)
        assert order.settings.processes == number
        monkeypatch.setenv(name, "7")
    asked = check._options_of(budget, path)
    [order] = check._orders(asked, budget, {**given, "processes": 2})
    assert order.settings.processes == 2


def test_a_budget_that_is_nested_too_deeply_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "budget.toml").write_text(".".join("a" * 2000) + " = 1\n")
    assert run(["check", "run.jsonl", "--budget", "budget.toml"]) == 2
    assert "nested more than 100 deep" in capsys.readouterr().err


# ---- what is broken


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        pytest.param(["--version"], marks=pytest.mark.slow),
        ["profile", "--help"],
        pytest.param(["max-batch", "--help"], marks=pytest.mark.slow),
        pytest.param(["trainability", "--help"], marks=pytest.mark.slow),
        pytest.param(["compare", "--help"], marks=pytest.mark.slow),
        ["check", "--help"],
        ["compare", "run.jsonl", "run.jsonl"],
        pytest.param(["compare", "run.jsonl", "run.jsonl", "--json"], marks=pytest.mark.slow),
        pytest.param(["export", "run.jsonl"], marks=pytest.mark.slow),
        pytest.param(["report", "run.jsonl", "-o", "page"], marks=pytest.mark.slow),
        ["advise", "run.jsonl"],
    ],
    ids=" ".join,
)
def test_a_broken_configuration_breaks_nothing_that_measures_nothing(
    broken: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    assert "rnnprof.toml" not in capsys.readouterr().err


def test_a_broken_configuration_does_not_break_the_gate_of_a_run(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (broken / "budget.toml").write_text("version = 1\n[[fits]]\nbatch = 2\ntime-steps = 4\n")
    assert run(["check", "run.jsonl", "--budget", "budget.toml"]) in (0, 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [["profile"], ["max-batch"], ["compare", ".", "."]])
def test_what_measures_is_told_in_one_line(
    broken: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert ".toml" in said
    assert len(said) < 1500


@pytest.mark.parametrize("arguments", [["--workload", "work.toml", "--help"], ["--help"]])
def test_help_reads_no_workload_file(
    folder: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "work.toml").write_text("[[[")
    if "--workload" not in arguments:
        monkeypatch.setenv("RNNPROF_WORKLOAD", "nowhere.toml")
    assert run(["profile", *arguments]) == 0


def test_broken_variables_do_not_break_a_comparison_of_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_into(folder / "run.jsonl", FakeProbe(), Grid((2,), (4,)))
    monkeypatch.setenv("RNNPROF_LAYERS", "many")
    monkeypatch.setenv("RNNPROF_WORKLOAD", "nowhere.toml")
    assert run(["compare", "run.jsonl", "run.jsonl"]) == 0
    assert run(["compare", ".", "."]) == 2


def test_a_word_is_completed_beside_a_broken_configuration(
    broken: Path, rnnprof: CommandLine
) -> None:
    result = rnnprof(
        COMP_WORDS="rnnprof profile --lay", COMP_CWORD="2", _RNNPROF_COMPLETE="bash_complete"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "--layers" in result.stdout
