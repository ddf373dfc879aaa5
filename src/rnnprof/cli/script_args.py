"""A script on the command line: all words after the first ``--`` are the script's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import click

EXAMPLE: Final = "-- python train.py --batch-size {batch}"

NO_SCRIPT: Final = {
    "trainability": "a script has no gradients by time step to look at: give a factory "
    "(--factory train.py:make) or a built-in cell",
    "compare": "a script has no points that two checkouts measure in turn: run `rnnprof profile "
    "-- COMMAND` in each, and give the two run files",
}
"""Commands that run something and take no script: why, and what to do."""

_META: Final = f"{__name__}.words"
_STARTS_SCRIPTS: Final = re.compile(
    r"(.*/)?(python[\d.]*|ipython|jupyter|torchrun|accelerate|deepspeed|bash|sh|uv|poetry|conda"
    r"|srun|mpirun|nohup|env|time)|.*\.(py|ipynb)"
)


def take_script(ctx: click.Context, command: click.Command, args: list[str]) -> list[str]:
    """The command's own words; those of the script are kept for its option.

    Raises:
        BadInputError: the command takes no script, there is none after ``--``, or what looks like
            one stands before it.
    """
    takes_script = any(each.name == "script" for each in command.params)
    name = ctx.info_name or ""
    if not takes_script and name not in NO_SCRIPT:
        return args
    own, after = _split(args)
    if not takes_script:
        if after and (name == "trainability" or _looks_like_script(after[0])):
            raise BadInputError(f"rnnprof {name}: {NO_SCRIPT[name]}")
        return args
    if ctx.resilient_parsing:
        return own
    _check_before(name, command, own)
    if after is not None:
        if not after:
            raise BadInputError(f"nothing stands after --: write the script there, {EXAMPLE}")
        ctx.meta[_META] = after
    return own


def script_words(ctx: click.Context) -> tuple[str, ...] | None:
    """The words after ``--``; None without them."""
    found = ctx.meta.get(_META)
    return None if found is None else tuple(found)


def _split(args: Sequence[str]) -> tuple[list[str], list[str] | None]:
    if "--" not in args:
        return list(args), None
    at = args.index("--")
    return list(args[:at]), list(args[at + 1 :])


def _looks_like_script(word: str) -> bool:
    return _STARTS_SCRIPTS.fullmatch(word) is not None


def _check_before(name: str, command: click.Command, own: Sequence[str]) -> None:
    """Check that no script stands where only options of rnnprof do."""
    for word in _positional(command, own):
        if word.partition("=")[0] == "--script":
            raise BadInputError(
                f"--script is no option: the script comes last, rnnprof {name} ... {EXAMPLE}"
            )
        if not word.startswith("-") and _looks_like_script(word):
            raise BadInputError(
                f"{word}: write -- before the script, after all options of rnnprof: "
                f"rnnprof {name} ... -- {word} ..."
            )


def _positional(command: click.Command, own: Sequence[str]) -> Iterator[str]:
    """The words that are neither options that the command has nor their values."""
    valued = {
        flag: not getattr(each, "is_flag", False) and not getattr(each, "count", False)
        for each in command.params
        if each.param_type_name == "option" and each.name != "script"
        for flag in each.opts
    }
    words = iter(own)
    for word in words:
        if valued.get(word):
            next(words, None)
        elif word not in valued:
            yield word
