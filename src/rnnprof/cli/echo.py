"""What the command line prints: every line of text and every document goes through here."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def say(text: str, *, err: bool = False, colour: bool = False) -> None:
    """Print lines of text; what could drive the terminal or a CI job is shown as ``?``.

    Args:
        err: to stderr.
        colour: *text* has ANSI codes of ours.
    """
    from rnnprof.plain_text import for_terminal  # the help of a command needs none of it

    click.echo(for_terminal(text, colour=colour), err=err)


def say_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    from rnnprof.plain_text import json_text

    click.echo(json_text(document))


def say_written(paths: Iterable[Path | str]) -> None:
    """Print which files were written."""
    say("\n".join(["wrote", *(f"  {path}" for path in paths)]), err=True)


def say_path(path: Path) -> None:
    """Print a path as the only line of stdout; a program gets its bytes as they are."""
    if sys.stdout.isatty():
        say(str(path))
    else:
        click.echo(os.fsencode(path))


def command_of(words: Iterable[str]) -> str:
    """The words of a command line as a command to paste; "" where no shell can hold them."""
    from rnnprof.plain_text import shell_command

    try:
        return shell_command(words)
    except ValueError:
        return ""
