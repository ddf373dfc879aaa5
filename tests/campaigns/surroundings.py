"""Bad surroundings: full disks, rights, limits, closed streams, hidden /proc, odd names.

    python -m campaigns.surroundings [--only CLASS] [--count 9] [--measure] [--plant]

Each class of surroundings meets the real commands in a folder with a finished run.  A command ends
with the code that it has without them, or with the one that is stated here for what the system
refuses; without a traceback or an internal error; the run file must not change; and the same
command must work once the cause is gone.  ``--plant`` makes the command line report the system's
refusals as bugs, which the campaign must find.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from campaigns.faults import CannotInjectError
from fakes import FakeProbe, run_into
from rnnprof.runfile.points import Grid

RUN: Final = "run.jsonl"
TIMEOUT_S: Final = 300.0

USUAL: Final = (0, 3, 5)
"""Of the commands without surroundings: a run is no baseline of itself, and nothing fits."""

BUDGET: Final = "version = 1\n[[fits]]\nbatch = 4\ntime-steps = 16\n"
COMMANDS: Final[tuple[tuple[str, ...], ...]] = (
    ("--help",),
    ("--version",),
    ("doctor",),
    ("advise", RUN),
    ("export", RUN, "-o", "out/run.csv"),
    ("export", RUN, "--format", "json"),
    ("compare", RUN, RUN),
    ("check", RUN, "--budget", "budget.toml", "--junit", "out/junit.xml"),
    ("report", RUN, "-o", "out/report", "-q"),
)
MEASURING: Final = (
    "profile", "--batch", "2", "-T", "4", "--memory-limit", "256MiB", "--hidden-size", "16",
    "--point-seconds", "0.05", "--no-report", "-o", "out/p.jsonl", "--overwrite",
)  # fmt: skip

NO_RIGHTS: Final = (
    "setpriv", "--bounding-set", "-dac_override,-dac_read_search",
    "--inh-caps", "-dac_override,-dac_read_search",
)  # fmt: skip
ANYBODY: Final = (
    "setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps", "+dac_override",
    "--ambient-caps", "+dac_override", "--bounding-set", "-sys_resource,-sys_admin",
)  # fmt: skip
"""Another user, whom limits on processes bind, but who may read this checkout."""

PLANT: Final = (
    "import rnnprof.cli.main as main\nmain.explained = lambda error: None\n"
    "main.short_of_memory = lambda: None\nmain.main()\n"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A class of surroundings.

    Attributes:
        prefix: words before the command.
        redirect: for the shell, behind the command.
        around: makes the surroundings in a folder, and takes them away again.
        variables: of the environment; None unsets one.
        refused: exit code where the system refuses what the command needs; None where it refuses
            nothing.
    """

    prefix: tuple[str, ...] = ()
    redirect: str = ""
    around: Callable[[Path], AbstractContextManager[None]] = lambda _: nullcontext()
    variables: tuple[tuple[str, str | None], ...] = ()
    refused: int | None = None
    folder: str = "."


def _mounted(folder: Path, *options: str) -> None:
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    if done.returncode:
        raise CannotInjectError("no file system can be mounted here")


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Where the commands write, two pages are left."""
    _mounted(folder / "out", "-t", "tmpfs", "-o", "size=8192", "tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder / "out")], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Where the commands write, nobody may."""
    _mounted(folder / "out", "-t", "tmpfs", "-o", "ro", "tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder / "out")], check=True)


@contextmanager
def no_right(folder: Path) -> Iterator[None]:
    """A folder of mode 500; the commands run without the right to write everywhere."""
    (folder / "out").chmod(0o500)
    try:
        yield
    finally:
        (folder / "out").chmod(0o755)


@contextmanager
def file_in_the_way(folder: Path) -> Iterator[None]:
    """A file where a folder is expected."""
    (folder / "out").rmdir()
    (folder / "out").write_text("a file")
    try:
        yield
    finally:
        (folder / "out").unlink()
        (folder / "out").mkdir()


def _hidden(what: str) -> tuple[str, ...]:
    return ("unshare", "-m", "sh", "-c", f'{what} && exec "$0" "$@"')


CLASSES: Final = {
    "nothing": Surroundings(),
    "full disk": Surroundings(around=full_disk, refused=2),
    "read-only file system": Surroundings(around=read_only, refused=2),
    "no right to write": Surroundings(prefix=NO_RIGHTS, around=no_right, refused=2),
    "file for a folder": Surroundings(around=file_in_the_way, refused=2),
    "limit on file size": Surroundings(prefix=("prlimit", "--fsize=4096"), refused=2),
    "5 open files": Surroundings(prefix=("prlimit", "--nofile=5"), refused=4),
    "16 open files": Surroundings(prefix=("prlimit", "--nofile=16"), refused=4),
    "no more processes": Surroundings(prefix=(*ANYBODY, "prlimit", "--nproc=1"), refused=4),
    "60 MB address space": Surroundings(prefix=("prlimit", "--as=60000000"), refused=4),
    "200 MB address space": Surroundings(prefix=("prlimit", "--as=200000000"), refused=4),
    "100 MB of data": Surroundings(prefix=("prlimit", "--data=100000000"), refused=4),
    "small stack": Surroundings(prefix=("prlimit", "--stack=200000"), refused=2),
    "stdout full": Surroundings(redirect="> /dev/full", refused=2),
    "stdout closed": Surroundings(redirect=">&-"),
    "stderr closed": Surroundings(redirect="2>&-"),
    "stderr full": Surroundings(redirect="2> /dev/full"),
    "all closed": Surroundings(redirect="<&- >&- 2>&-"),
    "reader gone": Surroundings(redirect="| true; exit ${PIPESTATUS[0]}"),
    "one line read": Surroundings(redirect="| head -n 1; exit ${PIPESTATUS[0]}"),
    "/proc hidden": Surroundings(prefix=_hidden("mount -t tmpfs none /proc"), refused=4),
    "/proc of others hidden": Surroundings(prefix=_hidden("mount -t proc -o hidepid=2 proc /proc")),
    "/sys hidden": Surroundings(prefix=_hidden("mount -t tmpfs none /sys")),
    "garbage in /proc/meminfo": Surroundings(
        prefix=_hidden("mount --bind /bin/true /proc/meminfo"), refused=4),
    "no home": Surroundings(variables=(("HOME", None), ("XDG_CACHE_HOME", None))),
    "home and temporary folder missing": Surroundings(
        variables=(("HOME", "/nowhere"), ("TMPDIR", "/nowhere"), ("XDG_CACHE_HOME", "/nowhere"),
                   ("MPLCONFIGDIR", "/proc/nowhere"))
    ),
    "locale C": Surroundings(variables=(("LC_ALL", "C"), ("PYTHONCOERCECLOCALE", "0"))),
    "streams in ASCII": Surroundings(variables=(("PYTHONIOENCODING", "ascii:strict"),)),
    "working folder gone": Surroundings(
        prefix=("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@"'), refused=2),
    "folder with an odd name": Surroundings(folder="a\nb \x1b[31m\udcff"),
}  # fmt: skip


@dataclass(slots=True)
class Counts:
    """A line of the table."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)


def give(
    around: Surroundings, command: Sequence[str], folder: Path, plant: bool = False
) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RNNPROF_")}
    for name, text in around.variables:
        kept.pop(name, None)
        if text is not None:
            kept[name] = text
    entry = ("-c", PLANT) if plant else ("-m", "rnnprof")
    words = [*around.prefix, sys.executable, *entry, *command]
    done = subprocess.run(
        ["bash", "-c", f'"$@" {around.redirect}', "bash", *words], cwd=folder, env=kept,
        capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stderr.decode(errors="replace")


def fault_of(code: int, said: str, *stated: int | None) -> str | None:
    """What is wrong with an end; None where nothing is."""
    if code not in stated:
        return f"exit code {code}: {said[-300:]!r}"
    odd = ("Traceback", "Exception ignored", "internal error")
    return next((f"{word}: {said[-300:]!r}" for word in odd if word in said), None)


def try_class(
    around: Surroundings, commands: Sequence[Sequence[str]], plant: bool = False
) -> Counts:
    """Give the *commands* in these surroundings, and again without them."""
    counts = Counts()
    for command in commands:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / around.folder
            (folder / "out").mkdir(parents=True)
            Path(name).chmod(0o755)
            run_into(folder / RUN, FakeProbe(limit_bytes=32 << 20), Grid((4, 512), (16,)))
            (folder / "budget.toml").write_text(BUDGET)
            before = (folder / RUN).read_bytes()
            with around.around(folder):
                code, said = give(around, command, folder, plant)
            is_changed = (folder / RUN).read_bytes() != before
            again, said_again = give(Surroundings(), command, folder)
            fault = fault_of(code, said, again, around.refused)
            if is_changed:
                fault = "the run file was changed"
            fault = fault or fault_of(again, said_again, *USUAL)
        counts.tried += 1
        if fault is not None:
            counts.failures.append(f"{' '.join(command[:2])}: {fault}")
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="classes whose name contains this")
    parser.add_argument("--count", type=int, default=len(COMMANDS), help="commands of each class")
    parser.add_argument("--measure", action="store_true", help="a tiny profile as well")
    parser.add_argument("--plant", action="store_true", help="with a fault that must be found")
    arguments = parser.parse_args()
    commands = [*COMMANDS[-arguments.count :], *([MEASURING] if arguments.measure else [])]
    failed = 0
    print(f"{'class':36} {'inputs':>7} {'failures':>9}")
    for name, around in CLASSES.items():
        if arguments.only not in name:
            continue
        try:
            counts = try_class(around, commands, arguments.plant)
        except CannotInjectError as error:
            print(f"{name:36} {'-':>7} {'-':>9}  {error}")
            continue
        failed += len(counts.failures)
        print(f"{name:36} {counts.tried:7} {len(counts.failures):9}", flush=True)
        for fault in counts.failures[:3]:
            print(f"    {fault}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
