"""A noise on the real machine is seen, judged, repeated once and told."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns.campaign import Command, Ended, load, profile_command
from campaigns.groups import NoGroupError, cpu_group, within
from rnnprof.points.noise import judge
from rnnprof.points.reasons import ProcessorTaken, Taker
from rnnprof.reasons import Reason, Reasons
from rnnprof.runfile.observations import Timing
from rnnprof.runfile.records import Run

pytestmark = [pytest.mark.alone, pytest.mark.slow]

COMMAND = [
    *(sys.executable, "-m", "rnnprof", "profile", "--hidden-size", "128", "--input-size", "64"),
    *("--batch", "16", "--time-steps", "32", "--point-seconds", "1", "--memory-limit", "256MiB"),
    *("-o", "run.jsonl", "--no-certify", "--no-report"),
]
"""One point whose steps take long enough for the kernel's ticks of 10 ms to count them."""


@contextlib.contextmanager
def busy_strangers() -> Iterator[None]:
    """A busy loop on each processor that this process may use."""
    code = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    strangers = [
        subprocess.Popen([sys.executable, "-c", code, str(number)])
        for number in sorted(os.sched_getaffinity(0))
    ]
    try:
        yield
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()


def profiled(command: list[str], folder: Path) -> tuple[Ended, Run, list[Reason | None]]:
    """The end of the command, its run, and what made each timing pass noisy, in order."""
    ended = Command.start(command, folder).end()
    assert ended.exit_code == 0, ended.stderr
    run = load(folder)
    assert run is not None
    timings = [o for o in run.observations if isinstance(o, Timing)]
    return ended, run, [judge(timing.conditions) for timing in timings]


def takers(noise: Reason | None) -> set[Taker]:
    """Who took processor time from a pass."""
    parts = noise.parts if isinstance(noise, Reasons) else (noise,)
    return {part.taker for part in parts if isinstance(part, ProcessorTaken)}


def test_a_busy_stranger_is_seen_repeated_and_told(tmp_path: Path) -> None:
    with busy_strangers():
        ended, _, judged = profiled(COMMAND, tmp_path)
    assert len(judged) == 2, "repeated once, and only once"
    assert all(Taker.OTHERS in takers(noise) for noise in judged), judged
    assert ended.stderr.count("timing it again") == 1
    assert "B=16 T=32: other processes took" in ended.stderr
    assert "other processes took" in ended.stdout


def test_a_quota_that_stops_the_pass_is_seen_repeated_and_told(tmp_path: Path) -> None:
    try:
        with cpu_group(0.7) as group:
            ended, _, judged = profiled(within(group, COMMAND), tmp_path)
    except NoGroupError as error:
        pytest.skip(str(error))
    assert len(judged) == 2, "repeated once, and only once"
    assert all(judged), judged
    # a machine that is busy besides may keep the pass from reaching its quota once
    assert any(Taker.QUOTA in takers(noise) for noise in judged), judged
    assert ended.stderr.count("timing it again") == 1
    assert "the cgroup's quota stopped the process" in ended.stderr


def test_without_a_stranger_nothing_of_that_kind_is_said(tmp_path: Path) -> None:
    """On a machine that is itself busy this cannot be seen: then it is told, as it must be."""
    ended, _, judged = profiled(profile_command("--batch", "2", "--time-steps", "4"), tmp_path)
    assert ("timing it again" in ended.stderr) == (judged[0] is not None)
