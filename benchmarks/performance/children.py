"""A measurement in its own process, forked from this one."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from typing import Any, NoReturn


def in_child(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run *measure* in a forked process and return its result.

    Raises:
        SystemExit: the child failed; its traceback, or the signal that ended it.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer_and_exit(measure, writing)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise SystemExit(f"the child ended with {code}:\n{text or 'it said nothing'}")
    found: dict[str, Any] = json.loads(text)
    return found


def _answer_and_exit(measure: Callable[[], dict[str, Any]], writing: int) -> NoReturn:
    """In the child: what was found, or the traceback, and no way back into the parent's code."""
    code = 1
    try:
        with os.fdopen(writing, "w") as answer:
            try:
                answer.write(json.dumps(measure()))
                code = 0
            except BaseException:  # also an exit of the measured code's own
                answer.write(traceback.format_exc())
    finally:
        os._exit(code)
