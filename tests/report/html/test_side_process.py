"""Work in a forked process beside this one."""

from __future__ import annotations

import os
import threading

import pytest

from rnnprof.report.html import side_process
from rnnprof.report.html.side_process import SideProcess


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a second processor, and without threads of the test runner."""
    monkeypatch.setattr(side_process, "_processors", lambda: 2)
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.mark.usefixtures("two_processors")
def test_the_call_runs_in_another_process() -> None:
    made = SideProcess(lambda: [os.getpid(), b"png"])
    pid, content = made.result()
    assert (pid != os.getpid(), content) == (True, b"png")


@pytest.mark.usefixtures("two_processors")
def test_what_the_child_cannot_make_is_made_here() -> None:
    here = os.getpid()

    def make() -> int:
        if os.getpid() != here:
            raise MemoryError
        return here

    assert SideProcess(make).result() == here


@pytest.mark.usefixtures("two_processors")
def test_an_error_is_raised_as_without_a_child() -> None:
    def make() -> int:
        raise ValueError("no such colour")

    with pytest.raises(ValueError, match="no such colour"):
        SideProcess(make).result()


@pytest.mark.usefixtures("two_processors")
def test_what_cannot_be_sent_is_made_here() -> None:
    assert SideProcess(lambda: threading.Lock).result() is threading.Lock
    assert SideProcess(lambda: lambda: 1).result()() == 1


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (2, 2)])
def test_without_a_second_processor_or_with_threads_there_is_no_child(
    monkeypatch: pytest.MonkeyPatch, processors: int, threads: int
) -> None:
    monkeypatch.setattr(side_process, "_processors", lambda: processors)
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    assert SideProcess(os.getpid).result() == os.getpid()


@pytest.mark.usefixtures("two_processors")
def test_where_no_process_can_be_started_the_call_runs_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    assert SideProcess(os.getpid).result() == os.getpid()
