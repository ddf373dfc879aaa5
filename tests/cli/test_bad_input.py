"""Wrong input: one message that names the thing at fault, the right exit code, no traceback."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import FACTORIES, CommandLine
from rnnprof.cli import options
from rnnprof.cli.main import run
from rnnprof.errors import BadInputError


def refused(result: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> None:
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "0"], "between 1 and"),
        (["--batch", "8:4:x2"], "ends below its start"),
        (["--batch", "1:64:x1"], "must be above 1"),
        (["--batch", "8;16"], "is not understood"),
        (["--batch", ""], "is not understood"),
        (["--time-steps", "1:100000:+1"], "more than 1000 values"),
        (["--time-steps", "99999999999999"], "is not understood"),
        (["--memory-limit", "lots"], "'lots' is not a size"),
        (["--memory-limit", "0"], "above zero"),
        (["--memory-limit", "800"], "800 bytes? write 800MiB, or 800B for bytes"),
        (["--reserve", "64"], "64 bytes? write 64MiB, or 64B for bytes"),
        (["--memory-limit", "100TiB"], "more than this machine can give"),
        (["--hidden-size", "0"], "hidden-size"),
        (["--hidden-size", "x"], "hidden-size"),
        (["--layers", "-1"], "layers"),
        (["--cell", "lsmt"], "lsmt"),
        (["--point-seconds", "nan"], "not a number of seconds above zero"),
        (["--point-seconds", "-1"], "above zero"),
        (["--timeout", "0"], "above zero"),
        (["--processes", "0"], "processes"),
        (["--sed", "3"], "--seed"),
        (["--device", "tpu"], "write auto, cpu, cuda"),
        (["-o", "run.txt"], "NAME.jsonl"),
        (["--extend", "--overwrite"], "exclude each other"),
        (["--factory-arg", "a=1"], "needs --factory"),
        (["--factory", "train.py"], "FILE.py:FUNCTION"),
        (["--factory", "train.py:"], "FILE.py:FUNCTION"),
        (["--factory", "nowhere.py:make"], "no file nowhere.py"),
        (["--factory", "a-b:make"], "neither a .py file nor a module"),
        (["--factory", f"{FACTORIES}:make", "--factory-arg", "x"], "NAME=VALUE"),
        (["--factory", f"{FACTORIES}:make", "--factory-arg", "batch=1"], "rnnprof itself passes"),
        (
            ["--factory", f"{FACTORIES}:make", "--factory-arg", "a=1", "--factory-arg", "a=2"],
            "given twice",
        ),
        (["--factory", f"{FACTORIES}:make", "--hidden-size", "3"], "--factory-arg hidden_size=3"),
    ],
)
def test_options(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["profile", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "rnnprof-runs"])


def test_a_device_that_is_not_measured_is_exit_4(warm: CommandLine) -> None:
    refused(warm("profile", "--device", "cuda:0"), "a build without CUDA", code=4)


def test_an_unknown_command_names_the_nearest(warm: CommandLine) -> None:
    refused(warm("profiel"), "profiel")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("no_such", "has no function 'no_such'"),
        ("returns_none", "the factory returned None; expected step, rnnprof.Training"),
        ("returns_module", "a module alone"),
        ("takes_nothing", "it takes none of these three by position: write `def make(batch, "),
        ("wrong_phase", "phase('fwd') is not one of"),
        ("needs_even_batch", "at B=2 T=4: raised in build: ValueError: batch must be at least 4"),
    ],
)
def test_factories(warm: CommandLine, tmp_path: Path, function: str, words: str) -> None:
    result = warm(
        "profile", "--factory", f"{FACTORIES}:{function}", "--batch", "2,4", "--time-steps", "4",
        "-o", "run.jsonl",
    )  # fmt: skip
    refused(result, words, f"--factory {FACTORIES}:{function}")
    assert not (tmp_path / "run.jsonl").exists()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module_at_all\nmake = 1", "No module named 'no_such_module_at_all'"),
        ("def make(:", "train.py is not Python: invalid syntax in line 1: def make(:"),
        ("make = 1 / 0", "ZeroDivisionError"),
        ("make = 1\nraise SystemExit(3)", "the code called sys.exit(3) in factory (at train.py:2)"),
    ],
)
def test_factory_files_that_do_not_load(
    warm: CommandLine, tmp_path: Path, source: str, words: str
) -> None:
    (tmp_path / "train.py").write_text(source)
    factory = f"{tmp_path}/train.py:make"
    refused(warm("profile", "--factory", factory, "-o", "run.jsonl"), words, "train.py")
    assert not (tmp_path / "run.jsonl").exists()


def test_a_module_that_is_not_there(warm: CommandLine) -> None:
    refused(warm("profile", "--factory", "no.such:make"), "no module 'no.such'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"# my notes\n", "is not an rnnprof run file"),
        (b"hello", "is not an rnnprof run file"),
        (b"\x00\xff\x00", "is not an rnnprof run file"),
        (b'{"kind":"header","schema":99,"checksum":"0123456789abcdef"}\n', "upgrade rnnprof"),
        (b'{"kind":"header","schema":2,"checksum":"0123456789abcdef"}\n', "line 1"),
    ],
)
def test_run_files_that_are_not_ours_are_left_alone(
    warm: CommandLine, tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    refused(warm("profile", "-o", "run.jsonl"), words, "run.jsonl")
    assert path.read_bytes() == content


def test_a_foreign_file_survives_overwrite(warm: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"{}\n")
    refused(warm("profile", "-o", "run.jsonl", "--overwrite"), "is not an rnnprof run file")
    assert path.read_bytes() == b"{}\n"


def test_a_folder_that_cannot_be_made(warm: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(warm("profile", "-o", "file/run.jsonl"), "cannot create the folder file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(rnnprof: CommandLine, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    refused(rnnprof("profile", "-o", "run.jsonl"), "Permission denied")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hiden-size = 3", "'hiden-size' is not an option; did you mean 'hidden-size'?"),
        ("batch = [", "rnnprof.toml is not valid TOML"),
        ("batch = 1979-05-27", "write a string or a number"),
        ('batch = "1:2"', "is not understood"),
    ],
)
def test_configuration_files(warm: CommandLine, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "rnnprof.toml").write_text(text)
    refused(warm("profile"), words)


def test_a_bad_environment_variable_is_named(warm: CommandLine) -> None:
    refused(warm("profile", RNNPROF_BATCH="none"), "'none' is not understood")


@pytest.mark.parametrize("value", ["inf", "-1", "0.5", "nan", "'x'"])
def test_how_often_a_flag_is_given_is_a_whole_number(
    value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rnnprof.toml").write_text(f"verbose = {value}\n")
    assert run(["profile", "--device", "cpu"]) == 2
    assert "write a whole number from 0" in capsys.readouterr().err


def test_an_internal_error_is_70_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("rnnprof.cli.options.places_from", broken)
    assert run(["profile"]) == 70
    told = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: a bug" in told
    assert "Traceback" not in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dropout", "1"], "not a probability"),
        (["--dropout", "nan"], "not a probability"),
        (["--proj-size", "-1"], "proj-size"),
        (["--dtype", "fp8"], "fp8"),
        (["--impl", "cudnn"], "cudnn"),
        (["--mode", "eval"], "eval"),
        (["--workload", "none.toml"], "none.toml"),
        (["--factory", f"{FACTORIES}:make", "--bidirectional"], "belongs to the built-in cells"),
    ],
)
def test_workload_options(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["profile", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cel = 'gru'", "'cel' is not an option; did you mean 'cell'?"),
        ("batch = 3", "'batch' is not an option"),
        ("cell = [", "is not valid TOML"),
        ("cell = 'lsmt'", "lsmt"),
        ("layers = 0", "layers"),
    ],
)
def test_workload_files(
    text: str, words: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work.toml").write_text(text)
    assert run(["profile", "--workload", "work.toml"]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_half_a_surrogate_pair_is_no_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", "--workload", "\udd00"]) == 2
    assert "'\\udd00' is not a file name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e999", "1e999"), ("[-1e999]", ["-1e999"]), ("NaN", "NaN"), ("[Infinity]", ["Infinity"]),
     ("1e3", 1e3), ("[1, 2.5]", [1, 2.5]), ("None", None), ("bpe", "bpe")],
)  # fmt: skip
def test_an_argument_that_no_json_holds_stays_text(text: str, value: object) -> None:
    assert options._value(text) == value


def test_an_argument_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(BadInputError, match="nested too deeply"):
        options._value("[" * 100_000)
