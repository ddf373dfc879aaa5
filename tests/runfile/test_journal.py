"""The run file: what is written is read, and nothing that goes wrong costs what went before."""

from __future__ import annotations

import fcntl
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import (
    AT_UTC,
    HEADER,
    FakeProbe,
    a_calibration,
    a_fit,
    a_gradient,
    a_learning,
    a_memory,
    a_request,
    a_timing,
    conditions,
    run_into,
)
from rnnprof.errors import RunFileError
from rnnprof.runfile import journal, lines
from rnnprof.runfile.certificates import Certificate, EdgeFit, EdgeOom, EdgeStatus
from rnnprof.runfile.differences import differences
from rnnprof.runfile.journal import load, open_journal, read
from rnnprof.runfile.lines import digest, from_line, to_line
from rnnprof.runfile.loading import run_of
from rnnprof.runfile.observations import Breakdown, Failure
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import KIND_OF, KINDS, SCHEMA, Finished, Host, Settings, Started
from rnnprof.runfile.study import Study
from rnnprof.workload import FactorySource, ScriptSource, Workload, workload_of_script

POINT = Point(8, 16)
STARTED = Started("a1", "fit", 8, 16, Role.GRID, 0, "r1", AT_UTC)
RECORDS = [
    HEADER,
    a_request(Grid((8, 16), (16,)), Settings(memory_limit=1 << 30, timeout_s=5.0, study=Study())),
    Host("r1", HEADER.limit_bytes, "0.1.0", {"processors": 2}),
    STARTED,
    a_fit(
        POINT,
        outcome=Outcome.OOM,
        reason="out of memory in forward",
        failure=Failure(phase="forward", message="two\nlines \u2028 \udc80 é", requested_bytes=7),
    ),
    a_timing(
        POINT,
        0.5,
        0.25,
        phase_samples_s={"forward": (0.1,)},
        conditions=conditions(),
        warnings=("the loss of the last step was nan",),
    ),
    a_memory(
        POINT, breakdown=Breakdown(1, 2, 3, 4, 5, 6, 7, 8, 9, "backward"), ops=("aten::lstm",)
    ),
    a_calibration(),
    a_gradient(POINT, train_steps=5, inputs="input", lag_norms=((1.0, None),), small_batch=4),
    a_learning(POINT, seed=2, target_loss=0.1, losses=((0, None), (20, 0.05)), reached=True),
    Certificate(
        16,
        EdgeStatus.CERTIFIED,
        1,
        64,
        8,
        EdgeFit(8, "a1", 7, 10),
        EdgeOom(9, "a2", "forward"),
        attempts=("a1", "a2"),
    ),
    Finished("r1", AT_UTC, 12.5),
]
LINES = [to_line(record) for record in RECORDS]
WHOLE = b"".join(LINES)
GOLDEN = Path(__file__).parents[1] / "golden" / "run-2.jsonl"
NEW = replace(HEADER, limit_bytes=1)
SECOND = a_request(Grid((8,), (16,)), request="r2")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


@pytest.fixture
def quick(monkeypatch):
    """Without waiting for the disk, where a test writes thousands of times."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def recorded(folder: Path, limit_bytes: int) -> bytes:
    """The file of a run of one point, which takes 8.7 MiB."""
    path = folder / "recorded.jsonl"
    run_into(path, FakeProbe(limit_bytes=limit_bytes), Grid((1,), (20,)))
    return path.read_bytes()


def records_in(content: bytes) -> list:
    return [from_line(line) for line in content.split(b"\n")[:-1]]


# one record, one line


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: KIND_OF[type(record)])
def test_every_kind_comes_back_from_its_line(record):
    line = to_line(record)
    assert line.count(b"\n") == 1
    assert from_line(line[:-1]) == record


def test_every_kind_is_tested():
    assert {type(record) for record in RECORDS} == set(KINDS.values())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "no checksum"),
        (b'{"kind":"finished"}', "no checksum"),
        (LINES[-1].replace(b"12.5", b"12.6")[:-1], "checksum does not match"),
        (LINES[-1], "no checksum"),
    ],
)
def test_a_line_that_is_not_whole_is_told(line, message):
    with pytest.raises(ValueError, match=message):
        from_line(line)


def forged(text: str) -> bytes:
    """A line with a checksum that is right."""
    body = text.encode()
    return body + b',"checksum":"' + digest(body) + b'"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind":"surprise"', "kind 'surprise' is unknown"),
        ('{"sort":"header"', "field kind"),
        ('{"kind":["header"]', "kind: expected str"),
        ('{"kind":"finished","request":"r1"', "missing required field at_utc"),
        ('{"kind":"finished",', "malformed"),
    ],
)
def test_a_whole_line_of_no_record_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        from_line(forged(text))


def test_a_number_that_json_has_not_is_never_written(path):
    with open_journal(path) as opened:
        opened.append(HEADER)
        with pytest.raises(RunFileError, match="JSON"):
            opened.append(a_timing(POINT, float("nan")))
    assert path.read_bytes() == LINES[0]


# a whole file


def write_all(path: Path, records: list) -> None:
    with open_journal(path) as opened:
        for record in records:
            opened.append(record)


def test_what_was_appended_is_loaded(path):
    write_all(path, RECORDS)
    assert path.read_bytes() == WHOLE
    run = load(path)
    assert run.header == HEADER
    assert run.requests == (RECORDS[1],)
    assert run.started == (STARTED,)
    assert run.observations == tuple(RECORDS[4:10])
    assert run.certificates == (RECORDS[10],)
    assert run.finished == (RECORDS[11],)
    assert run.is_finished
    assert run.path == str(path)


def test_each_record_is_on_disk_before_the_next(path):
    with open_journal(path) as opened:
        for number, record in enumerate(RECORDS, 1):
            opened.append(record)
            assert path.read_bytes() == b"".join(LINES[:number])
            assert opened.run == run_of(RECORDS[:number], path)


def test_a_run_is_made_anew_after_each_change_and_only_then(path):
    with open_journal(path) as opened:
        opened.append(HEADER)
        before = opened.run
        assert opened.run is before
        opened.append(RECORDS[1])
        assert opened.run == run_of(RECORDS[:2], path)
        opened.replace_with(NEW)  # again one record, and another
        assert opened.run == run_of([NEW], path)


@pytest.mark.parametrize("damage", [b"", b"{}\n"])
@pytest.mark.parametrize("is_on", [True, False])
def test_reading_leaves_the_collector_as_it_was(path, damage, is_on):
    path.write_bytes(b"".join(LINES) + damage)
    was_on, was_frozen = gc.isenabled(), gc.get_freeze_count()
    (gc.enable if is_on else gc.disable)()
    try:
        with pytest.raises(RunFileError) if damage else nullcontext():
            load(path)
        assert gc.isenabled() is is_on
        assert gc.get_freeze_count() == was_frozen
    finally:
        (gc.enable if was_on else gc.disable)()


def test_a_file_is_taken_up_where_it_ended(path):
    write_all(path, RECORDS)
    write_all(path, [SECOND])
    assert load(path).requests == (RECORDS[1], SECOND)
    assert not load(path).is_finished


def test_folders_are_made_on_the_way(path):
    deep = path.parent / "a" / "b" / "run.jsonl"
    write_all(deep, RECORDS[:1])
    assert load(deep).header == HEADER


def test_a_journal_without_records_leaves_no_file(path):
    with open_journal(path) as opened:
        assert opened.run is None
    assert not path.exists()


# damage


@pytest.mark.parametrize("number", range(1, len(LINES) + 1))
@pytest.mark.parametrize("where", [20, -3, -12], ids=["body", "end", "checksum"])
def test_damage_is_an_error_that_names_its_line(path, number, where):
    damaged = bytearray(LINES[number - 1])
    damaged[where] ^= 1
    content = b"".join([*LINES[: number - 1], bytes(damaged), *LINES[number:]])
    path.write_bytes(content)
    for opening in (load, opened_and_closed):
        with pytest.raises(RunFileError, match=f"run.jsonl, line {number}: .*--overwrite"):
            opening(path)
    assert path.read_bytes() == content


def opened_and_closed(path: Path) -> None:
    with open_journal(path):
        pass


def test_a_lost_or_empty_line_is_damage(path):
    path.write_bytes(LINES[0] + b"\n" + LINES[1])
    with pytest.raises(RunFileError, match="line 2"):
        load(path)


def test_a_file_that_does_not_begin_with_its_header(path):
    path.write_bytes(forged('{"kind":"header",') + b"\n")
    with pytest.raises(RunFileError, match="line 1"):
        load(path)


def test_deep_nesting_in_the_first_line_is_damage(path):
    path.write_bytes(b'{"kind":"header","schema":' + b"[" * 200_000 + b"\n")
    with pytest.raises(RunFileError, match="line 1"):
        load(path)


# a torn tail


def test_cut_at_any_byte_a_prefix_is_read(path):
    content = b"".join(LINES)
    whole = records_in(content)
    assert {type(record) for record in whole} == set(KINDS.values())
    for size in range(len(content) + 1):
        lines = content[: size + 1].count(b"\n")  # a record counts without its newline
        assert read(content[:size], path) == run_of(whole[:lines], path)
    assert lines == len(whole)


def saved_beside(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in path.parent.glob(f"{path.name}.torn-*")]


def test_cut_at_any_byte_the_file_is_taken_up_and_nothing_is_lost(path, quick):
    content = recorded(path.parent, limit_bytes=8 << 20)
    for size in range(len(content) + 1):
        cut = content[:size]
        path.write_bytes(cut)
        with open_journal(path) as opened:
            assert path.read_bytes() == cut, "opening changes nothing"
            opened.append(SECOND if opened.run else HEADER)
        kept = content[: content.rfind(b"\n", 0, size + 1) + 1]
        assert path.read_bytes() == kept + to_line(SECOND if kept else HEADER)
        torn = cut[len(kept) :]
        assert saved_beside(path) == ([torn] if torn else [])
        assert opened.saved is None or opened.saved.read_bytes() == torn
        for file in path.parent.glob("*.torn-*"):
            file.unlink()
    assert kept == content
    assert load(path).requests[-1] == SECOND


@pytest.mark.parametrize("size", [0, 1, 10, len(LINES[0]) - 2])
def test_a_torn_header_is_an_empty_run(path, size):
    path.write_bytes(LINES[0][:size])
    with pytest.raises(RunFileError, match="empty"):
        load(path)
    with open_journal(path) as opened:
        assert opened.run is None
        opened.append(HEADER)
    assert load(path).header == HEADER
    assert saved_beside(path) == ([LINES[0][:size]] if size else [])


TORN = LINES[3][:50]


def test_a_command_that_is_refused_leaves_a_torn_file_as_it_was(path):
    path.write_bytes(b"".join(LINES[:3]) + TORN)
    with pytest.raises(KeyError), open_journal(path):
        raise KeyError
    assert path.read_bytes() == b"".join(LINES[:3]) + TORN
    assert saved_beside(path) == []


def test_a_crash_between_saving_and_cutting_saves_once(path, monkeypatch):
    path.write_bytes(b"".join(LINES[:3]) + TORN)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", crash)
        with pytest.raises(KeyboardInterrupt), open_journal(path) as opened:
            opened.append(STARTED)
    assert path.read_bytes() == b"".join(LINES[:3]) + TORN
    assert saved_beside(path) == [TORN]
    write_all(path, [STARTED])
    assert path.read_bytes() == b"".join(LINES[:4])
    assert saved_beside(path) == [TORN]


def test_a_crash_after_cutting_leaves_whole_lines(path, monkeypatch):
    path.write_bytes(b"".join(LINES[:3]) + TORN)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", crash)
        with pytest.raises(KeyboardInterrupt), open_journal(path) as opened:
            opened.append(STARTED)
    assert path.read_bytes() == b"".join(LINES[:3])
    assert saved_beside(path) == [TORN]


def test_a_file_of_the_user_with_the_name_of_a_saved_line_stays(path):
    name = f"{path.name}.torn-{digest(TORN).decode()}"
    (path.parent / name).write_bytes(b"the user's own")
    path.write_bytes(b"".join(LINES[:3]) + TORN)
    write_all(path, [STARTED])
    assert sorted(saved_beside(path)) == sorted([b"the user's own", TORN])


def test_a_torn_line_that_cannot_be_saved_is_not_cut(path, monkeypatch):
    content = b"".join(LINES[:3]) + TORN
    path.write_bytes(content)
    with (
        failing_disk(monkeypatch),
        pytest.raises(RunFileError, match=r"cannot save the incomplete last line .*Input/output"),
        open_journal(path) as opened,
    ):
        opened.append(STARTED)
    assert path.read_bytes() == content
    assert names_beside(path) == ["run.jsonl"]


def test_a_newline_that_is_missing_is_written_with_the_next_record(path, monkeypatch):
    path.write_bytes(b"".join(LINES[:3])[:-1])
    assert load(path).hosts == (RECORDS[2],)
    written = []
    really = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: (written.append(data), really(fd, data))[1])
    write_all(path, RECORDS[3:])
    assert path.read_bytes() == WHOLE
    assert written[0] == b"\n" + LINES[3]


# a last line that is not ours


FOREIGN_TAILS = {
    "text": (b"my notes", "no checksum"),
    "json of another program": (b'{"kind":"fit","loss":1}', "no checksum"),
    "another kind": (b'{"kind":"surprise","lo', "no checksum"),
    "json, then text": (b'{"kind":"fit","loss":1} {"kind":"fit","lo', "no checksum"),
    "no json": (b'{"kind":"fit",' + b"as I said on the telephone to you", "no checksum"),
    "nul": (LINES[3][:50] + b"\0" * 4096, "NUL bytes"),
    "nul alone": (b"\0" * 512, "NUL bytes"),
    "cr": (LINES[3][:-1] + b"\r", "Windows"),
    "cr alone": (LINES[3].replace(b"\n", b"\r") + LINES[4].replace(b"\n", b"\r")[:30], "CR line"),
    "latin-1": (b'{"kind":"fit","message":"\xe9t', "not ASCII"),
    "damaged": (LINES[3][:-8] + b'00000"}', "checksum"),
    "deep": (b'{"kind":"fit","a":' + b"[" * 100_000, "no checksum"),
}


@pytest.mark.parametrize(("tail", "words"), FOREIGN_TAILS.values(), ids=FOREIGN_TAILS)
def test_a_last_line_that_is_not_ours_is_refused_and_stays(path, tail, words):
    content = b"".join(LINES[:3]) + tail
    path.write_bytes(content)
    for opening in (load, opened_and_closed):
        with pytest.raises(RunFileError, match=f"line 4: .*{words}"):
            opening(path)
    assert path.read_bytes() == content
    assert names_beside(path) == ["run.jsonl"]


@pytest.mark.parametrize(("end", "tool"), [(b"\r\n", "dos2unix"), (b"\r", "mac2unix")])
def test_converted_line_ends_are_told_and_nothing_is_deleted(path, end, tool):
    content = WHOLE.replace(b"\n", end)
    path.write_bytes(content)
    for opening in (load, opened_and_closed):
        with pytest.raises(
            RunFileError, match=rf"line 1: .*convert the file, such as with {tool}"
        ) as error:
            opening(path)
        assert "Delete" not in str(error.value)
    assert path.read_bytes() == content


def test_a_record_of_any_size_is_bounded(path, monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINE_BYTES", 1000)
    long = a_request(Grid((8,), (16,)), request="r" * 1000)
    path.write_bytes(LINES[0] + to_line(long))
    with pytest.raises(RunFileError, match=r"line 2: it has .* bytes, and a record at most 1000"):
        load(path)
    path.write_bytes(LINES[0])
    with (
        open_journal(path) as opened,
        pytest.raises(RunFileError, match=r"cannot write .* most"),
    ):
        opened.append(long)
    assert path.read_bytes() == LINES[0]


# another program


def test_a_file_that_another_program_changes_is_left_to_it(path):
    with open_journal(path) as opened:
        opened.append(HEADER)
        with path.open("ab") as other:
            other.write(b"notes")
        with pytest.raises(RunFileError, match="was changed by another program"):
            opened.append(SECOND)
    assert path.read_bytes() == LINES[0] + b"notes"


def test_a_file_that_was_removed_is_told_at_once(path):
    with open_journal(path) as opened:
        opened.append(HEADER)
        path.unlink()
        with pytest.raises(RunFileError, match="was removed"):
            opened.append(SECOND)


def test_an_empty_journal_does_not_remove_what_came_in_its_place(path):
    with open_journal(path):
        path.unlink()
        path.write_bytes(b"the user's own")
    assert path.read_bytes() == b"the user's own"


# what is not ours


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"\n",
        b"{}\n",
        b'{"kind":"request"}\n',
        b"batch,steps\n8,16\n",
        b'{"kind": "header", "schema": 1}\n',
        b"\x89PNG\r\n\x1a\n",
        LINES[1] + LINES[0],
        b" " + WHOLE,
    ],
)
@pytest.mark.parametrize("discard", [False, True])
def test_a_foreign_file_is_refused_and_left_as_it_is(path, content, discard):
    path.write_bytes(content)
    with (
        pytest.raises(RunFileError, match="is not an rnnprof run file"),
        open_journal(path, discard=discard),
    ):
        pass
    assert path.read_bytes() == content
    with pytest.raises(RunFileError, match="is not an rnnprof run file"):
        load(path)


@pytest.mark.parametrize("tail", [b"", b'{"kind":"certificate","checksum":"0"}\n', b"torn"])
def test_a_newer_schema_asks_for_an_upgrade(path, tail):
    content = to_line(replace(HEADER, schema=SCHEMA + 1)) + tail
    path.write_bytes(content)
    for opening in (load, opened_and_closed):
        with pytest.raises(RunFileError, match=r"schema 3; .* upgrade rnnprof"):
            opening(path)
    assert path.read_bytes() == content


def test_a_newer_header_need_not_even_be_understood(path):
    path.write_bytes(b'{"kind":"header","schema":3,"body":"compressed"}\n')
    with pytest.raises(RunFileError, match="upgrade"):
        load(path)


def test_a_missing_file_is_told(path):
    with pytest.raises(RunFileError, match="no run file"):
        load(path)


@pytest.mark.parametrize("name", ["", "file/run.jsonl", "x" * 300 + ".jsonl"])
def test_a_path_that_cannot_be_written_is_told(tmp_path, name):
    """The folder itself, a file as folder, a name too long: whoever runs the tests."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFileError, match="cannot"):
        opened_and_closed(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_told(path):
    write_all(path, RECORDS)
    path.chmod(0o400)
    with pytest.raises(RunFileError, match=r"cannot open .* for writing: Permission denied"):
        opened_and_closed(path)
    path.chmod(0o000)
    with pytest.raises(RunFileError, match=r"cannot read .*: Permission denied"):
        load(path)


# one writer


def test_a_second_writer_is_refused_while_the_first_holds_it(path):
    with open_journal(path) as first:
        first.append(HEADER)
        with pytest.raises(RunFileError, match="being written by another rnnprof"):
            opened_and_closed(path)
        with pytest.raises(RunFileError, match="being written"), open_journal(path, discard=True):
            pass
        assert load(path).header == HEADER  # a reader is not
        first.append(SECOND)
    opened_and_closed(path)
    assert load(path).requests == (SECOND,)


HOLDER = """
import sys
from pathlib import Path
from rnnprof.runfile.journal import open_journal
with open_journal(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_that_dies_lets_go(path):
    write_all(path, RECORDS[:1])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunFileError, match="being written by another rnnprof"):
            opened_and_closed(path)
        holder.kill()
    opened_and_closed(path)


def just_before_our_lock(monkeypatch, other: Callable[[], None]) -> None:
    """Let another rnnprof act between our opening of the file and our lock."""
    lock = fcntl.flock

    def lock_too_late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        other()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", lock_too_late)


def test_a_file_that_another_locked_first_is_not_taken_away(path, monkeypatch):
    with ExitStack() as stack:
        just_before_our_lock(
            monkeypatch, lambda: stack.enter_context(open_journal(path)).append(HEADER)
        )
        with pytest.raises(RunFileError, match="being written by another rnnprof"):
            opened_and_closed(path)
    assert path.read_bytes() == LINES[0]


def test_a_file_that_another_replaced_is_not_taken_for_the_new_one(path, monkeypatch):
    """What we would append to has no name any more."""

    def begin_anew() -> None:
        with open_journal(path, discard=True) as other:
            other.replace_with(NEW)

    write_all(path, RECORDS)
    just_before_our_lock(monkeypatch, begin_anew)
    with pytest.raises(RunFileError, match="being written by another rnnprof"):
        opened_and_closed(path)
    assert path.read_bytes() == to_line(NEW)


# a disk that refuses


@contextmanager
def full_disk(monkeypatch):
    """Half of what is written arrives."""
    really = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: really(fd, data[: len(data) // 2]))
        yield


@contextmanager
def failing_disk(monkeypatch):
    """All of it seems to arrive, and then does not."""

    def fail(_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        yield


FAULTS = [(full_disk, "No space left on device"), (failing_disk, "Input/output error")]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_a_record_that_does_not_arrive_is_cut_off_again(path, monkeypatch, fault, words):
    with open_journal(path) as opened:
        for record in RECORDS[:4]:
            opened.append(record)
        with (
            fault(monkeypatch),
            pytest.raises(RunFileError, match=f"{words}. .* free some disk space"),
        ):
            opened.append(RECORDS[4])
        assert path.read_bytes() == b"".join(LINES[:4])
        assert opened.run == run_of(RECORDS[:4], path)
        for record in RECORDS[4:]:  # there is room again
            opened.append(record)
    assert path.read_bytes() == WHOLE


# beginning anew


def names_beside(path: Path) -> list[str]:
    return [entry.name for entry in path.parent.iterdir()]


@pytest.mark.parametrize("damage", [b"", b"torn", b"{}\n"])
def test_a_run_is_replaced_by_a_new_header(path, damage):
    path.write_bytes(WHOLE + damage)
    with open_journal(path, discard=True) as opened:
        assert opened.run is None
        assert path.read_bytes() == WHOLE + damage  # nothing is lost before the new header stands
        opened.replace_with(NEW)
        opened.append(SECOND)
        with pytest.raises(RunFileError, match="being written"):
            opened_and_closed(path)
        assert opened.run.header == NEW
    assert path.read_bytes() == to_line(NEW) + to_line(SECOND)
    assert names_beside(path) == ["run.jsonl"]


def test_replacing_where_nothing_was(path):
    with open_journal(path, discard=True) as opened:
        opened.replace_with(NEW)
    assert load(path).header == NEW


@pytest.mark.parametrize("name", ["run.jsonl.new", ".run.jsonl.new", "run.jsonl.tmp"])
def test_a_file_of_the_user_beside_it_stays(path, name):
    path.write_bytes(WHOLE)
    (path.parent / name).write_bytes(b"the user's own")
    with open_journal(path, discard=True) as opened:
        opened.replace_with(NEW)
    assert path.read_bytes() == to_line(NEW)
    assert (path.parent / name).read_bytes() == b"the user's own"


def test_a_link_stays_a_link_and_a_file_keeps_its_mode(path):
    real = path.parent / "elsewhere" / "real.jsonl"
    real.parent.mkdir()
    real.write_bytes(WHOLE)
    real.chmod(0o640)
    path.symlink_to(real)
    with open_journal(path, discard=True) as opened:
        opened.replace_with(NEW)
        opened.append(SECOND)
    assert path.is_symlink()
    assert real.read_bytes() == to_line(NEW) + to_line(SECOND)
    assert real.stat().st_mode & 0o777 == 0o640
    assert names_beside(real) == ["real.jsonl"]


@contextmanager
def failing_rename(monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        patched.setattr(os, "replace", fail)
        yield


@pytest.mark.parametrize(("fault", "words"), [*FAULTS, (failing_rename, "Input/output error")])
def test_a_run_that_cannot_be_replaced_is_left_as_it_is(path, monkeypatch, fault, words):
    path.write_bytes(WHOLE)
    with (
        fault(monkeypatch),
        pytest.raises(RunFileError, match=words),
        open_journal(path, discard=True) as opened,
    ):
        opened.replace_with(NEW)
    assert path.read_bytes() == WHOLE
    assert names_beside(path) == ["run.jsonl"]
    opened_and_closed(path)


# two identities


FACTORY = FactorySource("train.py:make", {"width": 3})
ENVIRONMENT = HEADER.environment


@pytest.mark.parametrize(
    ("changes", "spelled_out"),
    [
        ({}, []),
        ({"limit_bytes": 5}, ["limit_bytes: 67108864 in the file, 5 now"]),
        (
            {"workload": Workload(hidden_size=64, cell="gru")},
            [
                "workload.cell: 'lstm' in the file, 'gru' now",
                "workload.hidden_size: 512 in the file, 64 now",
            ],
        ),
        (
            {"workload": replace(HEADER.workload, factory=FACTORY)},
            [
                (
                    "workload: 'lstm 256->512, 1 layer, fp32, adam' in the file, "
                    "'train.py:make(width=3)' now"
                ),
            ],
        ),
        (
            {"environment": ENVIRONMENT | {"torch": "2.14.0"}, "run_id": "0"},
            ["torch: '2.13.0' in the file, '2.14.0' now"],
        ),
        (
            {"environment": {k: v for k, v in ENVIRONMENT.items() if k != "torch"}},
            ["torch: '2.13.0' in the file, None now"],
        ),
        (
            {"sources": {"model.py": "ff"}},
            ["model.py is loaded only now"],
        ),
    ],
)
def test_differences_are_spelled_out(changes, spelled_out):
    assert differences(HEADER, replace(HEADER, **changes)) == spelled_out


def test_of_two_command_lines_the_words_that_differ_are_spelled_out():
    def made(*argv, **more):
        script = ScriptSource("a.py", argv=argv, **more)
        return replace(HEADER, workload=workload_of_script(script))

    words = ("--size", "{batch}", "--data", "a b", "--lr", "1")
    one = made(*words, env={"A": "1"}, assignments={"m.X": "2"})
    assert differences(one, made(*words[:4], "--lr", "2", prepare="true")) == [
        "the script's words: 1 in the file, 2 now",
        "--env A: '1' in the file, None now",
        "--set m.X: '2' in the file, None now",
        "--prepare: None in the file, 'true' now",
    ]
    assert differences(made(*words), made("--size", "{batch}", "--lr", "1")) == [
        "the script's words: --data 'a b' in the file, nothing now"
    ]


def test_a_file_that_was_appended_to_itself_is_that_file(path):
    content = GOLDEN.read_bytes()
    path.write_bytes(content + content)
    assert replace(load(path), path=None) == replace(load(GOLDEN), path=None)


def test_two_runs_in_one_file_are_refused(path):
    content = GOLDEN.read_bytes()
    header = from_line(content.split(b"\n", 1)[0])
    other = to_line(replace(header, run_id="another"))
    for tail in (other, other[:-1]):
        path.write_bytes(content + tail)
        with pytest.raises(RunFileError, match="another run begins here"):
            load(path)


def test_a_folder_that_refuses_the_new_file_is_told_without_its_temporary_name(path, monkeypatch):
    write_all(path, [HEADER])
    before = path.read_bytes()
    monkeypatch.setattr(journal, "unused_name", lambda _: path.parent / "no" / "such")
    refusal = pytest.raises(RunFileError, match=r"cannot replace .*run\.jsonl: .*as it was")
    with open_journal(path, discard=True) as opened, refusal:
        opened.replace_with(HEADER)
    assert path.read_bytes() == before
