"""Check the names in a record, of which commands and sentences are made; types check the numbers.

A run file may come from anyone: what this version cannot have written is refused on loading, so
that nothing printed from it is a surprise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from rnnprof.defaults import COMMANDS, RATE_RULES, TASKS
from rnnprof.errors import BadInputError
from rnnprof.runfile.codec import DecodeError
from rnnprof.runfile.records import Header, Host, Request
from rnnprof.simulate.description import GpuDescription
from rnnprof.workload import (
    CELLS,
    DTYPES,
    IMPLS,
    LOOPS,
    MODES,
    OPTIMIZERS,
    FactorySource,
    ScriptSource,
    Workload,
    workload_of_script,
)

_NAMES: Final = {
    "cell": (None, *CELLS), "impl": IMPLS, "dtype": DTYPES, "optimizer": OPTIMIZERS, "mode": MODES,
    "loop": LOOPS,
}  # fmt: skip

_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*")
_DEVICE: Final = re.compile(r"cpu|cuda(:\d{1,4})?")


def check_names(record: object) -> None:
    """Check every name in a record.

    Raises:
        DecodeError: names the field with the unknown value.
    """
    if isinstance(record, Header):
        check_workload(record.workload)
        _check_environment(record.environment, "header.environment")
    elif isinstance(record, Host):
        _check_environment(record.facts, "host.facts")
    elif isinstance(record, Request):
        _check_request(record)


def check_workload(workload: Workload) -> None:
    """Check that every name in a workload is known.

    Raises:
        DecodeError: names the field with the unknown value.
    """
    for name, known in _NAMES.items():
        _check_name(f"header.workload.{name}", getattr(workload, name), known)
    if workload.factory is not None:
        _check_factory(workload.factory)
    if workload.script is not None:
        _check_script(workload.script)
        if workload.factory is not None:
            raise DecodeError("header.workload: it has both a factory and a script")
        if workload != workload_of_script(workload.script):
            raise DecodeError("header.workload: it has both a script and options of a cell")
    if workload.cell is None and workload.is_built_in:
        raise DecodeError("header.workload: it has neither a cell nor a factory nor a script")


def _check_name(where: str, value: str | None, known: tuple[str | None, ...]) -> None:
    if value not in known:
        raise DecodeError(f"{where}: {value!r} is not known")


def _check_factory(factory: FactorySource) -> None:
    """Check that ``--factory`` can have named this."""
    source, _, function = factory.reference.rpartition(":")
    is_file = source.endswith(".py") and not set(source) & {"/", "\0"}
    is_module = all(part.isidentifier() for part in source.split("."))
    if not function.isidentifier() or not (is_file or is_module):
        raise DecodeError(
            f"header.workload.factory.reference: {factory.reference!r} is neither FILE.py:FUNCTION "
            "without folders nor package.module:FUNCTION"
        )
    names = [*factory.args, *factory.secret_args, *factory.env_args]
    if len(set(names)) < len(names):
        raise DecodeError("header.workload.factory: it has two values for one argument")


def _check_script(script: ScriptSource) -> None:
    """Check that a command line can have named this."""
    is_file = not set(script.target) & {"/", "\0"} and script.target not in ("", ".", "..")
    is_module = all(part.isidentifier() for part in script.target.split("."))
    if not (is_module if script.is_module else is_file):
        raise DecodeError(
            f"header.workload.script.target: {script.target!r} is neither a file without folders "
            "nor a module"
        )
    for name in script.env:
        if not _VARIABLE.fullmatch(name):
            raise DecodeError(f"header.workload.script.env: {name!r} is no name of a variable")
    for name in script.assignments:
        if not all(part.isidentifier() for part in name.split(".")):
            raise DecodeError(f"header.workload.script.assignments: {name!r} is no name")


def _check_request(request: Request) -> None:
    _check_name("request.command", request.command, COMMANDS)
    study = request.settings.study
    if study is not None:
        _check_name("request.settings.study.task", study.task, (None, *TASKS))
        _check_name("request.settings.study.rate_rule", study.rate_rule, RATE_RULES)


def _check_environment(facts: Mapping[str, Any], where: str) -> None:
    """Check the facts that choose a device; the others are only shown."""
    device, simulated = facts.get("device"), facts.get("simulated")
    if device is not None and not (isinstance(device, str) and _DEVICE.fullmatch(device)):
        raise DecodeError(f"{where}.device: {device!r} is not cpu, cuda or cuda:N")
    if simulated is None:
        return
    try:
        GpuDescription.from_text(str(simulated))
    except (BadInputError, UnicodeEncodeError) as error:
        raise DecodeError(f"{where}.simulated: {error}") from None
