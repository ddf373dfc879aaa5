"""What stands in place of the command that repeats a run, where there is none."""

from __future__ import annotations

from typing import Final

TO_REPEAT: Final = "The command that repeats the run:"
TO_REPEAT_THE_LAST: Final = "The command that repeats the last invocation:"

TO_REPEAT_WITH_SECRETS: Final = (
    "The command that repeats the last invocation; *** stands for a value that is not kept:"
)

NO_COMMAND: Final = "No command line repeats this run: "

MADE_BY_A_GATE: Final = (
    "rnnprof check, rnnprof compare or rnnprof.assert_fits made it. Give that command again"
)

NO_TASK: Final = "a built-in cell is studied with a task, and the file names none"


def not_repeated(reason: str) -> str:
    """The sentence in place of a command."""
    return f"{NO_COMMAND}{reason}."


def no_option(command: str, name: str) -> str:
    """The Python API has set what the command line cannot."""
    return f"rnnprof {command} has no option for {name.replace('_', ' ')}"


def not_taken(flag: str, text: str) -> str:
    """A value that the option refuses."""
    return f"{flag} does not take {text}"


def not_an_argument(name: str) -> str:
    """A keyword argument that ``--factory-arg`` cannot give."""
    return f"--factory-arg does not take the name {name!r}"


NO_SCRIPT: Final = "rnnprof trainability takes no script"

ONE_T: Final = "the script is given no time steps, and the file has several"


def not_a_word(flag: str, reason: str) -> str:
    """A text that no word of a command can hold."""
    return f"{flag} cannot be written, because {reason}"
