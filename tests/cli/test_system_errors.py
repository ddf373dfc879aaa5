"""What the system refuses is told with what to do; a bug stays a bug."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from rnnprof.cli.main import cli, run
from rnnprof.cli.system_errors import explained


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "", "run.jsonl"), 2, "run.jsonl: No space left on device: free"),
        (OSError(errno.EMFILE, ""), 4, "raise the limit on open files (ulimit -n)"),
        (BlockingIOError(errno.EAGAIN, ""), 4, "raise the limit on processes (ulimit -u)"),
        (OSError(errno.ENAMETOOLONG, "", "x\n"), 2, "give it a shorter name"),
        (OSError("no cache folder can be written"), 2, "no cache folder can be written"),
        (MemoryError(), 4, "the memory does not suffice"),
        (RecursionError(), 2, "nested too deeply"),
        (RuntimeError("can't start new thread"), 4, "no thread can be started"),
        (ImportError("x.so: failed to map segment from shared object"), 4, "memory"),
    ],
)
def test_a_refusal_is_one_message(
    error: Exception, code: int, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", refused)
    assert run(["profile"]) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("rnnprof: ")
    assert "bug" not in told


@pytest.mark.parametrize("error", [OSError(errno.EBADF, ""), ValueError("x"), RuntimeError("x")])
def test_a_bug_is_none_of_these(error: Exception) -> None:
    assert explained(error) is None


def test_too_little_address_space_is_no_failed_gate() -> None:
    """OpenBLAS would end the process with 1."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))

    done = subprocess.run(
        [sys.executable, "-m", "rnnprof", "check", "run.jsonl"], preexec_fn=limit,
        capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 4
    assert "raise it (ulimit -v 327680)" in done.stderr
