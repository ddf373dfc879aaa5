"""The entry point: loads commands lazily; every error becomes one message and an exit code."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Final, NoReturn

import click

from rnnprof.cli import stops, streams
from rnnprof.cli.echo import say
from rnnprof.cli.stops import Terminated as Terminated
from rnnprof.cli.system_errors import explained, short_of_memory
from rnnprof.errors import MachineError, RnnprofError

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

LIGHT: Final = frozenset({"advise", "export", "doctor"})
"""Commands that load neither scipy nor matplotlib."""

EXIT_BAD_INPUT: Final = 2
EXIT_NO_MEMORY: Final = 4
EXIT_INTERNAL: Final = 70
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143


COLLECT_AT: Final = 50_000
"""New objects after which Python searches for cycles, instead of 700: the records of a long run are
many, hold no cycle and stay to the end, and searching them repeatedly takes a sixth of the time.
"""


class PastClickError(Exception):
    """Carries the error that is its cause past click, which takes a broken pipe of any kind for the
    end of its own output, and an early end of any file for Ctrl-C.
    """


class LazyGroup(click.Group):
    """Imports a command's module when that command is used, not to list the commands."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; click answers its own errors only."""
        with _past_click():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in LIGHT:
            _check_address_space()
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _check_address_space() -> None:
    refusal = short_of_memory()
    if refusal is not None:
        raise MachineError(refusal[0])


@contextlib.contextmanager
def _past_click() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError) as error:
        raise PastClickError from error


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

    Your training script runs unchanged; {batch} and {time_steps} stand where the sizes go:

    \b
    rnnprof max-batch -- python train.py --batch-size {batch} --bptt {time_steps}
    rnnprof profile --set BATCH_SIZE={batch} -- python train.py
    rnnprof profile                                  an LSTM, on this machine
    rnnprof profile --factory train.py:make          your own training step
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    gc.set_threshold(COLLECT_AT)
    _start_no_threads()
    answer = streams.guard()
    code = _answered(_until_stopped(arguments), answer)
    stops.ignore()
    streams.flush()
    if code in (EXIT_INTERRUPTED, EXIT_TERMINATED):
        # a library that was interrupted during its import can abort when Python exits
        stops.end_children()
        os._exit(code)
    sys.exit(code)


def _start_no_threads() -> None:
    """Keep numpy's OpenBLAS from starting threads, which nothing here uses.

    Where a limit refuses them, it sends this process SIGINT, as if the user had pressed Ctrl-C.
    ``putenv`` does not change ``os.environ``, so the workers' environment is as the user set it.
    """
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        os.putenv("OPENBLAS_NUM_THREADS", "1")


def _until_stopped(arguments: Sequence[str] | None) -> int:
    """The exit code, also of a stop that comes while an earlier one is answered."""
    try:
        stops.hear_interrupts()
        code = run(arguments)
        stops.ignore()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Terminated:
        return EXIT_TERMINATED
    except (MemoryError, SystemError):  # not even for the message
        os.write(2, b"rnnprof: the memory does not suffice: free some\n")
        return EXIT_NO_MEMORY
    return code


def _answered(code: int, answer: streams.Output) -> int:
    """*code*, or 2 where the answer could not be written; a bug and a stop say more."""
    streams.flush()
    if answer.failure is None or code in (EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_TERMINATED):
        return code
    reason = os.strerror(answer.failure.errno or 0)
    _say(f"cannot write the answer to stdout: {reason}")
    return EXIT_BAD_INPUT


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        result = cli.main(args=arguments, prog_name="rnnprof", standalone_mode=False)
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
    except Exception as error:
        return _stopped(error) or _refused(error) or _internal_error(error)
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


def _refused(error: Exception) -> int | None:
    """Report what the system refuses (a disk, a limit, a right): no bug; None for all else."""
    refusal = explained(error)
    if refusal is None:
        return None
    _release(error)
    text, code = refusal
    _say(text)
    _trace(error)
    return code


def _release(error: BaseException | None) -> None:
    """Give back what the functions that failed hold: where memory is short, even a message needs
    some of it.
    """
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            with contextlib.suppress(RuntimeError):  # this function's callers still run
                trace.tb_frame.clear()
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


def _internal_error(error: Exception) -> int:
    import traceback

    error = _without_click(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    _say(
        f"internal error: {type(error).__name__}: {error} ({os.path.basename(where.filename)}:"  # noqa: PTH119
        f"{where.lineno}). This is a bug in rnnprof, not in your input; please report this line. "
        "RNNPROF_TRACEBACK=1 prints the traceback."
    )
    _trace(error)
    return EXIT_INTERNAL


def _without_click(error: Exception) -> Exception:
    cause = error.__cause__
    return cause if isinstance(error, PastClickError) and isinstance(cause, Exception) else error


def _trace(error: Exception) -> None:
    if os.environ.get("RNNPROF_TRACEBACK"):
        import traceback

        traceback.print_exception(error)


def _say(text: str) -> None:
    say(f"rnnprof: {text}", err=True)
