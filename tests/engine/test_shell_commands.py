"""The user's commands around a script: in their folder, without input, and told if they fail."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnnprof.engine.shell_commands import run_command
from rnnprof.errors import BadInputError
from rnnprof.redaction import Secrets


def test_it_runs_through_the_shell_in_its_folder_and_reads_nothing(tmp_path: Path) -> None:
    run_command("--setup", "cat > read && pwd > where; echo quiet", tmp_path)
    assert (tmp_path / "read").read_bytes() == b""
    assert (tmp_path / "where").read_text().strip() == str(tmp_path)


def test_a_failure_names_the_command_its_code_and_its_last_lines(tmp_path: Path) -> None:
    command = "for i in 1 2 3 4 5 6 7; do echo line $i; done; echo no data >&2; exit 3"
    with pytest.raises(BadInputError) as failed:
        run_command("--prepare", command, tmp_path)
    first, *said = str(failed.value).splitlines()
    assert first == f"--prepare {command!r} failed with exit code 3"
    assert said == ["last lines printed:", *(f"  line {i}" for i in (4, 5, 6, 7)), "  no data"]


def test_a_signal_and_silence_are_told() -> None:
    with pytest.raises(BadInputError) as failed:
        run_command("--setup", "kill -9 $$")
    assert str(failed.value).splitlines()[1:] == ["it printed nothing"]
    assert "failed with signal 9 (SIGKILL)" in str(failed.value)


def test_secrets_are_struck() -> None:
    secrets = Secrets(texts=("hunter2hunter2",))
    with pytest.raises(BadInputError) as failed:
        run_command("--setup", "echo key hunter2hunter2; false", secrets=secrets)
    assert "hunter2" not in str(failed.value)
    assert "  key ***" in str(failed.value)


def test_what_it_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    began_s = time.monotonic()
    run_command("--setup", "sleep 30 & echo $! > pid", tmp_path)
    assert time.monotonic() - began_s < 10
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
def _stops() -> Iterator[None]:
    """Ctrl-C raises here, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_stops")
def test_a_stop_ends_it_with_all_that_it_has_started(tmp_path: Path) -> None:
    def interrupt() -> None:
        for _ in range(500):
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                break
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_command("--setup", "sleep 60 & echo $! > pid; wait", tmp_path)
    thread.join()
    child = int((tmp_path / "pid").read_text())
    for _ in range(200):  # its new parent reaps it
        if not Path(f"/proc/{child}").exists() or _is_zombie(child):
            return
        time.sleep(0.01)
    pytest.fail("the child of the command runs on")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
