"""A script's functions, from its text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rnnprof.errors import BadInputError
from rnnprof.script import check_script
from rnnprof.workload import factory_place

MAKE = "def make(batch, time_steps, device):\n    return None\n"


@pytest.mark.parametrize(
    "text",
    [
        MAKE,
        "async def make(): ...",
        "class make: ...",
        "make = lambda b, t, d: None",
        "import functools\nmake: object = functools.partial(print)",
        "from other import make",
        "import other as make",
        "from other import *",
        "if 1 > 0:\n    def make(): ...",
        "try:\n    from a import make\nexcept ImportError:\n    make = None",
        "with open('x') as make: pass",
        "for make in (1, 2): pass",
        "(make := print)",
        "globals()['make'] = print",
        "exec('make = print')",
        "def __getattr__(name): return print",
        "def setup():\n    global make\n    make = print\nsetup()",
        "if __name__ == '__main__':\n    pass\nelse:\n    make = print",
    ],
)
def test_a_name_that_loading_may_bind_is_not_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.py"
    path.write_text(text)
    check_script(path, "make")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "def mak(): ...\ndef other(): ...",
            "did you mean 'mak'? it has mak, other",
        ),
        ("x = 1", "nor any other at its top level: build model"),
        ("for i in range(3):\n    loss.backward()", "it trains when it is loaded (line 2)"),
        (f"if __name__ == '__main__':\n    {MAKE.splitlines()[0]} pass", "inside `if __name__"),
        ("def outer():\n    def make(): ...", "only inside the function outer (line 2)"),
        ("class A:\n    def make(self): ...", "only inside the class A (line 2)"),
        ("x = (1,\n", "train.py is not Python: '(' was never closed in line 1"),
        ("a = 1\n  b = 2\n", "unexpected indent in line 2: b = 2"),
        ("a\0b", "is not Python"),
        (f"x = {'-' * 100_000}1", "is nested too deeply for Python"),
    ],
)
def test_what_a_file_has_instead_is_said(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "train.py"
    path.write_text(text)
    with pytest.raises(BadInputError) as raised:
        check_script(path, "make")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("N.IPYNB", "a notebook cannot be loaded"),
        ("train.PY", "train.PY does not end in .py"),
        ("nets.pyc", "nets.pyc does not end in .py"),
        ("folder", "folder is a folder: give a file in it, folder/train.py:make"),
    ],
)
def test_what_is_no_python_file_is_refused_before_a_worker_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "train.py").write_text(MAKE)
    if "." in name:
        (tmp_path / name).touch()
    with pytest.raises(BadInputError, match=re.escape(words)):
        factory_place(f"{name}:make")
