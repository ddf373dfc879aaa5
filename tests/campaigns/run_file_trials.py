"""What the campaign of run files tries: small real runs, the journal, bounded commands."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from campaigns.campaign import in_process
from fakes import HEADER, FakeProbe, a_request, run_into
from rnnprof.cli.main import EXIT_INTERNAL
from rnnprof.errors import RunFileError
from rnnprof.runfile import journal
from rnnprof.runfile.lines import digest
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
    try:
        with bounded():
            code, _, err = in_process(arguments)
    except BaseException as error:
        return None, f"{arguments[0]}: {_where(error)}"
    text = err.decode()
    if code == EXIT_INTERNAL or "Traceback" in text:
        return code, f"{' '.join(arguments[:2])[:20]}: {text.strip()[:300]}"
    return code, ""


def _where(error: BaseException) -> str:
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if "rnnprof" in each.filename
    ]
    place = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:4])
    return f"{type(error).__name__}: {str(error)[:100]} at {place}"


def bound_memory() -> None:
    """Bound the address space of this process."""
    status = Path("/proc/self/statm").read_text()
    now_bytes = int(status.split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + MEMORY_BYTES, hard))
