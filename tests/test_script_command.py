"""The command line of a script: what is taken as it is, and what is refused with the remedy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rnnprof.errors import BadInputError
from rnnprof.launchers import LAUNCHERS, MODULES
from rnnprof.script_command import UNKNOWN_T, Script, ScriptInput, pairs_of, read_script

SIZES = ("--batch-size", "{batch}")

TRAIN = """
import argparse
import config
parser = argparse.ArgumentParser()
parser.add_argument("-b", "--batch-size", type=int)
parser.add_argument("--eval-batch-size", type=int)
parser.add_argument("--bptt", type=int)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scripts in the working folder; ``python`` is the Python of the tests."""
    (tmp_path / "pkg").mkdir()
    for name, text in {
        "train.py": TRAIN, "config.py": "BPTT = 35\nTEST_BATCH = 3\n", "my train.py": "",
        "consts.py": "BATCH_SIZE = 32\nSEQ_LEN, HIDDEN = 35, 128\nDROP = 0.5\n",
        "sub.py": "import consts\n", "bad.py": "def f(:\n", "warns.py": 'X = "\\d"\n',
        "pkg/__init__.py": "raise SystemExit('it was imported')\n", "pkg/train.py": TRAIN,
        "note.ipynb": "{}", "notes.txt": "hello there",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    for name, line in {"own": f"#!{sys.executable}", "byenv": "#!/usr/bin/env python3",
                       "shell": "#!/bin/sh", "none": "print()"}.items():  # fmt: skip
        (tmp_path / name).write_text(f"{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    return tmp_path


def read(*words: str, **more: object) -> Script:
    return read_script(ScriptInput(words, **more))  # type: ignore[arg-type]


def refused(*words: str, **more: object) -> str:
    with pytest.raises(BadInputError) as error:
        read(*words, **more)
    return str(error.value)


@pytest.mark.parametrize(
    "words",
    [
        ("python", "train.py"),
        ("python3", "train.py"),
        (f"python3.{sys.version_info.minor}", "train.py"),
        (sys.executable, "train.py"),
        ("python", "-u", "train.py"),
        ("python", "-uB", "-q", "./train.py"),
        ("train.py",),
        ("./train.py",),
        ("pkg/../train.py",),
    ],
)
def test_a_file_is_found_however_it_is_started(words: tuple[str, ...], folder: Path) -> None:
    script = read(*words, *SIZES)
    assert (script.source.target, script.source.is_module, script.source.argv) == (
        "train.py", False, SIZES,
    )  # fmt: skip
    assert Path(script.place.target).is_absolute()
    assert Path(script.place.target).samefile(folder / "train.py")
    assert script.place.argv == SIZES


@pytest.mark.parametrize("words", [("-m", "pkg.train"), ("-mpkg.train",), ("-um", "pkg.train")])
def test_a_module_is_found_and_not_imported(words: tuple[str, ...]) -> None:
    script = read("python", *words, *SIZES)
    assert (script.place.target, script.place.is_module) == ("pkg.train", True)
    assert script.source.argv == SIZES
    assert script.file is not None
    assert script.file.name == "train.py"


@pytest.mark.parametrize("word", ["own", "./own", "byenv"])
def test_a_script_may_start_itself(word: str) -> None:
    assert read(word, *SIZES).source.target == Path(word).name


def test_flags_after_the_script_are_its_own() -> None:
    words = ("-c", "-O", "--", "-m", "x", *SIZES)
    assert read("python", "train.py", *words).source.argv == words


def test_without_python_on_the_path_it_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert read("python", "train.py", *SIZES).source.target == "train.py"
    assert "python3.4 is not on the PATH: write -- python train.py" in refused(
        "python3.4", "train.py", *SIZES
    )


# ---- another Python


def test_another_environment_of_the_same_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Python is a link to the same file, as in every environment."""
    other = tmp_path / "env" / "bin"
    other.mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (other / "python").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", f"{other}:{os.environ['PATH']}")
    said = refused("python", "train.py", *SIZES, "--token", "hf_QwErTyUiOpAsDfGhJk")
    assert f"python is {other}/python, but rnnprof runs in {sys.executable}" in said
    assert f"`{other}/python -m pip install rnnprof`" in said
    assert said.endswith(
        f"or write -- {sys.executable} train.py --batch-size {{batch}} --token ***"
    )
    assert f"-- {sys.executable} -m pkg.train --batch-size" in refused(
        f"{other}/python", "-m", "pkg.train", *SIZES
    )


def test_a_program_that_starts_our_python_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the programs of version managers do, which are no Python themselves."""
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (shims / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}:{os.environ['PATH']}")
    assert read("python", "train.py", *SIZES).source.target == "train.py"
    (shims / "python").write_text("#!/bin/sh\necho /elsewhere\n")
    assert f"python is {shims}/python" in refused("python", "train.py", *SIZES)


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    said = refused(f"{tmp_path}/no/python", "train.py", *SIZES)
    assert "there is no such program: write -- train.py" in said


# ---- what is not a script

REFUSED = {
    (): "the script's command is empty",
    ("", "{batch}"): "the first word after -- is empty",
    ("python", " ", "{batch}"): "the word where the script stands is empty",
    ("python",): "the script is missing: write python train.py",
    ("python", "-u"): "the script is missing",
    ("python", "-m"): "the module is missing",
    ("python", "-"): "cannot come from stdin: write it into a file",
    ("python", "-c", "print()"): "python -c: write the code into a file",
    ("python", "-O", "train.py"): "python -O: leave it out",
    ("python", "-I", "train.py"): "python -I: leave it out",
    ("python", "-uO", "train.py"): "python -O: leave it out",
    ("python", "-W", "error", "train.py"): "set PYTHONWARNINGS in the environment of rnnprof",
    ("python", "-X", "dev", "train.py"): "PYTHONDEVMODE, in the environment of rnnprof",
    ("python", "-i", "train.py"): "leave it out: nobody answers",
    ("python", "trian.py"): "no file trian.py; did you mean train.py?",
    ("trian.py",): "no file trian.py; did you mean train.py?",
    ("python", "pkg"): "pkg is a folder: give the script in it, or python -m PACKAGE",
    ("python", "bad.py"): "bad.py is not Python: invalid syntax in line 1: def f(:",
    ("python", "notes.txt"): "notes.txt is not Python",
    ("python", "note.ipynb"): "--to script note.ipynb`, and give -- python note.py",
    ("note.ipynb",): "a notebook cannot be run",
    ("python", "-m", "pkg"): "pkg is a package without a __main__.py",
    ("python", "-m", "pkg.trian"): "no module 'pkg.trian'",
    ("python", "-m", "confg"): "did you mean config?",
    ("python", "-m", "train.py"): "a file is run without -m: python train.py",
    ("python", "-m", "a-b"): "'a-b' is no module",
    ("run.jsonl",): "a run file stands before --",
    ("no-such-program",): "there is no such file or program: write python train.py",
    ("./shell",): "is not a Python script (its first line names no Python)",
    ("./none",): "is not a Python script",
    ("ls",): "is not a Python script",
    ("BS=3", "python", "train.py"): "write --env BS=... before --",
    ("torchrun", "--nproc-per-node=2", "train.py"): "rnnprof measures one (--ranks will do that)",
    ("python", "-m", "torch.distributed.run", "train.py"): "(--ranks will do that): give what one",
    ("accelerate", "launch", "train.py"): "-- python train.py",
    ("/usr/bin/bash", "run.sh"): "bash is a shell: give what it runs in the end",
    ("uv", "run", "train.py"): "write it before rnnprof, uv run rnnprof ... -- python train.py",
    ("srun", "python", "train.py"): "for one process: srun --ntasks=1 rnnprof ...",
    ("env", "A=1", "python", "train.py"): "write --env NAME=VALUE before --",
    ("nohup", "python", "train.py"): "write it before rnnprof, nohup rnnprof ...",
    ("ipython", "train.py"): "jupyter nbconvert",
    ("python", "-m", "cProfile", "train.py"): "give the script alone",
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), REFUSED.items(), ids=map(" ".join, REFUSED))
def test_what_cannot_run_says_what_to_write(words: tuple[str, ...], said: str) -> None:
    assert said in refused(*words)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_launcher_says_what_to_do(name: str) -> None:
    said = refused(name, "train.py", *SIZES)
    assert said.startswith(f"{name} ")
    assert ": " in said
    assert "{words}" not in said


@pytest.mark.parametrize("name", MODULES)
def test_every_module_that_launches_says_what_to_do(name: str) -> None:
    assert refused("python", "-m", name, "train.py", *SIZES).startswith(f"python -m {name} ")


# ---- the sizes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train.py",), ": `--batch-size {batch}` after the script"),
        (("train.py", "--batch-size", "64"),
         ": --batch-size {batch} in place of --batch-size 64"),
        (("train.py", "--batch-size=64"), "--batch-size={batch} in place of --batch-size=64"),
        (("train.py", "data.batch_size=64"),
         "data.batch_size={batch} in place of data.batch_size=64"),
        (("consts.py",), ": `--set BATCH_SIZE={batch}` before --"),
        (("sub.py",), ": `--set consts.BATCH_SIZE={batch}` before --"),
        (("warns.py",), "as in --option {batch}, name={batch} or --set NAME={batch}"),
    ],
)  # fmt: skip
def test_without_a_batch_the_scripts_own_option_is_told(words: tuple[str, ...], said: str) -> None:
    found = refused("python", *words)
    assert found.startswith("{batch} stands nowhere")
    assert said in found
    assert "eval" not in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import click\n@click.option('--bs', default=3)\ndef main(bs): ...\n", "`--bs {batch}`"),
        ("from transformers import HfArgumentParser\nHfArgumentParser(A)\n",
         "`--per_device_train_batch_size {batch}`"),
        ("import hydra\n", "an override such as `batch_size={batch}`"),
        ("if __name__ == '__main__':\n    batchSize = 3\n", "`--set batchSize={batch}`"),
        ("batch = args.b\nVAL_BATCH = 3\n", "as in --option {batch}"),
    ],
)  # fmt: skip
def test_options_of_other_makers_are_known(text: str, said: str) -> None:
    Path("other.py").write_text(text)
    assert said in refused("python", "other.py")


@pytest.mark.parametrize(
    "more",
    [{"env": {"BS": "{batch}"}}, {"assignments": {"BATCH_SIZE": "{batch}"}}],
)
def test_the_batch_may_stand_in_a_variable_or_an_assignment(more: dict[str, object]) -> None:
    script = read("python", "consts.py", **more)
    assert script.source.placeholders == {"batch"}
    assert script.place.at(8, 3) != script.place


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("{bacth}", "{bacth} is no placeholder: write {batch}"),
        ("x={batch_size}", "{batch_size} is no placeholder: write {batch}"),
        ("{bs}", "write {batch}"),
        ("{B}", "write {batch}"),
        ("{BATCH}", "write {batch}"),
        ("{ batch }", "write {batch}"),
        ("{T}", "write {time_steps}"),
        ("{steps}", "write {time_steps}"),
        ("{seq_len}", "write {time_steps}"),
        ("{time-steps}", "write {time_steps}"),
        ("{timesteps}", "write {time_steps}"),
        ("{batch*2}", "only the number in place of {batch}: let the script calculate"),
        ("{2 * batch}", "only the number in place of {batch}"),
        ("{time_steps - 1}", "only the number in place of {time_steps}"),
        ("${batch}", "${batch}: write {batch} without the dollar sign"),
    ],
)
def test_a_misspelt_placeholder_is_told(word: str, said: str) -> None:
    assert said in refused("python", "train.py", *SIZES, word)
    assert said in refused("python", "train.py", *SIZES, env={"A": word})
    assert said in refused("python", "train.py", *SIZES, prepare=f"echo '{word}'")


@pytest.mark.parametrize(
    "word",
    ["{a:1,b:2}", '{"batch": 32}', '{"batch_size": 3, "T": 4}', "{}", "{0}", "{epoch:02d}-{loss}",
     "${oc.env:HOME}", "${batch_size}", "${T}", "{'batch': 3}", "{step}", "{x,y}", "{{name}}",
     "{now:%Y}"],
)  # fmt: skip
def test_other_braces_are_the_scripts_own(word: str) -> None:
    assert read("python", "train.py", *SIZES, word).place.argv == (*SIZES, word)


def test_several_t_need_a_place() -> None:
    script = read("python", "train.py", *SIZES)
    assert script.times_of(None) == UNKNOWN_T
    assert script.times_of((35,)) == (35,)
    with pytest.raises(BadInputError) as error:
        script.times_of((35, 70))
    said = str(error.value)
    assert said.startswith("-T names 2 T, but {time_steps} stands nowhere, so every T would run")
    assert "`--bptt {time_steps}` after the script or `--set config.BPTT={time_steps}`" in said
    assert said.endswith("or leave -T out: T is then what the recurrent layers see")
    given = read("python", "train.py", *SIZES, "--bptt", "{time_steps}")
    assert given.times_of((35, 70)) == (35, 70)


# ---- what it is given


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"env": {"a-b": "1"}}, "--env 'a-b' is no name of a variable"),
        ({"env": {"OMP_NUM_THREADS": "1"}}, "OMP_NUM_THREADS=... rnnprof ..."),
        ({"env": {"CUDA_VISIBLE_DEVICES": "1"}}, "it is read before the script starts"),
        ({"env": {"PYTHONPATH": "1"}}, "it is read before the script starts"),
        ({"assignments": {"a-b": "1"}}, "write NAME=TEXT or module.NAME=TEXT"),
        ({"assignments": {"a..b": "1"}}, "write NAME=TEXT or module.NAME=TEXT"),
        ({"assignments": {"BATCH": "1"}}, "has no assignment to BATCH"),
        ({"setup": " "}, "--setup is empty"),
        ({"setup": "make B={batch}"}, "--setup runs once, before any size is known"),
        ({"prepare": "echo 'a"}, "--prepare: no closing quotation"),
        ({"prepare": "login --password hunter22"}, "--prepare has what looks like a secret"),
    ],
)
def test_what_it_is_given_is_checked(more: dict[str, object], said: str) -> None:
    found = refused("python", "train.py", *SIZES, **more)
    assert said in found
    assert "hunter22" not in found


def test_records_have_no_secret_and_the_place_has_all() -> None:
    token = "hf_QwErTyUiOpAsDfGhJk"
    words = (*SIZES, "--token", token, "--password=hunter22", "--tokens", "512")
    script = read("python", "consts.py", *words, env={"API_KEY": "abcd1234", "BS": "{batch}"})
    assert script.source.argv == (
        *SIZES, "--token", "***", "--password=***", "--tokens", "512",
    )  # fmt: skip
    assert script.source.env == {"API_KEY": "***", "BS": "{batch}"}
    assert script.place.argv == words
    assert script.place.env["API_KEY"] == "abcd1234"
    assert script.secrets.strike(f"{token} hunter22 abcd1234 512") == "*** *** *** 512"


def test_a_size_is_no_secret_whatever_its_name() -> None:
    Path("keys.py").write_text("MY_API_KEY = 3\n")
    words = ("--token", "{batch}", "--password={time_steps}")
    script = read("python", "keys.py", *words, assignments={"MY_API_KEY": "{batch}"})
    assert script.source.argv == words
    assert script.source.assignments == {"MY_API_KEY": "{batch}"}
    assert script.secrets.strike("{batch}") == "{batch}"


@pytest.mark.parametrize(
    ("words", "more"),
    [(("--token", "***"), {}), (("--token=***",), {}), ((), {"env": {"TOKEN": "***"}})],
)
def test_a_value_as_a_record_shows_it_is_asked_for_again(
    words: tuple[str, ...], more: dict[str, object]
) -> None:
    given = ScriptInput(("python", "train.py", *SIZES, *words), **more)  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="no record keeps this value: give it again"):
        read_script(given)
    assert read_script(given, runs=False).source.target == "train.py"


@pytest.mark.parametrize(
    ("texts", "said"),
    [(["token"], "--env ...: write NAME=TEXT"), (["A=1", "A=2"], "A is given tw")],
)
def test_pairs(texts: list[str], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        pairs_of("--env", texts)
    assert pairs_of("--set", ["A=b=c", "B="]) == {"A": "b=c", "B": ""}


def test_a_warning_of_the_users_file_is_not_printed(recwarn: pytest.WarningsRecorder) -> None:
    read("python", "warns.py", *SIZES)
    assert not recwarn.list


def test_sizes_may_reach_the_script_by_what_prepares_its_data_alone() -> None:
    prepare = "echo '{batch} {time_steps}' > sizes.txt"
    script = read_script(ScriptInput(("python", "train.py"), prepare=prepare))
    assert script.source.placeholders == {"batch", "time_steps"}
    assert script.times_of((8, 16)) == (8, 16)
