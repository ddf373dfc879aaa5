"""What every injected fault needs: the real command, who it leaves behind, what it kept."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest.mock import patch

from leaving import noted
from rnnprof.cli.main import run
from rnnprof.points.fold import fold_run
from rnnprof.points.noise import judge
from rnnprof.runfile import journal
from rnnprof.runfile.observations import Observation, Timing
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Run

FACTORIES: Final = Path(__file__).parents[1] / "faulty.py"
RUN_FILE: Final = "run.jsonl"

ORPHAN_GRACE_S: Final = 5.0
"""What a command started may live on for this long after it."""

_MARK: Final = "FAULT_CAMPAIGN_MARK"
"""A variable that every descendant inherits, so that one is found whoever its parent is now."""


def profile_command(*arguments: str, **factory_args: object) -> list[str]:
    """``rnnprof profile`` of the factory that goes wrong on demand."""
    pairs = [f"{name}={value}" for name, value in factory_args.items()]
    return [
        *(sys.executable, "-m", "rnnprof", "profile", "--no-report"),
        *("--factory", f"{FACTORIES}:make"),
        *(word for pair in pairs for word in ("--factory-arg", pair)),
        *("--point-seconds", "0.05", "-o", RUN_FILE),
        *arguments,
    ]


def in_process(arguments: Sequence[str], encoding: str = "utf-8") -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of a command in this process, on streams as its own are."""
    streams = io.BytesIO(), io.BytesIO()
    out, err = (
        io.TextIOWrapper(each, encoding, errors="backslashreplace", write_through=True)
        for each in streams
    )
    argv = ["rnnprof", *arguments]
    with redirect_stdout(out), redirect_stderr(err), patch("sys.argv", argv):
        code = run(arguments)
    return code, streams[0].getvalue(), streams[1].getvalue()


@dataclass(slots=True)
class Command:
    """A command under way in a folder of its own, and everything that it started."""

    process: subprocess.Popen[str]
    mark: str
    folder: Path

    @classmethod
    def start(cls, command: Sequence[str], folder: Path) -> Command:
        """Start *command* as the leader of a session, as a shell would."""
        mark = uuid.uuid4().hex
        kept = {key: text for key, text in os.environ.items() if not key.startswith("RNNPROF_")}
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, _MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        return cls(process, mark, folder)

    def end(self, timeout_s: float = 120.0, ended_by: Callable[[], object] = lambda: None) -> Ended:
        """Wait for its end and a grace for the processes that it started; then end those.

        Args:
            ended_by: is called as soon as it has ended.
        """
        try:
            stdout, stderr = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            stdout, stderr = self.process.communicate()
            stderr += f"\nstill running after {timeout_s} s"
        ended_by()
        orphans = self._orphans()
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        return Ended(self.process.returncode, stdout, stderr, len(orphans))

    def _orphans(self) -> list[int]:
        until_s = time.monotonic() + ORPHAN_GRACE_S
        while (found := self._left()) and time.monotonic() < until_s:
            time.sleep(0.02)
        return found

    def _left(self) -> list[int]:
        """What has the mark, and what has noted itself: it may have cleared its environment."""
        return sorted({*marked(self.mark), *noted(self.folder)})


def marked(mark: str) -> list[int]:
    """The processes that have inherited *mark*."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        exit_code: negative where a signal ended it.
        orphans: processes that it started and that were alive some seconds after it.
    """

    exit_code: int
    stdout: str
    stderr: str
    orphans: int

    @property
    def tracebacks(self) -> int:
        """Tracebacks among what it printed."""
        return self.stderr.count("Traceback (most recent call last)")

    @property
    def message(self) -> str:
        """The line that tells what went wrong, or else the last."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("rnnprof: ")]
        return (told or lines or [""])[-1]


def load(folder: Path) -> Run | None:
    """The run of *folder*; None where it has none yet.

    Raises:
        RunFileError: the file is damaged.
    """
    path = folder / RUN_FILE
    return journal.read(path.read_bytes(), path) if path.exists() else None


def observations(run: Run | None) -> tuple[Observation, ...]:
    """What *run* holds."""
    return run.observations if run else ()


def lost(before: Run | None, after: Run | None) -> int:
    """Observations of *before* that are not, in their place, in *after*."""
    kept = observations(after)
    return sum(
        index >= len(kept) or kept[index] != observation
        for index, observation in enumerate(observations(before))
    )


def repeated(run: Run) -> int:
    """Measured passes that were measured again, though nothing had noisy them."""
    seen: dict[tuple[Point, str, int], Observation] = {}
    count = 0
    for now in run.observations:
        if now.role is not Role.GRID or now.outcome is not Outcome.MEASURED:
            continue
        key = (now.point, type(now).__name__, now.process_index)
        before = seen.get(key)
        if before is not None:
            noisy = isinstance(before, Timing) and judge(before.conditions) is not None
            count += not noisy
        seen[key] = now
    return count


def outcomes(run: Run) -> dict[str, str]:
    """How each point ended."""
    return {str(point): str(found.outcome) for point, found in fold_run(run).items()}
