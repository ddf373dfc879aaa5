"""A script on the command line: what is ordered, and wrong input; no worker is started."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import HEADER
from rnnprof.cli import check
from rnnprof.cli.main import run
from rnnprof.engine.order import Order
from rnnprof.report.words import say
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Run
from rnnprof.workload import ScriptPlace, ScriptSource, workload_of_script

SIZED = ("--", "python", "train.py", "--batch-size", "{batch}", "--bptt", "{time_steps}")
BATCHED = ("--", "python", "train.py", "--batch-size", "{batch}")
TOKEN = "hf_QwErTyUiOpAsDfGhJk"

Ordered = Callable[..., Order]
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\n"
        "p.add_argument('--batch-size')\np.add_argument('--bptt')\nLAYERS = 2\n"
    )
    (tmp_path / "make.py").write_text("def make(batch, time_steps, device): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    return tmp_path


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> Ordered:
    """The order that a command carries out, which here it does not."""
    orders: list[Order] = []

    class StoppedError(Exception):
        pass

    def note(order: Order, *_: Any) -> None:
        orders.append(order)
        raise StoppedError

    def of(*arguments: str) -> Order:
        orders.clear()
        code = run(arguments)
        assert orders, f"the command ended with {code}"
        return orders[0]

    for name in ("profile", "max_batch"):
        monkeypatch.setattr(f"rnnprof.cli.{name}.carry_out", note)
    monkeypatch.setattr("rnnprof.cli.check._measured", note)
    return of


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    def of(*arguments: str) -> str:
        capsys.readouterr()
        assert run(arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        return " ".join(said.err.split())

    return of


# ---- what is ordered


@pytest.mark.parametrize("command", ["profile", "max-batch"])
def test_everything_after_the_dashes_is_the_scripts(
    command: str, ordered: Ordered, folder: Path
) -> None:
    words = ("-o", "x", "--help", "--", "-T", "3", "--batch", "7")
    order = ordered(command, "--device", "cpu", "-T", "4,8", "--env", "LR=0.1", "--set",
                    "LAYERS={batch}", "--prepare", "rm -f x", *SIZED, *words)  # fmt: skip
    argv = (*SIZED[3:], *words)
    source = ScriptSource(
        "train.py", False, argv, {"LR": "0.1"}, {"LAYERS": "{batch}"}, None, "rm -f x"
    )
    assert order.workload == workload_of_script(source)
    assert order.script == ScriptPlace(
        str(folder / "train.py"), False, argv, {"LR": "0.1"}, {"LAYERS": "{batch}"}
    )
    assert order.grid.time_steps == (4, 8)
    assert order.path.name.startswith("train-cpu")
    assert order.task("fit").script == order.script


@pytest.mark.parametrize(
    ("given", "times"), [((), (1,)), (("-T", "35"), (35,)), (("-T", "8,8"), (8,))]
)
def test_without_a_place_for_t_one_is_ordered(
    given: tuple[str, ...], times: tuple[int, ...], ordered: Ordered
) -> None:
    for command in ("profile", "max-batch"):
        assert ordered(command, "--device", "cpu", *given, *BATCHED).grid.time_steps == times


def test_with_a_place_for_t_the_default_grid_is_ordered(ordered: Ordered) -> None:
    assert ordered("max-batch", "--device", "cpu", *SIZED).grid == Grid((), (16, 32, 64, 128))


def test_a_script_may_be_simulated(ordered: Ordered) -> None:
    order = ordered("max-batch", "--simulate", "t4", "-T", "3", *SIZED)
    assert order.gpu is not None
    assert order.script is not None
    assert order.path.name == "train-simulated-t4-max-batch.jsonl"


# ---- variables and files


def test_a_variable_names_a_script(ordered: Ordered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNPROF_SCRIPT", "python train.py --name 'a b' -b {batch}")
    monkeypatch.setenv("RNNPROF_PROFILE_ENV", "A=1 B=2")
    monkeypatch.setenv("RNNPROF_SET", "LAYERS=3")
    script = ordered("profile", "--device", "cpu").workload.script
    assert script is not None
    assert script.argv == ("--name", "a b", "-b", "{batch}")
    assert (script.env, script.assignments) == ({"A": "1", "B": "2"}, {"LAYERS": "3"})


def test_a_file_names_a_script(ordered: Ordered, folder: Path) -> None:
    (folder / "rnnprof.toml").write_text(
        'script = ["python", "train.py", "{batch}"]\nsetup = "make data"\n'
        'env = {A = "1"}\nset = {LAYERS = 3}\n'
    )
    script = ordered("profile", "--device", "cpu").workload.script
    assert script == ScriptSource(
        "train.py", False, ("{batch}",), {"A": "1"}, {"LAYERS": "3"}, "make data"
    )


def test_the_nearest_source_says_what_is_trained(
    ordered: Ordered, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "rnnprof.toml").write_text('factory = "make.py:make"\nfactory-arg = {a = 1}\n')
    assert ordered("profile", "--device", "cpu", *BATCHED).workload.script is not None
    (folder / "work.toml").write_text('script = "python train.py {batch}"\n')
    order = ordered("profile", "--device", "cpu", "--workload", "work.toml")
    assert order.workload.script is not None
    (folder / "rnnprof.toml").write_text('script = "python train.py {batch}"\nenv = {A = "1"}\n')
    order = ordered("profile", "--device", "cpu", "--factory", "make.py:make")
    assert order.workload.factory is not None
    monkeypatch.setenv("RNNPROF_FACTORY", "make.py:make")
    assert ordered("profile", "--device", "cpu").workload.factory is not None
    order = ordered("profile", "--device", "cpu", *BATCHED)
    assert order.workload.script is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("script = 3", "script = ...: write a list of strings"),
        ("script = ['python', 3]", "script = ...: write a list of strings"),
        ('script = "python \'train.py"', "script = ...: no closing quotation"),
        ("script = ['python', 'trian.py', '{batch}']", "did you mean train.py?"),
        ("script = ['python', 'train.py']\nfactory = 'make.py:make'", "exclude each other"),
        (
            "script = ['python', 'train.py', '{batch}']\nfactory-arg = ['a=1']",
            "--factory-arg needs --factory",
        ),
        ("env = {A = '1'}", "--env needs a script: write it last, -- python train.py"),
        ("scirpt = 'x'", "'scirpt' is not an option; did you mean 'script'?"),
        ("setup = ['a']", "write a string or a number"),
    ],
)
def test_a_file_that_does_not_say_it_right(
    text: str, said: str, refused: Refused, folder: Path
) -> None:
    (folder / "rnnprof.toml").write_text(text)
    assert said in refused("profile", "--device", "cpu")


def test_a_variable_that_no_shell_reads(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNPROF_SCRIPT", "python 'train.py")
    said = refused("profile", "--device", "cpu")
    assert "no closing quotation: write it as for a shell" in said
    assert "RNNPROF_SCRIPT" in said


# ---- wrong input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--",), "nothing stands after --: write the script there, -- python train.py"),
        (("python", "train.py", "-b", "{batch}"),
         "python: write -- before the script, after all options of rnnprof: rnnprof profile ... -"),
        (("-T", "3", "train.py", "--batch-size", "{batch}"), "train.py: write -- before the scrip"),
        (("/usr/bin/python3", "x.py", "--", "y"), "/usr/bin/python3: write -- before the script"),
        (("torchrun", "train.py"), "torchrun: write -- before the script"),
        (("--script", "python train.py"), "--script is no option: the script comes last"),
        (("--script=x",), "--script is no option"),
        (("--env", "A=1"), "--env needs a script: write it last, -- python train.py"),
        (("--set", "A=1"), "--set needs a script"),
        (("--setup", "x"), "--setup needs a script"),
        (("--prepare", "x"), "--prepare needs a script"),
        (("--factory", "make.py:make", "--env", "A=1"), "--env needs a script"),
        (("--env", "A", *BATCHED), "--env ...: write NAME=TEXT, such as BS={batch}"),
        (("--set", "A=1", "--set", "A=2", *BATCHED), "--set A is given twice"),
        (("--set", "LAYRES=1", *BATCHED), "did you mean 'LAYERS'"),
        (("--set", "nowhere.A=1", *BATCHED), "no module 'nowhere'"),
        (("--factory", "make.py:make", *BATCHED),
         "--factory 'make.py:make' and a script (python ...) exclude each other: leave one out"),
        (("--factory-arg", "a=1", *BATCHED),
         "--factory-arg needs --factory: write the script's own words after --"),
        (("--cell", "gru", *BATCHED),
         "--cell belongs to the built-in cells, and a script decides that itself: write the scr"),
        (("--compile", *BATCHED), "--compile belongs to the built-in cells"),
        (("--optimizer", "sgd", *BATCHED), "--optimizer belongs to the built-in cells"),
        (("--dtype", "bf16", *BATCHED), "--dtype belongs to the built-in cells"),
        (("--workload", "cells.toml", *BATCHED),
         "--workload cells.toml sets hidden-size, which a script decides itself"),
        (("-T", "35,70", *BATCHED),
         "takes its sequence length: `--bptt {time_steps}` after the script; or leave -T out"),
        (("--", "python", "train.py", "--batch-size", "64"),
         "script takes its batch size: --batch-size {batch} in place of --batch-size 64"),
        (("--", "python", "train.py", "-b", "{bacth}"), "{bacth} is no placeholder: write {batch}"),
        (("--", "torchrun", "train.py", "{batch}"), "rnnprof measures one (--ranks will do that)"),
        (("--env", "CUDA_VISIBLE_DEVICES=1", *BATCHED), "CUDA_VISIBLE_DEVICES=... rnnprof ..."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["profile", "max-batch"])
def test_wrong_input_says_what_to_write(
    command: str, arguments: tuple[str, ...], said: str, refused: Refused, folder: Path
) -> None:
    (folder / "cells.toml").write_text("hidden-size = 3\n")
    found = refused(command, "--device", "cpu", *arguments)
    assert said.replace("rnnprof profile", f"rnnprof {command}") in found
    assert not list(folder.rglob("*.jsonl"))


def test_values_of_options_are_not_taken_for_a_script(
    refused: Refused, ordered: Ordered, folder: Path
) -> None:
    assert "a run file is named NAME.jsonl" in refused("profile", "-o", "train.py", *BATCHED)
    order = ordered("profile", "--device", "cpu", "--setup", "python", "--env", "A=x.py", *BATCHED)
    assert order.script is not None


def test_mixed_lengths_are_for_cells(refused: Refused) -> None:
    said = refused("max-batch", "--device", "cpu", "-T", "8", "--lengths", "4,8", *BATCHED)
    assert "--lengths is for the built-in cells" in said
    assert "leave it out" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trainability", *BATCHED), "a script has no gradients by time step to look at"),
        (("trainability", "--", "x"), "a script has no gradients by time step to look at"),
        (("trainability", "--workload", "work.toml"), "--workload work.toml: a script has no"),
        (("compare", "a.jsonl", "b.jsonl", *BATCHED), "a script has no points that two checkouts"),
        (("compare", ".", ".", *BATCHED), "run `rnnprof profile -- COMMAND` in each"),
        (("compare", ".", ".", "-T", "3", "--workload", "work.toml"), "a script has no points"),
    ],
)
def test_what_takes_no_script_says_so(
    arguments: tuple[str, ...], said: str, refused: Refused, folder: Path
) -> None:
    (folder / "work.toml").write_text('script = "python train.py {batch}"\n')
    assert said in refused(*arguments)


def test_other_commands_keep_the_dashes_of_every_program(refused: Refused) -> None:
    assert "no run file a.jsonl" in refused("compare", "--", "a.jsonl", "b.jsonl")
    assert "-a.jsonl" in refused("advise", "--", "-a.jsonl")


def test_the_help_of_the_script_is_the_scripts(
    ordered: Ordered, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ordered("max-batch", "--device", "cpu", *BATCHED, "--help")
    assert order.script is not None
    assert order.script.argv[-1] == "--help"
    assert run(["max-batch", "--help", *BATCHED]) == 0
    help_ = capsys.readouterr().out
    assert help_.startswith("Usage: rnnprof max-batch [OPTIONS] [-- COMMAND]\n")
    assert "python train.py --batch-size {batch} --bptt {time_steps}" in help_


# ---- a gate

BUDGET = """
version = 1
{workload}
[measure]
device = "cpu"
memory-limit = "64MiB"
[[fits]]
batch = 4
time-steps = 8
{more}
"""
SCRIPT = '[workload]\nscript = ["python", "train.py", "--batch-size", "{batch}"]\n'
TWO_T = "[[fits]]\nbatch = 4\ntime-steps = 16\n"


def write(folder: Path, workload: str = "", more: str = "") -> tuple[str, ...]:
    (folder / "b.toml").write_text(BUDGET.replace("{workload}", workload).replace("{more}", more))
    return ("check", "--budget", "b.toml")


def test_a_budget_names_a_script(ordered: Ordered, folder: Path) -> None:
    more = 'env = {A = "1"}\nset.LAYERS = "{batch}"\nsetup = "s"\nprepare = "p {batch}"\n'
    order = ordered(*write(folder, SCRIPT + more))
    assert order.workload.script == ScriptSource(
        "train.py", False, BATCHED[3:], {"A": "1"}, {"LAYERS": "{batch}"}, "s", "p {batch}"
    )
    assert order.grid == Grid((), ())
    assert order.path.name == "train-cpu-check.jsonl"
    assert order.for_gate


def test_the_command_line_of_a_gate_names_a_script(ordered: Ordered, folder: Path) -> None:
    order = ordered(*write(folder), "--env", "A=1", "--set", "LAYERS=2", "--setup", "s", *BATCHED)
    assert order.workload.script == ScriptSource(
        "train.py", False, BATCHED[3:], {"A": "1"}, {"LAYERS": "2"}, "s"
    )
    order = ordered(*write(folder, '[workload]\nenv = {A = "2"}\n'), *BATCHED)
    assert order.workload.script is not None
    assert order.workload.script.env == {"A": "2"}


def test_no_variable_changes_what_a_budget_trains(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ordered: Ordered
) -> None:
    monkeypatch.setenv("RNNPROF_FACTORY", "make.py:make")
    assert ordered(*write(folder, SCRIPT)).workload.script is not None
    monkeypatch.delenv("RNNPROF_FACTORY")
    monkeypatch.setenv("RNNPROF_SCRIPT", "python train.py {batch}")
    assert ordered(*write(folder, '[workload]\ncell = "gru"\n')).workload.cell == "gru"
    factory = '[workload]\nfactory = "make.py:make"\n'
    assert ordered(*write(folder, factory)).workload.factory is not None
    assert ordered(*write(folder)).workload.script is not None


@pytest.mark.parametrize(
    ("workload", "more", "arguments", "said"),
    [
        (SCRIPT, "", BATCHED, "b.toml states what is trained ([workload] script)"),
        ('[workload]\ncell = "gru"\n', "", BATCHED, "([workload] cell), and so does the script"),
        (SCRIPT, TWO_T, (), "b.toml names 2 T, but {time_steps} stands nowhere"),
        (SCRIPT, TWO_T, (), "after the script; or name one T"),
        ("", TWO_T, BATCHED, "b.toml names 2 T"),
        ("[workload]\nscript = 3\n", "", (), "b.toml: script = ...: write a list of strings"),
        (SCRIPT + 'factory = "make.py:make"\n', "", (), "exclude each other"),
        ("", "", ("run.jsonl", *BATCHED), "run.jsonl is measured already: leave the script out"),
        ("", "", ("run.jsonl", "--env", "A=1"), "run.jsonl is measured already: leave --env out"),
        ("", "", ("--env", "A=1"), "--env needs a script"),
        ("", "", ("python", "train.py"), "write -- before the script"),
        ("", "", ("--", "run.jsonl"), "run.jsonl: a run file stands before --"),
        ("", "", ("-o", "train.py", *BATCHED), "-o train.py would overwrite the script train.py"),
    ],
)
def test_a_gate_says_what_is_wrong(
    workload: str, more: str, arguments: tuple[str, ...], said: str,
    refused: Refused, folder: Path,
) -> None:  # fmt: skip
    assert said in refused(*write(folder, workload, more), *arguments)


def test_a_script_that_is_also_a_report_is_not_replaced(refused: Refused, folder: Path) -> None:
    said = refused(*write(folder), "--markdown", "train.py", *BATCHED)
    assert re.search("--markdown.*train.py", said)
    assert (folder / "train.py").read_text().startswith("import argparse")


def test_a_gates_command_has_no_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fakes import HEADER
    from rnnprof.maxbatch.folded import FoldedRun
    from rnnprof.runfile.records import Run

    words = ["check", "--budget", "b.toml", "--env", f"HF_TOKEN={TOKEN}", *BATCHED, "--key", TOKEN]
    monkeypatch.setattr(sys, "argv", ["rnnprof", *words])
    context = check._context(FoldedRun.of(Run(HEADER)), None, {"budget": "b.toml", "strict": False})
    assert context.command.startswith("rnnprof check --budget b.toml --env 'HF_TOKEN=***' --")
    assert TOKEN not in context.command


def test_a_refusal_has_no_secret(refused: Refused) -> None:
    said = refused(
        "profile", "--device", "cpu", "--env", f"HF_TOKEN={TOKEN}", "--", "/no/python", "train.py",
        "--token", TOKEN, "{batch}",
    )  # fmt: skip
    assert "/no/python" in said
    assert TOKEN not in said


def test_a_run_that_was_prepared_otherwise_is_not_the_budgets() -> None:
    script = ScriptSource("train.py", argv=("{batch}",))
    run = Run(replace(HEADER, workload=workload_of_script(script)))
    asked = workload_of_script(replace(script, prepare="make data", setup="true"))
    assert [say(each) for each in check._differing(asked, run)] == [
        "setup is not set, the budget has 'true'",
        "prepare is not set, the budget has 'make data'",
    ]
    assert not check._differing(run.header.workload, run)
