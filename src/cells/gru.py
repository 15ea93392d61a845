"""Gated recurrent unit (Cho et al., 2014), with the equations, the gate order and the start of torch.nn.GRU.

r, u = σ(a_r), σ(a_u);  n = tanh(z_n + r (h W_n + b_n));  h_t = (1 - u) n + u h_{t-1},  a = z + h W.
Since r acts on h W alone, this is not of the form a = z + h W: an example of a cell run by autograd.
"""

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from src.cells.cell import AutogradCell, Parameters, State, logistic
from src.linalg import matmul

if TYPE_CHECKING:
    from src.recurrence import Weights


class GRU(AutogradCell):
    """All weights ~ U(-1/sqrt(H), 1/sqrt(H)), as torch.nn.GRU and torch.nn.Linear start; torch's two biases are summed
    into one but for the recurrent one of n, ``b_n`` (RH)."""

    gates, own = 3, ("b_n",)

    def step(self, z_RBG: Tensor, state: State, weights: "Weights") -> State:
        (h,) = state
        z_r, z_u, z_n = z_RBG.chunk(3, dim=-1)
        h_r, h_u, h_n = matmul(h, weights.W).chunk(3, dim=-1)
        r, u = logistic(z_r + h_r), logistic(z_u + h_u)
        n = (z_n + r * (h_n + weights.own["b_n"][:, None])).tanh()
        return ((1 - u) * n + u * h,)

    def start(self, inputs: int, outputs: int, draws: np.random.Generator) -> Parameters:
        H = self.hidden_size
        bound = H**-0.5
        W_in, W, b, b_hh, W_out, b_out = (
            draws.uniform(-bound, bound, shape)
            for shape in ((inputs, 3 * H), (H, 3 * H), 3 * H, 2 * H, (H, outputs), outputs)
        )
        b[: 2 * H] += b_hh
        return Parameters(*(p.astype(np.float32) for p in (W_in, W, b, W_out, b_out)))

    def start_own(self, draws: np.random.Generator) -> dict[str, np.ndarray]:
        bound = self.hidden_size**-0.5
        return {"b_n": draws.uniform(-bound, bound, self.hidden_size).astype(np.float32)}
