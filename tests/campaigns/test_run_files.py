"""The campaign of run files, at a small size; and that it finds what is planted."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from campaigns.run_files import CLASSES, try_class
from rnnprof.runfile import lines, loading, regular
from rnnprof.runfile.journal import Journal

QUICK = {"cuts": 40, "flips": 60, "encodings": 1, "special files": 1, "absurd values": 25,
         "rearranged": 8}  # fmt: skip
LONG = {"cuts": 10_000, "flips": 2000, "encodings": 1, "special files": 1, "absurd values": 300,
        "rearranged": 40}  # fmt: skip


def test_every_class_is_tried() -> None:
    assert set(QUICK) == set(LONG) == set(PLANTED) == set(CLASSES)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize(("name", "count"), QUICK.items(), ids=QUICK)
def test_no_run_file_is_lost_and_none_is_believed(name: str, count: int) -> None:
    trials = try_class(name, count)
    assert trials.inputs >= count
    assert trials.failures == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), LONG.items(), ids=LONG)
def test_the_same_at_length(name: str, count: int) -> None:
    assert try_class(name, count, seed=1).failures == []


def a_journal_that_truncates(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an earlier one did: it cuts what follows the last newline as soon as it is opened."""
    really = Journal.take_up

    def take_up(self: Journal, *, discard: bool) -> None:
        content = self.path.read_bytes()
        os.truncate(self.path, content.rfind(b"\n") + 1)
        really(self, discard=discard)

    monkeypatch.setattr(Journal, "take_up", take_up)


def a_reader_that_stumbles(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no sentence for damage."""

    def read(line: bytes, *_: object) -> Any:
        return json.loads(line)["checksum"] and lines.from_line(line)

    monkeypatch.setattr(loading, "_read_record", read)


def a_reader_of_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices and pipes are files to it."""
    monkeypatch.setattr(regular, "_check", lambda *_: None)


def a_loader_of_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes each value as it comes."""

    def believed(kind: type[Any], text: bytes, where: str = "record") -> Any:
        known = None if where in ("fit", "request") else really(kind, text, where)
        if known is not None:
            return known
        body = json.loads(text)
        names = {each.name for each in fields(kind)}
        return kind(**{name: value for name, value in body.items() if name in names})

    really = lines.decode_json
    monkeypatch.setattr(lines, "decode_json", believed)


def a_loader_that_counts_on_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes for granted that each observation follows its start, and nothing stands twice."""
    really = loading.check_run

    def check(run: Any, path: object) -> None:
        really(run, path)
        started = [each.attempt for each in run.started]
        assert max(Counter(started).values(), default=1) == 1
        assert {each.attempt for each in run.observations} <= set(started)

    monkeypatch.setattr(loading, "check_run", check)


PLANTED: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "cuts": (a_journal_that_truncates, "opening changed the file"),
    "flips": (a_reader_that_stumbles, "load: "),
    "encodings": (a_journal_that_truncates, "was changed|opening changed|bytes were lost"),
    "special files": (a_reader_of_anything, "it was opened and written"),
    "absurd values": (a_loader_of_anything, "internal error|load: "),
    "rearranged": (a_loader_that_counts_on_order, "AssertionError"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, words = PLANTED[name]
    plant(monkeypatch)
    found = try_class(name, QUICK[name]).failures
    assert any(word in each for each in found for word in words.split("|")), found[:3]


def test_a_run_of_a_hundred_thousand_records_loads(tmp_path: Path) -> None:
    """A tenth of it here; the bound of a file leaves room for ten times that."""
    content = (Path(__file__).parents[1] / "golden" / "run-2.jsonl").read_bytes()
    begun = loading.read(content, Path("golden"))
    assert begun is not None
    attempts = (replace(begun.started[0], attempt=f"more-{number}") for number in range(10_000))
    whole = content + b"".join(map(lines.to_line, attempts))
    path = tmp_path / "run.jsonl"
    path.write_bytes(whole)
    assert len(loading.load(path).started) == len(begun.started) + 10_000
    assert 10 * len(whole) < regular.MOST_FILE_BYTES
