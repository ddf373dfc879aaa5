"""Text that comes from outside, made safe for a terminal, a table, Markdown, JSON and a shell."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from itertools import accumulate
from typing import Any, Final

WIDTH: Final = 80
"""Columns of a terminal as it opens, and of most CI logs."""

SPECIAL: Final = re.compile(
    r"([\\`*_\[\]#|<>~&@$]"  # emphasis, code, a link, a table, HTML, a mention, mathematics
    r"|(?<=www)\.|:(?=//))"  # a bare link
)
"""What Markdown, its tables, HTML, a mention or a link could begin with."""

BLOCK_START: Final = re.compile(r"^(\d*)([-+=.)])")
"""What begins a list, a rule or an underline where it stands first."""

INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing although Unicode calls them printable (DerivedCoreProperties,
Default_Ignorable_Code_Point, and the empty Braille pattern): they can hide or smuggle text."""

MARKS_AT_MOST: Final = 4
"""Combining marks on a letter: no script needs more, and a pile of them covers other lines."""

_MARKS: Final = frozenset({"Mn", "Me"})


def printable(text: str, kept: Collection[str] = ()) -> str:
    """*text* with ``?`` for each character that shows nothing or could do more than show.

    These are control and format characters (escape sequences, a change of direction, zero width,
    tags), line and paragraph separators, unusual spaces, halves of a surrogate pair, characters for
    private use or not assigned, invisible letters, and combining marks beyond a few.

    Args:
        kept: characters that print nothing and may stay, as line ends; none by default.
    """
    if text.isascii() and text.isprintable():
        return text
    text = "".join(char if char.isprintable() or char in kept else "?" for char in text)
    return _few_marks(INVISIBLE.sub("?", text))


def _few_marks(text: str) -> str:
    """*text* with ``?`` for each combining mark beyond :data:`MARKS_AT_MOST` in a row."""
    if text.isascii():
        return text
    shown, in_a_row = [], 0
    for char in text:
        in_a_row = in_a_row + 1 if unicodedata.category(char) in _MARKS else 0
        shown.append(char if in_a_row <= MARKS_AT_MOST else "?")
    return "".join(shown)


def one_line(text: str) -> str:
    """*text* as a single line, with ``?`` for what could drive a terminal."""
    return printable(" ".join(text.split()))


def clip(text: str, columns: int = WIDTH) -> str:
    """*text* on one line of at most *columns*, cut with ``...``."""
    return cut(one_line(text), columns)


def cut(text: str, columns: int = WIDTH) -> str:
    """Printable *text* cut with ``...`` to at most *columns*; its spaces stay."""
    # with its marks a letter is that long at most: no more of the text need be looked at
    ends = list(accumulate(map(columns_of, text[: (columns + 1) * (MARKS_AT_MOST + 1)])))
    if not ends or ends[-1] <= columns:
        return text
    return text[: sum(end <= columns - 3 for end in ends)].rstrip() + "..."


def escaped(text: str) -> str:
    """*text* as Markdown that shows it as it is, on one line, whatever it holds."""
    return SPECIAL.sub(r"\\\1", one_line(text))


def paragraph(text: str) -> str:
    """The same for text that begins a block."""
    return BLOCK_START.sub(r"\1\\\2", escaped(text))


def fenced(command: str) -> str:
    """A command as a block of code; the fence is longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall("`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{command}\n{fence}"


def columns_of(text: str) -> int:
    """The columns that printable *text* takes on a terminal; a combining mark takes none."""
    return sum(map(_columns_of_character, text))


def _columns_of_character(char: str) -> int:
    if unicodedata.category(char) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


# --- a terminal, and the log of a CI job ---------------------------------------------------------

_WORKFLOW: Final = re.compile(r"^(\s*:)(?=:)|(##)(?=\[|vso\[)", re.MULTILINE)
"""Where GitHub and Azure take a line of a job's log for a command (actions/runner,
ActionCommand.cs), whoever printed it."""

_COLOUR: Final = re.compile(r"(\x1b\[[0-9;]*m)")


def for_terminal(text: str, *, colour: bool = False) -> str:
    """Lines of text as a terminal or a job's log can show them.

    Args:
        colour: *text* has ANSI codes of ours, which stay.
    """
    parts = _COLOUR.split(text) if colour else [text]
    shown = [part if number % 2 else printable(part, "\n") for number, part in enumerate(parts)]
    return _WORKFLOW.sub(r"\1\2 ", "".join(shown))


# --- JSON ----------------------------------------------------------------------------------------

_JSON_RISKS: Final = re.compile(
    r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"  # a whole pair, which stays
    r"|(\\ud[89a-f][0-9a-f]{2})"  # half of one, which strict parsers refuse
    r"|(\x7f)|(##)(?=\[|vso\[)"  # DEL, and a command of a job's log
    r"|\\."
)


def json_text(value: Any, indent: int | None = 2) -> str:
    """*value* as JSON that every parser reads: ASCII, with U+FFFD for half of a surrogate pair.

    Raises:
        ValueError: a float that is not finite.
    """
    import json  # the help of a command needs none

    text = json.dumps(value, allow_nan=False, indent=indent)
    return _JSON_RISKS.sub(_without_risk, text)


def _without_risk(match: re.Match[str]) -> str:
    if match[1]:
        return "\\ufffd"
    if match[2]:
        return "\\u007f"
    return "#\\u0023" if match[3] else match[0]


# --- a shell -------------------------------------------------------------------------------------

_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_PRINTS_AS_IT_IS: Final = re.compile(r"[ -\"$-&(-\[\]-~]")
"""ASCII without quote, backslash, and the ``#`` of a command in a job's log."""


def shell_word(text: str) -> str:
    """*text* as one word of a shell that shows and copies as it is.

    Characters that do not show are written as bytes in the form ``$'...'`` (POSIX.1-2024, 2.2.4),
    which bash, zsh and ksh read.

    Raises:
        ValueError: no word of a command can hold it: it has a NUL, or half of a surrogate pair
            that stands for no byte of a file name.
    """
    if "\0" in text:
        raise ValueError("it has a NUL character")
    if _PLAIN_WORD.fullmatch(text):
        return text
    if for_terminal(text) == text == printable(text):
        return "'" + text.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(map(_ansi_c, text)) + "'"


def _ansi_c(char: str) -> str:
    if _PRINTS_AS_IT_IS.fullmatch(char):
        return char
    try:
        return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise ValueError("it has half of a surrogate pair") from None


def shell_command(words: Iterable[str]) -> str:
    """The words as a command on one line.

    Raises:
        ValueError: as in :func:`shell_word`.
    """
    return " ".join(map(shell_word, words))
