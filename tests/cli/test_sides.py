"""What a word on the command line names: a run file, a checkout, or an environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rnnprof.cli.sides import base_path, place_of
from rnnprof.errors import BadInputError


def test_a_folder_is_a_checkout_with_this_python(tmp_path: Path) -> None:
    assert place_of(str(tmp_path)) == (sys.executable, tmp_path.resolve())


def test_a_virtual_environment_is_its_python_in_this_folder(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    assert place_of(str(tmp_path)) == (str(tmp_path / "bin" / "python"), None)


def test_a_link_to_a_python_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert place_of(str(link)) == (str(link), None)


def test_a_run_file_is_no_place_even_where_there_is_none() -> None:
    assert place_of("runs/a.jsonl") is None


@pytest.mark.parametrize("name", ["nowhere", "plain.txt"])
def test_anything_else_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain.txt").touch()
    with pytest.raises(BadInputError, match=name):
        place_of(str(tmp_path / name))


def test_the_other_sides_run_lies_beside() -> None:
    assert base_path(Path("runs/gate.jsonl")) == Path("runs/gate-base.jsonl")
