"""Recurrent networks, unrolled: each step of their cells is followed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shapsight.attribution.deep.rules.rule import followed

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call

State = tuple[Tensor, ...]
Cell = Callable[[Tensor, State, Tensor, Tensor | None], State]


def _lstm(gates_in: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    hidden, memory = state
    gate_in, forget, candidate, gate_out = (gates_in + F.linear(hidden, weight, bias)).chunk(4, -1)
    memory = forget.sigmoid() * memory + gate_in.sigmoid() * candidate.tanh()
    return gate_out.sigmoid() * memory.tanh(), memory


def _gru(gates_in: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    (hidden,) = state
    reset_in, update_in, new_in = gates_in.chunk(3, -1)
    reset_hidden, update_hidden, new_hidden = F.linear(hidden, weight, bias).chunk(3, -1)
    update = (update_in + update_hidden).sigmoid()
    new = (new_in + (reset_in + reset_hidden).sigmoid() * new_hidden).tanh()
    return (new + update * (hidden - new),)


def _rnn_tanh(gates_in: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    return ((gates_in + F.linear(state[0], weight, bias)).tanh(),)


def _rnn_relu(gates_in: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    return ((gates_in + F.linear(state[0], weight, bias)).relu(),)


CELLS: dict[str, Cell] = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn_tanh, "rnn_relu": _rnn_relu}


@followed("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def recurrent_cell(
    call: Call,
    input: Tensor,
    state: Any,
    weight_in: Tensor,
    weight_hidden: Tensor,
    bias_in: Tensor | None = None,
    bias_hidden: Tensor | None = None,
) -> Any:
    """One step of one cell."""
    before = tuple(state) if call.name == "lstm_cell" else (state,)
    cell = CELLS[call.name.removesuffix("_cell")]
    after = cell(F.linear(input, weight_in, bias_in), before, weight_hidden, bias_hidden)
    return after if call.name == "lstm_cell" else after[0]


@followed("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(
    call: Call,
    input: Tensor,
    state: Any,
    weights: Any,
    has_biases: bool,
    layers: int,
    dropout: float,
    training: bool,
    bidirectional: bool,
    batch_first: bool = False,
) -> Any:
    """All layers and directions over a sequence; packed sequences are refused."""
    if isinstance(weights, bool):  # a packed sequence comes with its batch sizes, and shifts the rest
        return NotImplemented
    starts = tuple(state) if call.name == "lstm" else (state,)
    sequence = input.transpose(0, 1) if batch_first else input
    directions = 2 if bidirectional else 1
    per_cell = len(weights) // (layers * directions)  # one more than usual for an LSTM with projections
    ends: list[State] = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            number = layer * directions + direction
            cell_weights = weights[number * per_cell : (number + 1) * per_cell]
            start = tuple(part[number] for part in starts)
            output, end = _run(CELLS[call.name], sequence, start, cell_weights, direction == 1)
            outputs.append(output)
            ends.append(end)
        sequence = outputs[0] if directions == 1 else torch.cat(outputs, -1)
    result = sequence.transpose(0, 1) if batch_first else sequence
    return (result, *(torch.stack(parts) for parts in zip(*ends, strict=True)))


def _run(
    cell: Cell, sequence: Tensor, state: State, weights: Sequence[Tensor], is_reversed: bool
) -> tuple[Tensor, State]:
    weight_in, weight_hidden = weights[:2]
    bias_in, bias_hidden = weights[2:4] if len(weights) > 3 else (None, None)
    projection = weights[-1] if len(weights) % 2 else None
    gates = F.linear(sequence, weight_in, bias_in).unbind(0)
    outputs = []
    for step in reversed(gates) if is_reversed else gates:
        state = cell(step, state, weight_hidden, bias_hidden)
        if projection is not None:
            state = (F.linear(state[0], projection), *state[1:])
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if is_reversed else outputs), state
