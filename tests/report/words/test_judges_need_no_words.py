"""Emptying the words breaks no judge's test: judges decide by figures, and sentences come after."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

JUDGES = (
    "tests/points",
    "tests/breakdown",
    "tests/advice",
    "tests/study",
    "tests/compare",
    "tests/gate/test_evidence.py",
    "tests/gate/test_judge.py",
    "tests/gate/test_verdicts.py",
    "tests/maxbatch/test_beside.py",
    "tests/maxbatch/test_beside_neighbours.py",
    "tests/maxbatch/test_certify.py",
    "tests/maxbatch/test_neighbours.py",
    "tests/maxbatch/test_search.py",
    "tests/maxbatch/test_stationary.py",
    "tests/engine/test_identity.py",
)
"""Tests that have to pass whatever a sentence says: of every judge, and of nothing that reports."""

WORDLESS = '''
import importlib.abc
import importlib.machinery
import sys

WORDS = "rnnprof.report.words"


class Wordless(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """In place of every module of words one whose every name is a function that says nothing."""

    def find_spec(self, name, path=None, target=None):
        if name != WORDS and not name.startswith(f"{WORDS}."):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        def named(name):
            if name.startswith("__"):
                raise AttributeError(name)
            return lambda *_, **__: ""

        module.__getattr__ = named


sys.meta_path.insert(0, Wordless())


def pytest_sessionstart():
    from rnnprof.report.words import say, as_text
    from rnnprof.report.words.points import anything

    assert say(1) == as_text("text") == anything() == ""
'''


def run_without_words(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """A run of *tests* in a process of its own, with empty modules in place of the words."""
    (folder / "wordless.py").write_text(WORDLESS)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    changes = {"PYTHONPATH": path, "HYPOTHESIS_PROFILE": "dev"}
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "wordless"),
        *("-m", "not slow and not alone and not gpu", *tests),
    ]
    return subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | changes,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_emptying_words_breaks_no_judges_test(tmp_path: Path) -> None:
    ended = run_without_words(tmp_path, *JUDGES)
    assert ended.returncode == pytest.ExitCode.OK, ended.stdout[-4000:] + ended.stderr[-1000:]


@pytest.mark.slow
def test_emptying_words_breaks_the_test_of_the_sentences(tmp_path: Path) -> None:
    """Else nothing was emptied."""
    ended = run_without_words(tmp_path, "tests/report/words/test_sentences.py")
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED, ended.stdout[-4000:]
    assert "test_a_reason_has_its_sentence" in ended.stdout


def test_no_judge_and_no_test_of_one_imports_words() -> None:
    """An import of a name in words would pass above, and could still decide something."""
    rooms = ("points", "breakdown", "advice", "compare", "gate", "study", "maxbatch", "engine")
    sources = [*(f"src/rnnprof/{room}" for room in rooms), *JUDGES]
    files = [
        file
        for source in map(REPOSITORY.joinpath, sources)
        for file in (source.rglob("*.py") if source.is_dir() else [source])
    ]
    assert len(files) > 40
    using = [str(file) for file in files if "rnnprof.report" in file.read_text(encoding="utf-8")]
    assert using == []
