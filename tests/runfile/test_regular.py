"""A run file is a regular file: nothing else is opened, waited for or read without end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes import HEADER
from rnnprof.errors import RunFileError
from rnnprof.runfile import regular
from rnnprof.runfile.journal import load, open_journal
from rnnprof.runfile.lines import to_line

LINE = to_line(HEADER)


def opened(path: Path) -> None:
    with open_journal(path) as journal:
        journal.append(HEADER)


def replaced(path: Path) -> None:
    with open_journal(path, discard=True) as journal:
        journal.replace_with(HEADER)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe"),
    "folder": (Path.mkdir, "it is a folder"),
    "socket": (a_socket, "it is a socket"),
    "zero": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "null": (lambda path: path.symlink_to("/dev/null"), "it is a device"),
    "process": (lambda path: path.symlink_to("/proc/self/status"), "it is a file of the kernel"),
    "loop": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "a link to nowhere, which does not exi"),
}


@pytest.mark.parametrize(("make", "words"), SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("use", [load, opened, replaced])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, make, words, use):
    path = tmp_path / "run.jsonl"
    try:
        make(path)
    except OSError:  # a folder whose name is too long for a socket
        pytest.skip("cannot be made here")
    before = path.lstat()
    found: list[BaseException] = []

    def attempt() -> None:
        try:
            use(path)
        except RunFileError as error:
            found.append(error)

    trial = threading.Thread(target=attempt, daemon=True)
    trial.start()
    trial.join(20)
    assert not trial.is_alive(), "it waits"
    assert words in str(found[0])
    assert (path.lstat().st_mode, path.lstat().st_ino) == (before.st_mode, before.st_ino)
    assert [each.name for each in tmp_path.iterdir()] == ["run.jsonl"]


def test_a_link_to_a_run_file_is_as_good(tmp_path):
    link, real = tmp_path / "run.jsonl", tmp_path / "real.jsonl"
    real.write_bytes(LINE)
    link.symlink_to(real)
    assert load(link).header == HEADER
    with open_journal(link) as journal:
        journal.append(HEADER)
    assert real.read_bytes() == LINE * 2
    assert link.is_symlink()


@pytest.mark.parametrize("use", [load, opened, replaced])
@pytest.mark.parametrize("start", [b"", LINE])
def test_a_file_larger_than_memory_is_not_read(tmp_path, use, start):
    path = tmp_path / "run.jsonl"
    path.write_bytes(start)
    os.truncate(path, 1 << 40)  # without a block of disk
    with pytest.raises(RunFileError, match=r"begins with NUL|has 1099511627776 bytes"):
        use(path)
    assert path.stat().st_size == 1 << 40


def test_a_file_that_grows_while_it_is_read_is_bounded(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    path.write_bytes(LINE)
    monkeypatch.setattr(regular, "MOST_FILE_BYTES", 10 * len(LINE))
    monkeypatch.setattr(os, "pread", lambda *_: LINE)
    with pytest.raises(RunFileError, match="a run file at most"):
        load(path)


def test_a_path_with_a_nul_is_no_path(tmp_path):
    for use in (load, opened):
        with pytest.raises(RunFileError, match="null"):
            use(tmp_path / "a\0b.jsonl")
