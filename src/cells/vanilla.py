"""The simple recurrent network, h_t = σ(x_t W_in + h_{t-1} W + b), with the starts of P13 and G16."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.cells.cell import ExplicitCell, Parameters, State, logistic
from src.linalg import spectral_radius

# σ and σ' as a function of h = σ(a)
Function = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "tanh": (torch.tanh, lambda h: 1 - h * h),
    "sigmoid": (logistic, lambda h: h * (1 - h)),
    "relu": (torch.relu, lambda h: (h > 0).to(h.dtype)),
    "elu": (lambda a: torch.where(a < 0, a.clamp(max=0).expm1(), a), lambda h: torch.where(h < 0, h + 1, 1.0)),
    "identity": (lambda a: a, torch.ones_like),
}


class Vanilla(ExplicitCell):
    """W_in, W_out ~ N(0, std); W ~ N(0, std), made sparse and scaled if asked to; biases 0.

    Args:
        activation: ``tanh``, ``sigmoid``, ``relu``, ``elu`` or ``identity``; or one of these for each replica.
        std: standard deviation of the normal draws (P13, G16).
        connections: if given, non-zero entries of W per unit (P13: 15); all of them in a smaller network.
        side: whose connections these are: ``outgoing``, a row of W (Pcode), or ``incoming``, a column (P13's text).
        spectral_radius: if given, W is scaled to it (P13: .95; G16, algorithm 2: ρ).
    """

    def __init__(
        self,
        name: str,
        hidden_size: int,
        activation: str | Sequence[str] = "tanh",
        std: float = 0.1,
        connections: int | None = None,
        side: str = "outgoing",
        spectral_radius: float | None = None,
        **stack: Any,
    ) -> None:
        super().__init__(name, hidden_size, **stack)
        self.activation = activation
        self.std = std
        self.connections = connections
        self.side = side
        self.spectral_radius = spectral_radius

    def names(self, replicas: int) -> list[str]:
        """The activation of each replica."""
        return [self.activation] * replicas if isinstance(self.activation, str) else list(self.activation)

    def select(self, rows: Sequence[int]) -> "Vanilla":
        if isinstance(self.activation, str):
            return self
        other = copy(self)
        other.activation = [self.activation[row] for row in rows]
        return other

    def _each(self, which: int, x_RBH: Tensor) -> Tensor:
        """σ (0) or its slope (1) of each replica."""
        if isinstance(self.activation, str):
            return ACTIVATIONS[self.activation][which](x_RBH)
        return torch.stack([ACTIVATIONS[name][which](x) for name, x in zip(self.activation, x_RBH, strict=True)])

    def slope(self, replica: int, h: Tensor) -> Tensor:
        """σ'(a) of one replica, from h = σ(a)."""
        name = self.activation if isinstance(self.activation, str) else self.activation[replica]
        return ACTIVATIONS[name][1](h)

    def steepest(self, replica: int) -> float:
        """Largest σ' there is: 1/4 for sigmoid, 1 for all others."""
        name = self.activation if isinstance(self.activation, str) else self.activation[replica]
        return 0.25 if name == "sigmoid" else 1.0

    def advance(self, a: Tensor, before: State) -> tuple[State, State]:
        return (self._each(0, a),), ()

    def pull_back(self, d: State, before: State, after: State, kept: State) -> tuple[Tensor, State]:
        return d[0] * self._each(1, after[0]), ()

    def start(self, inputs: int, outputs: int, draws: np.random.Generator) -> Parameters:
        H = self.hidden_size
        W_in = draws.normal(0, self.std, (inputs, H))
        W = draws.normal(0, self.std, (H, H))
        W_out = draws.normal(0, self.std, (H, outputs))
        if self.connections is not None:
            keep = draws.permuted(np.tile(np.arange(H), (H, 1)), axis=1) < self.connections
            W *= keep if self.side == "outgoing" else keep.T
        if self.spectral_radius is not None:
            W *= self.spectral_radius / spectral_radius(torch.from_numpy(W))
        return Parameters(*(p.astype(np.float32) for p in (W_in, W, np.zeros(H), W_out, np.zeros(outputs))))
