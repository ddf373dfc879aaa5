"""Runs a script under the harness in a process of its own, and keeps what its listener heard."""

from __future__ import annotations

import json
import multiprocessing
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnprof.worker.workload.scripts.harness import Harness
from rnnprof.workload import ScriptPlace

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["torch._dynamo", "rnnprof.worker.workload.scripts.harness"])

MODEL = """
import sys, torch
from torch import nn
torch.manual_seed(0)
model = nn.LSTM(4, 8)
def loss_of(): return model(torch.randn(5, 3, 4))[0].square().mean()
"""


def run(
    folder: Path, text: str, steps: int = 3, *argv: str, off: bool = False, **more: Any
) -> dict[str, Any]:
    script = folder / "train.py"
    if text:
        script.write_text(textwrap.dedent(text))
    order = {
        "target": str(script), "module": False, "argv": argv, "env": {}, "set": {},
        "steps": steps, "off": off, "to": str(folder / "told.json"), "folder": str(folder), **more,
    }  # fmt: skip
    process = FORKED.Process(target=drive, args=(order,))
    process.start()
    process.join(100)
    printed = (folder / "told.json.log").read_text()
    assert (folder / "told.json").exists(), printed
    found: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return {**found, "printed": printed}


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
        self.harness.wants_loss = True
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
            ended_by=harness.ended_by,
            loss=None if harness.loss is None else float(harness.loss),
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
