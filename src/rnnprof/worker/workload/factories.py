"""Load a user's factory, call it, and convert what it returns to one form."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rnnprof.factory import PhaseMarker, Training
from rnnprof.script import functions_of, imports, near
from rnnprof.worker.workload.signatures import BadFactoryError as BadFactoryError
from rnnprof.worker.workload.signatures import (
    check_callable_without,
    kind_of,
    step_with_phase,
)

Factory = Callable[..., Any]

MOST_PARTS: Final = 6
"""Parts of a returned tuple that a message names."""

EXPECTED = (
    "expected step, rnnprof.Training(step, model=, optimizer=) or (module, forward_loss); "
    "see rnnprof.factory"
)


def load_factory(path: str, words: Sequence[str] = ()) -> Factory:
    """Import ``file.py:function`` or ``package.module:function``.

    As with ``python file.py WORDS``, the file's folder is on the path and ``sys.argv`` is the
    script's.

    Raises:
        BadFactoryError: something is missing; the message lists what exists.
    """
    source, _, name = path.rpartition(":")
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [source, *words]
    with _training_refused(Path(source).name):
        module = _load_file(Path(source)) if source.endswith(".py") else _import_module(source)
    function = getattr(module, name, None)
    if not callable(function):
        raise BadFactoryError(_no_function(module, Path(source).name, name))
    return function  # type: ignore[no-any-return]


def _no_function(module: ModuleType, source: str, name: str) -> str:
    if hasattr(module, name):
        return f"{source}: {name} is {kind_of(getattr(module, name))}, not a function"
    own = functions_of(Path(module.__file__)) if module.__file__ else []
    there = own or [n for n, value in vars(module).items() if inspect.isfunction(value)]
    nearest = near(name, there)
    meant = f"; did you mean {nearest!r}?" if nearest else ";"
    return (
        f"{source} has no function {name!r}{meant} it has {', '.join(there[:8]) or 'no function'}"
    )


@contextmanager
def _training_refused(name: str) -> Iterator[None]:
    """Refuse a file that trains when it is loaded: each worker would train first.

    Raises:
        BadFactoryError: an optimizer steps inside the context.
    """

    def refuse(*_: object) -> None:
        raise BadFactoryError(
            f"{name} trains when it is loaded, and each worker loads it: move the training under "
            '`if __name__ == "__main__":` or into the function that the factory returns'
        )

    handle = register_optimizer_step_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()


def check_has_source(factory: Factory) -> None:
    """Check that the factory is defined in a file, which identifies the run.

    Raises:
        BadFactoryError: it is not.
    """
    while isinstance(factory, functools.partial):
        factory = factory.func
    factory = inspect.unwrap(factory)
    is_object = not (inspect.isroutine(factory) or inspect.isclass(factory))
    try:
        file = inspect.getsourcefile(type(factory) if is_object else factory)
    except TypeError:
        file = None
    if file is None:
        raise BadFactoryError(
            "the factory has no source file: write it as a function in a .py file"
        )


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadFactoryError(f"no file {path}")
    path = path.resolve()
    name = _module_name(path)
    # as with `python train.py`: files in the same folder can be imported
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "its name ends in .py"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


OWN_PREFIX: Final = "_script_"


def _module_name(path: Path) -> str:
    """The file's stem; another name if the stem is that of a module in use, such as ``torch``.

    A file that imports a module of its own name means the installed one, which is then loaded
    before the file's folder is on the path.
    """
    stem = path.stem.replace(".", "_")
    if stem not in sys.modules and imports(path, stem):
        try:
            importlib.import_module(stem)
        except ImportError:
            return stem
    file = getattr(sys.modules.get(stem), "__file__", None)
    is_free = stem not in sys.modules or (file is not None and Path(file).resolve() == path)
    return stem if is_free else OWN_PREFIX + stem


def _import_module(name: str) -> ModuleType:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            sys.argv[0] = spec.origin
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise BadFactoryError(
                f"no module {name!r} on the path or in this directory ({Path.cwd()})"
            ) from None
        raise


def adopt(returned: Any, make_optimizer: Callable[[Any], Any]) -> Training:
    """Convert what a factory returned to a :class:`Training`, whose step takes the phase.

    Raises:
        BadFactoryError: it is none of the three forms, or a function needs other arguments.
    """
    if isinstance(returned, Training):
        if not callable(returned.step):
            raise BadFactoryError(f"Training.step is {kind_of(returned.step)}, not a function")
        if returned.probe is not None:
            check_callable_without(returned.probe, "probe", "probe()")
        return replace(returned, step=step_with_phase(returned.step))
    if isinstance(returned, torch.nn.Module):
        raise BadFactoryError(f"the factory returned a module alone; {EXPECTED}")
    if isinstance(returned, tuple) and len(returned) == 2:
        module, forward_loss = returned
        if isinstance(module, torch.nn.Module):
            check_callable_without(forward_loss, "forward_loss", "forward_loss()")
            return short_form(module, forward_loss, make_optimizer(module.parameters()))
    if callable(returned):
        return Training(step_with_phase(returned))
    raise BadFactoryError(f"the factory returned {_parts_of(returned)}; {EXPECTED}")


def _parts_of(returned: Any) -> str:
    """The type of a value; of a tuple also those of its parts."""
    if not isinstance(returned, tuple) or not 0 < len(returned) <= MOST_PARTS:
        return kind_of(returned)
    return f"({', '.join(type(each).__name__ for each in returned)})"


def short_form(
    module: torch.nn.Module, forward_loss: Callable[[], Any], optimizer: Any
) -> Training:
    """Training around a forward pass: clear gradients, forward, backward, optimizer."""

    def step(phase: PhaseMarker) -> Any:
        module.zero_grad(set_to_none=True)
        with phase("forward"):
            loss = forward_loss()
        if not isinstance(loss, torch.Tensor):
            raise BadFactoryError(f"forward_loss returned {kind_of(loss)}, not a tensor")
        with phase("backward"):
            # backward needs a scalar; for any other loss the record has a warning
            torch.autograd.backward(loss if loss.numel() == 1 else loss.sum())
        if optimizer is not None:
            with phase("optimizer"):
                optimizer.step()
        return loss.detach()

    return Training(step, model=module, optimizer=optimizer)
