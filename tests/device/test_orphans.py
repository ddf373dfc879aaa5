"""Processes are found by their parent or a token, and ended within a bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rnnprof.device import orphans


def marked_process(token: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], env=orphans.with_token(os.environ, token))


def test_only_what_has_the_token_is_ended() -> None:
    token = orphans.new_token()
    mine, other = marked_process(token), marked_process(orphans.new_token())
    try:
        assert orphans.end_marked(token)
        assert mine.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_where_proc_is_hidden_nothing_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(orphans, "PROC", tmp_path / "none")
    token = orphans.new_token()
    process = marked_process(token)
    try:
        assert orphans.end_marked(token)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_without_pidfd_the_number_must_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refused)
    token = orphans.new_token()
    process = marked_process(token)
    assert orphans.end_marked(token)
    assert process.wait(10) == -signal.SIGKILL


def test_a_number_that_another_process_has_now_is_not_signalled() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        orphans._send(process.pid, signal.SIGKILL, lambda _: False)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_what_does_not_end_is_left_after_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "_send", lambda *_: None)
    token = orphans.new_token()
    process = marked_process(token)
    began_s = time.monotonic()
    try:
        assert not orphans.end_marked(token, within_s=0.1)
        assert 0.1 <= time.monotonic() - began_s < 10
    finally:
        process.kill()
        process.wait()


def test_where_children_are_not_listed_parents_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for pid, state, parent in ((10, "S", 1), (11, "R", 10), (12, "Z", 10), (13, "S", 11)):
        folder = tmp_path / str(pid)
        (folder / "task" / str(pid)).mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} (a) b) {state} {parent} 1 1")
    monkeypatch.setattr(orphans, "PROC", tmp_path)
    assert set(orphans._descendants(10)) == {11, 13}
    assert orphans._is_below(13, 10)
    assert not orphans._is_below(10, 13)
