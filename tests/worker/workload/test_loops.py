"""The built-in loops on the CPU: the same training, and what of a step each keeps alive."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

from rnnprof.protocol import Task
from rnnprof.worker.workload.loss import finite_loss, loss_warnings
from rnnprof.worker.workload.workloads import build
from rnnprof.workload import LOOPS, MODES, Workload

SHAPE = (3, 5, 4)  # T, batch, input size


class _Nothing:
    def __call__(self, _name: str) -> _Nothing:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def losses(workload: Workload, lengths: tuple[int, ...] = ()) -> list[float | None]:
    training = build(Task("fit", workload, seed=3), SHAPE[1], SHAPE[0], lengths)
    found = []
    for _ in range(4):
        loss = training.step(_Nothing())
        assert loss_warnings(loss) == []
        found.append(finite_loss(loss))
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("impl", ["native", "loop"])
@pytest.mark.parametrize("lengths", [(), (1, 2)])
def test_both_loops_train_the_same(mode: str, impl: str, lengths: tuple[int, ...]) -> None:
    sizes: Any = {"input_size": SHAPE[2], "hidden_size": 6, "impl": impl, "mode": mode}
    plain, function = (losses(Workload(**sizes, loop=loop), lengths) for loop in LOOPS)
    assert plain == function
    assert None not in plain


@pytest.mark.parametrize(("loop", "kept"), [("plain", 1), ("function", 0)])
@pytest.mark.parametrize("mode", MODES)
def test_a_plain_loop_keeps_its_input_and_a_step_function_does_not(
    loop: str, kept: int, mode: str
) -> None:
    workload = Workload(input_size=SHAPE[2], hidden_size=6, loop=loop, mode=mode)
    training = build(Task("fit", workload), SHAPE[1], SHAPE[0])
    for _ in range(2):
        training.step(_Nothing())
    gc.collect()
    alive = [o for o in gc.get_objects() if type(o) is torch.Tensor and o.shape == SHAPE]
    assert len(alive) == kept


def test_a_loss_that_no_record_holds_is_told() -> None:
    scaled = torch.tensor(2.0**100)
    assert finite_loss(scaled) is None
    assert loss_warnings(scaled) == ["the loss is 1.27e+30"]
