"""cuDNN's recurrent layers: the layout of the weights, and sizes by the law."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rnnprof.units import MIB
from simulate.compiled import needs_compiler
from simulate.in_child import Child

pytestmark = needs_compiler

CELLS = {"rnn": 1, "lstm": 2, "gru": 3}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
TYPES = {4: 0, 8: 1, 2: 2}
STANDARD, PERSISTENT, SMALL_H = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Layer:
    """Of a question to cuDNN; the letters are the law's."""

    cell: str = "lstm"
    algorithm: int = STANDARD
    layers: int = 1
    time_steps: int = 60
    batch: int = 40
    hidden: int = 128
    inputs: int = 96
    directions: int = 1
    element_bytes: int = 4
    training: int = 1


ASK = """
def ask(cell, algorithm, layers, time_steps, batch, hidden, inputs, directions, data_type,
        training):
    rnn, x, h = C.c_void_p(), C.c_void_p(), C.c_void_p()
    w, work, reserve = C.c_size_t(), C.c_size_t(), C.c_size_t()
    core.cudnnCreate(C.byref(h))
    core.cudnnCreateRNNDescriptor(C.byref(rnn)); core.cudnnCreateRNNDataDescriptor(C.byref(x))
    lengths = (C.c_int * batch)(*[time_steps] * batch)
    core.cudnnSetRNNDataDescriptor(x, data_type, 0, time_steps, batch, inputs, lengths, None)
    status = core.cudnnSetRNNDescriptor_v8(rnn, algorithm, cell, 2, directions - 1, 0, data_type,
        data_type, 0, inputs, hidden, hidden, layers, None, C.c_uint(1))
    core.cudnnGetRNNWeightSpaceSize(h, rnn, C.byref(w))
    status = status or core.cudnnGetRNNTempSpaceSizes(h, rnn, training, x, C.byref(work),
                                                      C.byref(reserve))
    if status:
        return [status]
    void, size = C.c_void_p(), C.c_size_t
    run = core.cudnnRNNForward(h, rnn, training, None, x, None, x, None, None, None, None, None,
        None, None, w, None, work, None, reserve, None)
    short = core.cudnnRNNForward(h, rnn, training, None, x, None, x, None, None, None, None, None,
        None, None, w, None, size(work.value - 1), None, reserve, None)
    return [status, w.value, work.value, reserve.value, run, short]
"""


def ask(child: Child, *layers: Layer) -> list[list[int]]:
    """Status, weight, workspace and reserve bytes, and what forward says, of each."""
    questions = [
        (CELLS[q.cell], q.algorithm, q.layers, q.time_steps, q.batch, q.hidden, q.inputs,
         q.directions, TYPES[q.element_bytes], q.training)
        for q in layers
    ]  # fmt: skip
    return child(f"{ASK}\nsay([ask(*q) for q in {questions!r}])")


def weights(q: Layer) -> int:
    gates, later = GATES[q.cell], q.hidden * q.directions
    inputs = [q.inputs] + [later] * (q.layers - 1)
    count = sum(gates * q.hidden * (width + q.hidden + 2) for width in inputs)
    return count * q.directions * q.element_bytes


def unit(q: Layer) -> int:
    return q.time_steps * q.batch * q.hidden * q.directions * q.element_bytes


SHAPES = [
    Layer(cell, layers=layers, directions=directions, element_bytes=size)
    for cell in CELLS
    for layers, directions, size in ((1, 1, 4), (2, 1, 4), (4, 2, 4), (1, 2, 2), (3, 1, 8))
]


def test_weights_and_reserve(child: Child) -> None:
    reserve_units = {"rnn": 1, "lstm": 5, "gru": 6}
    for q, (status, weight, _, reserve, run, short) in zip(
        SHAPES, ask(child, *SHAPES), strict=True
    ):
        units = reserve_units[q.cell] * q.layers + q.layers - 1
        assert (status, run, short) == (0, 0, 2006)
        assert weight == weights(q)
        assert reserve == unit(q) * units + 16


def test_inference_has_no_reserve(child: Child) -> None:
    ((_, _, work, reserve, run, _),) = ask(child, Layer(training=0))
    assert (reserve, run) == (0, 0)
    assert work > 0


# cell, layers -> units of the workspace, inputs, constant: cudnn-law, written out again
SMALL = {
    ("lstm", 1): (21, 1, 7), ("lstm", 4): (21, 1, 0), ("gru", 1): (18, 2, 7),
    ("gru", 4): (19, 2, 0), ("rnn", 1): (14, 1, 4),
}  # fmt: skip
STANDARD_LAW = {("gru", 1): (4, 1, 7), ("gru", 4): (3, 0, 0), ("lstm", 4): (3, 0, 0)}


def test_the_workspace_of_the_small_h_algorithm(child: Child) -> None:
    shapes = [Layer(cell, SMALL_H, layers) for cell, layers in SMALL]
    for q, answer, (units, inputs, mib) in zip(
        shapes, ask(child, *shapes), SMALL.values(), strict=True
    ):
        tbi = q.time_steps * q.batch * q.inputs * 4
        expected = units * unit(q) + inputs * tbi + weights(q) + 24 * q.batch * q.hidden * 4
        assert answer[2] == expected + mib * MIB


def test_the_workspace_of_the_standard_algorithm(child: Child) -> None:
    shapes = [Layer(cell, STANDARD, layers, hidden=512) for cell, layers in STANDARD_LAW]
    answers = ask(child, *shapes)
    for q, answer, (units, inputs, mib) in zip(shapes, answers, STANDARD_LAW.values(), strict=True):
        tbi = q.time_steps * q.batch * q.inputs * 4
        expected = units * unit(q) + inputs * tbi + 2 * weights(q) + 88 * q.batch * q.hidden * 4
        assert answer[2] == expected + mib * MIB


def test_what_cudnn_does_not_have_is_not_supported(child: Child) -> None:
    refused = ask(
        child,
        Layer(algorithm=SMALL_H, hidden=193),
        Layer("rnn", SMALL_H, hidden=385),
        Layer(algorithm=SMALL_H, element_bytes=8),
        Layer(algorithm=PERSISTENT, element_bytes=8),
        Layer(algorithm=2),
    )
    assert refused == [[3000]] * 5
    assert ask(child, Layer(algorithm=SMALL_H, hidden=192))[0][0] == 0
    assert ask(child, Layer("rnn", SMALL_H, hidden=384))[0][0] == 0


@pytest.mark.parametrize(("time_steps", "status"), [(65535, 0), (65536, 3000)])
def test_time_steps_end_where_cudnns_do(child: Child, time_steps: int, status: int) -> None:
    ((_, _, _, _, run, _),) = ask(child, Layer(time_steps=time_steps, batch=1, hidden=8))
    assert run == status


def test_parameters_lie_within_the_weights_and_never_overlap(child: Child) -> None:
    code = """
rnn, h, total = C.c_void_p(), C.c_void_p(), C.c_size_t()
core.cudnnCreate(C.byref(h)); core.cudnnCreateRNNDescriptor(C.byref(rnn))
core.cudnnSetRNNDescriptor_v8(rnn, 0, 2, 2, 1, 0, 0, 0, 0, 5, 8, 3, 2, None, C.c_uint(1))
core.cudnnGetRNNWeightSpaceSize(h, rnn, C.byref(total))
found = []
def size_of(t):
    kind, count, sizes, strides = C.c_int(), C.c_int(), (C.c_int * 8)(), (C.c_int * 8)()
    core.cudnnGetTensorNdDescriptor(t, 8, C.byref(kind), C.byref(count), sizes, strides)
    return 4 * sizes[0] * sizes[1] * sizes[2] if count.value else 0
for layer in range(4):
    for linear in range(9):
        m, b, m_at, b_at = C.c_void_p(), C.c_void_p(), C.c_void_p(), C.c_void_p()
        core.cudnnCreateTensorDescriptor(C.byref(m)); core.cudnnCreateTensorDescriptor(C.byref(b))
        assert core.cudnnGetRNNWeightParams(h, rnn, layer, total, C.c_void_p(4096), linear, m,
            C.byref(m_at), b, C.byref(b_at)) == 0
        found.append([m_at.value, size_of(m)])
        if b_at.value:
            found.append([b_at.value, size_of(b)])
bad = core.cudnnGetRNNWeightParams(h, rnn, 4, total, None, 0, None, None, None, None)
say([total.value, sorted(found), bad])
"""
    total, found, bad = child(code)
    ends = [4096]
    for start, size in found:
        assert start == ends[-1], "no gap and no overlap"
        ends.append(start + size)
    assert ends[-1] == 4096 + total
    assert bad == 2000
