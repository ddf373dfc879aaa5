"""What a process printed before it failed, below a command's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnprof.cli.echo import say

if TYPE_CHECKING:
    from rnnprof.runfile.observations import Observation
    from rnnprof.runfile.records import Run


def note_printed(run: Run) -> None:
    """Print the last lines of the last pass of this invocation that failed, crashed or hung."""
    from rnnprof.outcomes import Evidence, said_before

    failed = _last_failed(run)
    if failed is None or failed.failure is None:
        return
    failure = failed.failure
    evidence = Evidence(error_type=failure.error_type, log_tail=failure.log_tail)
    text = said_before(evidence)
    if text:
        say(f"{failed.point}: {text}", err=True)


def _last_failed(run: Run) -> Observation | None:
    from rnnprof.runfile.points import GOOD_OUTCOMES

    request = run.requests[-1].request if run.requests else ""
    own = [each for each in run.observations if each.request == request]
    return next((each for each in reversed(own) if each.outcome not in GOOD_OUTCOMES), None)
