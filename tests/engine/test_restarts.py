"""A template that ends, at each instant: one attempt is repeated, and the user is told."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from light_template import EARLY, python_in, task_of
from rnnprof import protocol
from rnnprof.engine import supervisor as supervisors
from rnnprof.engine import template_process
from rnnprof.engine.reasons import TemplateRestarted
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.errors import WorkerStartError
from rnnprof.outcomes import classify
from rnnprof.report.words import as_text
from rnnprof.runfile.points import Outcome

ONCE = """
def first(name):
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
"""
"""``first(name)``: whether this is the first worker, or template, that gets there."""


def slow(*values: object) -> object:
    """Values of a parametrised test that only the long run takes."""
    return pytest.param(*values, marks=pytest.mark.slow)


KILL = "os.kill(os.getppid(), 9)\n"
KILLED = "was killed by signal 9 (SIGKILL)"


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor of light templates; what it tells stands in :data:`told`."""
    with Supervisor(python=python_in(tmp_path), folder=tmp_path) as supervisor:
        supervisor.restarted = told_of(supervisor).append
        yield supervisor


_TOLD: dict[int, list[TemplateRestarted]] = {}


def told_of(supervisor: Supervisor) -> list[TemplateRestarted]:
    return _TOLD.setdefault(id(supervisor), [])


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    _TOLD.clear()


def ask(supervisor: Supervisor, text: str = "", deadline_s: float = 30) -> Answer:
    return supervisor.ask(task_of(ONCE + text), deadline_s)


def pid_of(supervisor: Supervisor) -> int:
    assert supervisor._template is not None
    return supervisor._template.pid


def check_passed(answer: Answer) -> None:
    assert answer.evidence is None, answer


def test_killed_while_the_worker_measures(light: Supervisor) -> None:
    answer = ask(light, f"if first('a'):\n    {KILL}    import time; time.sleep(20)\nfound = 3")
    check_passed(answer)
    assert answer.findings == {"found": 3}
    assert answer.wall_s < 15, "only the attempt that answered is counted"
    assert answer.worker == 2
    assert told_of(light) == [TemplateRestarted(KILLED, is_repeated=True)]
    assert as_text(told_of(light)[0]) == (
        "the worker template was killed by signal 9 (SIGKILL); it was started again and this "
        "attempt repeated"
    )


def test_a_complete_answer_counts_though_the_template_died(light: Supervisor) -> None:
    text = f"channel.send(protocol.Done({{'found': 4}}))\nanswered = True\n{KILL}"
    answer = ask(light, text + "import time; time.sleep(20)")
    check_passed(answer)
    assert (answer.worker, answer.findings) == (1, {"found": 4})
    check_passed(ask(light))
    assert told_of(light) == [TemplateRestarted(KILLED, is_repeated=False)]


def test_killed_each_time_is_a_crash_with_its_reason(light: Supervisor) -> None:
    text = "channel.send(protocol.PhaseEntered('forward'))\nprint('last words')\n"
    answer = ask(light, f"{text}{KILL}import time; time.sleep(20)")
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is Outcome.CRASHED
    assert verdict.reason.startswith(
        f"lost in forward: the worker's template {KILLED} in each of 3 attempts"
    )
    assert answer.evidence.log_tail == "last words"
    assert answer.worker == 3
    check_passed(ask(light))
    assert [each.is_repeated for each in told_of(light)] == [True, True, False]


@pytest.mark.parametrize("number", [signal.SIGKILL, slow(signal.SIGSEGV)])
def test_killed_while_idle(light: Supervisor, number: int) -> None:
    check_passed(ask(light))
    os.kill(pid_of(light), number)
    check_passed(ask(light))
    (told,) = told_of(light)
    assert not told.is_repeated
    assert f"was killed by signal {number:d} " in told.how


@pytest.mark.parametrize("number", [signal.SIGTERM, *map(slow, (signal.SIGINT, signal.SIGHUP))])
def test_a_stop_is_for_the_parent(light: Supervisor, number: int) -> None:
    check_passed(ask(light, f"os.kill(os.getppid(), {number:d})\nfound = 1"))
    check_passed(ask(light))
    assert told_of(light) == []


@pytest.mark.slow
def test_a_worker_has_the_handlers_that_its_template_ignores(light: Supervisor) -> None:
    answer = ask(light, "import signal\nos.kill(os.getpid(), signal.SIGTERM)")
    assert answer.evidence is not None
    assert answer.evidence.signal == signal.SIGTERM


@pytest.mark.slow
def test_stopped_for_good(light: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisors, "FORK_TIMEOUT_S", 0.3)
    check_passed(ask(light))
    os.kill(pid_of(light), signal.SIGSTOP)
    check_passed(ask(light))
    assert [each.how for each in told_of(light)] == ["did not answer within 0 s"]


@pytest.mark.slow
def test_stopped_while_the_worker_measures(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is good, and its end is not waited for until the deadline."""
    for name in ("ANSWERED_GRACE_S", "TERM_GRACE_S", "EXIT_GRACE_S", "FORK_TIMEOUT_S"):
        monkeypatch.setattr(supervisors, name, 0.2)
    answer = ask(light, "os.kill(os.getppid(), 19)\nfound = 5", deadline_s=60)
    check_passed(answer)
    assert answer.findings == {"found": 5}
    assert answer.wall_s < 20
    check_passed(ask(light))


@pytest.mark.slow
def test_killed_as_it_forks(light: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the fork and its report: the worker has no parent, and ends by itself."""
    fork = "real = os.fork\ndef fork():\n    pid = real()\n    if pid and first('b'):\n        "
    monkeypatch.setenv(
        EARLY, f"{ONCE}{fork}os.kill(os.getpid(), 9)\n    return pid\nos.fork = fork"
    )
    check_passed(ask(light))
    assert told_of(light) == [TemplateRestarted(KILLED, is_repeated=False)]


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_killed_while_it_starts(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    kills = "".join(f"if first('{n}'): os.kill(os.getpid(), 9)\n" for n in range(times))
    monkeypatch.setenv(EARLY, ONCE + kills)
    check_passed(ask(light))
    assert told_of(light) == [TemplateRestarted(KILLED, is_repeated=False)]


def test_killed_at_each_start(light: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "print('odd words', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 9)"
    monkeypatch.setenv(EARLY, text)
    said = re.escape(f"ended 3 times in a row; the last one {KILLED} (odd words). Find what")
    with pytest.raises(WorkerStartError, match=said):
        ask(light)
    monkeypatch.setenv(EARLY, "")
    check_passed(ask(light))


@pytest.mark.slow
def test_killed_at_each_fork(light: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EARLY, "os.fork = lambda: os.kill(os.getpid(), 9)")
    with pytest.raises(WorkerStartError, match="ended 3 times in a row"):
        ask(light)


@pytest.mark.slow
def test_a_start_that_fails_is_not_tried_again(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EARLY, "raise ImportError('libcudart.so.12: cannot open')")
    with pytest.raises(WorkerStartError, match=r"start: ImportError: libcudart\.so\.12: cannot"):
        ask(light)
    assert told_of(light) == []


@pytest.mark.slow
def test_a_start_without_an_end_is_given_up(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_process, "START_TIMEOUT_S", 0.5)
    text = "print('waiting', file=sys.stderr, flush=True)\nimport time; time.sleep(60)"
    monkeypatch.setenv(EARLY, text)
    with pytest.raises(WorkerStartError, match="did not answer within 0 s: waiting"):
        ask(light)


@pytest.mark.slow
def test_a_template_that_prints_much_still_starts(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EARLY, "sys.stderr.write('x' * (1 << 20))")
    check_passed(ask(light))


@pytest.mark.slow
def test_killed_as_it_is_closed(light: Supervisor) -> None:
    check_passed(ask(light))
    os.kill(pid_of(light), signal.SIGKILL)
    light.close()
    check_passed(ask(light))
    assert told_of(light) == [], "it was closed on purpose"


@pytest.mark.slow
@pytest.mark.parametrize("line", [b"what?\n", b"\xff\n", b'{"kind":"Exited","worker":"x"}\n'])
def test_a_control_line_that_is_no_message(light: Supervisor, line: bytes) -> None:
    """The worker has the template's socket from /proc: such a template is started again."""
    text = (
        "if first('c'):\n"
        "    import socket\n"
        f"    handle = os.pidfd_open(os.getppid())\n"
        "    fd = int(open('control').read())\n"
        "    import ctypes\n"
        "    got = ctypes.CDLL(None).syscall(438, handle, fd, 0)  # pidfd_getfd\n"
        f"    os.write(got, {line!r})\n"
        "    import time; time.sleep(20)\n"
    )
    early = "import pathlib; pathlib.Path('control').write_text(sys.argv[-2])"
    os.environ[EARLY] = early
    try:
        check_passed(ask(light, text))
    finally:
        del os.environ[EARLY]
    (told,) = told_of(light)
    assert told.is_repeated
    assert told.how.startswith("sent an invalid message: ")


REFUSALS = {
    errno.EAGAIN: "Resource temporarily unavailable: raise the limit of processes",
    errno.ENOMEM: "Cannot allocate memory: free some memory",
}


@pytest.mark.parametrize(
    ("number", "words"),
    [pair if at == 0 else slow(*pair) for at, pair in enumerate(REFUSALS.items())],
)
def test_a_fork_that_the_system_refuses(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    monkeypatch.setattr(supervisors, "FORK_RETRY_S", 0.3)
    monkeypatch.setenv(
        EARLY,
        "real = os.fork\n"
        "def fork():\n"
        f"    if os.path.exists('full'): raise OSError({number}, os.strerror({number}))\n"
        "    return real()\n"
        "os.fork = fork",
    )
    check_passed(ask(light))
    template, full = pid_of(light), Path(light._folder or "") / "full"
    full.touch()
    with pytest.raises(WorkerStartError, match=words):
        ask(light)
    full.unlink()
    check_passed(ask(light))
    assert pid_of(light) == template, "the template survives a fork that failed"


@pytest.mark.slow
def test_a_fork_that_is_refused_for_a_moment(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        EARLY,
        f"{ONCE}real = os.fork\n"
        "def fork():\n"
        "    if first('d') or first('e'): raise BlockingIOError(11, os.strerror(11))\n"
        "    return real()\n"
        "os.fork = fork",
    )
    answer = ask(light)
    check_passed(answer)
    assert answer.worker == 3


@pytest.mark.slow
def test_a_template_without_room_for_a_descriptor(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "FORK_RETRY_S", 0.1)
    early = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (7, 7))"
    monkeypatch.setenv(EARLY, early)
    with pytest.raises(WorkerStartError, match="Too many open files"):
        ask(light)


def refuse(number: int) -> Callable[..., None]:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "number", "words"),
    [
        (socket, "socketpair", errno.EMFILE, "Too many open files: raise the limit of open files"),
        (os, "pipe", errno.ENFILE, "Too many open files in system: close other programs"),
        (subprocess, "Popen", errno.EAGAIN, "raise the limit of processes"),
        (subprocess, "Popen", errno.ENOMEM, "Cannot allocate memory: free some memory"),
    ],
)
def test_what_the_system_refuses_the_parent(
    light: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    number: int,
    words: str,
) -> None:
    if name == "pipe":  # subprocess uses it as well
        check_passed(ask(light))
    with monkeypatch.context() as patch:
        patch.setattr(module, name, refuse(number))
        with pytest.raises(WorkerStartError, match=words):
            ask(light)
    check_passed(ask(light))


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with (
        Supervisor(python=str(tmp_path / "no-python")) as supervisor,
        pytest.raises(WorkerStartError, match=r"No such file or directory \(.*no-python\)"),
    ):
        supervisor.start()


class Scripted:
    """A template whose messages the test sends; it says Ready, and forks at the test's word."""

    def __init__(self, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
        check_passed(ask(supervisor))
        self.template = supervisor._template
        assert self.template is not None
        self.sent = b""
        real = self.template.request_fork

        def request_fork(worker: int, answers: socket.socket, log: int) -> None:
            real(worker, answers, log)
            assert self.template is not None
            self.template._buffer += self.sent
            self.sent = b""

        monkeypatch.setattr(template_process.TemplateProcess, "request_fork",
                            lambda _, *rest: request_fork(*rest))  # fmt: skip


def test_a_late_message_of_an_earlier_worker_is_dropped(
    light: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = Scripted(light, monkeypatch)
    late = [protocol.Exited(1, 7, None), protocol.Forked(1, 1), protocol.ForkFailed(1, 11)]
    scripted.sent = b"".join(map(protocol.to_line, [*late, protocol.Exited(99, 7, None)]))
    check_passed(ask(light))
    assert told_of(light) == []


def test_forked_and_exited_in_one_read(light: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's end is not waited for although nothing more arrives."""
    scripted = Scripted(light, monkeypatch)
    both = [protocol.Forked(2, 1 << 30), protocol.Exited(2, 7, None), protocol.Exited(2, 8, None)]
    scripted.sent = b"".join(map(protocol.to_line, both))
    began_s = time.monotonic()
    answer = ask(light, "import time; time.sleep(1)", deadline_s=20)
    assert time.monotonic() - began_s < 10
    assert answer.evidence is not None
    assert answer.evidence.exit_code == 7


@pytest.mark.slow
def test_the_buffer_ends_with_its_template(light: Supervisor) -> None:
    check_passed(ask(light))
    assert light._template is not None
    light._template._buffer += b'{"kind":"Forked","wor'
    light.close()
    check_passed(ask(light))
    assert told_of(light) == []


FAILURES = {
    "import nowhere": "ModuleNotFoundError: No module named 'nowhere'",
    "channel.send(3)": "TypeError: ",
    "sys.exit('gone')": "SystemExit: gone",
    "sys.stderr = None\nraise ValueError('odd')": "ValueError: odd",
    "os.dup2(os.open('/dev/null', 1), 1)\nraise ValueError('odd')": "ValueError: odd",
    "print('never flushed', end='')\nos.kill(os.getpid(), 11)": "",
    "print('the line before')\nos.kill(os.getpid(), 11)": "the line before",
    "import ctypes; ctypes.CDLL(None).printf(b'of C\\n')\nraise SystemExit": "SystemExit",
}


@pytest.mark.parametrize(
    ("text", "last"), [pair if at < 2 else slow(*pair) for at, pair in enumerate(FAILURES.items())]
)
def test_a_worker_that_dies_before_its_answer_leaves_its_words(
    light: Supervisor, text: str, last: str
) -> None:
    answer = light.ask(task_of("print('the first line')\n" + text), 30)
    assert answer.evidence is not None
    lines = answer.evidence.log_tail.splitlines()
    assert lines[0] == "the first line", lines
    assert last in lines[-1]
    assert ("of C" in lines) == ("printf" in text)
