"""The dump of cuDNN's sizes, on a library that records the calls."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from benchmarks.gpu.sizes import (
    ALGORITHMS,
    Cudnn,
    CudnnError,
    Shape,
    by_cudnn,
    dump,
    math_type,
    shapes,
    summary,
)

from fake_cudnn import DROPOUT_STATE_BYTES, NOT_SUPPORTED, WEIGHT_BYTES, FakeCudnn

SHAPE = Shape("lstm", layers=2, time_steps=6, batch=4, hidden_size=8, input_size=3)
RESERVE_BYTES = 6 * 4 * 8 * 2 * 16


def test_a_layer_is_described_in_the_order_of_the_documentation() -> None:
    library = FakeCudnn()
    by_cudnn(Cudnn(library), SHAPE)
    _, *numbers, _, flags = library.last("cudnnSetRNNDescriptor_v8")
    algorithm, mode, bias, direction, input_mode, data, math, math_kind, *sizes = numbers
    assert algorithm == ALGORITHMS["persistent small-H"]
    assert (mode, bias, direction, input_mode) == (2, 2, 0, 0)
    assert (data, math, math_kind) == (0, 0, 0)
    assert sizes == [3, 8, 8, 2], "input, hidden, projection, layers"
    assert flags == 1, "padded input and output"


def test_what_is_varied_arrives() -> None:
    library = FakeCudnn()
    packed = replace(SHAPE, cell="gru", directions=2, dtype="fp16", packed=True, proj_size=5)
    by_cudnn(Cudnn(library), packed)
    _, *numbers, _, flags = library.last("cudnnSetRNNDescriptor_v8")
    assert numbers[1:] == [3, 2, 1, 0, 2, 0, 1, 3, 8, 5, 2]
    assert flags == 0
    _, data, layout, *sizes, lengths, fill = library.last("cudnnSetRNNDataDescriptor")
    assert (data, layout, sizes) == (2, 1, [6, 4, 3])
    assert (lengths, fill) == ([6, 6, 3, 3], None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 0), ({"tf32": False}, 3), ({"dtype": "fp16"}, 1), ({"dtype": "bf16", "tf32": False}, 0)],
)
def test_the_kind_of_products_is_torchs(changes: dict[str, object], expected: int) -> None:
    assert math_type(replace(SHAPE, **changes)) == expected


def test_each_algorithm_is_asked_in_training_and_inference() -> None:
    library = FakeCudnn()
    cudnn = Cudnn(library)
    answers = {(a["algorithm"], a["mode"]): a for a in by_cudnn(cudnn, SHAPE)}
    assert len(answers) == 2 * len(ALGORITHMS)
    assert answers["standard", "training"] == {
        "algorithm": "standard", "mode": "training", "workspace_bytes": 64,
        "reserve_bytes": RESERVE_BYTES, "weight_space_bytes": WEIGHT_BYTES,
    }  # fmt: skip
    assert answers["standard", "inference"]["reserve_bytes"] == 0
    assert answers["persistent small-H", "training"]["workspace_bytes"] == 256
    for mode in ("training", "inference"):
        assert answers["persistent static", mode]["status"] == NOT_SUPPORTED
    assert cudnn.dropout_state_bytes() == DROPOUT_STATE_BYTES
    cudnn.close()
    assert library.alive == {}, "also what belonged to a refused layer is destroyed"


def test_a_handle_that_cannot_be_had_is_told() -> None:
    class NoHandle(FakeCudnn):
        def _answer(self, name: str, arguments: tuple[object, ...]) -> int:
            return 1

    with pytest.raises(CudnnError, match="cudnnCreate returned 1"):
        Cudnn(NoHandle())


def test_a_row_says_which_algorithm_explains_what_torch_asked_for() -> None:
    def torch_asks(shape: Shape) -> dict[str, int]:
        if shape.batch == 5:
            raise RuntimeError("not supported\nat RNN.cpp:1")
        work = {4: 64, 6: 256, 7: 65}[shape.batch]
        reserve = RESERVE_BYTES // 4 * shape.batch
        return {"reserve_bytes": reserve, "forward_workspace_bytes": work}

    wanted = [replace(SHAPE, batch=batch) for batch in (4, 5, 6, 7)]
    rows = dump(Cudnn(FakeCudnn()), wanted, torch_asks)
    assert json.loads(json.dumps(rows)) == rows
    assert [row.get("chosen") for row in rows] == [
        ["standard"], None, ["persistent small-H"], [],
    ]  # fmt: skip
    assert rows[1]["reason"] == "not supported"
    told = summary(rows)
    assert (told["shapes"], told["by_torch"], told["agree"]) == (4, 3, 2)
    assert [shape["batch"] for shape in told["unexplained"]] == [7]
    assert told["refused_by_torch"] == ["not supported"]
    assert told["statuses"] == {NOT_SUPPORTED: 2 * 4}


def test_the_shapes_differ_and_surround_where_torch_chooses() -> None:
    found = shapes()
    assert len(set(found)) == len(found) >= 100
    for name, values in {
        "cell": {"lstm", "gru", "rnn-tanh", "rnn-relu"},
        "dtype": {"fp32", "fp16", "bf16"},
        "layers": {1, 2, 3, 4},
        "directions": {1, 2},
        "packed": {False, True},
        "tf32": {False, True},
        "proj_size": {0, 64},
    }.items():
        assert {getattr(shape, name) for shape in found} == values
    lstm = {shape.hidden_size for shape in found if shape.cell == "lstm"}
    assert lstm >= {64, 127, 128, 129, 192, 193, 256, 512, 1024}
    assert {shape.batch for shape in found} >= {1, 127, 128, 129, 136}
    assert {shape.time_steps for shape in found} >= {1, 10, 30, 60, 240, 960, 2000}
    assert all(len(shape.lengths()) == shape.batch for shape in found)
