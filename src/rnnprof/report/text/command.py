"""The command that repeats a run, made from the run file.

A run file may come from anyone, and a command is made to be pasted: each is put together from known
names and from words that are quoted one by one, and the command line reads each back.  What no
command line can say is told in a sentence instead, never changed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from rnnprof.axes import MAX_AXIS_VALUE, MAX_AXIS_VALUES, format_axis
from rnnprof.errors import BadInputError
from rnnprof.maxbatch.certify import settings_of
from rnnprof.placeholders import filled
from rnnprof.plain_text import printable, shell_word
from rnnprof.redaction import STRUCK
from rnnprof.report.model import RunReport
from rnnprof.report.text.flags import (
    EFFECTIVE,
    RANGES,
    SETTING_FLAGS,
    STUDY_FLAGS,
    SWITCHES,
)
from rnnprof.report.words import command as words
from rnnprof.runfile.records import Request, Run, Settings
from rnnprof.runfile.study import Study
from rnnprof.script_command import check_recorded
from rnnprof.simulate.description import CUSTOM_MODEL, GpuDescription, describe_all, models
from rnnprof.units import exact_bytes
from rnnprof.workload import FactorySource, ScriptSource, Workload

LINE_COLUMNS: Final = 80

LEAST_PROCESSES: Final = 5
MORE_PROCESSES: Final = 3
"""Timing processes that the command to decide a recommendation requests: an interval between
processes needs at least three."""

OWN_ARGUMENTS: Final = ("batch", "time_steps", "device")
"""What rnnprof itself passes to a factory."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """How to repeat a run.

    Attributes:
        command: wrapped into lines; empty where there is none.
        remark: what stands above the command, or in its place; empty for a run without a request.
    """

    command: str
    remark: str


class _NoCommandError(Exception):
    """No command line says it; the message says why."""


def repetition(report: RunReport) -> Repetition:
    """The command that repeats the last invocation of a run, or why there is none.

    The limit is the one that was resolved, in bytes: the free memory changes from day to day.  A
    factory's file is named without its folder, which the run file does not hold.
    """
    run = report.run
    if not run.requests:
        return Repetition("", "")
    try:
        command = _wrapped(_repeating(run, run.requests[-1]))
    except _NoCommandError as error:
        return Repetition("", words.not_repeated(str(error)))
    if STRUCK in command:
        return Repetition(command, words.TO_REPEAT_WITH_SECRETS)
    different = {(each.command, each.grid, each.settings) for each in run.requests}
    return Repetition(command, words.TO_REPEAT if len(different) == 1 else words.TO_REPEAT_THE_LAST)


def repeat_command(report: RunReport) -> str:
    """The command of :func:`repetition`; empty where there is none."""
    return repetition(report).command


def _repeating(run: Run, request: Request) -> list[str]:
    if _is_by_gate(run, request):
        raise _NoCommandError(words.MADE_BY_A_GATE)
    command, settings = request.command, request.settings
    script = run.header.workload.script
    if script is not None and command == "trainability":
        raise _NoCommandError(words.NO_SCRIPT)
    has_several = len(request.grid.time_steps) > 1
    if script is not None and has_several and "time_steps" not in script.placeholders:
        raise _NoCommandError(words.ONE_T)
    found = ["rnnprof", command, *_workload_words(run.header.workload), *_device_words(run)]
    if command != "max-batch":
        found.append(_axis("--batch", request.grid.batch))
    found.append(_axis("--time-steps", request.grid.time_steps))
    found += _limit_words(run, settings)
    if command == "profile" and not run.is_simulated:
        found.append(_number("--point-seconds", settings.point_seconds))
    found += _setting_words(command, settings, run.is_simulated)
    if command == "trainability":
        found += _study_words(settings.study, run.header.workload)
    return [*found, *_script_words(run.header.workload)]


def _is_by_gate(run: Run, request: Request) -> bool:
    """Whether a gate asked for this."""
    untimed = request.settings.processes == 0 and not run.is_simulated
    return (
        request.for_gate or request.command == "fits" or (request.command == "profile" and untimed)
    )


def deciding_command(report: RunReport) -> str:
    """The command that times undecided batches in more processes; empty if all is decided.

    It extends the run's file, unless the machine's speed drifted during that run.
    """
    run = report.run
    tied = [each for each in report.advice.recommendations if each.tied]
    settings = settings_of(run)
    if not tied or settings is None:
        return ""
    more = min(100, max(LEAST_PROCESSES, settings.processes + MORE_PROCESSES))
    settings = replace(settings, processes=more, certify=False)
    batches = tuple(sorted({batch for each in tied for batch in each.to_time}))
    lengths = tuple(each.time_steps for each in tied)
    drifted = any(each.by_drift for each in tied)
    try:
        found = ["rnnprof profile", *_workload_words(run.header.workload), *_device_words(run)]
        found += [_axis("--batch", batches), _axis("--time-steps", lengths)]
        found += _limit_words(run, settings)
        found.append(_number("--point-seconds", settings.point_seconds))
        found += _setting_words("profile", settings, run.is_simulated)
        found += _file_words(run, is_fresh=drifted)
        return _wrapped([*found, *_script_words(run.header.workload)])
    except _NoCommandError:
        return ""


def _file_words(run: Run, *, is_fresh: bool) -> list[str]:
    """The run's own file to extend, or another one beside it."""
    path = Path(run.path or "run.jsonl")
    if is_fresh or path.suffix != ".jsonl":
        return [_option("-o", str(path.with_name(f"{path.stem}-again.jsonl")))]
    return ["--extend", *([_option("-o", run.path)] if run.path else [])]


def _workload_words(workload: Workload) -> Iterator[str]:
    if workload.factory is not None:
        yield from _factory_words(workload.factory)
        yield _option("--optimizer", workload.optimizer)
        return
    if workload.script is not None:
        yield from _options_of_script(workload.script)
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
            yield _option(flag, value) if isinstance(value, str) else _number(flag, value)


def _factory_words(factory: FactorySource) -> Iterator[str]:
    yield _option("--factory", factory.reference)
    for name, value in factory.args.items():
        yield _option("--factory-arg", f"{_argument_name(name)}={_argument(value)}")
    for name in factory.secret_args:
        yield _option("--factory-arg", f"{_argument_name(name)}={STRUCK}")
    for name, variable in factory.env_args.items():
        yield _option("--factory-arg-env", f"{_argument_name(name)}={variable}")
    if factory.argv:
        yield _option("--factory-argv", shlex.join(factory.argv))


def _options_of_script(script: ScriptSource) -> Iterator[str]:
    """What a script is given beside its own words."""
    try:
        check_recorded(script)
    except BadInputError as error:
        raise _NoCommandError(printable(str(error))) from None
    for flag, texts in (("--env", script.env), ("--set", script.assignments)):
        for name, text in texts.items():
            yield _option(flag, f"{name}={text}")
    if script.setup is not None:
        yield _option("--setup", script.setup)
    if script.prepare is not None:
        yield _option("--prepare", script.prepare)


def _script_words(workload: Workload) -> Iterator[str]:
    """The script with its own words: the last of a command."""
    script = workload.script
    if script is None:
        return
    target = f"./{script.target}" if script.target.startswith("-") else script.target
    opening = "-- python -m" if script.is_module else "-- python"
    yield f"{opening} {_word(target)}"
    held = ""
    for text in script.argv:
        word = _word(text)
        if held and text.startswith("-"):
            yield held
            held = ""
        if not held and text.startswith("-") and "=" not in text:  # a flag and its value
            held = word
            continue
        yield f"{held} {word}".lstrip()
        held = ""
    if held:
        yield held


def _word(text: str) -> str:
    """A word of a shell; placeholders stay readable, which no shell changes."""
    try:
        bare = filled(text, 1, 1)
        return text if shell_word(bare) == bare else shell_word(text)
    except ValueError as error:
        raise _NoCommandError(words.not_a_word("the script", str(error))) from None


def _argument_name(name: str) -> str:
    """A name that ``--factory-arg`` takes."""
    if not name.isidentifier() or name in OWN_ARGUMENTS:
        raise _NoCommandError(words.not_an_argument(printable(name)))
    return name


def _argument(value: Any) -> str:
    """As ``--factory-arg`` reads it: text as it is, unless it would be read as something else."""
    if isinstance(value, str) and printable(value) == value and not _is_read_as_json(value):
        return value
    return json.dumps(value)


def _is_read_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return text in ("True", "False", "None")
    except RecursionError:
        pass
    return True


def _device_words(run: Run) -> list[str]:
    if run.is_simulated:
        return [_option("--simulate", _simulated(str(run.environment["simulated"])))]
    device = run.environment.get("device")
    return [_option("--device", str(device))] if device else []


def _simulated(text: str) -> str:
    """As ``--simulate`` takes it: a model, or a description with commas.

    A model of that name may be another GPU in this version: then it is described.
    """
    gpu = GpuDescription.from_text(text)
    if models().get(gpu.model) == gpu:
        return gpu.model
    gpu = replace(gpu, model=CUSTOM_MODEL, assumed=())
    try:
        found = [replace(each, assumed=()) for each in describe_all(gpu.option)]
    except BadInputError:
        found = []
    if found != [gpu]:
        raise _NoCommandError(words.not_taken("--simulate", printable(gpu.option)))
    return gpu.option


def _limit_words(run: Run, settings: Settings) -> list[str]:
    if settings.gpu_memory_bytes is not None and not run.is_simulated:
        return [_size("--gpu-memory", settings.gpu_memory_bytes)]
    return [_size("--memory-limit", run.limit_bytes)] if run.limit_bytes else []


def _setting_words(command: str, settings: Settings, is_simulated: bool) -> Iterator[str]:
    default = Settings()
    for name in EFFECTIVE[command]:
        value = getattr(settings, name)
        if value == getattr(default, name) or (name == "processes" and is_simulated):
            continue
        if (command, name) in WITHOUT_OPTION:
            if settings.certify:
                raise _NoCommandError(words.no_option(command, name))
            continue
        yield _setting(SETTING_FLAGS[name], value)
    for name, (flag, wanted) in SWITCHES.items():
        if command == "profile" and getattr(settings, name) is wanted:
            yield flag


WITHOUT_OPTION: Final = frozenset(
    ("profile", name) for name in ("confirm", "at_most", "lengths")
)  # fmt: skip
"""Settings that the Python API can give to a command's proofs, and its options cannot."""


def _setting(flag: str, value: Any) -> str:
    if isinstance(value, tuple):
        return _axis(flag, value)
    return _size(flag, value) if flag == "--reserve" else _number(flag, value)


def _study_words(study: Study | None, workload: Workload) -> Iterator[str]:
    if study is None:
        return
    if workload.factory is None:
        if study.task is None:
            raise _NoCommandError(words.NO_TASK)
        yield _option("--task", study.task)
    default = Study()
    for name, flag in STUDY_FLAGS.items():
        value = getattr(study, name)
        if value != getattr(default, name):
            yield _option(flag, value) if isinstance(value, str) else _number(flag, value)


# --- options -------------------------------------------------------------------------------------


def _option(flag: str, text: str) -> str:
    """A flag and its value, as words of a shell."""
    try:
        if text.startswith("-"):  # which could be taken for another flag
            return shell_word(f"{flag if flag != '-o' else '--output'}={text}")
        bare = filled(text, 1, 1)
        return f"{flag} {text if shell_word(bare) == bare else shell_word(text)}"
    except ValueError as error:
        raise _NoCommandError(words.not_a_word(flag, str(error))) from None


def _number(flag: str, value: float) -> str:
    """A number with all its digits."""
    least, most = RANGES[flag]
    text = str(int(value)) if float(value).is_integer() else repr(value)
    if not least <= value <= most:
        raise _NoCommandError(words.not_taken(flag, text))
    return _option(flag, text)


def _size(flag: str, size_bytes: int) -> str:
    least, most = RANGES[flag]
    if not least <= size_bytes <= most:
        raise _NoCommandError(words.not_taken(flag, f"{size_bytes} bytes"))
    return _option(flag, exact_bytes(size_bytes))


def _axis(flag: str, values: Sequence[int]) -> str:
    known = tuple(sorted(set(values)))
    if not known or len(known) > MAX_AXIS_VALUES or not 1 <= known[0] <= known[-1] < MAX_AXIS_VALUE:
        raise _NoCommandError(words.not_taken(flag, f"{len(known)} values"))
    return _option(flag, format_axis(known))


def _wrapped(found: Sequence[str]) -> str:
    """Broken between options, each line but the last with a backslash."""
    lines = [" ".join(found[:2])]
    for word in found[2:]:
        if len(lines[-1]) + len(word) + 3 > LINE_COLUMNS:
            lines[-1] += " \\"
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)
