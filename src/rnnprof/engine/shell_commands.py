"""``--setup`` and ``--prepare``: the user's shell commands around the starts of a script."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from rnnprof import protocol
from rnnprof.engine.order import Order
from rnnprof.engine.reasons import SetupRuns
from rnnprof.engine.supervisor import Supervisor
from rnnprof.errors import BadInputError, MachineError
from rnnprof.outcomes import said_before_end
from rnnprof.placeholders import filled
from rnnprof.reasons import Reason
from rnnprof.redaction import NO_SECRETS, Secrets

TERM_GRACE_S: Final = 2.0
"""After SIGTERM a command that is stopped has this long to end."""

TAIL_BYTES: Final = 16 << 10


PREPARED: Final = frozenset({"fit", "memory", "timing"})
"""Passes that run a script, each after its command of ``--prepare``."""


def set_up(order: Order, supervisor: Supervisor, noted: Callable[[Reason], None]) -> None:
    """Run the command of ``--setup``, once for all jobs of a supervisor.

    Raises:
        BadInputError: it failed.
    """
    script = order.workload.script
    if script is None or script.setup is None or supervisor.found.get("setup") == script.setup:
        return
    noted(SetupRuns(order.secrets.strike(script.setup)))
    run_command("--setup", script.setup, supervisor.folder, order.secrets)
    supervisor.found["setup"] = script.setup


def prepare(task: protocol.Task, order: Order, supervisor: Supervisor) -> None:
    """Run the command of ``--prepare``, with the sizes of a pass's point.

    Raises:
        BadInputError: it failed.
    """
    script = task.workload.script
    if script is None or script.prepare is None:
        return
    command = filled(script.prepare, task.point.batch, task.point.time_steps)
    run_command("--prepare", command, supervisor.folder, order.secrets)


def run_command(
    option: str, command: str, folder: Path | None = None, secrets: Secrets = NO_SECRETS
) -> None:
    """Run a command through the shell, and wait until it ends.

    It reads nothing, and what it prints is shown only if it fails.  A stop of rnnprof stops it with
    all that it has started; what it leaves running when it ends, as a server, runs on.

    Args:
        option: ``--setup`` or ``--prepare``.
        folder: where it runs; None for the current one.
        secrets: are struck from the error.

    Raises:
        BadInputError: it failed; with its exit code and the last lines that it printed.
        MachineError: the system can start no process.
    """
    # a file and no pipe: what it leaves running may keep its output open, and may go on writing
    with tempfile.TemporaryFile() as output:
        status = _status_of(command, folder, output)
        if status == 0:
            return
        said = said_before_end(_tail_of(output))
    how = f"exit code {status}" if status > 0 else f"signal {-status} ({_name_of(-status)})"
    text = f"{option} {command!r} failed with {how}\n{said}"
    raise BadInputError(secrets.strike(text))


def _status_of(command: str, folder: Path | None, output: IO[bytes]) -> int:
    try:
        process = subprocess.Popen(  # noqa: S602 (the shell is what the user asks for)
            command,
            shell=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise MachineError(f"no shell could be started: {error.strerror}") from None
    try:
        return process.wait()
    except BaseException:  # Ctrl-C, SIGTERM: its session does not get them
        _stop(process)
        raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a command and all processes of its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(TERM_GRACE_S)


def _tail_of(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TAIL_BYTES))
    return output.read(TAIL_BYTES).decode(errors="replace")


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
