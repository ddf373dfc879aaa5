"""Checkouts and environments on the command line, to be measured in turn."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnprof.cli import options as opt
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from rnnprof.engine.order import Order
    from rnnprof.gate.paired import Side


def place_of(text: str) -> tuple[str, Path | None] | None:
    """Interpreter and folder of a checkout or an environment; None for a run file.

    Raises:
        BadInputError: *text* is none of these.
    """
    path = Path(text)
    if path.suffix == ".jsonl":
        return None
    if (path / "pyvenv.cfg").is_file():
        return str((path / "bin" / "python").absolute()), None
    if path.is_dir():
        return sys.executable, path.resolve()
    if path.is_file() and os.access(path, os.X_OK):
        return str(path.absolute()), None  # not resolved: the link identifies the environment
    raise BadInputError(
        f"{text} is neither a run file (NAME.jsonl), nor a checkout (a folder), nor an environment "
        "(its folder or its Python)"
    )


def side_of(
    place: tuple[str, Path | None],
    order: Order,
    ctx: click.Context,
    options: dict[str, Any],
    path: Path,
) -> Side:
    """The order for one side, with the factory in that side's folder."""
    from rnnprof.gate.paired import Side

    python, folder = place
    with contextlib.chdir(folder or Path.cwd()):
        trained = opt.workload_from(ctx, options)
    own = replace(
        order,
        workload=trained.workload,
        factory_path=trained.factory_path,
        script=trained.place,
        secrets=trained.secrets,
        path=path,
        overwrite=True,
        for_gate=True,
        extend=False,
    )
    return Side(own, python, folder)


def base_path(path: Path) -> Path:
    """The path of the baseline's run, beside this run's."""
    return path.with_name(f"{path.stem}-base.jsonl")
