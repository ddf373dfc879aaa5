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
import io
import itertools
import json
import os
import pickle
import random
import resource
import signal
import socket
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fakes import HEADER, FakeProbe, a_request, run_into
from rnnprof.cli.main import EXIT_INTERNAL, run
from rnnprof.errors import RunFileError
from rnnprof.runfile import journal
from rnnprof.runfile.lines import digest, to_line
from rnnprof.runfile.points import Grid

ROOT: Final = Path(__file__).parents[2]
GOLDEN: Final = ROOT / "tests" / "golden" / "run-2.jsonl"
REPORTS: Final = ROOT / "reports"
SWEEP: Final = REPORTS / "cpu-amd-epyc" / "2026-11-24" / "lstm-1GiB" / "lstm-1GiB.jsonl"
STUDY: Final = REPORTS / "rules-of-thumb" / "adding-problem-100.jsonl"

CPU_S: Final = 10
"""The most processor time for a command; the slowest takes two seconds when nothing is wrong."""

WALL_S: Final = 120
"""The most time for a command on a busy machine: only what waits for ever takes longer."""

MEMORY_BYTES: Final = 4 << 30
"""Address space that the commands may take beyond what the campaign has at its start."""

REPORT_EVERY: Final = 50
"""The report, which takes a second, is made of every 50th forged file that loads."""

SECOND: Final = a_request(Grid((8,), (16,)), request="again")

Trial = tuple[str, str]
"""What was tried, and what went wrong; empty if nothing did."""


# -- the bases


def small_run(folder: Path) -> bytes:
    """A finished run of one point."""
    path = folder / "small.jsonl"
    run_into(path, FakeProbe(limit_bytes=8 << 20), Grid((1,), (20,)))
    content = path.read_bytes()
    path.unlink()
    return content


def bases() -> dict[str, bytes]:
    """Small real run files of each command."""
    sweep, study = _thinned(SWEEP, 14), _thinned(STUDY, 5)
    return {
        "profile": GOLDEN.read_bytes(),
        "certified": b"".join(sweep),
        "max-batch": b"".join(_without_times(sweep, "max-batch")),
        "check": b"".join(_without_times(sweep, "fits")),
        "trainability": b"".join(study),
    }


def _thinned(path: Path, most: int) -> list[bytes]:
    """A run's lines, at most so many of a kind, and of all lists only the first items."""
    seen: dict[str, int] = {}
    lines = []
    for line in path.read_bytes().splitlines():
        body = json.loads(line)
        seen[body["kind"]] = seen.get(body["kind"], 0) + 1
        if seen[body["kind"]] <= most:
            lines.append(signed(json.dumps(_shortened(body), separators=(",", ":"))))
    return lines


def _shortened(value: Any, key: str = "") -> Any:
    if isinstance(value, list):
        return [_shortened(each) for each in (value if key == "attempts" else value[:12])]
    if isinstance(value, dict):
        return {name: _shortened(each, name) for name, each in value.items()}
    return value


def _without_times(lines: list[bytes], command: str) -> Iterator[bytes]:
    for line in lines:
        body = json.loads(line)
        if body["kind"] == "request":
            body["command"] = command
            body["grid"]["batch"] = [] if command == "max-batch" else body["grid"]["batch"]
        if body["kind"] in ("timing", "memory", "calibration"):
            continue
        yield signed(json.dumps(body, separators=(",", ":")))


def signed(text: str) -> bytes:
    """A line of JSON *text* with a checksum that is right."""
    body = json.loads(text) if '"checksum"' in text else None
    if body is not None:
        body.pop("checksum", None)
        text = json.dumps(body, separators=(",", ":"))
    content = text[:-1].encode()
    return content + b',"checksum":"' + digest(content) + b'"}\n'


# -- what is tried with a file


def what_loads(path: Path) -> str:
    """What goes wrong as a file is loaded."""
    before = path.read_bytes()
    try:
        journal.load(path)
    except RunFileError:
        pass
    except BaseException as error:
        return f"load: {error!r}"
    return "" if path.read_bytes() == before else "load changed the file"


def what_appends(path: Path) -> str:
    """What goes wrong as a file is opened, left, opened again and appended to."""
    before = path.read_bytes()
    try:
        with journal.open_journal(path) as opened:
            is_new = opened.run is None
        if path.exists() and path.read_bytes() != before:
            return "opening changed the file"
        path.write_bytes(before)
        with journal.open_journal(path) as opened:
            opened.append(HEADER if is_new else SECOND)
    except RunFileError:
        return "" if path.read_bytes() == before else "a refused file was changed"
    except BaseException as error:
        return f"append: {error!r}"
    return _lost(before, path)


def _lost(before: bytes, path: Path) -> str:
    """What an append lost: each byte from before stands in the file or in the one beside it."""
    after = path.read_bytes()
    saved = [b"", *(each.read_bytes() for each in path.parent.glob(f"{path.name}.torn-*"))]
    if not any(before.endswith(end) and after.startswith(_less(before, end)) for end in saved):
        return "bytes were lost"
    try:
        journal.load(path)
    except RunFileError as error:
        return f"it does not load after an append: {error}"
    return ""


def _less(content: bytes, end: bytes) -> bytes:
    return content[: len(content) - len(end)]


@dataclass
class Trials:
    """A folder of its own for each class, and its failures."""

    folder: Path
    rng: random.Random
    count: int
    failures: list[str] = field(default_factory=list)
    inputs: int = 0

    @property
    def path(self) -> Path:
        return self.folder / "run.jsonl"

    def clear(self) -> None:
        """Remove what the trial before left."""
        for each in self.folder.iterdir():
            if each.is_dir() and not each.is_symlink():
                each.rmdir()
            else:
                each.unlink()

    def journal_trial(self, name: str, content: bytes) -> Trial:
        """Load and append to *content*."""
        self.clear()
        self.path.write_bytes(content)
        return name, what_loads(self.path) or what_appends(self.path)


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


MARK: Final = "@absurd@"

ABSURD: Final = {
    "null": "null", "true": "true", "0": "0", "-1": "-1", "1": "1", "2": "2", "1000": "1000",
    "2^31-1": str((1 << 31) - 1), "2^31": str(1 << 31), "2^53": str(1 << 53),
    "2^63-1": str((1 << 63) - 1), "2^63": str(1 << 63), "10^30": str(10**30),
    "-2^63": str(-(1 << 63)), "5000 digits": "1" * 5000, "0.5": "0.5", "-0.5": "-0.5",
    "1e-300": "1e-300", "1e18": "1e18", "1e308": "1e308", "1e999": "1e999", "NaN": "NaN",
    "-Infinity": "-Infinity", "no text": '""', "text": '"x"', "long text": json.dumps("x" * 60_000),
    "longer text": json.dumps("x " * 500_000), "control": json.dumps("a\x1b[31m\r\nb\0\u202e"),
    "surrogate": '"\\ud800"', "markup": json.dumps("</script><b>|`$x$%s{x}"), "[]": "[]",
    "{}": "{}", "[null]": "[null]", "nested 40": "[" * 40 + "]" * 40,
    "nested 1000": "[" * 1000 + "]" * 1000, "nested objects": '{"a":' * 1000 + "1" + "}" * 1000,
    "many": "[" + ",".join(map(str, range(1, 1001))) + "]",
    "too many": "[" + ",".join(map(str, range(1, 100_001))) + "]",
    "same": "[" + ",".join(["1"] * 5000) + "]", "many texts": json.dumps(["x"] * 5000),
    "descending": "[3,2,1]", "zeros": "[0,0]", "huge": "[1,2147483647]",
    "many keys": json.dumps({f"k{n}": n for n in range(5000)}),
}  # fmt: skip


def forgeries(trials: Trials) -> Iterator[Trial]:
    """One absurd value under a checksum that is right, in any field of any record."""
    originals = bases()
    places = [
        (name, number, path)
        for name, content in originals.items()
        for number, body in _longest(content)
        for path in _paths(body)
    ]
    tried = [(*place, value) for place, value in itertools.product(places, ABSURD)]
    trials.rng.shuffle(tried)
    for number, (name, line, path, value) in enumerate(tried[: trials.count]):
        trials.clear()
        lines = originals[name].splitlines(keepends=True)
        lines[line] = _forged(json.loads(lines[line]), path, ABSURD[value])
        label = f"{name} line {line + 1} {'.'.join(map(str, path))} = {value}"
        yield label, what_commands(trials, b"".join(lines), originals[name], number)


def rearranged(trials: Trials) -> Iterator[Trial]:
    """Records that are lost, doubled, out of order, of another run, or of no invocation."""
    originals = bases()
    names = sorted(originals)
    for number in range(trials.count):
        trials.clear()
        name = trials.rng.choice(names)
        lines = originals[name].splitlines(keepends=True)
        labels = []
        for _ in range(trials.rng.randint(1, 4)):
            change = trials.rng.choice(REARRANGEMENTS)
            labels.append(change.__name__.strip("_"))
            change(lines, trials.rng, originals[trials.rng.choice(names)].splitlines(True))
        label = f"{name} {number}: {', '.join(labels)}"
        yield label, what_commands(trials, b"".join(lines), originals[name], number)


def _line(lines: list[bytes], rng: random.Random) -> int:
    """A line behind the header."""
    return rng.randrange(1, len(lines))


def _drop(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
    first = _line(lines, rng)
    if len(lines) > 8:
        del lines[first : first + rng.choice((1, 1, 3))]


def _double(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
    lines.insert(_line(lines, rng), lines[_line(lines, rng)])


def _swap(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
    one, other = _line(lines, rng), _line(lines, rng)
    lines[one], lines[other] = lines[other], lines[one]


def _from_another(lines: list[bytes], rng: random.Random, others: list[bytes]) -> None:
    lines.insert(_line(lines, rng), others[_line(others, rng)])


def _header_again(lines: list[bytes], rng: random.Random, others: list[bytes]) -> None:
    lines.insert(_line(lines, rng), others[0])


def _as_another(name: str) -> Callable[[list[bytes], random.Random, list[bytes]], None]:
    """Give a record the value that another one has, or one that none has."""

    def change(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
        bodies = [json.loads(line) for line in lines]
        having = [number for number, body in enumerate(bodies) if name in body]
        if having:
            number = rng.choice(having)
            value = rng.choice([bodies[each][name] for each in having])
            body = bodies[number] | {name: rng.choice((value, type(value)("7")))}
            lines[number] = signed(json.dumps(body, separators=(",", ":")))

    change.__name__ = name
    return change


def _wide_grid(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
    for number, line in enumerate(lines):
        body = json.loads(line)
        if body["kind"] == "request":
            body["grid"][rng.choice(("batch", "time_steps"))] = list(range(1, 301))
            lines[number] = signed(json.dumps(body, separators=(",", ":")))
            return


REARRANGEMENTS: Final = (
    _drop, _double, _swap, _from_another, _header_again, _wide_grid,
    *map(_as_another, ("request", "attempt", "batch", "time_steps", "role", "outcome", "worker",
                       "process_index", "limit_bytes", "at_utc", "status", "observes", "wall_s")),
)  # fmt: skip


def _longest(content: bytes) -> list[tuple[int, Any]]:
    """The longest record of each kind, with its line."""
    found: dict[str, tuple[int, int, Any]] = {}
    for number, line in enumerate(content.splitlines()):
        body = json.loads(line)
        if body["kind"] not in found or len(line) > found[body["kind"]][1]:
            found[body["kind"]] = (number, len(line), body)
    return [(number, body) for number, _, body in found.values()]


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a record, of lists the first item's."""
    if at not in ((), ("checksum",)):
        yield at
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _paths(each, (*at, key))
    elif isinstance(value, list) and value:
        yield from _paths(value[0], (*at, 0))


def _forged(body: Any, path: tuple[Any, ...], value: str) -> bytes:
    """The record with JSON text in a place, and its checksum."""
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = MARK
    body.pop("checksum")
    text = json.dumps(body, separators=(",", ":")).replace(json.dumps(MARK), value)
    content = text[:-1].encode()
    return content + b',"checksum":"' + digest(content) + b'"}\n'


BUDGET: Final = """
version = 1

[[fits]]
batch = 8
time-steps = 16

[[peak]]
batch = 16
time-steps = 16
at-most = "1GiB"

[[throughput]]
batch = 8
time-steps = 16
at-least = 1

[[max-batch]]
time-steps = 16
at-least = 8

[growth]
"""


def what_commands(trials: Trials, content: bytes, original: bytes, number: int) -> str:
    """What goes wrong as the commands read a file: all of them if it loads, else one."""
    names = {"run.jsonl": content, "base.jsonl": original, "budget.toml": BUDGET.encode()}
    for name, each in names.items():
        (trials.folder / name).write_bytes(each)
    path, base, budget = (str(trials.folder / name) for name in names)
    commands = [["advise", path]]
    try:
        with bounded():
            journal.load(trials.path)
    except RunFileError:
        pass
    except BaseException as error:
        return f"load: {_where(error)}"
    else:
        commands += [
            ["advise", "--json", path], ["export", path], ["export", "--format", "json", path],
            ["compare", base, path], ["compare", path, base],
            ["check", path, "--budget", budget],
            ["check", path, "--budget", budget, "--baseline", base],
        ]  # fmt: skip
        if number % REPORT_EVERY == REPORT_EVERY - 1:
            commands.append(["report", path, "-o", str(trials.folder / "report")])
    wrong = [wrong for command in commands if (wrong := command_on(command)[1])]
    if trials.path.read_bytes() != content:
        wrong.append("the file was changed")
    for each in trials.folder.glob("report/*"):
        each.unlink()
    return "; ".join(wrong)


class TookTooLongError(BaseException):
    """The time of a command is over."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Bound the time of what runs within."""

    def stop(*_: object) -> None:
        raise TookTooLongError

    numbers = (signal.SIGALRM, signal.SIGPROF)
    before = [signal.signal(number, stop) for number in numbers]
    signal.alarm(WALL_S)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def command_on(arguments: list[str]) -> tuple[int | None, str]:
    """The exit code of a command in this process, and what is wrong with how it went."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    try:
        with bounded(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    except BaseException as error:
        return None, f"{arguments[0]}: {_where(error)}"
    err.seek(0)
    text = err.read()
    if code == EXIT_INTERNAL or "Traceback" in text:
        return code, f"{' '.join(arguments[:2])[:20]}: {text.strip()[:300]}"
    return code, ""


def _where(error: BaseException) -> str:
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if "rnnprof" in each.filename
    ]
    place = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:4])
    return f"{type(error).__name__}: {str(error)[:100]} at {place}"


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


def bound_memory() -> None:
    """Bound the address space of this process."""
    status = Path("/proc/self/statm").read_text()
    now_bytes = int(status.split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + MEMORY_BYTES, hard))


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
