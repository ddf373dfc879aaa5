"""Floating-point operations of one step of a built-in recurrent layer, by formula.

The formula counts the matrix products that the mathematics needs, a multiplication and an addition
per weight: forward, for each layer and direction, ``2*g*H*(I + R)*B*T`` with g = 1 (RNN), 3 (GRU)
or 4 (LSTM), I the layer's input size and R its recurrent width (H, or the projection size P, whose
own product is ``2*H*P*B*T``).  Backward needs twice that, less the gradient of the first layer's
input, which is not needed.  So a training step costs 3 forward passes, or a little less.

This is a convention, the same for every implementation, so that their rates can be compared: in
fact cuDNN and oneDNN do compute the input's gradient, and a cell stepped in Python does not
compute the gradient of the initial state, one time step of T.  The pointwise operations of the
cells, biases, the loss and the optimizer are not counted: they are linear in the sizes, while the
products are quadratic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rnnprof.workload import Workload

GATES: Final = {"rnn-tanh": 1, "rnn-relu": 1, "gru": 3, "lstm": 4}
"""Blocks of H rows in a cell's weight matrices, as in the equations of torch's documentation."""

FLOPS_PER_WEIGHT: Final = 2
"""One multiplication and one addition per weight, sequence and time step."""

NO_FORMULA: Final = "a factory's operations have no formula: its worker counts them"


@dataclass(frozen=True, slots=True)
class Layer:
    """One direction of a recurrent layer, and how many equal ones there are.

    Attributes:
        count: directions and layers with these sizes.
        gates: blocks of rows in its weight matrices.
        inputs: features of its input (I).
        hidden: size of the hidden state (H).
        projected: size of an LSTM's projected output (P); 0 for none.
        is_first: its input is the data, whose gradient is not needed.
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
        """Elements of the matrix that multiplies the input."""
        return self.gates * self.hidden * self.inputs

    @property
    def recurrent_weights(self) -> int:
        """Elements of the matrices that multiply the state at each time step."""
        return self.gates * self.hidden * self.outputs + self.hidden * self.projected

    @property
    def biases(self) -> int:
        """Elements of the two bias vectors."""
        return 2 * self.gates * self.hidden


def layers(workload: Workload) -> tuple[Layer, ...]:
    """The first layer of a built-in workload, and the deeper layers if there are any."""
    assert workload.cell is not None, "the layers of a factory are unknown"
    directions = 2 if workload.bidirectional else 1
    gates, hidden, projected = GATES[workload.cell], workload.hidden_size, workload.proj_size
    first = Layer(directions, gates, workload.input_size, hidden, projected, is_first=True)
    deeper = directions * (workload.layers - 1)
    if deeper < 1:
        return (first,)
    inputs = directions * first.outputs
    return first, Layer(deeper, gates, inputs, hidden, projected, is_first=False)


def forward_flops(layer: Layer, batch: int, time_steps: int) -> int:
    """FLOPs of one forward pass over *batch* sequences of *time_steps* time steps, in all layers
    with these sizes.
    """
    weights = layer.input_weights + layer.recurrent_weights
    return FLOPS_PER_WEIGHT * layer.count * weights * batch * time_steps


def backward_flops(layer: Layer, batch: int, time_steps: int, *, input_gradient: bool) -> int:
    """FLOPs of one backward pass, with or without the gradient of the input."""
    whole = 2 * forward_flops(layer, batch, time_steps)
    unneeded = FLOPS_PER_WEIGHT * layer.count * layer.input_weights * batch * time_steps
    return whole if input_gradient else whole - unneeded


def step_flops(workload: Workload, batch: int, time_steps: int) -> tuple[int | None, str | None]:
    """FLOPs of one training (or inference) step, or None and the reason why they are unknown."""
    if workload.cell not in GATES or not workload.is_built_in:
        return None, NO_FORMULA
    total = 0
    for layer in layers(workload):
        total += forward_flops(layer, batch, time_steps)
        if workload.mode == "train":
            total += backward_flops(layer, batch, time_steps, input_gradient=not layer.is_first)
    return total, None
