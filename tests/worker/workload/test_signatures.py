"""What a factory and its step take, by their signatures."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from rnnprof.worker.workload.signatures import (
    BadFactoryError,
    check_callable_without,
    check_factory,
    step_with_phase,
)


class Makes:
    def __init__(self, batch: int, steps: int, device: str, width: int = 1) -> None: ...

    def __call__(self, phase: Any) -> str:
        return f"called with {phase}"


@pytest.mark.parametrize(
    "factory",
    [
        lambda batch, time_steps, device, width=1: None,
        lambda b, t, d, /, *, width: None,
        lambda *args, **kwargs: None,
        lambda b, t, d, **options: None,
        functools.partial(lambda a, b, t, d, width: None, 1),
        Makes,
    ],
)
def test_factories_that_take_what_is_passed(factory: Any) -> None:
    check_factory(factory, "make", {"width": 3})


async def asynchronous(b: int, t: int, d: str) -> None: ...


def generates(b: int, t: int, d: str) -> Any:
    yield None


@pytest.mark.parametrize(
    ("factory", "given", "words"),
    [
        (lambda: None, {}, "takes none of these three by position: write `def make(batch,"),
        (lambda batch_size, seq_len: None, {}, "make(batch_size, seq_len) cannot be called as"),
        (lambda b, t, d, hidden=1: None, {"hiden": 2}, "hiden); did you mean 'hidden'?"),
        (lambda b, t, d, data: None, {}, "nothing gives it 'data': give --factory-arg data=..."),
        (lambda b, t, d, *, data: None, {}, "nothing gives it 'data'"),
        (lambda b, steps, d: None, {"steps": 2}, "rnnprof itself passes time_steps as steps"),
        (asynchronous, {}, "is an async function"),
        (generates, {}, "is a generator function"),
    ],
)  # fmt: skip
def test_factories_that_do_not(factory: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadFactoryError) as raised:
        check_factory(factory, "make", given)
    assert words in str(raised.value)


def test_a_default_value_is_not_in_the_message() -> None:
    with pytest.raises(BadFactoryError) as raised:
        check_factory(lambda b, t, d, token="abcdef": None, "make", {"tokn": 1})
    assert "abcdef" not in str(raised.value)


@pytest.mark.parametrize(
    ("step", "passed"),
    [
        (lambda phase: phase, "P"),
        (lambda anything: anything, "P"),
        (lambda *args: args, ("P",)),
        (lambda phase=None: phase, "P"),
        (lambda _phase, scale=2: _phase, "P"),
        (lambda: "nothing", "nothing"),
        (lambda scale=2: scale, 2),
        (lambda model="m": model, "m"),
        (lambda **options: options, {}),
        (functools.partial(lambda a, phase: phase, 1), "P"),
        (Makes(1, 2, "cpu"), "called with P"),
    ],
)
def test_a_step_gets_the_phase_if_it_takes_one(step: Any, passed: Any) -> None:
    assert step_with_phase(step)("P") == passed


@pytest.mark.parametrize(
    "step",
    [lambda x, y: None, lambda *, phase, y: None, lambda x, *, y: None, asynchronous, generates],
)
def test_other_steps_are_refused(step: Any) -> None:
    with pytest.raises(BadFactoryError):
        step_with_phase(step)


def test_a_forward_loss_takes_nothing() -> None:
    check_callable_without(lambda x=1: x, "forward_loss", "forward_loss()")
    with pytest.raises(BadFactoryError, match=r"forward_loss\(x\): rnnprof calls forward_loss\(\)"):
        check_callable_without(lambda x: x, "forward_loss", "forward_loss()")
    with pytest.raises(BadFactoryError, match="an int, not a function"):
        check_callable_without(3, "forward_loss", "forward_loss()")


@pytest.mark.parametrize(
    "step",
    [
        lambda *, phase: phase,
        lambda *, phase=None: phase,
        lambda *, mark: mark,
        lambda *, width=3, phase=None: phase,
    ],
)
def test_a_phase_by_name_is_given_by_name(step: Any) -> None:
    assert step_with_phase(step)("the phase") == "the phase"


@pytest.mark.parametrize("step", [lambda *, phase, batch: 0, lambda x, *, phase: 0])
def test_a_phase_and_more_is_refused(step: Any) -> None:
    with pytest.raises(BadFactoryError, match="nothing gives it more"):
        step_with_phase(step)
