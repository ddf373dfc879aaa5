"""``rnnprof doctor``: gather the facts, judge them, print."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from rnnprof.cli.command import TableCommand, table_options
from rnnprof.cli.echo import say, say_json

if TYPE_CHECKING:
    from rnnprof.device.doctor import Diagnosis, Remark
    from rnnprof.device.inspection import Facts

EXIT_NO_DEVICE: Final = 4
WIDTH: Final = 100
COLOURS: Final = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command(cls=TableCommand)  # reads no configuration: a broken one must not stop it
@table_options("doctor")
def command(*, as_json: bool, simulate: bool) -> int:
    """What this machine can measure, and what prevents it.

    Exits with 0 if something can be measured, and with 4 if nothing can.
    """
    if simulate:
        return _tell_simulation(as_json=as_json)
    from rnnprof.device import inspection
    from rnnprof.device.doctor import diagnose
    from rnnprof.device.verified import VERIFIED

    facts = inspection.inspect()
    diagnosis = diagnose(facts, VERIFIED)
    if as_json:
        say_json(_document(facts, diagnosis))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        say(render(diagnosis, colour=colour), colour=colour)
    return 0 if any(diagnosis.can_measure.values()) else EXIT_NO_DEVICE


def _tell_simulation(*, as_json: bool) -> int:
    """Report each thing that a simulated GPU needs; build the library if possible."""
    from rnnprof.simulate.description import models
    from rnnprof.simulate.library import check

    checks = check()
    if as_json:
        rows = [{"name": each.name, "ok": each.ok, "text": each.sentence} for each in checks]
        say_json({"simulate": rows, "models": list(models())})
    else:
        for each in checks:
            say(f"{'ok' if each.ok else 'problem':<7}  {each.sentence}")
        say(f"{'':<7}  GPUs by name: {', '.join(models())}")
    return 0 if all(each.ok for each in checks) else EXIT_NO_DEVICE


def render(diagnosis: Diagnosis, *, colour: bool) -> str:
    """The verdict, then one line per finding, its remedy after an arrow or on the next line."""
    lines = [line for finding in diagnosis.findings for line in _lines(finding, colour=colour)]
    return "\n".join([_verdict(diagnosis), *lines])


def _verdict(diagnosis: Diagnosis) -> str:
    devices = [name.upper() for name, can in diagnosis.can_measure.items() if can]
    return f"this machine can measure on: {', '.join(devices) or 'nothing'}"


def _lines(finding: Remark, *, colour: bool) -> list[str]:
    mark = f"{finding.level:<7}"
    if colour:
        mark = click.style(mark, fg=COLOURS[finding.level])
    said, remedy = f"{finding.subject}: {finding.text}", f"-> {finding.remedy}"
    if finding.remedy is None:
        return [f"{mark}  {said}"]
    if len(f"{finding.level:<7}  {said} {remedy}") <= WIDTH:
        return [f"{mark}  {said} {remedy}"]
    return [f"{mark}  {said}", f"{'':<7}  {remedy}"]


def _document(facts: Facts, diagnosis: Diagnosis) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(diagnosis), "facts": asdict(facts)}
