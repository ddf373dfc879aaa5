"""Every reader of TOML, given what it cannot expect: one message, an exit code, and an end.

    python -m campaigns.toml_inputs [--count 1500] [--seed 0] [--plant]

Valid files of each reader are changed at random (lines, letters, keys, values), and files are built
to hurt: nested deeply, endless, binary, huge.  Each goes through the real command line in this
process, with a run that is measured already, so that nothing is measured.  ``--plant`` puts a fault
into the reader, which the campaign must find.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from unittest import mock

from campaigns.campaign import in_process
from fakes import FakeProbe, run_into
from rnnprof import toml_file
from rnnprof.errors import BadInputError, RnnprofError
from rnnprof.runfile.points import Grid

GOOD_CODES: Final = frozenset({0, 1, 2, 3, 5})
LIMIT_S: Final = 30
"""No reader takes a second; a machine that is busy may."""

RUN: Final = "run.jsonl"
PYTHONS_WORDS: Final = ("set_int_max_str_digits", "Traceback", "object", "codec")
"""What no message of ours says."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of TOML: the file that it reads, the command, and a valid file."""

    file: str
    command: tuple[str, ...]
    valid: str


PROFILE: Final = ("profile", "--no-report", "--device", "cpu")
READERS: Final = {
    "configuration": Reader("rnnprof.toml", PROFILE, """
cell = "gru"
hidden-size = 64
layers = 2
bidirectional = true
dropout = 0.1
batch = "8:64:x2"
time-steps = "16,32"
memory-limit = "1GiB"
headroom = "5%"
timeout = 30
seed = 3
verbose = 1
"""),
    "pyproject": Reader("pyproject.toml", PROFILE, """
[project]
name = "x"
[tool.rnnprof]
cell = "lstm"
input-size = 32
batch = "4,8"
memory-limit = "512MiB"
no-prune = true
[tool.other]
a = [1, 2, {b = 3}]
"""),
    "workload": Reader("work.toml", (*PROFILE, "--workload", "work.toml"), """
cell = "rnn-tanh"
impl = "loop"
input-size = 8
hidden-size = 16
layers = 1
proj-size = 0
dtype = "fp32"
optimizer = "sgd"
mode = "train"
"""),
    "budget": Reader("budget.toml", ("check", RUN, "--budget", "budget.toml"), """
version = 1
[workload]
cell = "lstm"
[measure]
memory-limit = "64MiB"
at-most = 512
[[fits]]
batch = 4
time-steps = 16
headroom = "5%"
[[max-batch]]
time-steps = 16
at-least = 4
[[peak]]
batch = 4
time-steps = 16
at-most = "40MiB"
of = "charged"
[[throughput]]
batch = 4
time-steps = 16
at-least = 1.5
[growth]
memory = "1%"
time = 0.05
batch = "4,512"
time-steps = 16
"""),
    "gpu": Reader("gpu.toml", ("profile", "--no-report", "--simulate", "gpu.toml"), """
name = "My GPU"
memory = "16GiB"
multiprocessors = 40
capability = "7.5"
context = "216MiB"
l2 = "4MiB"
sm-clock-mhz = 1590
memory-clock-mhz = 5001
memory-bus-bits = 256
"""),
}  # fmt: skip

ODD_VALUES: Final = (
    "1979-05-27T07:32:00Z", "1979-05-27", "07:32:00", "inf", "-inf", "nan", "-nan", "0", "-0", "-1",
    "0x" + "f" * 5000, "9" * 4000, "9" * 5000, "1e400", "1e-400", "0.0", "true", "false", "[]",
    "[[]]", "{}", '{a = 1, "b\\n" = 2}', '""', "''", '"\\u0000"', '"\\u001b[2J"', '"\\u202e"',
    '"a\\nb"', '"' + "x" * 5000 + '"', '"\\U0001F480"', "[1, 'a', 2.5, [true]]", '"nan"', '"inf%"',
    '"1e999GiB"', '"8:8:x1"', '"1:999999999:+1"', '"-"', '"/dev/zero"', '"."', "4.0", "4.5",
    "9223372036854775808", "-9223372036854775809", '"\\ud7ff"', '"%"', "[[1,2],[3]]", '["k"]',
)  # fmt: skip
ODD_KEYS: Final = (
    '""', '"\\n"', '"\\u001b]0;x\\u0007"', '"' + "k" * 3000 + '"', '"\\u202e"', "cel", "CELL",
    "batch_size", '"a.b"', "a.b.c", '"\\u0000"', '"\\U0010FFFF"', "-", "_", "0", '"ключ"',
    "version", "workload", "measure", "fits", "peak", "growth", "name", "memory",
)  # fmt: skip


def changed(text: str, rng: random.Random) -> bytes:
    """A valid file with one to four changes."""
    lines = text.strip().splitlines()
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines)) if lines else 0
        rng.choice(CHANGES)(lines, at, rng)
    content = "\n".join(lines).encode()
    return rng.choice(WRAPS)(content, rng) if rng.random() < 0.3 else content


def _value(lines: list[str], at: int, rng: random.Random) -> None:
    if lines and "=" in lines[at]:
        lines[at] = f"{lines[at].partition('=')[0]}= {rng.choice(ODD_VALUES)}"


def _key(lines: list[str], at: int, rng: random.Random) -> None:
    if lines and "=" in lines[at]:
        lines[at] = f"{rng.choice(ODD_KEYS)} ={lines[at].partition('=')[2]}"


def _new(lines: list[str], at: int, rng: random.Random) -> None:
    lines.insert(at, f"{rng.choice(ODD_KEYS)} = {rng.choice(ODD_VALUES)}")


def _drop(lines: list[str], at: int, rng: random.Random) -> None:
    del lines[at : at + 1]


def _twice(lines: list[str], at: int, rng: random.Random) -> None:
    lines[at:at] = lines[at : at + 1]


def _table(lines: list[str], at: int, rng: random.Random) -> None:
    key = rng.choice(ODD_KEYS)
    lines.insert(at, rng.choice((f"[{key}]", f"[[{key}]]")))


def _letter(lines: list[str], at: int, rng: random.Random) -> None:
    if lines and lines[at]:
        place = rng.randrange(len(lines[at]))
        odd = chr(rng.choice((0, 7, 9, 27, 34, 39, 46, 61, 91, 93, 127, 0x202E, 0x1F480)))
        lines[at] = lines[at][:place] + odd + lines[at][place + rng.randint(0, 1) :]


CHANGES: Final = (_value, _value, _key, _new, _drop, _twice, _table, _letter)
WRAPS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    lambda content, _: b"\xef\xbb\xbf" + content,
    lambda content, _: content.replace(b"\n", b"\r\n"),
    lambda content, _: content.replace(b"\n", b"\r"),
    lambda content, rng: content[: rng.randrange(len(content) + 1)],
    lambda content, rng: content + rng.randbytes(20),
    lambda content, _: content.decode().encode("utf-16"),
    lambda content, _: content + b"\0",
)


def hostile(place: Path, rng: random.Random) -> str:
    """Make something at *place* that no reader expects; what it is."""
    name = rng.choice(sorted(CONTENTS) + sorted(PLACES))
    if name in CONTENTS:
        place.write_bytes(CONTENTS[name](rng))
    else:
        PLACES[name](place)
    return name


CONTENTS: Final[dict[str, Callable[[random.Random], bytes]]] = {
    "lists 1500 deep": lambda _: b"x = " + b"[" * 1500 + b"]" * 1500,
    "lists not closed": lambda _: b"x = " + b"[" * 50_000,
    "tables 1500 deep": lambda _: b"x = " + b"{a = " * 1500 + b"1" + b"}" * 1500,
    "key of many parts": lambda rng: b".".join([b"a"] * rng.choice((90, 1500, 200_000))) + b" = 1",
    "table of many parts": lambda rng: (
        b"[" + b". ".join([b"a"] * rng.choice((1500, 99_000))) + b"]"
    ),
    "decimal digits": lambda rng: b"batch = " + b"9" * rng.choice((4300, 4301, 5000, 500_000)),
    "fraction digits": lambda rng: b"dropout = 0." + b"1" * rng.choice((5000, 500_000)),
    "hexadecimal digits": lambda rng: b"layers = 0x" + b"f" * rng.choice((16, 5000, 500_000)),
    "10 MB": lambda _: b"# " + b"x" * 10_000_000,
    "many tables": lambda _: b"".join(b"[a%d]\n" % number for number in range(20_000)),
    "many entries": lambda _: b"version = 1\n" + b"[[fits]]\nbatch = 4\ntime-steps = 16\n" * 5000,
    "binary": lambda rng: rng.randbytes(rng.choice((1, 100, 100_000))),
    "nothing": lambda _: b"",
    "mark alone": lambda _: b"\xef\xbb\xbf",
    "null bytes": lambda _: b"\0" * 10_000,
    "long string": lambda _: b'cell = "' + b"x" * 500_000 + b'"',
    "long key": lambda _: b"k" * 500_000 + b" = 1",
    "escapes": lambda _: b'cell = "' + rb"\u001b[2J\u202e" * 10 + b'"',
    "latin-1": lambda _: b"name = 'Caf\xe9'",
}
PLACES: Final[dict[str, Callable[[Path], None]]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "link to itself": lambda place: place.symlink_to(place.name),
    "link to nothing": lambda place: place.symlink_to("nothing"),
    "endless device": lambda place: place.symlink_to("/dev/zero"),
    "empty device": lambda place: place.symlink_to("/dev/null"),
}


class _ReachedError(RnnprofError):
    """The input was understood: from here on it would be measured."""

    exit_code = 0


@dataclass(slots=True)
class Tally:
    """How many inputs of each class were tried, and which failed."""

    tried: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, fault: str | None) -> None:
        """Count an input, and what was wrong with the answer."""
        self.tried[kind] += 1
        if fault is not None:
            self.failures.setdefault(kind, []).append(fault)

    def lines(self) -> Iterator[str]:
        """The table."""
        yield f"{'class':32} {'inputs':>7} {'failures':>9}"
        for kind, count in sorted(self.tried.items()):
            failed = self.failures.get(kind, [])
            yield f"{kind:32} {count:7} {len(failed):9}"
            yield from (f"    {fault}" for fault in failed[:3])


def attempt(reader: Reader, make: Callable[[Path], object]) -> str | None:
    """Let *make* write the reader's file in an empty folder and give the command; the fault."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        run_into(Path(RUN), FakeProbe(limit_bytes=32 << 20), Grid((4, 512), (16,)))
        make(Path(reader.file))
        return fault_of(*answer(reader.command))


def answer(command: tuple[str, ...]) -> tuple[int, str]:
    """The exit code and what stands on stderr; a command that hangs ends as a bug."""

    def hangs(*_: object) -> None:
        raise TimeoutError(f"no end within {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LIMIT_S)
    reached = mock.patch("rnnprof.jobs.run_order", side_effect=_ReachedError("understood"))
    try:
        with reached:
            code, _, said = in_process(command)
    except BaseException as error:
        return -1, f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return code, said.decode()


def fault_of(code: int, said: str) -> str | None:
    """What is wrong with an answer; None where nothing is."""
    shown = ascii(said[:300])
    if code not in GOOD_CODES or "no end within" in said:
        return f"exit code {code}: {shown}"
    odd = [char for char in said if not (char.isprintable() or char == "\n")]
    if odd:
        return f"characters {odd[:3]} in {shown}"
    messages = [line for line in said.splitlines() if line.startswith(("rnnprof: ", "Error: "))]
    if code == 2 and len(messages) != 1:
        return f"{len(messages)} messages: {shown}"
    words = [word for word in PYTHONS_WORDS if word in said]
    return f"Python's words {words} in {shown}" if words else None


def campaign(count: int, seed: int) -> Tally:
    """Give each reader its share of *count* inputs, a third of them hostile."""
    rng, tally = random.Random(seed), Tally()
    with mock.patch.object(toml_file, "SILENCE_MS", 50):
        for number in range(count):
            name, reader = list(READERS.items())[number % len(READERS)]
            if rng.random() < 1 / 3:
                kinds: list[str] = []
                fault = attempt(reader, lambda place: kinds.append(hostile(place, rng)))  # noqa: B023
                tally.note(f"hostile: {kinds[0]}", fault and f"{name}: {fault}")
            else:
                content = changed(reader.valid, rng)
                fault = attempt(reader, lambda place: place.write_bytes(content))  # noqa: B023
                tally.note(f"changed: {name}", fault and f"{fault} of {content[:200]!r}")
    return tally


@contextlib.contextmanager
def planted() -> Iterator[None]:
    """A reader that lets what Python raises for deep nesting and long numbers out."""
    import tomllib

    def plain(text: str, called: str) -> dict[str, object]:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadInputError(f"{called} is not valid TOML: {error}") from None

    with mock.patch.object(toml_file, "_table", plain):
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plant", action="store_true", help="with a fault that must be found")
    arguments = parser.parse_args()
    with planted() if arguments.plant else contextlib.nullcontext():
        tally = campaign(arguments.count, arguments.seed)
    print("\n".join(tally.lines()))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
