"""The built-in recurrent layers: torch's own, or a cell stepped in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from rnnprof.errors import RnnprofError
from rnnprof.workload import Workload

LAYERS: Final[dict[str, Callable[..., torch.nn.Module]]] = {
    "rnn-tanh": lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="tanh", **options),
    "rnn-relu": lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": torch.nn.LSTM,
    "gru": torch.nn.GRU,
}

CELL_LAYERS: Final[dict[str, Callable[[int, int], torch.nn.Module]]] = {
    "rnn-tanh": lambda inputs, hidden: torch.nn.RNNCell(inputs, hidden, nonlinearity="tanh"),
    "rnn-relu": lambda inputs, hidden: torch.nn.RNNCell(inputs, hidden, nonlinearity="relu"),
    "lstm": torch.nn.LSTMCell,
    "gru": torch.nn.GRUCell,
}


class UnsupportedError(RnnprofError):
    """A combination that torch does not have; the message is torch's own if there is one."""


def recurrent_module(workload: Workload) -> torch.nn.Module:
    """The requested layer: from a batch of sequences to their outputs and the final state.

    Raises:
        UnsupportedError: torch has no such layer.
    """
    if workload.impl == "loop":
        return CellLoop(workload)
    options: dict[str, Any] = {
        "bidirectional": workload.bidirectional,
        "dropout": workload.dropout,
        "batch_first": workload.batch_first,
    }
    if workload.proj_size:
        options["proj_size"] = workload.proj_size
    try:
        return LAYERS[workload.cell or "lstm"](
            workload.input_size, workload.hidden_size, workload.layers, **options
        )
    except ValueError as error:
        raise UnsupportedError(str(error)) from None


class CellLoop(torch.nn.Module):
    """A cell stepped in Python over time, for each layer and direction."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        if workload.proj_size:
            raise UnsupportedError("torch.nn's recurrent cells have no proj_size")
        self.is_lstm = workload.cell == "lstm"
        self.hidden_size = workload.hidden_size
        self.time_dim = 1 if workload.batch_first else 0
        self.directions = 2 if workload.bidirectional else 1
        self.dropout = torch.nn.Dropout(workload.dropout)
        make = CELL_LAYERS[workload.cell or "lstm"]
        widths = [workload.input_size] + [workload.hidden_size * self.directions] * workload.layers
        self.cells = torch.nn.ModuleList(
            make(width, workload.hidden_size)
            for width in widths[: workload.layers]
            for _ in range(self.directions)
        )

    def forward(self, sequences: Tensor) -> tuple[Tensor, list[Any]]:
        """Return the outputs at every time step, and the last state of each layer and direction.

        Args:
            sequences: of shape (T, batch, input size), or batch first.
        """
        states: list[Any] = []
        layers = len(self.cells) // self.directions
        for layer in range(layers):
            if layer > 0:
                sequences = self.dropout(sequences)
            passes = [
                self._run(
                    self.cells[layer * self.directions + direction], sequences, direction == 1
                )
                for direction in range(self.directions)
            ]
            states += [state for _, state in passes]
            outputs = [output for output, _ in passes]
            sequences = outputs[0] if self.directions == 1 else torch.cat(outputs, dim=-1)
        return sequences, states

    def _run(
        self, cell: torch.nn.Module, sequences: Tensor, is_reversed: bool
    ) -> tuple[Tensor, Any]:
        inputs = sequences.unbind(self.time_dim)
        zeros = inputs[0].new_zeros(inputs[0].shape[0], self.hidden_size)
        state: Any = (zeros, zeros) if self.is_lstm else zeros
        outputs: list[Tensor] = []
        for step_input in reversed(inputs) if is_reversed else inputs:
            state = cell(step_input, state)
            outputs.append(state[0] if self.is_lstm else state)
        return torch.stack(outputs[::-1] if is_reversed else outputs, dim=self.time_dim), state
