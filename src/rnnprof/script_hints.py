"""Where the sizes go in a script's command line: what is missing or misspelt, and what to write."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rnnprof.assignments import constants
from rnnprof.errors import BadInputError
from rnnprof.placeholders import BATCH, TIME_STEPS, placeholders_in
from rnnprof.script import parsed

MOST_HINTS: Final = 4
"""Options and names that a message lists."""

CLOSE: Final = 0.75
"""So alike is a misspelt placeholder to the right one."""

_BRACES: Final = re.compile(r"(\$?)\{([^{}]*)\}")
_SIMPLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[ _-][A-Za-z0-9]+)*")

_SYNONYMS: Final = {
    **dict.fromkeys((
        "b", "bs", "bsz", "n_batch", "batches", "batchsize", "batch_size", "mini_batch",
        "minibatch", "mini_batch_size", "train_batch_size", "batch_size_train",
    ), BATCH),
    **dict.fromkeys((
        "t", "steps", "timestep", "timesteps", "time_step", "seq", "seqlen", "seq_len",
        "seq_length", "sequence_length", "length", "bptt", "num_steps", "n_steps", "window",
    ), TIME_STEPS),
}  # fmt: skip

_OF_BATCH: Final = re.compile(r"(.*_)?(batch|bs|bsz|batchsize|minibatch)(_size)?(_train)?|b")
_OF_TIME: Final = re.compile(
    r"(.*_)?(bptt|unroll|time_?steps?|seq(uence)?_?len(gth)?|seq_size|num_steps|n_steps|window"
    r"(_size|_len|_length)?|block_size|context_len(gth)?|chunk_(size|len(gth)?)|max_len(gth)?)|t"
)
_NOT_TRAINED: Final = re.compile(r"(.*_)?(eval|val|valid|validation|test|dev|infer|predict)(_.*)?")
_DECLARES: Final = frozenset({"add_argument", "option", "Option"})
_PER_DEVICE: Final = "--per_device_train_batch_size"


def check_placeholders(texts: Iterable[str]) -> None:
    """Check that no text has a placeholder that is misspelt; other braces are the script's own.

    Raises:
        BadInputError: names it and the right one.
    """
    for text in texts:
        for dollar, inner in _BRACES.findall(text):
            meant = _meant(inner)
            if meant is None:
                continue
            if dollar and meant == f"{{{inner}}}":
                raise BadInputError(f"${{{inner}}}: write {meant} without the dollar sign")
            if not dollar and meant != f"{{{inner}}}":
                raise BadInputError(f"{{{inner}}} is no placeholder: {_instead(inner, meant)}")


def _meant(inner: str) -> str | None:
    """The placeholder that stands in braces, exactly or nearly; None for anything else."""
    name = inner.strip().lower().replace("-", "_").replace(" ", "_")
    if name in ("batch", "time_steps"):
        return f"{{{name}}}"
    if _SIMPLE.fullmatch(inner.strip()):
        near = difflib.get_close_matches(name, ["batch", "time_steps"], 1, CLOSE)
        return _SYNONYMS.get(name) or (f"{{{near[0]}}}" if near else None)
    found = re.search(r"(?<![\w.\"'])(batch|time_steps)(?![\w.\"'=])", inner)
    is_sum = found is not None and re.fullmatch(r"[\w\s.+*/%()-]+", inner) is not None
    return f"{{{found[1]}}}" if found is not None and is_sum else None


def _instead(inner: str, meant: str) -> str:
    if _SIMPLE.fullmatch(inner.strip()):
        return f"write {meant}"
    return f"rnnprof puts only the number in place of {meant}: let the script calculate with it"


def check_batch_is_given(texts: Sequence[str], argv: Sequence[str], file: Path | None) -> None:
    """Check that ``{batch}`` stands somewhere.

    Args:
        texts: everything that the script is given.
        argv: its words.
        file: the script's file, whose text tells which options it has.

    Raises:
        BadInputError: it does not; the message says what to write.
    """
    if "batch" in placeholders_in(texts):
        return
    raise BadInputError(
        f"{BATCH} stands nowhere: rnnprof tries batches of many sizes, so write it where the "
        f"script takes its batch size{_hint(BATCH, _OF_BATCH, argv, file)}"
    )


def check_time_steps(
    placeholders: frozenset[str],
    time_steps: Sequence[int],
    argv: Sequence[str],
    file: Path | None,
    source: str = "-T",
) -> None:
    """Check that ``{time_steps}`` stands somewhere if several are requested.

    Args:
        source: what requests them, for the message.

    Raises:
        BadInputError: it does not; the message says what to write.
    """
    if "time_steps" in placeholders or len(set(time_steps)) < 2:
        return
    otherwise = "leave -T out: T is then what the recurrent layers see"
    raise BadInputError(
        f"{source} names {len(set(time_steps))} T, but {TIME_STEPS} stands nowhere, so every T "
        f"would run the same: put {TIME_STEPS} where the script takes its sequence length"
        f"{_hint(TIME_STEPS, _OF_TIME, argv, file)}; or "
        f"{otherwise if source == '-T' else 'name one T'}"
    )


def _hint(
    placeholder: str, pattern: re.Pattern[str], argv: Sequence[str], file: Path | None
) -> str:
    """What to write, from the words themselves and from the script's text."""
    found = list(_from_words(placeholder, pattern, argv))
    if not found and file is not None:
        found = list(dict.fromkeys(_from_text(placeholder, pattern, file)))[:MOST_HINTS]
    if found:
        return f": {' or '.join(found)}"
    return f", as in --option {placeholder}, name={placeholder} or --set NAME={placeholder}"


def _from_words(placeholder: str, pattern: re.Pattern[str], argv: Sequence[str]) -> Iterator[str]:
    """A word that gives the size as a number."""
    for word, after in zip(argv, [*argv[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if not _is_named(name.rpartition(".")[2], pattern):
            continue
        if equals and value.isdecimal():
            yield f"{name}={placeholder} in place of {word}"
        elif not equals and name.startswith("-") and after.isdecimal():
            yield f"{name} {placeholder} in place of {word} {after}"


def _from_text(placeholder: str, pattern: re.Pattern[str], file: Path) -> Iterator[str]:
    """The script's options and names, and those of its neighbours that it imports."""
    try:
        tree = parsed(file)
    except BadInputError:
        return
    neighbours = dict(_neighbours(tree, file.parent))
    for each in (tree, *neighbours.values()):
        for flag in _options(each):
            if _is_named(flag, pattern):
                yield f"`{flag} {placeholder}` after the script"
    if placeholder == BATCH and any(_uses_trainer(each) for each in (tree, *neighbours.values())):
        yield f"`{_PER_DEVICE} {placeholder}` after the script"
    if _imports(tree, "hydra"):
        name = "batch_size" if placeholder == BATCH else "seq_len"
        yield f"an override such as `{name}={placeholder}` after the script"
    for prefix, each in {"": tree, **{f"{name}.": one for name, one in neighbours.items()}}.items():
        for name, value in constants(each).items():
            is_size = isinstance(value, int) and not isinstance(value, bool)
            if is_size and _is_named(name, pattern):
                yield f"`--set {prefix}{name}={placeholder}` before --"


def _is_named(name: str, pattern: re.Pattern[str]) -> bool:
    """Whether an option or a name is that of the size in training."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.lstrip("-")).replace("-", "_").lower()
    return pattern.fullmatch(plain) is not None and _NOT_TRAINED.fullmatch(plain) is None


def _options(tree: ast.Module) -> Iterator[str]:
    """The long options that argparse, click or typer declare."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name_of(node.func) in _DECLARES:
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            flags = [text for text in texts if isinstance(text, str) and text.startswith("-")]
            # "--a/--b" is click's form for a flag
            yield from [flag.partition("/")[0] for flag in flags if flag.startswith("--")][:1]


def _uses_trainer(tree: ast.Module) -> bool:
    return any(
        isinstance(node, (ast.Name, ast.Attribute)) and _name_of(node) == "HfArgumentParser"
        for node in ast.walk(tree)
    )


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _imports(tree: ast.Module, module: str) -> bool:
    return any(module in (name.partition(".")[0] for name in _imported(each)) for each in tree.body)


def _imported(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.level == 0:
        return [statement.module or ""]
    return []


def _neighbours(tree: ast.Module, folder: Path) -> Iterator[tuple[str, ast.Module]]:
    """The modules beside the script that it imports at its top, with their names."""
    for name in dict.fromkeys(name for each in tree.body for name in _imported(each)):
        path = folder.joinpath(*name.split(".")).with_suffix(".py") if name else folder
        if path.is_file():
            try:
                yield name, parsed(path)
            except BadInputError:
                continue
