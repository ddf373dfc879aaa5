"""cuDNN's own sizes: reserve, workspace, weights and dropout state of recurrent layers.

Two independent methods measure them and have to agree: cuDNN's documented functions through ctypes,
for every algorithm, and the requests to torch's caching allocator.  The first needs no kernel, and
both together take a few seconds.

Source of the functions, their arguments and constants: NVIDIA cuDNN backend API, cudnn_adv library
(cudnnSetRNNDescriptor_v8, cudnnSetRNNDataDescriptor, cudnnGetRNNTempSpaceSizes,
cudnnGetRNNWeightSpaceSize, cudnnDropoutGetStatesSize).
"""

from __future__ import annotations

import ctypes
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import torch

from benchmarks.gpu.part import SkipPart, Stage

MODES: Final = {"rnn-relu": 0, "rnn-tanh": 1, "lstm": 2, "gru": 3}
"""cudnnRNNMode_t; torch gives its modes the same numbers."""

ALGORITHMS: Final = {"standard": 0, "persistent static": 1, "persistent small-H": 3}
"""cudnnRNNAlgo_t, of those that torch chooses from."""

DATA_TYPES: Final = {"fp32": 0, "fp16": 2, "bf16": 9}
"""cudnnDataType_t."""

DTYPES: Final = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

DOUBLE_BIAS: Final = 2
LINEAR_INPUT: Final = 0
UNPACKED, PACKED = 0, 1
"""cudnnRNNDataLayout_t: CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, ..._SEQ_MAJOR_PACKED."""

FLOAT_MATH: Final = DATA_TYPES["fp32"]
DEFAULT_MATH, TENSOR_MATH, FMA_MATH = 0, 1, 3
"""cudnnMathType_t: torch takes tensor cores for fp16, and FMA for fp32 where TF32 is off."""

PADDED_IO: Final = 1
INFERENCE, TRAINING = 0, 1
"""cudnnForwardMode_t."""

LIBRARIES: Final = ("libcudnn.so.9", "libcudnn.so.8", "libcudnn.so")
"""By SONAME: torch has loaded one of them, from any folder."""


FILE: Final = "cudnn-sizes.json"


@dataclass(frozen=True, slots=True)
class Shape:
    """A recurrent layer and its input, T x B x I.

    Attributes:
        proj_size: 0 for none.
        packed: the second half of the sequences are half as long.
        tf32: whether fp32 products may be rounded to TF32.
    """

    cell: str
    layers: int = 2
    directions: int = 1
    time_steps: int = 60
    batch: int = 40
    hidden_size: int = 320
    input_size: int = 96
    dtype: str = "fp32"
    proj_size: int = 0
    packed: bool = False
    tf32: bool = True

    def lengths(self) -> list[int]:
        """Of the sequences, the longest first."""
        half = self.batch // 2 if self.packed else 0
        whole = [self.time_steps] * (self.batch - half)
        return whole + [max(1, self.time_steps // 2)] * half


def shapes() -> list[Shape]:
    """One thing varied at a time, around the standard algorithm's layers and around small H."""
    lstm, gru, tanh = Shape("lstm"), Shape("gru"), Shape("rnn-tanh", hidden_size=512)
    one_gru = replace(gru, layers=1)
    found = [replace(s, layers=n) for s in (lstm, gru) for n in (1, 2, 3, 4)]
    found += [replace(lstm, time_steps=t) for t in (1, 10, 30, 240, 960)]
    found += [replace(one_gru, time_steps=t) for t in (10, 240, 960, 2000)]
    found += [replace(lstm, batch=b) for b in (1, 8, 41, 127, 128, 129, 256)]
    found += [replace(s, hidden_size=h) for s in (lstm, one_gru) for h in (193, 256, 512, 1024)]
    found += [replace(s, input_size=i) for s in (lstm, one_gru) for i in (9, 320, 1024)]
    found += [replace(s, layers=n, directions=2) for s in (lstm, gru) for n in (1, 2)]
    found += [replace(lstm, tf32=False), replace(one_gru, tf32=False)]
    found += [replace(tanh, layers=n) for n in (1, 2)] + [Shape("rnn-relu", 1)]
    found += [replace(s, packed=True) for s in (lstm, gru, one_gru)]
    found += [replace(lstm, proj_size=p, layers=n) for p, n in ((64, 1), (64, 2))]
    found += [replace(s, dtype=d) for s in (lstm, gru) for d in ("fp16", "bf16")]
    persistent = Shape("lstm", 1, hidden_size=512, input_size=512, batch=32)
    found += [replace(persistent, dtype=d, cell=c) for c in ("lstm", "rnn-tanh")
              for d in ("fp16", "bf16")]  # fmt: skip
    found += [replace(persistent, dtype="fp16", batch=b) for b in (33, 128, 136)]
    small = [Shape(c, n, hidden_size=128) for c in ("lstm", "gru", "rnn-tanh") for n in (1, 2, 4)]
    found += small
    found += [replace(s, input_size=i) for s in small for i in (9, 128)]
    found += [Shape(c, 1, hidden_size=h) for c in ("lstm", "gru") for h in (64, 127, 129, 192)]
    found += [Shape("rnn-tanh", 1, hidden_size=h) for h in (256, 384, 385)]
    found += [Shape("gru", 1, hidden_size=128, time_steps=t) for t in (10, 960)]
    found += [Shape(c, 1, 2, hidden_size=128) for c in ("lstm", "gru")]
    found += [Shape("lstm", 1, hidden_size=128, dtype=d) for d in ("fp16", "bf16")]
    found += [Shape("gru", 1, hidden_size=128, packed=True)]
    return list(dict.fromkeys(found))


class CudnnError(Exception):
    """A function of cuDNN's did not return success.

    Attributes:
        status: its cudnnStatus_t.
    """

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"{name} returned {status}")
        self.status = status


class Cudnn:
    """cuDNN through ctypes: documented functions alone, each with its status looked at."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        self.call("cudnnCreate", ctypes.byref(self._handle))

    def close(self) -> None:
        """Give the handle back."""
        self.call("cudnnDestroy", self._handle)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status.

        Raises:
            CudnnError: it is not success.
        """
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            raise CudnnError(name, status)

    def dropout_state_bytes(self) -> int:
        """Of one state of the random numbers that dropout draws."""
        return self._size("cudnnDropoutGetStatesSize", self._handle)

    def weight_space_bytes(self, layer: ctypes.c_void_p) -> int:
        """Of all weights and biases in one block."""
        return self._size("cudnnGetRNNWeightSpaceSize", self._handle, layer)

    def temp_space_bytes(
        self, layer: ctypes.c_void_p, data: ctypes.c_void_p, mode: int
    ) -> tuple[int, int]:
        """Workspace and reserve, in bytes."""
        work, reserve = ctypes.c_size_t(), ctypes.c_size_t()
        sizes = (ctypes.byref(work), ctypes.byref(reserve))
        self.call(
            "cudnnGetRNNTempSpaceSizes", self._handle, layer, ctypes.c_int(mode), data, *sizes
        )
        return work.value, reserve.value

    @contextmanager
    def layer(self, shape: Shape, algorithm: int) -> Iterator[ctypes.c_void_p]:
        """A descriptor of the recurrent layer, without dropout, as torch makes it."""
        with self._made("Dropout") as dropout, self._made("RNN") as layer:
            no_seed, no_state = ctypes.c_ulonglong(0), ctypes.c_size_t(0)
            self.call(
                "cudnnSetDropoutDescriptor",
                *(dropout, self._handle, ctypes.c_float(0), None, no_state, no_seed),
            )
            numbers = [
                *(algorithm, MODES[shape.cell], DOUBLE_BIAS, shape.directions - 1, LINEAR_INPUT),
                *(DATA_TYPES[shape.dtype], FLOAT_MATH, math_type(shape)),
                *(shape.input_size, shape.hidden_size, shape.proj_size or shape.hidden_size),
                shape.layers,
            ]
            flags = ctypes.c_uint32(0 if shape.packed else PADDED_IO)
            self.call(
                "cudnnSetRNNDescriptor_v8", layer, *map(ctypes.c_int, numbers), dropout, flags
            )
            yield layer

    @contextmanager
    def data(self, shape: Shape) -> Iterator[ctypes.c_void_p]:
        """A descriptor of the input."""
        with self._made("RNNData") as data:
            lengths = (ctypes.c_int * shape.batch)(*shape.lengths())
            numbers = [
                *(DATA_TYPES[shape.dtype], PACKED if shape.packed else UNPACKED),
                *(shape.time_steps, shape.batch, shape.input_size),
            ]
            self.call("cudnnSetRNNDataDescriptor", data, *map(ctypes.c_int, numbers), lengths, None)
            yield data

    def _size(self, name: str, *arguments: Any) -> int:
        size = ctypes.c_size_t()
        self.call(name, *arguments, ctypes.byref(size))
        return size.value

    @contextmanager
    def _made(self, kind: str) -> Iterator[ctypes.c_void_p]:
        made = ctypes.c_void_p()
        self.call(f"cudnnCreate{kind}Descriptor", ctypes.byref(made))
        try:
            yield made
        finally:
            self.call(f"cudnnDestroy{kind}Descriptor", made)


def math_type(shape: Shape) -> int:
    """The cudnnMathType_t that torch sets for a layer.

    Source: ``RNNDescriptor::set`` in aten/src/ATen/cudnn/Descriptors.h.
    """
    if shape.dtype == "fp16":
        return TENSOR_MATH
    return FMA_MATH if shape.dtype == "fp32" and not shape.tf32 else DEFAULT_MATH


def by_cudnn(cudnn: Cudnn, shape: Shape) -> list[dict[str, Any]]:
    """What cuDNN answers for each algorithm, in training and inference; a status where it fails."""
    return [
        {
            "algorithm": name,
            "mode": "training" if mode == TRAINING else "inference",
            **_answer(cudnn, shape, number, mode),
        }
        for name, number in ALGORITHMS.items()
        for mode in (TRAINING, INFERENCE)
    ]


def _answer(cudnn: Cudnn, shape: Shape, algorithm: int, mode: int) -> dict[str, int]:
    try:
        with cudnn.layer(shape, algorithm) as layer, cudnn.data(shape) as data:
            work, reserve = cudnn.temp_space_bytes(layer, data, mode)
            weights = cudnn.weight_space_bytes(layer)
    except CudnnError as error:
        return {"status": error.status}
    return {"workspace_bytes": work, "reserve_bytes": reserve, "weight_space_bytes": weights}


def by_torch(shape: Shape) -> dict[str, int]:
    """What torch requests from its caching allocator: reserve and workspaces, not results.

    Raises:
        RuntimeError: torch's own, where it does not support the shape.
    """
    torch.backends.cudnn.allow_tf32 = shape.tf32
    layer = _Layer.of(shape)
    with torch.no_grad():
        (output, hidden, cell, reserve, weights), forward = layer.forward(train=True)
        _, inference = layer.forward(train=False)
        _, backward = layer.backward(output, reserve, weights)
    del hidden, cell
    return {
        "reserve_bytes": reserve.untyped_storage().nbytes(),
        "forward_workspace_bytes": forward,
        "backward_workspace_bytes": backward,
        "inference_workspace_bytes": inference,
    }


@dataclass(frozen=True, slots=True)
class _Layer:
    """What torch's operators of a cuDNN layer take.

    Attributes:
        states: the first hidden state, and the first cell state of an LSTM or None.
        packed_weights: all weights in one block; None where torch makes it at each call.
    """

    shape: Shape
    data: torch.Tensor
    weights: list[torch.Tensor]
    packed_weights: torch.Tensor | None
    states: tuple[torch.Tensor, torch.Tensor | None]

    @classmethod
    def of(cls, shape: Shape) -> _Layer:
        place: dict[str, Any] = {"device": "cuda", "dtype": DTYPES[shape.dtype]}
        flat = _module(shape).to(**place)._flat_weights
        weights = [each for each in flat if each is not None]
        whole = torch.empty(0, **place).set_(weights[0].untyped_storage())
        is_packed = whole.numel() >= sum(each.numel() for each in weights)
        if shape.packed:
            data = torch.zeros(sum(shape.lengths()), shape.input_size, **place)
        else:
            data = torch.zeros(shape.time_steps, shape.batch, shape.input_size, **place)
        deep = shape.layers * shape.directions
        hidden = torch.zeros(deep, shape.batch, shape.proj_size or shape.hidden_size, **place)
        cell = torch.zeros(deep, shape.batch, shape.hidden_size, **place)
        states = (hidden, cell if shape.cell == "lstm" else None)
        return cls(shape, data, weights, whole if is_packed else None, states)

    def forward(self, *, train: bool) -> tuple[Any, int]:
        """The operator's results, and the workspace's bytes."""
        return self._beside(
            lambda: torch._cudnn_rnn(
                *(self.data, self.weights, self._per_layer(), self.packed_weights, *self.states),
                *self._settings(train=train),
            )
        )

    def backward(
        self, output: torch.Tensor, reserve: torch.Tensor, weights: torch.Tensor
    ) -> tuple[Any, int]:
        """The gradients, and the bytes of the larger workspace, that of the weights."""
        state_gradients = [None if each is None else torch.zeros_like(each) for each in self.states]
        seed = torch.zeros_like(output)
        wanted = [True, True, self.states[1] is not None, True]
        return self._beside(
            lambda: torch.ops.aten._cudnn_rnn_backward(
                *(self.data, self.weights, self._per_layer(), weights, *self.states),
                *(output, seed, *state_gradients, *self._settings(train=True), reserve, wanted),
            )
        )

    def _per_layer(self) -> int:
        return 5 if self.shape.proj_size else 4

    def _settings(self, *, train: bool) -> tuple[Any, ...]:
        shape, longest = self.shape, self.shape.lengths()
        sizes = [sum(n > t for n in longest) for t in range(shape.time_steps)]
        return (
            MODES[shape.cell], shape.hidden_size, shape.proj_size, shape.layers, False, 0.0, train,
            shape.directions == 2, sizes if shape.packed else [], None,
        )  # fmt: skip

    def _beside(self, run: Callable[[], Any]) -> tuple[Any, int]:
        """What *run* returns, and the other bytes that it had requested at its peak."""
        known = {t.data_ptr() for t in (self.data, *self.weights) if t is not None}
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_stats()["requested_bytes.all.current"]
        result = run()
        peak = torch.cuda.memory_stats()["requested_bytes.all.peak"]
        returned = {
            each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
            for each in _tensors(result)
        }
        new = sum(size for address, size in returned.items() if address not in known)
        return result, int(peak - before - new)


def _module(shape: Shape) -> torch.nn.RNNBase:
    cells: dict[str, Any] = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    options: dict[str, Any] = {"bidirectional": shape.directions == 2}
    if shape.proj_size:
        options["proj_size"] = shape.proj_size
    if shape.cell.startswith("rnn-"):
        options["nonlinearity"] = shape.cell.removeprefix("rnn-")
    kind = cells.get(shape.cell, torch.nn.RNN)
    made: torch.nn.RNNBase = kind(shape.input_size, shape.hidden_size, shape.layers, **options)
    return made


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def chosen_by_torch(answers: list[dict[str, Any]], asked: dict[str, int]) -> list[str]:
    """The algorithms whose reserve and forward workspace equal what torch requested."""
    return [
        answer["algorithm"]
        for answer in answers
        if answer["mode"] == "training"
        and answer.get("reserve_bytes") == asked.get("reserve_bytes")
        and answer.get("workspace_bytes") == asked.get("forward_workspace_bytes")
    ]


def dump(
    cudnn: Cudnn, wanted: Iterable[Shape], ask_torch: Callable[[Shape], dict[str, int]] = by_torch
) -> list[dict[str, Any]]:
    """A row a shape: its sizes by cuDNN and by torch, and which algorithms explain torch's."""
    rows = []
    for shape in wanted:
        answers = by_cudnn(cudnn, shape)
        row: dict[str, Any] = {"shape": asdict(shape), "cudnn": answers}
        try:
            asked = ask_torch(shape)
            rows.append({**row, "torch": asked, "chosen": chosen_by_torch(answers, asked)})
        except RuntimeError as error:
            rows.append({**row, "torch": None, "reason": str(error).partition("\n")[0][:300]})
    return rows


def sizes(stage: Stage) -> None:
    """Write cudnn-sizes.json: in a few seconds what no one has published."""
    stage.needs_cuda()
    began_s = time.monotonic()
    torch.zeros(1, device="cuda")  # the context, and torch's cuDNN in this process
    library = load_library()
    cudnn = Cudnn(library)
    gpu = torch.cuda.get_device_properties(0)
    head = {
        "gpu": gpu.name,
        "capability": f"{gpu.major}.{gpu.minor}",
        "multiprocessors": gpu.multi_processor_count,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": cudnn_version(library),
        "dropout_state_bytes": cudnn.dropout_state_bytes(),
    }
    rows = dump(cudnn, shapes())
    cudnn.close()
    path = stage.folder / FILE
    path.write_text(json.dumps({**head, "rows": rows}, indent=1) + "\n")
    stage.keep(**head, **summary(rows), dump_s=round(time.monotonic() - began_s, 2))


def load_library() -> ctypes.CDLL:
    """The cuDNN that torch calls: what this process knows by its names, else by its file.

    Raises:
        SkipPart: there is none.
    """
    for name in (None, *LIBRARIES):
        with suppress(OSError):
            library = ctypes.CDLL(name)
            if hasattr(library, "cudnnGetRNNTempSpaceSizes"):
                return library
    raise SkipPart(f"none of {', '.join(LIBRARIES)} can be loaded")


def cudnn_version(library: Any) -> int:
    """As 91900 for 9.19.0."""
    function = library.cudnnGetVersion
    function.restype = ctypes.c_size_t
    return int(function())


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many shapes were requested, and how many of torch's figures match an algorithm."""
    by_status = Counter(
        answer["status"] for row in rows for answer in row["cudnn"] if "status" in answer
    )
    told = [row for row in rows if row["torch"] is not None]
    return {
        "shapes": len(rows),
        "by_torch": len(told),
        "agree": sum(bool(row["chosen"]) for row in told),
        "unexplained": [row["shape"] for row in told if not row["chosen"]],
        "refused_by_torch": [row["reason"] for row in rows if row["torch"] is None],
        "statuses": dict(by_status),
    }
