"""Operations counted as they run, against the formula."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from rnnprof.breakdown.flops import forward_flops, layers, step_flops
from rnnprof.factory import Training
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.workload.flop_count import FORMULAS, count_flops
from rnnprof.worker.workload.workloads import recurrent_layer
from rnnprof.workload import Workload

BATCH, STEPS = 3, 5
LSTM = Workload(input_size=7, hidden_size=11)


@pytest.fixture
def onednn() -> Iterator[Any]:
    """Switches oneDNN on and off, and back on."""
    switch = torch.backends.mkldnn.set_flags
    yield lambda is_on: switch(_enabled=is_on)
    switch(_enabled=True)


def count(training: Training) -> tuple[int | None, str | None]:
    return count_flops(training, PhaseTracker(lambda _: None, announcing=False))


def counted(workload: Workload) -> int | None:
    training = recurrent_layer(workload, BATCH, (STEPS,), torch.device("cpu"))
    found, reason = count(training)
    assert reason is None
    return found


def initial_state_flops(workload: Workload) -> int:
    """The gradient of the initial state, which only a fused kernel makes."""
    return sum(
        2 * layer.count * layer.gates * layer.hidden * layer.outputs * BATCH
        for layer in layers(workload)
    )


SHAPES = [
    {"bidirectional": bidirectional, "layers": depth}
    for bidirectional, depth in itertools.product((False, True), (1, 2))
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fused_lstm_is_counted_by_the_formula(shape: dict[str, Any]) -> None:
    workload = replace(LSTM, **shape)
    assert counted(workload) == step_flops(workload, BATCH, STEPS)[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("impl", ["native", "loop"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn-tanh"])
def test_single_products_add_up_to_the_formula(
    onednn: Any, impl: str, cell: str, shape: dict[str, Any]
) -> None:
    onednn(False)
    workload = replace(LSTM, cell=cell, impl=impl, **shape)
    formula = step_flops(workload, BATCH, STEPS)[0] or 0
    assert counted(workload) == formula - initial_state_flops(workload)


def test_a_projection_is_counted_by_the_formula(onednn: Any) -> None:
    onednn(False)
    workload = replace(LSTM, impl="native", proj_size=4)
    formula = step_flops(workload, BATCH, STEPS)[0] or 0
    assert counted(workload) == formula - initial_state_flops(workload)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_inference_is_a_forward_pass(cell: str) -> None:
    workload = replace(LSTM, cell=cell, mode="inference", layers=2)
    assert counted(workload) == step_flops(workload, BATCH, STEPS)[0]


def training_of(loss: Any) -> Training:
    def step(_phase: Any) -> Any:
        value = loss()
        value.backward()
        return value

    return Training(step)


def test_a_language_model_is_its_lstm_and_its_linear_layer() -> None:
    embedding, lstm = torch.nn.Embedding(20, 7), torch.nn.LSTM(7, 11)
    linear = torch.nn.Linear(11, 20)
    words = torch.randint(0, 20, (STEPS, BATCH))
    training = training_of(lambda: linear(lstm(embedding(words))[0]).square().mean())
    (layer,) = layers(LSTM)
    # the embedding is trained, so the gradient of the LSTM's input is made
    expected = 3 * forward_flops(layer, BATCH, STEPS) + 3 * 2 * 11 * 20 * BATCH * STEPS
    assert count(training) == (expected, None)


def test_vectors_are_counted_too() -> None:
    matrix, vector = torch.rand(4, 6, requires_grad=True), torch.rand(6)
    found, reason = count(training_of(lambda: (matrix @ vector).dot(torch.rand(4))))
    assert reason is None
    assert found == 2 * 4 * 6 + 2 * 4


def test_a_compiled_factory_is_counted_as_it_would_run_uncompiled() -> None:
    model = torch.nn.Linear(6, 8)
    compiled = torch.compile(model, backend="eager")
    training = training_of(lambda: compiled(torch.rand(4, 6)).square().mean())
    training.step(None)  # type: ignore[arg-type]
    assert count(training) == (2 * 2 * 4 * 6 * 8, None)


def test_an_operation_without_a_formula_leaves_no_count() -> None:
    weight = torch.rand(4, requires_grad=True)

    def loss() -> torch.Tensor:
        torch._int_mm(torch.ones(32, 8, dtype=torch.int8), torch.ones(8, 8, dtype=torch.int8))
        return weight.sum()

    assert count(training_of(loss)) == (None, "no formula for the operations of aten._int_mm")


def test_an_operator_of_an_extension_leaves_no_count() -> None:
    with torch.library._scoped_library("rnnprof_tests", "DEF") as library:
        library.define("swish(Tensor x) -> Tensor")
        library.impl("swish", lambda x: x.clone(), "CompositeExplicitAutograd")
        weight = torch.rand(4, requires_grad=True)

        def loss() -> torch.Tensor:
            torch.ops.rnnprof_tests.swish(weight.detach())
            return weight.sum()

        found = count(training_of(loss))
    assert found == (None, "no formula for the operations of rnnprof_tests.swish")


def test_a_step_that_cannot_be_counted_says_why() -> None:
    def broken(_phase: Any) -> Any:
        raise RuntimeError("no\nmore")

    found = count(Training(broken))
    assert found == (None, "counting operations raised RuntimeError: no")
    assert counted(LSTM) is not None, "the counter has left no mode behind"


# --- cuDNN's operators, whose formulas are met without a GPU ------------------------------------


def cudnn_arguments(
    *, directions: int, depth: int, wants_input: bool, projected: int = 0
) -> tuple[Any, ...]:
    """By the schema of ``aten::_cudnn_rnn_backward``; weights as torch lays them out."""
    module = torch.nn.LSTM(7, 11, depth, bidirectional=directions == 2, proj_size=projected)
    weights = list(module.parameters())
    stride = len(weights) // (depth * directions)
    schema = torch.ops.aten._cudnn_rnn_backward.default._schema
    known = {
        "input": torch.rand(STEPS, BATCH, 7),
        "weight": weights,
        "weight_stride0": stride,
        "bidirectional": directions == 2,
        "output_mask": [wants_input, False, False, True],
    }
    return tuple(known.get(argument.name) for argument in schema.arguments)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("projected", [0, 4])
def test_cudnn_is_counted_by_the_formula(shape: dict[str, Any], projected: int) -> None:
    workload = replace(LSTM, proj_size=projected, **shape)
    forward_formula = FORMULAS[torch.ops.aten._cudnn_rnn]
    backward_formula = FORMULAS[torch.ops.aten._cudnn_rnn_backward]
    arguments = {
        wants_input: cudnn_arguments(
            directions=2 if workload.bidirectional else 1,
            depth=workload.layers,
            wants_input=wants_input,
            projected=projected,
        )
        for wants_input in (False, True)
    }
    forward = step_flops(replace(workload, mode="inference"), BATCH, STEPS)[0]
    train = step_flops(workload, BATCH, STEPS)[0] or 0
    assert forward is not None
    assert forward_formula(*arguments[False], out_val=None) == forward
    assert backward_formula(*arguments[False], out_val=None) == train - forward
    assert backward_formula(*arguments[True], out_val=None) == 2 * forward
