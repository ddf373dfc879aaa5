"""Ctrl-C and SIGTERM at any moment: no traceback."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def ended(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process that hears Ctrl-C and runs *code*."""
    return subprocess.run(
        [sys.executable, "-c", HEARING + code, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_ctrl_c_while_the_command_line_is_loaded_is_left_to_the_system() -> None:
    code = (
        "import builtins\n"
        "real = builtins.__import__\n"
        "def load(name, *rest):\n"
        "    if name == 'click':\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = load\n"
        "from rnnprof.__main__ import main\n"
        "main()\n"
    )
    done = ended(code)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_stop_while_an_object_is_deleted_is_not_lost() -> None:
    code = (
        "import sys, time\n"
        "from rnnprof.cli import main\n"
        "class Odd:\n"
        "    def __del__(self): signal.raise_signal(signal.SIGINT)\n"
        "def work(**_):\n"
        "    Odd()\n"
        "    time.sleep(30)\n"
        "main.cli.main = work\n"
        "main.main([])\n"
    )
    done = ended(code)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_second_ctrl_c_while_the_first_is_answered() -> None:
    code = (
        "from rnnprof.cli import main\n"
        "def work(**_):\n"
        "    try: raise KeyboardInterrupt\n"
        "    finally: signal.raise_signal(signal.SIGINT)\n"
        "main.cli.main = work\n"
        "real = main.streams.flush\n"
        "main.streams.flush = lambda: (signal.raise_signal(signal.SIGINT), real())\n"
        "main.main([])\n"
    )
    done = ended(code)
    assert (done.returncode, done.stderr) == (130, "")


def test_the_library_does_not_touch_signals() -> None:
    done = ended("import rnnprof; print(signal.getsignal(2) is signal.default_int_handler)")
    assert done.stdout == "True\n"


def test_early_interrupts_print_nothing_of_ours() -> None:
    """What is left is Python's own start, before any line of rnnprof."""
    rng = random.Random(0)
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-m", "rnnprof", "--help"], stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(2, signal.SIG_DFL),
        )  # fmt: skip
        time.sleep(rng.uniform(0, 0.04))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode in {0, 1, 130, -signal.SIGINT}
        assert "rnnprof" not in said, said


def test_a_module_of_the_working_folder_is_not_taken_for_pythons(tmp_path: Path) -> None:
    for name in ("json", "signal", "click", "enum", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the user')\n")
    done = subprocess.run(
        [sys.executable, "-m", "rnnprof", "doctor", "--json"], cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
