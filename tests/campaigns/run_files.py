"""Run files that were cut, damaged, converted, replaced by something else, or forged.

    python -m campaigns.run_files [--count 2000] [--seed 0] [--classes cuts,flips]

Each class makes inputs and tries them on the real journal or, in this process, on the real
commands.  Nothing may be lost, nothing that is not ours may be touched, and no command may hang,
print a traceback or end with the code of an internal error.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import pickle
import random
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from campaigns.run_file_forgeries import forgeries, rearranged
from campaigns.run_file_trials import (
    SECOND,
    Trial,
    Trials,
    bound_memory,
    bounded,
    command_on,
    small_run,
)
from fakes import HEADER
from rnnprof.errors import RunFileError
from rnnprof.runfile import journal
from rnnprof.runfile.lines import to_line

# -- the classes


def cuts(trials: Trials) -> Iterator[Trial]:
    """A small run cut at every byte."""
    content = small_run(trials.folder)
    header = content[: content.index(b"\n") + 1]
    unfinished = content[: content.rindex(b"\n", 0, -1) + 1]
    for name, whole in {"header": header, "unfinished": unfinished, "finished": content}.items():
        step = max(1, len(whole) // max(trials.count, 1))
        for size in range(0, len(whole) + 1, step):
            label, wrong = trials.journal_trial(f"{name} cut at {size}", whole[:size])
            yield label, wrong or _committed(whole[:size], trials.path)


def _committed(cut: bytes, path: Path) -> str:
    """A record that was lost although its newline was there."""
    whole = cut[: cut.rfind(b"\n") + 1]
    return "" if path.read_bytes().startswith(whole) else "a committed record is lost"


def flips(trials: Trials) -> Iterator[Trial]:
    """One bit of a small run, changed."""
    content = small_run(trials.folder)
    for _ in range(trials.count):
        place, bit = trials.rng.randrange(len(content)), trials.rng.randrange(8)
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        yield trials.journal_trial(f"bit {bit} of byte {place}", bytes(damaged))


def encodings(trials: Trials) -> Iterator[Trial]:
    """Conversions by editors and transfers, and files of other programs."""
    content = small_run(trials.folder)
    text = content.decode()
    lines = content.splitlines(keepends=True)
    foreign = b'{"kind":"fit","loss":1}'
    for name, changed in {
        "cr": content.replace(b"\n", b"\r"),
        "crlf": content.replace(b"\n", b"\r\n"),
        "crlf in the last line": content[:-1] + b"\r\n",
        "bom": b"\xef\xbb\xbf" + content,
        "utf-16": text.encode("utf-16"),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "utf-32": text.encode("utf-32"),
        "latin-1": content[:-1] + "é".encode("latin-1"),
        "nul tail": content + b"\0" * 4096,
        "nul tail within a record": content[:-40] + b"\0" * 4096,
        "nul in the middle": lines[0] + b"\0" * 512 + b"".join(lines[1:]),
        "no last newline": content[:-1],
        "doubled newline": content + b"\n",
        "doubled newlines": content.replace(b"\n", b"\n\n"),
        "blanks at the end": content + b"  ",
        "foreign json": content + foreign,
        "foreign json and newline": content + foreign + b"\n",
        "foreign json alone": b'{"a": 1}',
        "foreign json of the same kind": b'{"kind":"header","title":"mine"}',
        "foreign json of the same kind and newline": b'{"kind":"header","title":"mine"}\n',
        "notes": content + b"see the minutes of Tuesday",
        "gzip": gzip.compress(content),
        "pickle": pickle.dumps({"a": 1}),
        "html": b"<!doctype html><title>mine</title>",
        "csv": b"batch,time_steps\n8,16\n",
        "empty": b"",
        "newline": b"\n",
        "white space": b"  \n\t\n",
        "a brace": b"{",
        "deep": b'{"kind":"header",' + b'"a":[' + b"[" * 100_000,
        "twice": content + content,
        "reversed": b"".join(reversed(lines)),
        "a long line": lines[0] + b'{"kind":"fit","a":"' + b"x" * (33 << 20),
        "a long number": lines[0] + b'{"kind":"fit","a":' + b"1" * 100_000 + b",",
    }.items():
        yield trials.journal_trial(name, changed)


def specials(trials: Trials) -> Iterator[Trial]:
    """What is at the path is no regular file, cannot be read, is huge, or is replaced."""
    for name, make in SPECIAL.items():
        for command in ("advise", "export", "open", "overwrite"):
            trials.clear()
            try:
                make(trials.path)
            except OSError:
                continue
            before = trials.path.lstat()
            yield (
                f"{name}: {command}",
                _try_special(command, trials.path)
                or ("" if _is_as(before, trials.path) else "it was changed"),
            )
    yield "replaced while open", _replaced_while_open(trials)
    yield "removed while open", _removed_while_open(trials)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _sparse(path: Path) -> None:
    path.write_bytes(to_line(HEADER))
    os.truncate(path, 1 << 40)


def _unreadable(path: Path) -> None:
    if os.geteuid() == 0:
        raise PermissionError  # root may read everything
    path.write_bytes(to_line(HEADER))
    path.chmod(0)


SPECIAL: Final[dict[str, Callable[[Path], object]]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "socket": _socket,
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/null": lambda path: path.symlink_to("/dev/null"),
    "/dev/tty": lambda path: path.symlink_to("/dev/tty"),
    "/proc/self/status": lambda path: path.symlink_to("/proc/self/status"),
    "/proc/kmsg": lambda path: path.symlink_to("/proc/kmsg"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "dangling link": lambda path: path.symlink_to("nowhere.jsonl"),
    "sparse": _sparse,
    "unreadable": _unreadable,
}


def _try_special(command: str, path: Path) -> str:
    if command in ("advise", "export"):
        code, wrong = command_on([command, str(path)])
        return wrong or ("" if code == 2 else f"exit code {code}")
    try:
        with bounded(), journal.open_journal(path, discard=command == "overwrite") as opened:
            opened.append(SECOND)
    except RunFileError:
        return ""
    except BaseException as error:
        return f"{error!r}"
    return "it was opened and written"


def _is_as(before: os.stat_result, path: Path) -> bool:
    after = path.lstat()
    return (before.st_mode, before.st_ino, before.st_size) == (
        after.st_mode, after.st_ino, after.st_size,
    )  # fmt: skip


def _replaced_while_open(trials: Trials) -> str:
    trials.clear()
    trials.path.write_bytes(to_line(HEADER))
    other = trials.folder / "other.jsonl"
    with journal.open_journal(trials.path) as opened:
        other.write_bytes(b"the user's own")
        other.replace(trials.path)
        with contextlib.suppress(RunFileError):
            opened.append(SECOND)
    return "" if trials.path.read_bytes() == b"the user's own" else "the user's file was changed"


def _removed_while_open(trials: Trials) -> str:
    trials.clear()
    with journal.open_journal(trials.path) as opened:
        trials.path.unlink()
        try:
            opened.append(HEADER)
        except RunFileError:
            return ""
    return "it went on although nothing is kept"


CLASSES: Final[dict[str, Callable[[Trials], Iterator[Trial]]]] = {
    "cuts": cuts, "flips": flips, "encodings": encodings, "special files": specials,
    "absurd values": forgeries, "rearranged": rearranged,
}  # fmt: skip


def try_class(name: str, count: int, seed: int = 0) -> Trials:
    """Try all inputs of a class, or *count* of them where they are drawn."""
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), random.Random(f"{seed} {name}"), count)
        for label, wrong in CLASSES[name](trials):
            trials.inputs += 1
            if wrong:
                trials.failures.append(f"{label}: {wrong}")
        trials.clear()
    return trials


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", default=",".join(CLASSES))
    options = parser.parse_args()
    bound_memory()
    failed = 0
    print(f"{'class':<16}{'inputs':>8}{'failures':>10}")
    for name in options.classes.split(","):
        trials = try_class(name, options.count, options.seed)
        failed += len(trials.failures)
        print(f"{name:<16}{trials.inputs:>8}{len(trials.failures):>10}", flush=True)
        for each in trials.failures:
            print(f"    {each}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
