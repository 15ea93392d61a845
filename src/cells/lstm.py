"""Long short-term memory, with the equations, the gate order and the start of torch.nn.LSTM.

i, f, g, o = σ(a_i), σ(a_f), tanh(a_g), σ(a_o);  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t).
torch's two biases are summed into one.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.cells.cell import ExplicitCell, Parameters, State


class LSTM(ExplicitCell):
    """All weights ~ U(-1/sqrt(H), 1/sqrt(H)), as torch.nn.LSTM and torch.nn.Linear start.

    Args:
        forget_bias: if given, replaces the start of the forget gate's bias.
    """

    gates, parts = 4, 2

    def __init__(self, name: str, hidden_size: int, forget_bias: float | None = None, **stack: Any) -> None:
        super().__init__(name, hidden_size, **stack)
        self.forget_bias = forget_bias

    def advance(self, a: Tensor, before: State) -> tuple[State, State]:
        a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)
        # σ(x) = (1 + tanh(x / 2)) / 2, see vanilla.py; halving is exact, so one call of tanh serves all gates
        for gate in (a_i, a_f, a_o):
            gate.mul_(0.5)
        a.tanh_()
        for gate in (a_i, a_f, a_o):
            gate.mul_(0.5).add_(0.5)
        i, f, g, o = a_i, a_f, a_g, a_o
        c = f * before[1] + i * g
        tanh_c = c.tanh()
        return (o * tanh_c, c), (a, tanh_c)

    def pull_back(self, d: State, before: State, after: State, kept: State) -> tuple[Tensor, State]:
        gates, tanh_c = kept
        i, f, g, o = gates.chunk(4, dim=-1)
        dh, dc = d
        dc = dh * o * (1 - tanh_c * tanh_c) + dc
        delta = torch.cat(
            (dc * g * i * (1 - i), dc * before[1] * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)), -1
        )
        return delta, (dc * f,)

    def start(self, inputs: int, outputs: int, draws: np.random.Generator) -> Parameters:
        H = self.hidden_size
        bound = H**-0.5
        W_in, W, b_ih, b_hh, W_out, b_out = (
            draws.uniform(-bound, bound, shape)
            for shape in ((inputs, 4 * H), (H, 4 * H), 4 * H, 4 * H, (H, outputs), outputs)
        )
        b = b_ih + b_hh
        if self.forget_bias is not None:
            b[H : 2 * H] = self.forget_bias
        return Parameters(*(p.astype(np.float32) for p in (W_in, W, b, W_out, b_out)))
