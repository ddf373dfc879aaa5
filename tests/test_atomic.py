"""Files are written whole or not at all, and nothing of the user's is in the way of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes import HEADER
from rnnprof import atomic
from rnnprof.atomic import write_folder, write_whole
from rnnprof.errors import BadInputError
from rnnprof.runfile.lines import to_line

CONTENTS = {"a.png": b"a", "b.svg": b"b", "page.html": b"page"}


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_file_is_not_replaced_by_anything_else(tmp_path: Path) -> None:
    run = tmp_path / "run.xml"
    run.write_bytes(to_line(HEADER))
    with pytest.raises(BadInputError, match=r"run.xml is a run file, which would be lost"):
        write_whole(run, b"<junit/>")
    with pytest.raises(BadInputError, match="is a run file"):
        write_folder(tmp_path, {"run.xml": b"", **CONTENTS}, first="page.html")
    assert contents_of(tmp_path) == {"run.xml": to_line(HEADER)}


def test_a_file_of_the_user_is_never_taken_for_a_temporary_one(tmp_path: Path) -> None:
    names = [".run.csv.tmp", "run.csv.new", f".run.csv.{os.getpid()}.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"own")
    write_whole(tmp_path / "run.csv", b"new")
    assert contents_of(tmp_path) == dict.fromkeys(names, b"own") | {"run.csv": b"new"}


def test_a_link_in_a_circle_is_told(tmp_path: Path) -> None:
    link = tmp_path / "run.csv"
    link.symlink_to("run.csv")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(link, b"new")
    assert link.is_symlink()


def test_a_name_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".csv")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("is_link", [False, True])
def test_a_new_folder_appears_whole(tmp_path: Path, is_link: bool) -> None:
    folder = tmp_path / "deep" / "report"
    if is_link:
        folder.parent.mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    write_folder(folder, CONTENTS, first="page.html")
    assert contents_of(folder) == CONTENTS
    assert [path.name for path in folder.parent.iterdir()] == ["report"]


def test_what_else_is_in_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"own")
    (tmp_path / "elsewhere").write_bytes(b"old")
    (tmp_path / "a.png").symlink_to("elsewhere")
    write_folder(tmp_path, CONTENTS, first="page.html")
    assert contents_of(tmp_path) == {**CONTENTS, "notes.txt": b"own", "elsewhere": b"a"}
    assert (tmp_path / "a.png").is_symlink()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    folder = tmp_path / "report"
    if is_there:
        write_folder(folder, CONTENTS, first="page.html")
    really = atomic._write_new

    def full(path: Path, content: bytes) -> None:
        really(path, content[: len(content) // 2])
        if path.name == "b.svg":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "_write_new", full)
        with pytest.raises(OSError, match="No space"):
            write_folder(folder, dict.fromkeys(CONTENTS, b"new"), first="page.html")
    assert [path.name for path in tmp_path.iterdir()] == (["report"] if is_there else [])
    if is_there:
        assert contents_of(folder) == CONTENTS
        assert len(list(folder.iterdir())) == len(CONTENTS)


def test_the_first_file_is_in_its_place_before_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    really = Path.replace

    def note(self: Path, target: Path) -> Path:
        moved.append(target.name)
        return really(self, target)

    monkeypatch.setattr(Path, "replace", note)
    write_folder(tmp_path, CONTENTS, first="page.html")
    assert moved == ["page.html", "a.png", "b.svg"]


WRITER = """
import os, sys, time
from pathlib import Path
from rnnprof import atomic
really, stop = atomic._write_new, sys.argv[2]
def slow(path, content):
    really(path, content)
    if path.name == stop:
        print("there", flush=True)
        time.sleep(60)
atomic._write_new = slow
contents = {"a.png": b"1", "b.svg": b"2", "page.html": b"3"}
atomic.write_folder(Path(sys.argv[1]), contents, "page.html")
"""


@pytest.mark.parametrize("is_there", [False, True])
def test_after_a_kill_the_next_command_writes_and_clears_up(tmp_path: Path, is_there: bool) -> None:
    folder = tmp_path / "report"
    if is_there:
        folder.mkdir()
    stages_in = folder if is_there else tmp_path
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), "b.svg"], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"there\n"
        [stage] = stages_in.glob(".rnnprof-*.unfinished")
        atomic._remove_stale(stages_in)
        assert stage.exists(), "it is in use"
        writer.send_signal(signal.SIGKILL)
    deadline_s = time.monotonic() + 10
    while stage.exists() and time.monotonic() < deadline_s:
        write_folder(folder, CONTENTS, first="page.html")
        if not is_there:
            atomic._remove_stale(tmp_path)
    assert not stage.exists()
    assert contents_of(folder) == CONTENTS
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_of_the_user_with_nearly_that_name_stays(tmp_path: Path) -> None:
    own = tmp_path / ".rnnprof-mine.unfinished"
    own.mkdir()
    write_folder(tmp_path, CONTENTS, first="page.html")
    assert own.is_dir()
