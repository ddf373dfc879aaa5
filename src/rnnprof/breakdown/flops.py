"""Floating-point operations of one step of a built-in recurrent layer, by formula.

Counted are the matrix products that the mathematics needs, a multiplication and an addition each:
forward, for each layer and direction, ``2*g*H*(I + R)*B*T`` with g = 1 (RNN), 3 (GRU) or 4 (LSTM),
I the layer's input size and R its recurrent width (H, or the projection's size P, whose own
product is ``2*H*P*B*T``); backward twice that, less the gradient of the first layer's input, which
nobody asks for.  So a training step is 3 times its forward pass, or a little less.

It is a convention, the same for every implementation, so that their rates can be compared: cuDNN
and oneDNN compute the input's gradient all the same, and a cell stepped in Python does not
compute the gradient of the initial state, one time step of T.  Left out are the pointwise
operations of the cells, biases, the loss and the optimizer: all linear in what they touch, where
the products are quadratic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rnnprof.workload import Workload

GATES: Final = {"rnn-tanh": 1, "rnn-relu": 1, "gru": 3, "lstm": 4}
"""Blocks of H rows in a cell's weight matrices, as the equations in torch's documentation have."""

FLOPS_PER_WEIGHT: Final = 2
"""Each weight of a matrix multiplies and adds once for each sequence and time step."""

NO_FORMULA: Final = "a factory's operations have no formula: its worker counts them"


@dataclass(frozen=True, slots=True)
class Layer:
    """One direction of one recurrent layer, and how many there are of it.

    Attributes:
        count: directions and layers that are alike.
        inputs: features of its input (I).
        hidden: size of the hidden state (H).
        projected: size of an LSTM's projected output (P); 0 for none.
        is_first: its input is the data, whose gradient nobody needs.
    """

    count: int
    gates: int
    inputs: int
    hidden: int
    projected: int
    is_first: bool

    @property
    def outputs(self) -> int:
        """Features of its output, which is also the recurrent width (R)."""
        return self.projected or self.hidden

    @property
    def input_weights(self) -> int:
        """Elements of the matrix that meets the input."""
        return self.gates * self.hidden * self.inputs

    @property
    def recurrent_weights(self) -> int:
        """Elements of the matrices that meet the state at each time step."""
        return self.gates * self.hidden * self.outputs + self.hidden * self.projected

    @property
    def biases(self) -> int:
        """Elements of the two bias vectors."""
        return 2 * self.gates * self.hidden


def layers(workload: Workload) -> tuple[Layer, ...]:
    """The directions of the first layer of a built-in workload, and those of the deeper ones."""
    assert workload.cell is not None, "a factory has no layers that are known"
    directions = 2 if workload.bidirectional else 1
    gates, hidden, projected = GATES[workload.cell], workload.hidden_size, workload.proj_size
    first = Layer(directions, gates, workload.input_size, hidden, projected, is_first=True)
    deeper = directions * (workload.layers - 1)
    if deeper < 1:
        return (first,)
    inputs = directions * first.outputs
    return first, Layer(deeper, gates, inputs, hidden, projected, is_first=False)


def forward_flops(layer: Layer, batch: int, time_steps: int) -> int:
    """Of one forward pass over *batch* sequences of *time_steps* time steps, in all that are
    alike."""
    weights = layer.input_weights + layer.recurrent_weights
    return FLOPS_PER_WEIGHT * layer.count * weights * batch * time_steps


def backward_flops(layer: Layer, batch: int, time_steps: int, *, input_gradient: bool) -> int:
    """Of one backward pass; without *input_gradient* the input's own gradient is not made."""
    whole = 2 * forward_flops(layer, batch, time_steps)
    unneeded = FLOPS_PER_WEIGHT * layer.count * layer.input_weights * batch * time_steps
    return whole if input_gradient else whole - unneeded


def step_flops(workload: Workload, batch: int, time_steps: int) -> tuple[int | None, str | None]:
    """Of one training (or inference) step, or None and why there is no such number."""
    if workload.cell not in GATES or workload.factory is not None:
        return None, NO_FORMULA
    total = 0
    for layer in layers(workload):
        total += forward_flops(layer, batch, time_steps)
        if workload.mode == "train":
            total += backward_flops(layer, batch, time_steps, input_gradient=not layer.is_first)
    return total, None
