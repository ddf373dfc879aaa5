"""What is trained: a recurrent cell and its sizes, or a user's own factory or script."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from rnnprof.placeholders import filled, placeholders_in
from rnnprof.ranges import Probability, Size
from rnnprof.redaction import STRUCK, Secrets, is_secret, split_words
from rnnprof.script import check_script, functions_of, near


def quoted(word: str) -> str:
    """A word as a shell takes it; placeholders and struck secrets are easier to read without."""
    plain = filled(word, 1, 1).replace(STRUCK, "")
    return word if shlex.quote(plain) == plain or (word and not plain) else shlex.quote(word)


def differing_words(left: Sequence[str], right: Sequence[str]) -> tuple[str, str]:
    """Two command lines without the words that both begin and end with; ``nothing`` for none."""
    before = _alike(left, right)
    left, right = left[before:], right[before:]
    after = _alike(left[::-1], right[::-1])
    ends = (each[: len(each) - after] for each in (left, right))
    one, other = (" ".join(map(quoted, each)) or "nothing" for each in ends)
    return one, other


def _alike(left: Sequence[str], right: Sequence[str]) -> int:
    """How many words both begin with."""
    pairs = zip(left, right, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass(frozen=True, slots=True)
class FactorySource:
    """A user's factory.

    Attributes:
        reference: file name or module, and function: ``train.py:make``.
        args: keyword arguments from ``--factory-arg``, without those that look like secrets.
        secret_args: names of the arguments whose values are not kept.
        env_args: arguments that take the value of an environment variable, with its name.
        argv: words of ``--factory-argv``, the script's own command line; ``***`` for a secret.
    """

    reference: str
    args: dict[str, Any] = field(default_factory=dict)
    secret_args: tuple[str, ...] = ()
    env_args: dict[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for a reader: ``train.py:make(width=3, token=***)``."""
        args = [f"{key}={value}" for key, value in self.args.items()]
        args += [f"{key}={STRUCK}" for key in self.secret_args]
        args += [f"{key}=${variable}" for key, variable in self.env_args.items()]
        words = f" {' '.join(self.argv)}" if self.argv else ""
        return f"{self.reference}({', '.join(args)}){words}"


@dataclass(frozen=True, slots=True)
class ScriptSource:
    """A user's training script with its command line, as records have it.

    ``{batch}`` and ``{time_steps}`` stand in its texts where the sizes of a point go.

    Attributes:
        target: the file's name without folders, ``train.py``, or a module after ``-m``.
        is_module: whether it is run as ``python -m target``.
        argv: words of the command line after it; ``***`` for a secret.
        env: environment variables that it gets; ``***`` for a secret.
        assignments: values of ``--set``, by ``NAME`` or ``module.NAME``.
        setup: shell command that runs once before everything else.
        prepare: shell command that runs before each probe.
    """

    target: str
    is_module: bool = False
    argv: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    assignments: dict[str, str] = field(default_factory=dict)
    setup: str | None = None
    prepare: str | None = None

    def describe(self) -> str:
        """One line for a reader: ``train.py --batch-size {batch}``."""
        before = [f"{name}={quoted(text)}" for name, text in self.env.items()]
        words = ["python", "-m", self.target] if self.is_module else [self.target]
        after = [f"[{name} = {text}]" for name, text in self.assignments.items()]
        return " ".join([*before, *words, *map(quoted, self.argv), *after])

    @property
    def placeholders(self) -> frozenset[str]:
        """Which of ``batch`` and ``time_steps`` the script is given, if only by its data."""
        texts = [*self.argv, *self.env.values(), *self.assignments.values()]
        return placeholders_in([*texts, self.prepare or ""])


@dataclass(frozen=True, slots=True)
class ScriptPlace:
    """Where a script is and all that it is given, secrets included; no record has it.

    Attributes:
        target: the file's absolute path, or a module.
        argv, env, assignments: as in :class:`ScriptSource`, without ``***``.
    """

    target: str
    is_module: bool = False
    argv: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    assignments: dict[str, str] = field(default_factory=dict)

    def at(self, batch: int, time_steps: int) -> ScriptPlace:
        """The same with the sizes of a point in place of the placeholders."""

        def fill(texts: Mapping[str, str]) -> dict[str, str]:
            return {name: filled(text, batch, time_steps) for name, text in texts.items()}

        argv = tuple(filled(word, batch, time_steps) for word in self.argv)
        return replace(self, argv=argv, env=fill(self.env), assignments=fill(self.assignments))


@dataclass(frozen=True, slots=True)
class Workload:
    """What is trained: a recurrent cell and its sizes, a user's factory, or a user's script.

    Attributes:
        cell: one of CELLS; None with a factory or a script.
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
        factory: the user's factory; None without one.
        script: the user's training script; None without one.
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
    script: ScriptSource | None = None

    @property
    def is_built_in(self) -> bool:
        """Whether rnnprof itself makes it: a cell, not the user's code."""
        return self.factory is None and self.script is None

    @property
    def name(self) -> str:
        """A short name for files and titles: ``lstm-256-512-1``, ``gru-64-64-2-bidirectional``."""
        if self.script is not None:
            return self.script.target.removesuffix(".py").replace(".", "-")
        if self.factory is None:
            sizes = f"{self.cell}-{self.input_size}-{self.hidden_size}-{self.layers}"
            return "-".join([sizes, *(word.replace(" ", "") for word in self._unusual())])
        return self.factory.reference.replace(".py:", "-").replace(":", "-").replace(".", "-")

    def describe(self) -> str:
        """One line for a reader."""
        if self.script is not None:
            return self.script.describe()
        if self.factory is None:
            layers = f"{self.layers} layer{'s' if self.layers > 1 else ''}"
            usual = [] if self.dtype != "fp32" else ["fp32"]
            optimizer = [] if self.mode == "inference" else [self.optimizer]
            parts = [layers, *usual, *self._unusual(), *optimizer]
            return f"{self.cell} {self.input_size}->{self.hidden_size}, {', '.join(parts)}"
        return self.factory.describe()

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


@dataclass(frozen=True, slots=True)
class FactoryInput:
    """What a factory and its file are given, as a command states it.

    Attributes:
        args: keyword arguments.
        env_args: further ones, each with the environment variable that holds its value.
        argv: words of the script's own command line.
    """

    args: Mapping[str, Any] = field(default_factory=dict)
    env_args: Mapping[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = ()

    def source(self, reference: str) -> FactorySource:
        """The factory as records have it: of secrets only the name."""
        secret = [name for name, value in self.args.items() if is_secret(name, value)]
        return FactorySource(
            reference,
            {name: value for name, value in self.args.items() if name not in secret},
            tuple(secret),
            dict(self.env_args),
            split_words(self.argv)[0],
        )

    def secrets(self, environment: Mapping[str, str]) -> Secrets:
        """What records do not have, with the values of the variables.

        Raises:
            BadInputError: a variable is not set, or an argument is given as a record shows it.
        """
        found = {name: value for name, value in self.args.items() if is_secret(name, value)}
        for name, value in found.items():
            if value == STRUCK:
                raise BadInputError(
                    f"--factory-arg {name}={STRUCK}: no record keeps this value: give it again"
                )
        for name, variable in self.env_args.items():
            if variable not in environment:
                raise BadInputError(
                    f"--factory-arg-env {name}={variable}: the variable {variable} is not set"
                )
            if not environment[variable]:  # as CI leaves a secret that does not exist
                raise BadInputError(
                    f"--factory-arg-env {name}={variable}: the variable {variable} is empty"
                )
            found[name] = environment[variable]
        hidden = split_words(self.argv)[1]
        return Secrets(found, self.argv if hidden else None, hidden)


def workload_of_script(script: ScriptSource) -> Workload:
    """The workload that a script trains; what it trains with is in the script."""
    return Workload(cell=None, input_size=0, hidden_size=0, layers=0, script=script)


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
        raise BadInputError(
            f"{text}: write FILE.py:FUNCTION or package.module:FUNCTION{_named(text)}"
        )
    if source.lower().endswith(".ipynb"):
        script = f"{source[:-6]}.py"
        raise BadInputError(
            f"{text}: a notebook cannot be loaded: write it as a script with `jupyter nbconvert "
            f"--to script {source}`, and give {script}:{function}"
        )
    if not source.endswith(".py"):
        if refused := _other_file(Path(source), function):
            raise BadInputError(f"{text}: {refused}")
        if not all(part.isidentifier() for part in source.split(".")):
            raise BadInputError(
                f"{text}: {source!r} is neither a .py file nor a module{_meant(source, function)}"
            )
        return text, text
    path = Path(source)
    if not path.is_file():
        raise BadInputError(f"{text}: {_no_file(path)}")
    try:
        check_script(path, function)
    except BadInputError as error:
        raise BadInputError(f"{text}: {error}") from None
    return f"{path.resolve()}:{function}", f"{path.name}:{function}"


def _other_file(path: Path, function: str) -> str | None:
    """What is wrong with the path of a file or folder that is no module's name either."""
    if path.suffix and path.is_file():
        return f"{path} does not end in .py: give the Python file that it is made from"
    if not path.is_dir() or (path / "__init__.py").is_file():
        return None
    having = (each for each in sorted(path.glob("*.py")) if function in functions_of(each))
    such = next(having, None)
    return f"{path} is a folder: give a file in it" + (f", {such}:{function}" if such else "")


def _named(text: str) -> str:
    """For a file without a function: its functions."""
    path = Path(text.rstrip(":"))
    functions = functions_of(path) if path.suffix == ".py" and path.is_file() else []
    return f", such as {path}:{functions[0]}" if functions else ""


def _meant(source: str, function: str) -> str:
    """For a path without its suffix, or with slashes in place of dots."""
    path = Path(f"{source}.py")
    return f": give {path}:{function}" if path.is_file() else ""


def _no_file(path: Path) -> str:
    if path.exists():
        return f"{path} is not a file"
    nearest = near(path.name, [each.name for each in path.parent.glob("*.py")])
    return f"no file {path}" + (f"; did you mean {path.with_name(nearest)}?" if nearest else "")
