"""The built-in layers: loops compute what torch's layers compute, weights do not know the batch."""

from __future__ import annotations

import pytest
import torch

from processor import lacks_bf16_lstm
from rnnprof.protocol import Task
from rnnprof.worker.workload.layers import CellLoop, UnsupportedError, recurrent_module
from rnnprof.worker.workload.precision import autocast, gradient_scaler, tensor_dtype
from rnnprof.worker.workload.workloads import build
from rnnprof.workload import CELLS, DTYPES, OPTIMIZERS, Workload


def copy_weights(layer: torch.nn.Module, loop: CellLoop) -> None:
    """Give the loop's cells the layer's weights: torch names them by layer and direction."""
    state = layer.state_dict()
    for index, cell in enumerate(loop.cells):
        suffix = f"_l{index // loop.directions}" + ("_reverse" if index % loop.directions else "")
        cell.load_state_dict({name: state[f"{name}{suffix}"] for name in cell.state_dict()})


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_loop_computes_what_the_layer_computes(
    cell: str, bidirectional: bool, batch_first: bool
) -> None:
    options = {"bidirectional": bidirectional, "batch_first": batch_first, "layers": 2}
    sizes = {"cell": cell, "input_size": 5, "hidden_size": 7}
    torch.manual_seed(1)
    layer = recurrent_module(Workload(**sizes, **options))
    loop = recurrent_module(Workload(**sizes, **options, impl="loop"))
    assert isinstance(loop, CellLoop)
    copy_weights(layer, loop)
    sequences = torch.randn(4, 3, 5)
    ours, theirs = loop(sequences)[0], layer(sequences)[0]
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.filterwarnings("ignore:dropout option adds dropout")
def test_dropout_stands_between_layers_only() -> None:
    for impl in ("fused", "loop"):
        module = recurrent_module(Workload(impl=impl, dropout=0.5, layers=1, hidden_size=8))
        module.train()
        sequences = torch.randn(3, 2, 256)
        assert torch.equal(module(sequences)[0], module(sequences)[0]), impl
    deep = recurrent_module(Workload(impl="loop", dropout=0.5, layers=2, hidden_size=8))
    assert not torch.equal(deep(sequences)[0], deep(sequences)[0])


@pytest.mark.parametrize("impl", ["fused", "loop"])
def test_equal_seeds_give_equal_weights_whatever_the_batch(impl: str) -> None:
    def weights(batch: int, seed: int) -> list[torch.Tensor]:
        task = Task(do="fit", workload=Workload(impl=impl, hidden_size=8), seed=seed)
        model = build(task, batch, 3).model
        assert model is not None
        return list(model.parameters())

    small, large, other = weights(1, 5), weights(64, 5), weights(1, 6)
    assert all(torch.equal(a, b) for a, b in zip(small, large, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(small, other, strict=True))


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        (Workload(cell="gru", proj_size=4), "proj_size argument is only supported for LSTM"),
        (Workload(proj_size=512), "proj_size has to be smaller than hidden_size"),
        (Workload(impl="loop", proj_size=4), "have no proj_size"),
    ],
)
def test_what_torch_does_not_have_is_said_in_its_words(workload: Workload, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        recurrent_module(workload)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projection_makes_the_output_smaller() -> None:
    module = recurrent_module(Workload(proj_size=3, hidden_size=8, input_size=4))
    assert module(torch.randn(5, 2, 4))[0].shape == (5, 2, 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_dtype_means(dtype: str) -> None:
    workload = Workload(dtype=dtype)
    device = torch.device("cpu")
    expected = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(dtype, torch.float32)
    assert tensor_dtype(workload) is expected
    with autocast(workload, device):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype is {"amp-bf16": torch.bfloat16, "amp-fp16": torch.float16}.get(
        dtype, torch.float32
    )
    assert gradient_scaler(workload, device).is_enabled() == (dtype == "amp-fp16")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "amp-bf16"])
def test_a_step_trains(optimizer: str, dtype: str) -> None:
    if dtype == "amp-bf16" and (reason := lacks_bf16_lstm()):
        pytest.skip(reason)
    workload = Workload(optimizer=optimizer, dtype=dtype, hidden_size=8, input_size=4)
    training = build(Task(do="fit", workload=workload), 3, 4)
    assert training.model is not None
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    names: list[str] = []

    class Noted:
        def __call__(self, name: str) -> Noted:
            names.append(name)
            return self

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    losses = [float(training.step(Noted()).detach()) for _ in range(2)]
    moved = [
        not torch.equal(was, parameter)
        for was, parameter in zip(before, training.model.parameters(), strict=True)
    ]
    assert any(moved) == (optimizer != "none")
    assert all(parameter.grad is not None for parameter in training.model.parameters())
    phases = ["data", "forward", "backward"] + (["optimizer"] if optimizer != "none" else [])
    assert names == phases * 2
    assert losses[0] > 0 > losses[1], "the sign alternates, so that nothing is trained to zero"


def test_inference_leaves_no_gradient_and_no_graph() -> None:
    workload = Workload(mode="inference", hidden_size=8, input_size=4, layers=2, dropout=0.5)
    training = build(Task(do="fit", workload=workload), 3, 4)
    assert training.model is not None
    assert training.optimizer is None
    assert not training.model.training

    class Quiet:
        def __call__(self, _: str) -> Quiet:
            return self

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    assert not training.step(Quiet()).requires_grad
    assert all(parameter.grad is None for parameter in training.model.parameters())
