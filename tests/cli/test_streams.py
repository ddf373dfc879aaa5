"""Standard streams that are closed, full or without a reader."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from rnnprof.cli.streams import Output

FULL = "rnnprof: cannot write the answer to stdout: No space left on device\n"
COMMAND = f"{sys.executable} -m rnnprof"


FULL = "rnnprof: cannot write the answer to stdout: No space left on device\n"


def shell(text: str, folder: Path) -> tuple[int, str]:
    """The exit code and stderr of a line for the shell."""
    done = subprocess.run(
        ["/bin/bash", "-c", text], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--help > /dev/full", 2, FULL),
        ("--version >&-", 0, ""),
        ("--version <&- >&- 2>&-", 0, ""),
        ("--version 2> /dev/full", 0, ""),
        ("--version > /dev/full 2> /dev/full", 2, ""),
        ("export none.jsonl 2>&-", 2, ""),
        ("--version | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("export none.jsonl 2>&1 | true; exit ${PIPESTATUS[0]}", 2, ""),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_commands_own_or_tells_of_a_lost_answer(
    line: str, code: int, said: str, tmp_path: Path
) -> None:
    assert shell(f"{COMMAND} {line}", tmp_path) == (code, said)


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = (
        "import os; from rnnprof.cli.streams import guard; guard()\n"
        "print(os.open('file', os.O_CREAT | os.O_WRONLY) > 2, file=open('answer', 'w'))"
    )
    assert shell(f'{sys.executable} -c "{script}" <&- >&- 2>&-', tmp_path) == (0, "")
    assert (tmp_path / "answer").read_text() == "True\n"


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    content = b"x" * (1 << 18)
    child = os.fork()
    if child == 0:
        os.close(writing)
        received = 0
        while part := os.read(reading, 1 << 12):
            received += len(part)
        os._exit(0 if received == len(content) else 1)
    os.close(reading)
    output = Output(writing)
    left = memoryview(content)
    while left:
        left = left[output.write(left) :]
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_terminal_that_was_closed_is_no_failure() -> None:
    controller, terminal = pty.openpty()
    os.close(controller)
    output = Output(terminal)
    assert output.write(b"text") == 4
    assert output.failure is None
    os.close(terminal)


def test_a_failure_is_kept_and_what_follows_is_dropped() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        output = Output(full.fileno())
        assert (output.write(b"text"), output.write(b"more")) == (4, 4)
    assert output.failure is not None
