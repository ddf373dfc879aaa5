"""The one reader of TOML: what cannot be read is one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rnnprof import toml_file
from rnnprof.errors import BadInputError
from rnnprof.toml_file import MAX_BYTES, MAX_DEPTH, nearest, read_toml, shown


def test_a_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[a]\nb = [1, 'µ']\n", encoding="utf-8")
    assert read_toml(path) == {"a": {"b": [1, "µ"]}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = ", "is not valid TOML: Invalid value"),
        (b"a = '\xff'", "is not valid TOML: byte 6 is no UTF-8 text"),
        (b"a = " + b"[" * 5000, "nested more than 100 deep"),
        (b"a = " + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested more than 100 deep"),
        (b".".join([b"a"] * 5000) + b" = 1", "nested more than 100 deep"),
        (b".".join([b"a"] * 200_000) + b" = 1", "nested more than 100 deep"),
        (b"[" + b" . ".join([b"'a'"] * 100_000) + b"]", "nested more than 100 deep"),
        (b"a = " + b"{a = " * 1500, "nested more than 100 deep"),
        (b"#" * (MAX_BYTES + 1), "is not valid TOML: it is longer than 1024 KiB"),
        (b"a = " + b"9" * 5000, "is not valid TOML: a number in it has thousands of digits"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=said) as refused:
        read_toml(path, "named.toml")
    assert str(refused.value).startswith("named.toml ")


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"cannot read .*nowhere: No such file"):
        read_toml(tmp_path / "nowhere")
    with pytest.raises(BadInputError, match="Is a directory"):
        read_toml(tmp_path)


def test_what_never_ends_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toml_file, "SILENCE_MS", 10)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInputError, match="it is a pipe, and nothing came through it"):
        read_toml(tmp_path / "pipe")
    with pytest.raises(BadInputError, match=r"cannot read .*: it is a device, and no file"):
        read_toml(Path("/dev/zero"))


def test_a_pipe_that_somebody_writes_to_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a = 1")
    os.close(writing)
    assert read_toml(Path(f"/dev/fd/{reading}")) == {"a": 1}
    os.close(reading)


def test_the_mark_of_utf_8_and_the_ends_of_windows_are_no_error(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    assert read_toml(path) == {"a": 1, "b": 2}


def test_a_name_that_no_file_can_have_is_told_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="a file's name holds no null byte"):
        read_toml(Path("a\0b"))
    with pytest.raises(BadInputError, match=r"cannot read a\?b c: No such file"):
        read_toml(Path("a\x1bb\nc"))
    with pytest.raises(BadInputError, match="File name too long"):
        read_toml(Path("a" * 300))


def test_whatever_stands_in_a_file_is_repeated_in_short() -> None:
    assert shown({"a": 1}) == "a table"
    assert shown([1]) == "a list"
    assert shown(True) == "true"
    assert shown(1 << 70_000) == "a number of 70001 bits"
    assert len(shown("x" * 10_000)) == 60


def test_the_nearest_name_or_all() -> None:
    assert nearest("Hiden_size", ["hidden-size", "layers"]) == "; did you mean 'hidden-size'?"
    assert nearest("zzz", ["b", "a"]) == "; there are a, b"
