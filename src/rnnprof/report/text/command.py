"""The command that repeats a run, made from the run file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from rnnprof.maxbatch.certify import settings_of
from rnnprof.plain_text import printable
from rnnprof.redaction import STRUCK
from rnnprof.report.model import RunReport
from rnnprof.runfile.records import Run, Settings
from rnnprof.runfile.study import Study
from rnnprof.simulate.description import GpuDescription
from rnnprof.units import exact_bytes
from rnnprof.workload import FactorySource, Workload

LINE_COLUMNS: Final = 80

NOT_KEPT: Final = f"# {STRUCK} stands for a value that is not kept: give it again"

LEAST_PROCESSES: Final = 5
MORE_PROCESSES: Final = 3
"""Timing processes that the command to decide a recommendation requests: an interval between
processes needs at least three."""

SETTING_FLAGS: Final = {
    "processes": "--processes", "timeout_s": "--timeout", "seed": "--seed",
    "confirm_steps": "--confirm-steps", "through": "--through", "confirm": "--confirm",
    "granularity": "--granularity", "at_most": "--at-most", "headroom_ratio": "--headroom",
    "reserve_bytes": "--reserve", "lengths": "--lengths",
}  # fmt: skip
"""Flags whose value is the setting's own."""


def repeat_command(report: RunReport) -> str:
    """The command that repeats a run, wrapped into lines; empty for a run without a request.

    The limit is the one that was resolved, in bytes: the free memory changes from day to day.  A
    factory's file is named without its folder, which the run file does not hold.
    """
    run = report.run
    if not run.requests:
        return ""
    request = run.requests[-1]
    words = ["rnnprof", request.command, *_workload_words(run.header.workload)]
    words += _device_words(run)
    batch = _axis(request.grid.batch)
    words += [f"--batch {batch}"] if batch else []
    words.append(f"--time-steps {_axis(request.grid.time_steps)}")
    words += _limit_words(run, request.settings)
    if request.command == "profile" and not run.is_simulated:
        words.append(f"--point-seconds {request.settings.point_seconds:g}")
    words += _setting_words(request.settings)
    words += _study_words(request.settings.study)
    return _wrapped(words)


def deciding_command(report: RunReport) -> str:
    """The command that times undecided batches in more processes; empty if all is decided.

    It extends the run's file, unless the machine's speed drifted during that run.
    """
    run = report.run
    tied = [each for each in report.advice.recommendations if each.tied]
    settings = settings_of(run)
    if not tied or settings is None:
        return ""
    more = max(LEAST_PROCESSES, settings.processes + MORE_PROCESSES)
    settings = replace(settings, processes=more, certify=False, at_most=Settings().at_most)
    batches = tuple(sorted({batch for each in tied for batch in each.to_time}))
    words = ["rnnprof profile", *_workload_words(run.header.workload), *_device_words(run)]
    words += [
        f"--batch {_axis(batches)}",
        f"--time-steps {_axis(tuple(e.time_steps for e in tied))}",
    ]
    words += _limit_words(run, settings)
    words.append(f"--point-seconds {settings.point_seconds:g}")
    words += _setting_words(settings)
    if any(each.by_drift for each in tied):
        path = Path(run.path or "run.jsonl")
        return _wrapped([*words, f"-o {_quoted(path.with_stem(f'{path.stem}-again'))}"])
    return _wrapped([*words, "--extend", *([f"-o {_quoted(run.path)}"] if run.path else [])])


def _workload_words(workload: Workload) -> Iterator[str]:
    if workload.factory is not None:
        yield from _factory_words(workload.factory)
        yield f"--optimizer {workload.optimizer}"
        return
    default = Workload()
    for each in fields(Workload):
        value = getattr(workload, each.name)
        flag = "--" + each.name.replace("_", "-")
        if isinstance(value, bool):
            yield from [flag] if value else []
        elif each.name in ("cell", "input_size", "hidden_size") or value != getattr(
            default, each.name
        ):
            yield f"{flag} {_quoted(value)}"


def _factory_words(factory: FactorySource) -> Iterator[str]:
    yield f"--factory {_quoted(factory.reference)}"
    for name, value in factory.args.items():
        text = value if isinstance(value, str) else json.dumps(value)
        yield f"--factory-arg {_quoted(f'{name}={text}')}"
    for name in factory.secret_args:
        yield f"--factory-arg {_quoted(f'{name}={STRUCK}')}"
    for name, variable in factory.env_args.items():
        yield f"--factory-arg-env {_quoted(f'{name}={variable}')}"
    if factory.argv:
        yield f"--factory-argv {_quoted(shlex.join(factory.argv))}"


def _device_words(run: Run) -> list[str]:
    if run.is_simulated:
        return [f"--simulate {_quoted(_simulated(run))}"]
    device = run.environment.get("device")
    return [f"--device {_quoted(device)}"] if device else []


def _simulated(run: Run) -> str:
    """As ``--simulate`` takes it: a model, or a description with commas."""
    gpu = GpuDescription.from_text(str(run.environment["simulated"]))
    return gpu.option


def _limit_words(run: Run, settings: Settings) -> list[str]:
    if settings.gpu_memory_bytes is not None:
        return [f"--gpu-memory {exact_bytes(settings.gpu_memory_bytes)}"]
    return [f"--memory-limit {exact_bytes(run.limit_bytes)}"]


def _setting_words(settings: Settings) -> Iterator[str]:
    default = Settings()
    for name, flag in SETTING_FLAGS.items():
        value = getattr(settings, name)
        if value != getattr(default, name) and not (name == "processes" and value == 0):
            text = exact_bytes(value) if name == "reserve_bytes" else value
            yield f"{flag} {_axis(value) if isinstance(value, tuple) else text}"
    if not settings.prune:
        yield "--no-prune"
    if not settings.certify:
        yield "--no-certify"
    if settings.fast:
        yield "--fast"


STUDY_FLAGS: Final = {
    "train_steps": "--train-steps", "draws": "--draws", "small_batch": "--small-batch",
    "parts": "--parts", "reach_ratio": "--reach-at", "learning_rate": "--learning-rate",
    "rate_rule": "--rate-rule", "rate_batch": "--rate-batch", "clip_norm": "--clip",
    "target_loss": "--target", "seeds": "--seeds", "budget_s": "--train-seconds",
    "evaluate_every": "--evaluate-every",
}  # fmt: skip


def _study_words(study: Study | None) -> Iterator[str]:
    if study is None:
        return
    if study.task is not None:
        yield f"--task {study.task}"
    default = Study()
    for name, flag in STUDY_FLAGS.items():
        value = getattr(study, name)
        if value != getattr(default, name):
            yield f"{flag} {value}"


def _axis(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def _quoted(value: Any) -> str:
    return shlex.quote(str(value))


def _wrapped(words: list[str]) -> str:
    """Broken between options, each line but the last with a backslash.

    What could drive a terminal is shown as ``?``: a run file may come from anywhere.
    """
    words = [printable(word) for word in words]
    note = [NOT_KEPT] if any(STRUCK in word for word in words) else []
    lines = [" ".join(words[:2])]
    for word in words[2:]:
        if len(lines[-1]) + len(word) + 3 > LINE_COLUMNS:
            lines[-1] += " \\"
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return "\n".join([*lines, *note])
