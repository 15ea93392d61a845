"""Long short-term memory, with the equations, the gate order and the start of torch.nn.LSTM.

i, f, g, o = σ(a_i), σ(a_f), tanh(a_g), σ(a_o);  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t).
torch's two biases are summed into one.
"""

import numpy as np
import torch
from torch import Tensor

from src.cells.cell import ExplicitCell, Parameters, State
from src.cells.starts import Uniform


class LSTM(ExplicitCell):
    """The cell of torch.nn.LSTM, started as torch starts it (:class:`~src.cells.starts.Uniform`).

    Args:
        forget_bias: if given, replaces the start of the forget gate's bias.
    """

    gates = 4
    parts = 2

    def __init__(self, name: str, hidden_size: int, forget_bias: float | None = None) -> None:
        super().__init__(name, hidden_size)
        self.forget_bias = forget_bias

    def advance(self, a: Tensor, before: State) -> tuple[State, State]:
        a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)
        # σ(x) = (1 + tanh(x / 2)) / 2, see vanilla.py; halving is exact, so one call of tanh serves all gates
        for gate in (a_i, a_f, a_o):
            gate.mul_(0.5)
        a.tanh_()
        for gate in (a_i, a_f, a_o):
            gate.mul_(0.5).add_(0.5)
        c = a_f * before[1] + a_i * a_g
        tanh_c = c.tanh()
        return (a_o * tanh_c, c), (a, tanh_c)

    def pull_back(self, d: State, before: State, after: State, kept: State) -> tuple[Tensor, State]:
        gates, tanh_c = kept
        i, f, g, o = gates.chunk(4, dim=-1)
        dh, dc = d
        dc = dh * o * (1 - tanh_c * tanh_c) + dc
        delta_i = dc * g * i * (1 - i)
        delta_f = dc * before[1] * f * (1 - f)
        delta_g = dc * i * (1 - g * g)
        delta_o = dh * tanh_c * o * (1 - o)
        return torch.cat((delta_i, delta_f, delta_g, delta_o), -1), (dc * f,)

    def start(self, inputs: int, outputs: int, draws: np.random.Generator) -> Parameters:
        H = self.hidden_size
        parameters = Uniform(gates=4, summed=4)(inputs, H, outputs, draws)
        if self.forget_bias is not None:
            parameters.b[H : 2 * H] = self.forget_bias
        return parameters
