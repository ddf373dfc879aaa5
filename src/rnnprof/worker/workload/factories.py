"""Load a user's factory, call it, and convert what it returns to one form."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from rnnprof.errors import BadInputError
from rnnprof.factory import PhaseMarker, Training

Factory = Callable[..., Any]

EXPECTED = (
    "expected step, rnnprof.Training(step, model=, optimizer=) or (module, forward_loss); "
    "see rnnprof.factory"
)


class BadFactoryError(BadInputError):
    """The factory cannot be found or does not follow the protocol."""


def load_factory(path: str) -> Factory:
    """Import ``file.py:function`` or ``package.module:function``.

    Raises:
        BadFactoryError: something is missing; the message lists what exists.
    """
    source, _, name = path.rpartition(":")
    sys.path.insert(0, str(Path.cwd()))
    module = _load_file(Path(source)) if source.endswith(".py") else _import_module(source)
    function = getattr(module, name, None)
    if not callable(function):
        there = [n for n, value in vars(module).items() if inspect.isfunction(value)]
        raise BadFactoryError(
            f"{source} has no function {name!r}; it has {', '.join(there[:8]) or 'no function'}"
        )
    return function  # type: ignore[no-any-return]


def takes_worst(factory: Factory) -> bool:
    """Whether a factory has a parameter ``worst`` that can be given by name."""
    try:
        parameter = inspect.signature(factory).parameters.get("worst")
    except (TypeError, ValueError):  # a callable without a signature
        return False
    return parameter is not None and parameter.kind in (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )


def check_has_source(factory: Factory) -> None:
    """Check that the factory is defined in a file, which identifies the run.

    Raises:
        BadFactoryError: it is not.
    """
    try:
        file = inspect.getsourcefile(inspect.unwrap(factory))
    except TypeError:
        file = None
    if file is None:
        raise BadFactoryError(
            "the factory has no source file: write it as a function in a .py file"
        )


def _load_file(path: Path) -> ModuleType:
    # as with `python train.py`: files in the same folder can be imported
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BadFactoryError(f"no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise BadFactoryError(f"no module {name!r} on the path or in this directory") from None
        raise


def adopt(returned: Any, make_optimizer: Callable[[Any], Any]) -> Training:
    """Convert what a factory returned to a :class:`Training`.

    Raises:
        BadFactoryError: it is none of the three forms.
    """
    if isinstance(returned, Training):
        if not callable(returned.step):
            raise BadFactoryError(f"Training.step is {_kind(returned.step)}, not a function")
        return returned
    if isinstance(returned, torch.nn.Module):
        raise BadFactoryError(f"the factory returned a module alone; {EXPECTED}")
    if isinstance(returned, tuple) and len(returned) == 2:
        module, forward_loss = returned
        if isinstance(module, torch.nn.Module) and callable(forward_loss):
            return short_form(module, forward_loss, make_optimizer(module.parameters()))
    if callable(returned):
        return Training(returned)
    raise BadFactoryError(f"the factory returned {_kind(returned)}; {EXPECTED}")


def short_form(
    module: torch.nn.Module, forward_loss: Callable[[], Any], optimizer: Any
) -> Training:
    """Training around a forward pass: clear gradients, forward, backward, optimizer."""

    def step(phase: PhaseMarker) -> Any:
        module.zero_grad(set_to_none=True)
        with phase("forward"):
            loss = forward_loss()
        if not isinstance(loss, torch.Tensor):
            raise BadFactoryError(f"forward_loss returned {_kind(loss)}, not a tensor")
        with phase("backward"):
            # backward needs a scalar; for any other loss the record has a warning
            torch.autograd.backward(loss if loss.numel() == 1 else loss.sum())
        if optimizer is not None:
            with phase("optimizer"):
                optimizer.step()
        return loss.detach()

    return Training(step, model=module, optimizer=optimizer)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
