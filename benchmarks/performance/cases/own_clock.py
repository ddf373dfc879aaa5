"""tests/scripts/charlm with a clock of its own: the seconds of each training step, to a file."""

import os
import runpy
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

sys.path.insert(0, os.environ["SCRIPTS"])
config: Any = import_module("charlm.config")
config.BATCH_SIZE = int(os.environ["BATCH"])
config.SEQ_LEN = int(os.environ["SEQ"])
ends_s: list[float] = []


def keep(*_: object) -> None:
    ends_s.append(time.perf_counter())
    if len(ends_s) > 1:
        out.write(f"{ends_s[-1] - ends_s[-2]:.9f}\n")
        out.flush()


with (Path(os.environ["CLOCK"]) / f"{os.getpid()}.txt").open("w") as out:
    register_optimizer_step_post_hook(keep)
    sys.argv = ["charlm.train"]
    runpy.run_module("charlm.train", run_name="__main__")
