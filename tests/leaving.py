"""Processes that a workload leaves behind, each in another way; each notes its number in a file.

They need no torch, and end by themselves after some minutes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

LEFT = "left-behind.txt"
"""In the working directory: the number of each process that was left."""

LIFE_S = 300.0


def noted(folder: Path) -> list[int]:
    """The processes that were left in *folder* and are alive."""
    path = folder / LEFT
    words = path.read_text().split() if path.exists() else []
    return [int(word) for word in words if _is_alive(int(word))]


def _is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def _note() -> None:
    with Path(LEFT).open("a") as file:
        print(os.getpid(), file=file)


def _stay() -> NoReturn:
    _note()
    time.sleep(LIFE_S)
    os._exit(0)


def _in_child(act: Callable[[], object]) -> None:
    """Act in a child, which then ends, and wait for it."""
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(0)
    os.waitpid(pid, 0)


def _beside(act: Callable[[], object]) -> None:
    """Act in a child, which then ends, and go on once it has begun."""
    before = Path(LEFT).stat().st_size if Path(LEFT).exists() else 0
    if os.fork() == 0:
        act()
        os._exit(0)
    while not (Path(LEFT).exists() and Path(LEFT).stat().st_size > before):
        time.sleep(0.001)


def double_fork() -> None:
    """A grandchild whose parent has ended."""
    _in_child(lambda: _beside(_stay))


def setsid_child() -> None:
    """A child in a session of its own."""

    def act() -> None:
        os.setsid()
        _stay()

    _beside(act)


def _daemonise() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)
    _note()
    os.chdir("/")
    os.closerange(0, 256)
    time.sleep(LIFE_S)
    os._exit(0)


def daemon() -> None:
    """The textbook's: two forks, a session, the root as folder, no descriptors."""
    _in_child(lambda: _beside(_daemonise))


def own_session() -> None:
    """A subprocess in a session of its own."""
    text = f"open({LEFT!r}, 'a').write(str(__import__('os').getpid()) + chr(10))"
    command = [sys.executable, "-c", f"{text}; __import__('time').sleep({LIFE_S})"]
    process = subprocess.Popen(command, start_new_session=True)
    while process.pid not in noted(Path()):
        time.sleep(0.001)


def ignores_term() -> None:
    """A grandchild in a session of its own that SIGTERM, SIGHUP and SIGINT do not end."""

    def act() -> None:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _stay()

    _in_child(lambda: _beside(act))


def clears_environment() -> None:
    """A grandchild in a session of its own that runs another program without an environment."""

    def act() -> None:
        os.setsid()
        _note()
        os.execve("/bin/sleep", ["sleep", str(LIFE_S)], {})

    _in_child(lambda: _beside(act))


def from_thread() -> None:
    """A grandchild that was forked from a thread."""
    thread = threading.Thread(target=double_fork)
    thread.start()
    thread.join()


def respawns() -> None:
    """A process that goes on in a new one, in a new session, some hundred times a second."""

    def act() -> None:
        until_s = time.monotonic() + LIFE_S / 10
        while time.monotonic() < until_s:
            os.setsid()
            _note()
            time.sleep(0.003)
            if os.fork():
                os._exit(0)

    _in_child(lambda: _beside(act))


def tree() -> None:
    """Forty processes below a grandchild."""

    def act() -> None:
        os.setsid()
        for _ in range(39):
            _beside(_stay)
        _stay()

    _in_child(lambda: _beside(act))


WAYS = {
    function.__name__: function
    for function in (
        double_fork, setsid_child, daemon, own_session, ignores_term, clears_environment,
        from_thread, respawns, tree,
    )
}  # fmt: skip
