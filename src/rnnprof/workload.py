"""What is trained: a recurrent cell and its sizes, or a user's own factory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnprof import defaults
from rnnprof.defaults import CELLS as CELLS
from rnnprof.defaults import DTYPES as DTYPES
from rnnprof.defaults import IMPLS as IMPLS
from rnnprof.defaults import LOOPS as LOOPS
from rnnprof.defaults import MODES as MODES
from rnnprof.defaults import OPTIMIZERS as OPTIMIZERS
from rnnprof.errors import BadInputError
from rnnprof.ranges import Probability, Size


@dataclass(frozen=True, slots=True)
class FactorySource:
    """A user's factory.

    Attributes:
        reference: file name or module, and function: ``train.py:make``.
        args: keyword arguments from ``--factory-arg``.
    """

    reference: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is trained: a recurrent cell and its sizes, or a user's own factory.

    Attributes:
        cell: one of CELLS; None with a factory.
        impl: the requested implementation (cuDNN or oneDNN; the same layer without them; a cell
            stepped in Python); the memory observation has the one that really ran.
        dropout: between stacked layers, as a probability.
        proj_size: size of an LSTM's projected output; 0 for none.
        batch_first: input of shape (batch, T, features) instead of (T, batch, features).
        dtype: one of DTYPES; ``fp32`` leaves torch's flags as they are.
        optimizer: one of OPTIMIZERS; a factory of the long form has its own.
        mode: ``inference`` runs forward passes without gradients in evaluation mode.
        compile: whether torch.compile compiles the module.
        loop: the loop around a built-in cell.  ``plain`` holds input, output, state and loss until
            the next step replaces them, as a loop at the top of a script does; ``function`` is a
            step function, which drops them at its end.  A factory has its own loop.
    """

    cell: str | None = defaults.CELL
    impl: str = defaults.IMPL
    input_size: Size = defaults.INPUT_SIZE
    hidden_size: Size = defaults.HIDDEN_SIZE
    layers: Size = defaults.LAYERS
    bidirectional: bool = False
    dropout: Probability = defaults.DROPOUT
    proj_size: Size = defaults.PROJ_SIZE
    batch_first: bool = False
    dtype: str = defaults.DTYPE
    optimizer: str = defaults.OPTIMIZER
    mode: str = defaults.MODE
    compile: bool = False
    loop: str = defaults.LOOP
    factory: FactorySource | None = None

    @property
    def name(self) -> str:
        """A short name for files and titles: ``lstm-256-512-1``, ``gru-64-64-2-bidirectional``."""
        if self.factory is None:
            sizes = f"{self.cell}-{self.input_size}-{self.hidden_size}-{self.layers}"
            return "-".join([sizes, *(word.replace(" ", "") for word in self._unusual())])
        return self.factory.reference.replace(".py:", "-").replace(":", "-").replace(".", "-")

    def describe(self) -> str:
        """One line for a reader."""
        if self.factory is None:
            layers = f"{self.layers} layer{'s' if self.layers > 1 else ''}"
            usual = [] if self.dtype != "fp32" else ["fp32"]
            optimizer = [] if self.mode == "inference" else [self.optimizer]
            parts = [layers, *usual, *self._unusual(), *optimizer]
            return f"{self.cell} {self.input_size}->{self.hidden_size}, {', '.join(parts)}"
        args = ", ".join(f"{key}={value}" for key, value in self.factory.args.items())
        return f"{self.factory.reference}({args})"

    def _unusual(self) -> list[str]:
        """What differs from the defaults, in words."""
        marks = {
            self.impl: self.impl != "fused",
            "bidirectional": self.bidirectional,
            f"dropout {self.dropout:g}": self.dropout > 0,
            f"proj {self.proj_size}": self.proj_size > 0,
            "batch-first": self.batch_first,
            self.dtype: self.dtype != "fp32",
            self.mode: self.mode != "train",
            "compiled": self.compile,
            "step function": self.loop != "plain",
        }
        return [word for word, is_unusual in marks.items() if is_unusual]


def workload_of(factory: FactorySource, optimizer: str = defaults.OPTIMIZER) -> Workload:
    """The workload that a factory makes; *optimizer* is for its short form."""
    return Workload(
        cell=None, input_size=0, hidden_size=0, layers=0, optimizer=optimizer, factory=factory
    )


def factory_place(text: str) -> tuple[str, str]:
    """Where to load a factory from, and its name in records, which omits the file's folders.

    Raises:
        BadInputError: *text* does not have the form, or the file does not exist.
    """
    source, separator, function = text.rpartition(":")
    if not separator or not source or not function.isidentifier():
        raise BadInputError(f"{text}: write FILE.py:FUNCTION or package.module:FUNCTION")
    if not source.endswith(".py"):
        if not all(part.isidentifier() for part in source.split(".")):
            raise BadInputError(f"{text}: {source!r} is neither a .py file nor a module")
        return text, text
    path = Path(source)
    if not path.is_file():
        raise BadInputError(f"{text}: no file {source}")
    return f"{path.resolve()}:{function}", f"{path.name}:{function}"
