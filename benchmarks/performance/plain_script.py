"""A user's training script in a plain Python process, which does not use rnnprof.

    python -P benchmarks/performance/plain_script.py '{"target": "train.py", "argv": [], ...}'

``script_truth`` runs it.  It trains a built-in LSTM 32->32 with Adam for two steps at B=T=2, sets
RLIMIT_DATA to what the process has then plus the limit, and runs the script as ``__main__``.  After
so many training steps it prints one line of JSON and ends: with 0; with 7 where memory ran out;
with 8 after another error; with 9 where the script ended by itself.

What it leaves out of what rnnprof does before its baseline: it fills no holes in the heap and none
of the free room of Python's small objects, and it returns no free pages.  With ``"arena": true`` it
leaves one free arena of a MiB for small objects, as rnnprof's baseline has; else the script pays
for one, or not, as the room happens to be.
"""

import json
import os
import resource
import runpy
import sys
import time
import traceback
import typing
from pathlib import Path

import torch

FITS, OUT_OF_MEMORY, FAILED, ENDED = 0, 7, 8, 9

WORDS_OF_OUT_OF_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "not enough memory", "memoryerror",
    "bad_alloc", "could not create a primitive", "can't start new thread",
)  # fmt: skip

OBJECTS_OF_TWO_ARENAS = 4800


def memory_bytes(name: str) -> int:
    """A line of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    raise KeyError(name)


def warm_up() -> None:
    """The baseline: threads, and what a training step with an optimizer loads."""
    torch.ones(1 << 20).add_(1.0)
    layer = torch.nn.LSTM(32, 32)
    optimizer = torch.optim.Adam(layer.parameters())
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        layer(torch.rand(2, 2, 32))[0].square().mean().backward()
        optimizer.step()


def free_arena() -> list[bytes]:
    """Leave a MiB of room for Python's small objects, which it maps a MiB at a time.

    Without it, the script is charged a MiB more or less, as the room happens to be.  Objects that
    are kept here and there keep the arenas mapped.
    """
    return [bytes(400) for _ in range(OBJECTS_OF_TWO_ARENAS)][:: OBJECTS_OF_TWO_ARENAS // 8]


class Run:
    """Counts the ends of training steps, and reports."""

    def __init__(self, wanted: dict[str, typing.Any], kept: list[bytes]) -> None:
        self.kept = kept
        self.events_per_step: int = wanted["events_per_step"]
        self.training_steps: int = wanted["training_steps"]
        self.events, self.ends_s = 0, [time.perf_counter()]
        self.answers = os.dup(1)
        os.dup2(2, 1)
        self.held_bytes: int | None = None
        self.start_s: float | None = None
        self.first_call = torch.nn.modules.module.register_module_forward_pre_hook(self.starts)
        self.began = {name: memory_bytes(name) for name in ("VmData", "VmSize", "VmPeak")}

    def limit(self, limit_bytes: int) -> None:
        """As the kernel counts it: private writable address space."""
        most = self.began["VmData"] + limit_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))

    def starts(self, *_: object) -> None:
        """The first call of a module: what the script holds before it trains."""
        self.first_call.remove()
        self.held_bytes = memory_bytes("VmData") - self.began["VmData"]
        self.start_s = time.perf_counter() - self.ends_s[0]

    def count_optimizer_steps(self) -> None:
        """A training step ends where an optimizer has stepped."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(lambda *_: self.stepped())

    def count_backward_passes(self) -> None:
        """Without an optimizer: where the next backward pass begins, the weights were updated."""
        backward = torch.autograd.backward

        def counted(*args: typing.Any, **kwargs: typing.Any) -> None:
            backward(*args, **kwargs)
            self.stepped()

        torch.autograd.backward = counted

    def stepped(self) -> None:
        self.events += 1
        if self.events % self.events_per_step == 0:
            self.ends_s.append(time.perf_counter())
            if len(self.ends_s) > self.training_steps:
                self.end(FITS)

    def end(self, code: int, error: str = "") -> typing.NoReturn:
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        peak = memory_bytes("VmPeak")
        report = {
            "train_steps_run": len(self.ends_s) - 1,
            "error": error,
            "peak_bytes": peak - self.began["VmSize"] if peak > self.began["VmPeak"] else None,
            "held_bytes": self.held_bytes,
            "start_s": self.start_s,
            "step_s": [b - a for a, b in zip(self.ends_s[1:], self.ends_s[2:], strict=False)],
        }
        os.write(self.answers, json.dumps(report).encode() + b"\n")
        os._exit(code)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    warm_up()
    run = Run(wanted, free_arena() if wanted["arena"] else [])
    if wanted["counts"] == "backward":
        run.count_backward_passes()
    else:
        run.count_optimizer_steps()
    sys.argv = [wanted["target"], *wanted["argv"]]
    if wanted["limit_bytes"] is not None:
        run.limit(wanted["limit_bytes"])
    parent = os.getpid()
    try:
        if wanted["is_module"]:
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(wanted["target"], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(wanted["target"]).resolve().parent))
            runpy.run_path(wanted["target"], run_name="__main__")
    except BaseException as raised:
        if os.getpid() != parent:
            raise
        text = "".join(traceback.format_exception(raised))
        said = f"{type(raised).__name__}: {raised}".strip().splitlines()[-1]
        is_oom = any(words in text.lower() for words in WORDS_OF_OUT_OF_MEMORY)
        sys.stderr.write(text)
        run.end(OUT_OF_MEMORY if is_oom else FAILED, said)
    run.end(ENDED, "the script ended by itself")


if __name__ == "__main__":
    main()
