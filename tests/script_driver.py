"""Runs a script under the harness in a process of its own, and keeps what its listener heard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnprof.worker.workload.scripts.harness import Harness
from rnnprof.workload import ScriptPlace


class Listener:
    """Keeps what it hears; ends after the wanted steps."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self.order, self.told = order, []
        self.harness: Harness

    def begins(self) -> None:
        self.told.append("begins")

    def phase(self, name: str) -> None:
        self.told.append(name)

    def event(self) -> None:
        self.told.append("event")

    def failed(self, error: BaseException) -> None:
        self.told.append(type(error).__name__)

    def stepped(self, number: int) -> None:
        self.told.append(number)
        if number == 1 and self.order["off"]:
            self.harness.hooks_off()
        if number == self.order["steps"]:
            self.harness.finish({})


def drive(order: Mapping[str, Any]) -> None:
    """Run the script that *order* describes; write what was heard to ``order["to"]``."""
    log = os.open(f"{order['to']}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(order["folder"])
    listener = Listener(order)

    def answer(_: Any) -> None:
        harness = listener.harness
        _end(
            order,
            told=listener.told,
            end=harness.step_end,
            per=harness.events_per_step,
            taken=harness.optimizer_steps,
            modules=len(harness.modules()),
            parameters=len(harness.parameters()),
        )

    def refuse(error: BaseException) -> None:
        _end(order, told=listener.told, error=f"{type(error).__name__}: {error}")

    place = ScriptPlace(
        order["target"], order["module"], tuple(order["argv"]), order["env"], order["set"]
    )
    listener.harness = Harness(place, answer, refuse, listener)  # type: ignore[arg-type]
    try:
        listener.harness.run()
    except BaseException as error:
        refuse(error)


def _end(order: Mapping[str, Any], **found: Any) -> None:
    Path(order["to"]).write_text(json.dumps({"error": None, **found}))
    os._exit(0)
