"""The one reader of TOML: what cannot be read is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnnprof.errors import BadInputError
from rnnprof.toml_file import MAX_DEPTH, nearest, read_toml, shown


def test_a_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[a]\nb = [1, 'µ']\n", encoding="utf-8")
    assert read_toml(path) == {"a": {"b": [1, "µ"]}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = ", "is not valid TOML: Invalid value"),
        (b"a = '\xff'", "is not valid TOML: 'utf-8'"),
        (b"a = " + b"[" * 5000, "nested more than 100 deep"),
        (b"a = " + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested more than 100 deep"),
        (b".".join([b"a"] * 5000) + b" = 1", "nested more than 100 deep"),
        (b"a = " + b"9" * 5000, "is not valid TOML"),
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


def test_whatever_stands_in_a_file_is_repeated_in_short() -> None:
    assert shown({"a": 1}) == "a table"
    assert shown([1]) == "a list"
    assert shown(True) == "true"
    assert shown(1 << 70_000) == "a number of 70001 bits"
    assert len(shown("x" * 10_000)) == 60


def test_the_nearest_name_or_all() -> None:
    assert nearest("Hiden_size", ["hidden-size", "layers"]) == "; did you mean 'hidden-size'?"
    assert nearest("zzz", ["b", "a"]) == "; there are a, b"
