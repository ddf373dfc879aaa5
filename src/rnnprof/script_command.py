"""The command line of a user's script, read without running anything.

It is taken as the user types it: what starts the script, the script, and its own words.  Whatever
cannot be run as it stands is refused here, with what to write instead.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rnnprof.assignments import check_assignments, search_folders
from rnnprof.errors import BadInputError
from rnnprof.interpreter import check_python, is_python
from rnnprof.launchers import refusal, refusal_of_module
from rnnprof.placeholders import BATCH, TIME_STEPS, placeholders_in
from rnnprof.redaction import STRUCK, Secrets, is_secret, split_words
from rnnprof.script import module_file, near, parsed
from rnnprof.script_hints import check_batch_is_given, check_placeholders, check_time_steps
from rnnprof.workload import ScriptPlace, ScriptSource, quoted

UNKNOWN_T: Final = (1,)
"""T of the grid where the script is given none: what its recurrent layers see takes its place."""

_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*")
_SETTING: Final = re.compile(r"([A-Za-z_]\w*)=")

_IGNORED_FLAGS: Final = frozenset("uBq")
"""Flags of Python that change nothing of a training step."""

_FLAGS: Final = {
    "c": "write the code into a file, and give that",
    "i": "leave it out: nobody answers a prompt",
    "W": "set PYTHONWARNINGS in the environment of rnnprof instead",
    "X": "set its variable, such as PYTHONDEVMODE, in the environment of rnnprof instead",
}
"""What to do in place of a flag of Python; others are to be left out."""

_READ_EARLY: Final = re.compile(
    r"PYTHON\w+|LD_\w+|MALLOC_\w+|\w+_NUM_THREADS|CUDA_VISIBLE_DEVICES|PYTORCH_(CUDA_)?ALLOC_CONF"
    r"|RNNPROF_\w+|KMP_\w+|PATH"
)
"""Variables that are read before a script starts: by Python, by libraries or by rnnprof."""

_PYTHON_LINE: Final = re.compile(rb"#!\s*(\S+)(?:[ \t]+(?:-S[ \t]+)?(\S+))?")


@dataclass(frozen=True, slots=True)
class ScriptInput:
    """A script as a command states it.

    Attributes:
        words: the whole command, ``python train.py --batch-size {batch}``.
        env, assignments: of ``--env`` and ``--set``.
    """

    words: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    assignments: Mapping[str, str] = field(default_factory=dict)
    setup: str | None = None
    prepare: str | None = None

    @property
    def texts(self) -> list[str]:
        """Everything that the script is given."""
        return [*self.words, *self.env.values(), *self.assignments.values()]


@dataclass(frozen=True, slots=True)
class Script:
    """A script that can be run.

    Attributes:
        source: as records have it.
        place: where it is, with all that it is given.
        secrets: what it is given and no record has.
        file: its text; None for a module that has none.
    """

    source: ScriptSource
    place: ScriptPlace
    secrets: Secrets
    file: Path | None = None

    def times_of(self, requested: Sequence[int] | None, source: str = "-T") -> tuple[int, ...]:
        """The T of the grid.

        Args:
            requested: None where the user names none.
            source: what requests them, for the message.

        Raises:
            BadInputError: several are requested, and the script is given none.
        """
        if requested is None:
            return UNKNOWN_T
        known = self.source.placeholders
        check_time_steps(known, requested, self.place.argv, self.file, source)
        return tuple(requested)


def read_script(given: ScriptInput, *, runs: bool = True) -> Script:
    """Read a script's command line.

    Args:
        runs: whether workers will run it, so that every secret must be there.

    Raises:
        BadInputError: it cannot be run as it stands; the message says what to write.
    """
    folder = Path.cwd()
    _check_named(given)
    target, is_module, argv = _target(given.words)
    place = ScriptPlace(target, is_module, argv, dict(given.env), dict(given.assignments))
    file = module_file(target, search_folders(place, folder)) if is_module else Path(target)
    check_placeholders(filter(None, [*given.texts, given.setup, given.prepare]))
    others = [*given.texts[len(given.words) :], given.prepare or ""]
    check_batch_is_given([*argv, *others], argv, file)
    if runs:
        _check_present(place)
    if given.assignments:
        check_assignments(place, folder)
    source, hidden = _recorded(place, given)
    return Script(source, place, Secrets(texts=hidden), file)


def check_recorded(source: ScriptSource) -> None:
    """Check that a command line can say what a record has.

    Raises:
        BadInputError: it cannot; the file is then not as rnnprof wrote it.
    """
    given = ScriptInput(source.argv, source.env, source.assignments, source.setup, source.prepare)
    _check_named(given)
    check_placeholders(filter(None, [*given.texts, given.setup, given.prepare]))
    check_batch_is_given([*given.texts, given.prepare or ""], given.words, None)
    why = refusal_of_module(source.target) if source.is_module else refusal(source.target)
    if why is not None:
        raise BadInputError(why)


# ---- what starts the script ---------------------------------------------------------------------


def _target(words: Sequence[str]) -> tuple[str, bool, tuple[str, ...]]:
    """The file's absolute path or the module, whether it is a module, and the script's words."""
    if not words:
        raise BadInputError("the script's command is empty: write python train.py ...")
    first = words[0]
    if not first.strip():
        raise BadInputError("the first word after -- is empty: write python train.py ...")
    _check_starter(first)
    if is_python(first):
        rest = _without_flags(first, words[1:])
        check_python(first, _shown(rest))
        if rest[0] == "-m":
            return _module(rest[1]), True, tuple(rest[2:])
        return str(_file(rest[0])), False, tuple(rest[1:])
    return str(_program(first, words)), False, tuple(words[1:])


def _check_starter(word: str) -> None:
    """Check that a word does not start the script in another way than Python does."""
    if (setting := _SETTING.match(word)) is not None:
        raise BadInputError(
            f"{setting[0]}...: only a shell reads a variable before a command: write "
            f"--env {setting[0]}... before --, and then -- python train.py ..."
        )
    if (why := refusal(Path(word).name)) is not None:
        raise BadInputError(why)


def _without_flags(python: str, words: Sequence[str]) -> list[str]:
    """The words from the script on: its file, or ``-m`` and the module."""
    left = list(words)
    while left and left[0].startswith("-"):
        word = left.pop(0)
        if word == "-":
            raise BadInputError(
                f"{python} -: a script cannot come from stdin: write it into a file"
            )
        if word == "--":
            continue
        flags = word[1:]
        before, m, module = flags.partition("m") if not word.startswith("--") else (flags, "", "")
        for flag in [before] if word.startswith("--") else before:
            _check_flag(python, flag)
        if m:
            rest = [module, *left] if module else left
            if not rest:
                raise BadInputError(f"{python} -m: the module is missing")
            return ["-m", *rest]
    if not left:
        raise BadInputError(f"{python}: the script is missing: write {python} train.py ...")
    return left


def _check_flag(python: str, flag: str) -> None:
    if flag in _IGNORED_FLAGS:
        return
    shown = f"-{flag}"
    what = _FLAGS.get(flag, "leave it out: rnnprof has started Python already")
    raise BadInputError(f"{python} {shown}: {what}")


def _module(name: str) -> str:
    """The module of ``python -m``, found without importing it."""
    if (why := refusal_of_module(name)) is not None:
        raise BadInputError(why)
    if name.endswith(".py") and Path(name).is_file():
        raise BadInputError(f"python -m {name}: a file is run without -m: python {name}")
    if not all(part.isidentifier() for part in name.split(".")):
        raise BadInputError(f"python -m {name}: {name!r} is no module: write package.module")
    folders = search_folders(ScriptPlace(name, is_module=True), Path.cwd())
    file = module_file(name, folders)
    if file is None:
        raise BadInputError(f"python -m {name}: {_no_module(name)}")
    if file.name == "__init__.py" and not file.with_name("__main__.py").is_file():
        raise BadInputError(
            f"python -m {name}: {name} is a package without a __main__.py: name the module in it"
        )
    return name


def _no_module(name: str) -> str:
    path = Path(*name.split(".")).with_suffix(".py")
    names = [each.stem for each in path.parent.glob("*.py")]
    nearest = near(path.stem, names)
    meant = ".".join([*name.split(".")[:-1], nearest]) if nearest else None
    text = f"there is no module {name!r} in the working folder, nor where Python looks"
    return f"{text}; did you mean {meant}?" if meant else text


def _file(word: str) -> Path:
    """The absolute path of a script that Python is given.

    Raises:
        BadInputError: there is none, or it is not Python.
    """
    path = Path(word)
    if not word.strip():
        raise BadInputError("the word where the script stands is empty: write python train.py ...")
    if path.suffix.lower() == ".ipynb":
        raise BadInputError(
            f"{word}: a notebook cannot be run: write it as a script with `jupyter nbconvert --to "
            f"script {word}`, and give -- python {path.with_suffix('.py')}"
        )
    if path.is_dir():
        raise BadInputError(f"{word} is a folder: give the script in it, or python -m PACKAGE")
    if not path.is_file():
        raise BadInputError(_no_file(path))
    if (why := refusal(path.name)) is not None:
        raise BadInputError(why)
    parsed(path)
    return path.absolute()


def _no_file(path: Path) -> str:
    if path.exists():
        return f"{path} is not a file"
    try:
        nearest = near(path.name, [each.name for each in path.parent.glob("*.py")])
    except (OSError, ValueError):
        nearest = None
    return f"no file {path}" + (f"; did you mean {path.with_name(nearest)}?" if nearest else "")


def _program(word: str, words: Sequence[str]) -> Path:
    """The absolute path of a script that starts itself, or that is named without Python."""
    path = Path(word)
    if path.suffix.lower() in (".py", ".ipynb"):
        return _file(word)
    if path.suffix == ".jsonl":
        raise BadInputError(f"{word}: a run file stands before --: after it comes a script")
    found = path if path.is_file() else Path(shutil.which(word) or "")
    if not found.is_file():
        raise BadInputError(
            f"{word}: there is no such file or program: write python train.py ..., or python -m "
            "package.module ..."
        )
    python = _python_of(found)
    if python is None:
        raise BadInputError(
            f"{word} is not a Python script (its first line names no Python): give what it runs, "
            "-- python train.py ..."
        )
    check_python(python, _shown([str(found), *words[1:]]))
    return _file(str(found))


def _python_of(path: Path) -> str | None:
    """The Python that a file's first line names; None where it names none."""
    try:
        with path.open("rb") as file:
            line = _PYTHON_LINE.match(file.readline(512))
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}") from None
    if line is None:
        return None
    program = os.fsdecode(line[1])
    if Path(program).name == "env":
        program = os.fsdecode(line[2] or b"")
    return program if is_python(program) else None


def _shown(words: Sequence[str]) -> str:
    """A command for a message, without its secrets; the sizes stay readable."""
    return " ".join(map(quoted, split_words(words)[0]))


# ---- what the script is given -------------------------------------------------------------------


def _check_named(given: ScriptInput) -> None:
    """Check the names of ``--env`` and ``--set``, and what runs beside the script."""
    for name in given.env:
        if not _VARIABLE.fullmatch(name):
            raise BadInputError(f"--env {name[:20]!r} is no name of a variable: write NAME=TEXT")
        if _READ_EARLY.fullmatch(name):
            raise BadInputError(
                f"--env {name}: it is read before the script starts: set it for rnnprof itself, "
                f"{name}=... rnnprof ..."
            )
    for name in given.assignments:
        if not all(part.isidentifier() for part in name.split(".")):
            raise BadInputError(f"--set {name[:40]!r}: write NAME=TEXT or module.NAME=TEXT")
    for flag, text in (("--setup", given.setup), ("--prepare", given.prepare)):
        _check_shell_command(flag, text)


def _check_shell_command(flag: str, text: str | None) -> None:
    if text is None:
        return
    if not text.strip():
        raise BadInputError(f"{flag} is empty: leave it out")
    if flag == "--setup" and placeholders_in([text]):
        raise BadInputError(
            f"--setup runs once, before any size is known: {' and '.join((BATCH, TIME_STEPS))} "
            "stand in --prepare"
        )
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInputError(f"{flag}: {str(error).lower()}: write it as for a shell") from None
    if split_words(words)[1]:
        raise BadInputError(
            f"{flag} has what looks like a secret, and records keep this command: put it into a "
            "variable of the environment, and write $NAME"
        )


def _check_present(place: ScriptPlace) -> None:
    """Check that nothing is given as a record shows a secret."""
    for before, word in itertools.pairwise(["", *place.argv]):
        if word.rpartition("=")[2] == STRUCK:
            named = f"{before} {word}" if before.startswith("-") and word == STRUCK else word
            raise BadInputError(f"{named}: no record keeps this value: give it again")
    for flag, texts in (("--env", place.env), ("--set", place.assignments)):
        for name, text in texts.items():
            if text == STRUCK:
                raise BadInputError(
                    f"{flag} {name}={STRUCK}: no record keeps this value: give it again"
                )


def _recorded(place: ScriptPlace, given: ScriptInput) -> tuple[ScriptSource, tuple[str, ...]]:
    """The script as records have it, and what they do not have."""
    shown, hidden = split_words(place.argv)
    argv = tuple(
        word if _is_size(word.rpartition("=")[2]) else struck
        for word, struck in zip(place.argv, shown, strict=True)
    )
    env, env_hidden = _struck(place.env)
    assignments, set_hidden = _struck(place.assignments)
    target = place.target if place.is_module else Path(place.target).name
    source = ScriptSource(
        target, place.is_module, argv, env, assignments, given.setup, given.prepare
    )
    texts = [text for text in (*hidden, *env_hidden, *set_hidden) if not _is_size(text)]
    return source, tuple(texts)


def _struck(texts: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The texts with ``***`` for secrets, and the secrets."""
    secret = [name for name, text in texts.items() if is_secret(name, text) and not _is_size(text)]
    shown = {name: STRUCK if name in secret else text for name, text in texts.items()}
    return shown, [texts[name] for name in secret]


def _is_size(text: str) -> bool:
    """Whether a text is a placeholder alone, which is no secret whatever its name."""
    return text in (BATCH, TIME_STEPS)


def pairs_of(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """The names and texts of ``NAME=TEXT``; messages never have the text, which may be secret.

    Raises:
        BadInputError: one has another form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for each in texts:
        name, equals, text = each.partition("=")
        if not equals:
            raise BadInputError(f"{flag} ...: write NAME=TEXT, such as {_EXAMPLES[flag]}")
        if name in found:
            raise BadInputError(f"{flag} {name} is given twice")
        found[name] = text
    return found


_EXAMPLES: Final = {"--env": f"BS={BATCH}", "--set": f"BATCH_SIZE={BATCH}"}
