"""A factory's first steps in a disposable process, so that the proof's process is unchanged.

On a simulated GPU a step must not depend on what it reads from the GPU.  Detecting reads takes a
dispatch mode, under which torch allocates differently: it cannot be active in the proof itself.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from rnnprof.simulate.description import GPU_VARIABLE
from rnnprof.worker.workload.factories import BadFactoryError
from rnnprof.worker.workload.layers import UnsupportedError
from rnnprof.worker.workload.location import located
from rnnprof.worker.workload.warm_up import warm_up

if TYPE_CHECKING:
    from rnnprof import protocol

REFUSED: dict[str, type[Exception]] = {
    error.__name__: error for error in (BadFactoryError, UnsupportedError)
}


def rehearse(task: protocol.Task) -> None:
    """Warm up a factory in a forked process, before this one uses a simulated GPU.

    Any other error there is ignored: the real steps raise it again.

    Raises:
        UnsupportedError: a read that sizes or control flow may depend on.
        BadFactoryError: the factory does not follow the protocol.
    """
    if task.factory_path is None or GPU_VARIABLE not in os.environ:
        return
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _warm_up_and_exit(task, writing)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if text:
        found: dict[str, Any] = json.loads(text)
        raise REFUSED[found["error"]](found["message"])


def _warm_up_and_exit(task: protocol.Task, writing: int) -> NoReturn:
    try:
        with suppress(Exception), os.fdopen(writing, "w") as answer:
            try:
                warm_up(task)
            except tuple(REFUSED.values()) as error:
                message = located(str(error), error)
                json.dump({"error": type(error).__name__, "message": message}, answer)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)
