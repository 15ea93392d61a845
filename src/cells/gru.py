"""Gated recurrent unit (Cho et al., 2014), with the equations, the gate order and the start of torch.nn.GRU.

r, u = σ(a_r), σ(a_u);  n = tanh(z_n + r (h W_n + b_n));  h_t = (1 - u) n + u h_{t-1},  a = z + h W.
Since r acts on h W alone, this is not of the form a = z + h W: an example of a cell run by autograd.
"""

import numpy as np
from torch import Tensor

from src.cells.cell import AutogradCell, Parameters, State, Weights, logistic
from src.cells.starts import Uniform
from src.linalg import matmul


class GRU(AutogradCell):
    """The cell of torch.nn.GRU, started as torch starts it (:class:`~src.cells.starts.Uniform`).

    torch's two biases are summed into one but for the recurrent one of n, ``b_n`` (RH).
    """

    gates = 3
    own = ("b_n",)

    def step(self, z_RBG: Tensor, state: State, weights: Weights) -> State:
        (h,) = state
        z_r, z_u, z_n = z_RBG.chunk(3, dim=-1)
        h_r, h_u, h_n = matmul(h, weights.W).chunk(3, dim=-1)
        r = logistic(z_r + h_r)
        u = logistic(z_u + h_u)
        n = (z_n + r * (h_n + weights.own["b_n"][:, None])).tanh()
        return ((1 - u) * n + u * h,)

    def start(self, inputs: int, outputs: int, draws: np.random.Generator) -> Parameters:
        return Uniform(gates=3, summed=2)(inputs, self.hidden_size, outputs, draws)

    def start_own(self, draws: np.random.Generator) -> dict[str, np.ndarray]:
        bound = self.hidden_size**-0.5
        return {"b_n": draws.uniform(-bound, bound, self.hidden_size).astype(np.float32)}
