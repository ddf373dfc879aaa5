"""Workers that cannot answer although they run: they cost seconds, and a message says why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from light_template import python_in, task_of
from rnnprof.engine import supervisor as supervisors
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import classify, last_lines

DEADLINE_S = 60.0


@pytest.fixture
def light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisors, "ANSWERED_GRACE_S", 0.2)
    with Supervisor(python=python_in(tmp_path), folder=tmp_path) as supervisor:
        yield supervisor


def ask(light: Supervisor, text: str) -> Answer:
    began_s = time.monotonic()
    answer = light.ask(task_of(text), DEADLINE_S)
    assert time.monotonic() - began_s < DEADLINE_S / 2
    return answer


@pytest.mark.parametrize(
    "text",
    [
        "os.execv('/bin/sleep', ['sleep', '600'])",
        "import time\nchannel.socket.close()\ntime.sleep(600)",
    ],
)
def test_one_that_closes_its_socket_is_not_waited_for(light: Supervisor, text: str) -> None:
    evidence = ask(light, text).evidence
    assert evidence is not None
    assert "unusable: the worker closed its socket" in classify(evidence).reason


def test_one_that_cannot_send_says_why(light: Supervisor) -> None:
    evidence = ask(light, "os.close(channel.socket.fileno())").evidence
    assert evidence is not None
    assert "closed descriptors that it did not open" in last_lines(evidence.log_tail)[-1]


def test_a_forked_copy_does_not_answer(light: Supervisor) -> None:
    text = "pid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nfound = 'copy' if not pid else 'own'"
    assert ask(light, text).findings == {"found": "own"}


def test_a_forked_copy_that_goes_on_alone_is_named(light: Supervisor) -> None:
    evidence = ask(light, "pid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n    1 / 0").evidence
    assert evidence is not None
    assert "end it with os._exit()" in evidence.log_tail
