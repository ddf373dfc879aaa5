"""Whether the user's functions take what rnnprof passes to them, by their signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from rnnprof.errors import BadInputError
from rnnprof.script import PROTOCOL, near

PASSED: Final = ("batch", "time_steps", "device")
"""What a factory gets by position."""

_Parameter = inspect.Parameter
_BY_POSITION: Final = (_Parameter.POSITIONAL_ONLY, _Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME: Final = (_Parameter.POSITIONAL_OR_KEYWORD, _Parameter.KEYWORD_ONLY)


class BadFactoryError(BadInputError):
    """The factory cannot be found or does not follow the protocol."""


def check_factory(factory: Callable[..., Any], name: str, given: Mapping[str, Any]) -> None:
    """Check that ``factory(batch, time_steps, device, **given)`` can be called.

    Raises:
        BadFactoryError: it cannot; the message has its parameters and what is passed.
    """
    _refuse_other_kinds(factory, name)
    signature = _signature(factory)
    if signature is None:
        return
    try:
        signature.bind(*PASSED, **given)
    except TypeError as error:
        passed = ", ".join([*PASSED, *(f"{key}=..." for key in given)])
        raise BadFactoryError(
            f"{name}{_shown(signature)} cannot be called as {name}({passed}): "
            f"{_cause(signature, given, error)}"
        ) from None


def takes_by_name(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter that can be given by this name."""
    signature = _signature(function)
    parameter = None if signature is None else signature.parameters.get(name)
    return parameter is not None and parameter.kind in _BY_NAME


def step_with_phase(step: Callable[..., Any]) -> Callable[[Any], Any]:
    """The step in the form ``step(phase)``; a step without a parameter gets none.

    A parameter with a default value, such as ``lambda model=model: ...``, gets the phase only if
    its name says so.

    Raises:
        BadFactoryError: it needs more than the phase.
    """
    _refuse_other_kinds(step, "step")
    signature = _signature(step)
    if signature is None or _takes_phase(signature):
        return step
    name = _keyword_for_phase(signature)
    if name is not None:
        return lambda phase: step(**{name: phase})
    check_callable_without(step, "step", "step(phase) or step()")
    return lambda _phase: step()


def check_callable_without(function: Any, name: str, called: str) -> None:
    """Check that a function can be called without arguments.

    Raises:
        BadFactoryError: it cannot.
    """
    if not callable(function):
        raise BadFactoryError(f"{name} is {kind_of(function)}, not a function")
    _refuse_other_kinds(function, name)
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind()
    except TypeError as error:
        raise BadFactoryError(
            f"{name}{_shown(signature)}: rnnprof calls {called} and nothing gives it more "
            f"({error}): let it draw its own data, or give the parameter a default value"
        ) from None


def kind_of(value: Any) -> str:
    """``None``, or the type of a value with its article."""
    name = type(value).__name__
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return "None" if value is None else f"{article} {name}"


def _refuse_other_kinds(function: Callable[..., Any], name: str) -> None:
    """Refuse functions that run nothing when they are called."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise BadFactoryError(f"{name} is an async function, which nothing awaits: write `def`")
    if inspect.isgeneratorfunction(function):
        raise BadFactoryError(
            f"{name} is a generator function: a call runs nothing of it; use `return` instead of "
            "`yield`"
        )


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """None for a callable whose parameters are not known, as of some built-in functions."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _takes_phase(signature: inspect.Signature) -> bool:
    parameters = list(signature.parameters.values())
    needed = _needed(signature)
    if len(needed) == 1 and needed[0].kind in _BY_POSITION:
        return True
    if needed or not parameters:
        return False
    first = parameters[0]
    if first.kind is _Parameter.VAR_POSITIONAL:
        return True
    return first.kind in _BY_POSITION and "phase" in first.name.lower()


def _keyword_for_phase(signature: inspect.Signature) -> str | None:
    """The one parameter that must be given, if only by name; else one whose name has "phase"."""
    needed = _needed(signature)
    parameters = needed or [p for p in signature.parameters.values() if "phase" in p.name.lower()]
    if len(parameters) != 1 or parameters[0].kind is not _Parameter.KEYWORD_ONLY:
        return None
    return parameters[0].name


def _needed(signature: inspect.Signature) -> list[inspect.Parameter]:
    """The parameters without a default value."""
    return [
        each
        for each in signature.parameters.values()
        if each.default is _Parameter.empty
        and each.kind not in (_Parameter.VAR_POSITIONAL, _Parameter.VAR_KEYWORD)
    ]


def _shown(signature: inspect.Signature) -> str:
    """The parameters without annotations, which make a line long."""
    bare = [
        each.replace(annotation=_Parameter.empty, default=_short(each.default))
        for each in signature.parameters.values()
    ]
    return str(inspect.Signature(bare))


class _Ellipsis:
    """Stands for a default value in a signature: it may be long, or a secret."""

    def __repr__(self) -> str:
        return "..."


def _short(default: Any) -> Any:
    return default if default is _Parameter.empty else _Ellipsis()


def _cause(signature: inspect.Signature, given: Mapping[str, Any], error: TypeError) -> str:
    """Why the call cannot be made, and what to do."""
    parameters = signature.parameters
    by_position = [each for each in parameters.values() if each.kind in _BY_POSITION]
    takes_any = any(each.kind is _Parameter.VAR_POSITIONAL for each in parameters.values())
    if len(by_position) < len(PASSED) and not takes_any:
        count = len(by_position) or "none"
        return f"it takes {count} of these three by position: write `{PROTOCOL}`"
    for name in given:
        if name in [each.name for each in by_position[: len(PASSED)]]:
            place = [each.name for each in by_position].index(name)
            return (
                f"rnnprof itself passes {PASSED[place]} as {name}: leave out --factory-arg {name}"
            )
        if not _takes(parameters, name):
            nearest = near(name, [each for each in parameters if each not in PASSED])
            meant = f"; did you mean {nearest!r}?" if nearest else ""
            return f"it has no parameter {name!r} (--factory-arg {name}){meant}"
    for name, each in parameters.items():
        if each.default is _Parameter.empty and name not in given and each in _beyond(signature):
            return (
                f"nothing gives it {name!r}: give --factory-arg {name}=..., or the parameter a "
                "default value"
            )
    return str(error)


def _beyond(signature: inspect.Signature) -> list[inspect.Parameter]:
    """The parameters that what is passed by position does not fill."""
    parameters = list(signature.parameters.values())
    by_position = [each for each in parameters if each.kind in _BY_POSITION]
    by_name = [each for each in parameters if each.kind is _Parameter.KEYWORD_ONLY]
    return by_position[len(PASSED) :] + by_name


def _takes(parameters: Mapping[str, inspect.Parameter], name: str) -> bool:
    if any(each.kind is _Parameter.VAR_KEYWORD for each in parameters.values()):
        return True
    return name in parameters and parameters[name].kind in _BY_NAME
