"""What is trained: a recurrent cell and its sizes, or a user's own factory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FactorySource:
    """A user's factory.

    Attributes:
        reference: file name or module, and function: ``train.py:make``.
        sha256: of its source file.
        args: what ``--factory-arg`` hands to it.
    """

    reference: str
    sha256: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is trained: a recurrent cell and its sizes, or a user's own factory.

    Attributes:
        cell: ``rnn-tanh``, ``rnn-relu``, ``lstm`` or ``gru``; None with a factory.
        impl: the implementation asked for; what really ran is in the memory observation.
        optimizer: ``none``, ``sgd``, ``adam`` or ``adamw``; a factory of the long form has its own.
    """

    cell: str | None = "lstm"
    impl: str = "fused"
    input_size: int = 256
    hidden_size: int = 512
    layers: int = 1
    dtype: str = "fp32"
    optimizer: str = "adam"
    mode: str = "train"
    factory: FactorySource | None = None

    @property
    def name(self) -> str:
        """A short name for files and titles: ``lstm-256-512-1``."""
        if self.factory is None:
            return f"{self.cell}-{self.input_size}-{self.hidden_size}-{self.layers}"
        return self.factory.reference.replace(".py:", "-").replace(":", "-").replace(".", "-")

    def describe(self) -> str:
        """One line for people."""
        if self.factory is None:
            return (
                f"{self.cell} {self.input_size}->{self.hidden_size}, {self.layers} layer"
                f"{'s' if self.layers > 1 else ''}, {self.dtype}, {self.optimizer}"
            )
        args = ", ".join(f"{key}={value}" for key, value in self.factory.args.items())
        return f"{self.factory.reference}({args})"
