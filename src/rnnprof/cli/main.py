"""The entry point: loads commands lazily; every error becomes one message and an exit code."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

import click

from rnnprof.cli.echo import say, use_tolerant_streams
from rnnprof.errors import RnnprofError

COMMANDS: Final = {
    "profile": (
        "rnnprof.cli.profile",
        "Sweep a grid of batch sizes and time steps; the main command.",
    ),
    "max-batch": ("rnnprof.cli.max_batch", "Prove the largest batch that fits at each T."),
    "trainability": (
        "rnnprof.cli.trainability",
        "How far gradients reach back, and how much a larger batch helps.",
    ),
    "advise": ("rnnprof.cli.advise", "The recommended batch and time steps, and why."),
    "export": ("rnnprof.cli.export", "CSV, JSON or Parquet for other tools."),
    "report": ("rnnprof.cli.report", "The page, the charts and a summary of one run or several."),
    "compare": ("rnnprof.cli.compare", "What changed between two runs."),
    "check": ("rnnprof.cli.check", "A CI gate: compare a run with a budget and a baseline."),
    "doctor": ("rnnprof.cli.doctor", "What this machine can measure, and what prevents it."),
}

EXIT_INTERNAL: Final = 70
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143


COLLECT_AT: Final = 50_000
"""New objects after which Python searches for cycles, instead of 700: the records of a long run are
many, hold no cycle and stay to the end, and searching them repeatedly takes a sixth of the time.
"""


class Terminated(BaseException):
    """SIGTERM was received: unwind, end the workers, leave a valid run."""


class LazyGroup(click.Group):
    """Imports a command's module when that command is used, not to list the commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from rnnprof.version import VERSION

        click.echo(f"rnnprof {VERSION}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Print the version.",
)  # fmt: skip
def cli() -> None:
    """Measure which batch size and how many time steps to train a recurrent network with.

    \b
    rnnprof profile                                  an LSTM, on this machine
    rnnprof profile --cell gru --hidden-size 1024
    rnnprof profile --factory train.py:make          your own training step
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    gc.set_threshold(COLLECT_AT)
    use_tolerant_streams()
    code = run(arguments)
    # all output is written: an interrupt while Python exits would only print a traceback
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code in (EXIT_INTERRUPTED, EXIT_TERMINATED):
        # a library that was interrupted during its import can abort when Python exits
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        result = cli.main(args=arguments, prog_name="rnnprof", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show(shown := io.StringIO())  # it may cite the name of a file
        say(shown.getvalue().rstrip("\n"), err=True)
        return error.exit_code
    except RnnprofError as error:
        _say(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except Terminated:
        return EXIT_TERMINATED
    except BrokenPipeError:
        # the reader of stdout has closed it, as `| head` does; Python must not flush into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _stopped(error) or _internal_error(error)
    return result if isinstance(result, int) else 0


def _stopped(error: BaseException | None) -> int | None:
    """The exit code of a stop that another error hides: Python 3.11 wraps what ``__set_name__``
    raises, including a Ctrl-C during an import.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return EXIT_INTERRUPTED
        if isinstance(error, Terminated):
            return EXIT_TERMINATED
        error = error.__cause__ or error.__context__
    return None


def _internal_error(error: Exception) -> int:
    import traceback

    where = traceback.extract_tb(error.__traceback__)[-1]
    _say(
        f"internal error: {type(error).__name__}: {error} ({os.path.basename(where.filename)}:"  # noqa: PTH119
        f"{where.lineno}). This is a bug in rnnprof, not in your input; please report this line. "
        "RNNPROF_TRACEBACK=1 prints the traceback."
    )
    if os.environ.get("RNNPROF_TRACEBACK"):
        traceback.print_exception(error)
    return EXIT_INTERNAL


def _say(text: str) -> None:
    say(f"rnnprof: {text}", err=True)
