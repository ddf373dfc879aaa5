"""What a training step is seen to call its modules with, and that nobody notices the looking."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_modules
from torch.nn.utils.rnn import pack_padded_sequence

from rnnprof.runfile.observations import Seen
from rnnprof.worker.workload.layers import recurrent_module
from rnnprof.worker.workload.seen import Sightings, Watch, data_mark, is_compiled
from rnnprof.workload import Workload

B, T, F, H = 6, 10, 3, 4


def seen_in(step: Callable[[], Any]) -> Seen:
    with Watch(1) as watch:
        step()
    seen = watch.seen()
    assert seen is not None
    return seen


def shape_of(seen: Seen) -> tuple[int | None, int | None, int, int]:
    return seen.batch, seen.time_steps, seen.sequences, seen.positions


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch_first", [False, True])
def test_layers(kind: type[nn.RNNBase], batch_first: bool) -> None:
    layer = kind(F, H, batch_first=batch_first)
    data = torch.zeros((B, T, F) if batch_first else (T, B, F))
    assert seen_in(lambda: layer(data)) == Seen(1, B, T, B, B * T, data.numel())


def test_input_and_state_by_name() -> None:
    layer, cell = nn.GRU(F, H), nn.GRUCell(F, H)
    assert shape_of(seen_in(lambda: layer(input=torch.zeros(T, B, F)))) == (B, T, B, B * T)
    seen = seen_in(lambda: cell(input=torch.zeros(B, F), hx=torch.zeros(B, H)))
    assert shape_of(seen) == (B, 1, B, B)


def test_a_sequence_without_a_batch() -> None:
    layer, cell = nn.LSTM(F, H), nn.LSTMCell(F, H)
    assert shape_of(seen_in(lambda: layer(torch.zeros(T, F)))) == (1, T, 1, T)
    assert shape_of(seen_in(lambda: cell(torch.zeros(F)))) == (1, 1, 1, 1)


def test_packed_sequences() -> None:
    layer = nn.LSTM(F, H)
    packed = pack_padded_sequence(torch.zeros(T, 3, F), torch.tensor([T, 4, 1]))
    assert seen_in(lambda: layer(packed)) == Seen(1, 3, T, 3, T + 5, (T + 5) * F)


def test_chunks_and_micro_batches_are_added_up() -> None:
    layer, data = nn.LSTM(F, H), torch.zeros(T, B, F)
    chunks = seen_in(lambda: [layer(chunk) for chunk in data.split(4)])
    assert shape_of(chunks) == (B, 4, 3 * B, B * T)
    micro = seen_in(lambda: [layer(part) for part in data.split(2, dim=1)])
    assert shape_of(micro) == (2, T, B, B * T)


def test_the_module_that_saw_the_most_counts() -> None:
    front, back = nn.LSTM(F, H), nn.LSTM(H, H)
    seen = seen_in(lambda: back(front(torch.zeros(T, B, F))[0][::2]))
    assert shape_of(seen) == (B, T, B, B * T)


def a_loop(cell: nn.LSTMCell, data: torch.Tensor) -> None:
    state = None
    for each in data:
        state = cell(each, state)


def test_a_cell_sees_its_calls_as_time_steps() -> None:
    cell, data = nn.LSTMCell(F, H), torch.zeros(T, B, F)
    assert shape_of(seen_in(lambda: a_loop(cell, data))) == (B, T, B, B * T)
    micro = seen_in(lambda: [a_loop(cell, part) for part in data.split(2, dim=1)])
    assert shape_of(micro) == (2, 3 * T, B, B * T)


@pytest.mark.parametrize("impl", ["fused", "native", "loop"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_built_in_layers(impl: str, batch_first: bool) -> None:
    workload = Workload(
        impl=impl,
        input_size=F,
        hidden_size=H,
        layers=2,
        bidirectional=True,
        batch_first=batch_first,
    )
    model = recurrent_module(workload)
    data = torch.zeros((B, T, F) if batch_first else (T, B, F))
    assert shape_of(seen_in(lambda: model(data))) == (B, T, B, B * T)


def test_strides_show_in_the_time_steps() -> None:
    front, layer = nn.Conv1d(F, H, 3, 2), nn.GRU(H, H, batch_first=True)
    seen = seen_in(lambda: layer(front(torch.zeros(B, F, 21)).transpose(1, 2)))
    assert shape_of(seen) == (B, 10, B, 10 * B)


def test_without_a_recurrent_layer_elements_are_left() -> None:
    model = nn.Sequential(nn.Linear(F, H), nn.Tanh())
    seen = seen_in(lambda: model(torch.zeros(B, F)))
    assert seen == Seen(1, elements=2 * B * F + B * H)
    assert seen_in(lambda: torch.zeros(B)) == Seen(1)


def test_inference() -> None:
    cell, data = nn.LSTMCell(F, H), torch.zeros(T, B, F)
    with torch.inference_mode():
        assert shape_of(seen_in(lambda: a_loop(cell, data))) == (B, T, B, B * T)


def test_a_call_that_is_not_understood_makes_nothing_known() -> None:
    class Odd(nn.LSTM):
        def forward(self, words: list[str]) -> int:  # type: ignore[override]
            return len(words)

    with Watch(1) as watch:
        assert Odd(F, H)(["a", "b"]) == 2
    assert watch.seen() is None


def test_the_hooks_are_gone_also_after_an_error() -> None:
    def fails() -> None:
        with Watch(1):
            raise MemoryError

    with pytest.raises(MemoryError):
        fails()
    assert not torch_modules._global_forward_pre_hooks
    assert not torch_modules._global_forward_hooks


def test_nothing_is_kept_alive() -> None:
    layer, data = nn.LSTM(F, H), torch.zeros(T, B, F)
    alive = weakref.ref(data)
    with Watch(1, marks=True):
        layer(data)
        del data
        assert alive() is None


@pytest.fixture
def never_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other tests of this process have compiled."""
    monkeypatch.setattr("rnnprof.worker.workload.seen.is_compiled", lambda: False)


@pytest.mark.usefixtures("never_compiled")
def test_nothing_stays_behind_by_which_torch_sees_hooks() -> None:
    layer, findings = nn.LSTM(F, H), {}
    with Sightings(findings, last=3).step(1):
        layer(torch.rand(T, B, F))
    assert findings["seen"]
    assert not torch_modules._has_any_global_hook()


@pytest.mark.usefixtures("never_compiled")
def test_the_first_and_the_last_step_are_kept() -> None:
    layer, findings = nn.LSTM(F, H), {}
    sightings = Sightings(findings, last=3)
    for number, batch in enumerate([4, 9, 2, 3], start=1):
        with sightings.step(number):
            layer(torch.rand(T, batch, F))
        if number == 1:
            mark = findings["data_mark"]
    assert [(each["step"], each["batch"]) for each in findings["seen"]] == [(1, 4), (4, 3)]
    assert findings["data_mark"] == mark is not None


@pytest.mark.usefixtures("never_compiled")
def test_what_a_step_saw_that_failed_is_kept() -> None:
    layer, findings = nn.LSTM(F, H), {}

    def fails() -> None:
        with Sightings(findings, last=3).step(1):
            layer(torch.zeros(T, B, F))
            raise MemoryError

    with pytest.raises(MemoryError):
        fails()
    assert findings["seen"][0]["batch"] == B


@pytest.mark.parametrize("backends", [{1: None}, {1: None, 2: "inductor"}, None])
def test_compiled_modules_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, backends: dict[int, str | None] | None
) -> None:
    kept = SimpleNamespace() if backends is None else SimpleNamespace(cached_backends=backends)
    monkeypatch.setitem(sys.modules, "torch._dynamo.eval_frame", kept)
    findings: dict[str, Any] = {}
    with Sightings(findings, last=1).step(1):
        assert bool(torch_modules._global_forward_pre_hooks) == (backends == {1: None})
    assert bool(findings) == (backends == {1: None})


@pytest.mark.slow
def test_torch_keeps_the_list_of_backends() -> None:
    torch._dynamo.reset()  # whatever other tests of this process have compiled
    torch.optim.SGD([torch.zeros(1)]).step()  # an optimizer disables the compiler for itself
    assert not is_compiled()
    torch.compile(nn.Linear(F, H), backend="eager")
    assert is_compiled()
    torch._dynamo.reset()


# marks of data


def test_other_data_has_another_mark_and_the_same_the_same() -> None:
    def draw(seed: int) -> torch.Tensor:
        return torch.rand(40, 50, 60, generator=torch.Generator().manual_seed(seed))

    assert data_mark(draw(0)) == data_mark(draw(0))
    assert data_mark(draw(0)) != data_mark(draw(1))
    assert data_mark(draw(0)) != data_mark(draw(0).flip(0))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.bfloat16])
def test_every_real_dtype_has_a_mark(dtype: torch.dtype) -> None:
    assert data_mark((torch.rand(9, 9) * 2 - 0.5).relu().ceil().to(dtype).t()) is not None


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(50, 50),
        torch.arange(5000),
        torch.ones(3, 40).expand(3, 40),
        torch.rand(7),
        torch.empty(0, 5),
        torch.full((40,), torch.nan),
        torch.zeros(40, dtype=torch.complex64),
        torch.rand(40, device="meta"),
        torch.eye(40).to_sparse(),
    ],
)
def test_what_is_no_data_has_none(tensor: torch.Tensor) -> None:
    assert data_mark(tensor) is None


def test_the_mark_passes_over_positions() -> None:
    positions, tokens = nn.Embedding(40, F), nn.Embedding(40, F)
    data = torch.randint(40, (B, 40))
    with Watch(1, marks=True) as watch:
        positions(torch.arange(40))
        tokens(data)
    assert watch.mark == data_mark(data) is not None


def test_the_mark_draws_no_random_numbers() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    layer = nn.Identity()
    data = torch.arange(100.0) ** 2
    with Watch(1, marks=True) as watch:
        layer(data)
    assert watch.mark is not None
    assert torch.equal(torch.rand(1), expected)
