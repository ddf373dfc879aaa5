"""Help in groups, at 80 columns, and quickly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from rnnprof.cli.main import COMMANDS, run
from rnnprof.cli.table import GROUPS, entries_of

TIMES_CLICK = 1.8
"""Help may take so many times as long as importing what prints it."""

HEAVY = {"rnnprof.runfile.records", "rnnprof.workload", "rnnprof.simulate", "tomllib", "json"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_every_option_in_its_group_within_80_columns(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    heading, found = "", {}
    for line in lines:
        if line.endswith(":") and not line.startswith(" "):
            heading = line[:-1]
        elif line.startswith("  -"):
            found[line.split("--")[1].split()[0]] = heading
    assert found.pop("help") in GROUPS
    if "COMMAND" in found:  # a script is written after --
        found["script"] = found.pop("COMMAND")
    assert found == {entry.key: entry.group for entry in entries_of(name)}


@pytest.mark.parametrize("name", ["profile", "check", "advise"])
def test_texts_of_all_groups_begin_in_one_column(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    options = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  -")]
    beside = [re.fullmatch(r"(  -.*?  +)[^ ].*", line) for line in options]
    columns = {len(found[1]) for found in beside if found is not None}
    assert len(columns) == 1
    assert columns <= set(range(29))


def test_help_imports_no_records() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\n"  # a tool that measures coverage has its own
        "from rnnprof.cli.main import run\nrun(['profile', '--help'])\n"
        f"print(*({HEAVY!r} & set(sys.modules) - before), file=sys.stderr, end='')"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.alone
def test_help_takes_little_longer_than_importing_click() -> None:
    def seconds(*arguments: str) -> float:
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True, env=os.environ
        )
        return time.perf_counter() - begin

    help_s = click_s = float("inf")
    for _ in range(15):  # in turn: what else the machine does falls on both
        click_s = min(click_s, seconds("-c", "import click"))
        help_s = min(help_s, seconds("-m", "rnnprof", "profile", "--help"))
    assert help_s <= TIMES_CLICK * click_s
