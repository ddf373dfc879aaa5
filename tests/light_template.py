"""A real template without torch, whose workers run the Python text that stands in their task.

``python_in(folder)`` writes an interpreter for :class:`rnnprof.engine.supervisor.Supervisor` that
starts it: in a tenth of a second, where importing torch takes seconds.
"""

from __future__ import annotations

import importlib
import os
import stat
import sys
import types
from pathlib import Path
from typing import Any

from rnnprof import protocol
from rnnprof.protocol import Task
from rnnprof.workload import Workload

EARLY = "LIGHT_TEMPLATE_EARLY"
"""A variable with Python text that the template runs before it is ready."""


def task_of(text: str) -> Task:
    """A task that runs *text* and answers unless that does."""
    return Task(do="describe", workload=Workload(), factory_path=text)


def python_in(folder: Path) -> str:
    """An interpreter whose ``-P -m rnnprof.worker FD PID`` is the light template."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def _serve(channel: Any) -> None:
    task = channel.receive()
    if task is None:
        return
    names: dict[str, Any] = {"channel": channel, "protocol": protocol, "os": os, "sys": sys}
    exec(task.factory_path or "", names)
    if not names.get("answered"):
        channel.send(protocol.Done({"found": names.get("found")}))


def _run() -> None:
    entry = importlib.import_module("rnnprof.worker.__main__")
    signal = importlib.import_module("signal")
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in entry.STOP_SIGNALS}
    template = importlib.import_module("rnnprof.worker.template")
    torch, serve = types.ModuleType("torch"), types.ModuleType("rnnprof.worker.passes.serve")
    vars(torch)["__version__"] = "none"
    vars(serve)["serve"] = _serve
    sys.modules |= {"torch": torch, "rnnprof.worker.passes.serve": serve}
    template.PRELOADED = ()
    exec(os.environ.get(EARLY, ""), {"os": os, "sys": sys})
    template.run_template(int(sys.argv[-2]), int(sys.argv[-1]), handlers)


if __name__ == "__main__":
    _run()
