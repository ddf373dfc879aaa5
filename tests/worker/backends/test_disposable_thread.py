"""The thread that steps run in: its errors, its settings, and Ctrl-C."""

from __future__ import annotations

import contextvars
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from rnnprof.worker.backends.disposable_thread import DisposableThread


@pytest.fixture
def aside() -> Iterator[DisposableThread]:
    one = DisposableThread()
    yield one
    one.close()


def test_it_is_one_thread_until_an_error_spoils_it(aside: DisposableThread) -> None:
    seen: list[threading.Thread] = []

    def note() -> None:
        seen.append(threading.current_thread())

    def fail() -> None:
        note()
        raise MemoryError("mine")

    aside.run(note)
    with pytest.raises(MemoryError, match="mine"):
        aside.run(fail)
    aside.run(note)
    assert seen[0] is seen[1]
    assert seen[2] is not seen[1]
    assert threading.current_thread() not in seen
    assert not seen[1].is_alive()


@pytest.mark.parametrize("on", [True, False])
def test_gradients_and_context_variables_are_those_of_the_caller(
    aside: DisposableThread, on: bool
) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    variable.set("caller's")
    seen: list[tuple[bool, str]] = []
    with torch.set_grad_enabled(on):
        aside.run(lambda: seen.append((torch.is_grad_enabled(), variable.get())))
    assert seen == [(on, "caller's")]


def test_ctrl_c_ends_the_step_and_is_raised(aside: DisposableThread) -> None:
    began, ended = threading.Event(), threading.Event()

    def step() -> None:
        began.set()
        try:
            while True:
                time.sleep(0.01)
        finally:
            ended.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main is not None

    def press() -> None:
        began.wait()
        time.sleep(0.1)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=press).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            aside.run(step)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set()
