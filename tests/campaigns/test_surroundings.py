"""The campaign of bad surroundings: a few of them, and that it finds a fault."""

from __future__ import annotations

import shutil

import pytest

from campaigns.faults import CannotInjectError
from campaigns.surroundings import CLASSES, COMMANDS, Counts, try_class


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage writes a file of its own as a process ends: the limits would hit that instead."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


EXPORT = ("export", "run.jsonl", "-o", "out/run.csv")


def tried(name: str, *commands: tuple[str, ...], plant: bool = False) -> Counts:
    """The counts of a class, where it can be made here."""
    around = CLASSES[name]
    if around.prefix and shutil.which(around.prefix[0]) is None:
        pytest.skip(f"no {around.prefix[0]} here")
    try:
        return try_class(around, commands, plant)
    except CannotInjectError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["file for a folder", "limit on file size", "stdout full"])
def test_a_few_surroundings(name: str) -> None:
    assert tried(name, EXPORT).failures == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full disk", "5 open files", "all closed", "streams in ASCII"])
def test_more_surroundings(name: str) -> None:
    assert tried(name, *COMMANDS[3:]).failures == []


def test_a_planted_fault_is_found() -> None:
    report = ("report", "run.jsonl", "-o", "out/report", "-q")
    assert tried("60 MB address space", report, plant=True).failures
