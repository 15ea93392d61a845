"""The simple recurrent network, h_t = σ(x_t W_in + h_{t-1} W + b), with the starts of P13 and G16."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.cells.cell import Cell, ExplicitCell, Parameters, State, logistic
from src.cells.starts import Gaussian, Start

# σ, and σ' as a function of h = σ(a)
Function = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "tanh": (torch.tanh, lambda h: 1 - h * h),
    "sigmoid": (logistic, lambda h: h * (1 - h)),
    "relu": (torch.relu, lambda h: (h > 0).to(h.dtype)),
    "elu": (lambda a: torch.where(a < 0, a.clamp(max=0).expm1(), a), lambda h: torch.where(h < 0, h + 1, 1.0)),
    "identity": (lambda a: a, torch.ones_like),
}


class Vanilla(ExplicitCell):
    """The cell of P13 and G16.

    Args:
        activation: ``tanh``, ``sigmoid``, ``relu``, ``elu`` or ``identity``; or one of these for each replica.
        start: draws the initial parameters, see src/cells/starts.py.
        gaussian: keys of the :class:`~src.cells.starts.Gaussian` start that is taken where none is given: ``std``,
            ``connections``, ``side``, ``spectral_radius``.

    Raises:
        TypeError: a start and one of these keys.
    """

    def __init__(
        self,
        name: str,
        hidden_size: int,
        activation: str | Sequence[str] = "tanh",
        start: Start | None = None,
        **gaussian: Any,
    ) -> None:
        super().__init__(name, hidden_size)
        if start is not None and gaussian:
            raise TypeError(f"start: cannot be given beside {', '.join(gaussian)}")
        self.activation = activation
        self.starting = Gaussian(**gaussian) if start is None else start

    def names(self, replicas: int) -> list[str]:
        """The activation of each replica."""
        return [self.activation] * replicas if isinstance(self.activation, str) else list(self.activation)

    def select(self, rows: Sequence[int]) -> "Vanilla":
        """The cell of some of the replicas, with their activations."""
        if isinstance(self.activation, str):
            return self
        other = copy(self)
        other.activation = [self.activation[row] for row in rows]
        return other

    def beside(self, replicas: int, other: Cell, others: int) -> "Vanilla":
        """The cell of replicas of both, with their activations."""
        assert isinstance(other, Vanilla)
        names = self.names(replicas) + other.names(others)
        joined = copy(self)
        joined.activation = names if len(set(names)) > 1 else names[0]
        return joined

    def _each(self, which: int, x_RBH: Tensor) -> Tensor:
        """σ (0) or its slope (1) of each replica."""
        if isinstance(self.activation, str):
            return ACTIVATIONS[self.activation][which](x_RBH)
        return torch.stack([ACTIVATIONS[name][which](x) for name, x in zip(self.activation, x_RBH, strict=True)])

    def _name(self, replica: int) -> str:
        """The activation of one replica."""
        return self.activation if isinstance(self.activation, str) else self.activation[replica]

    def slope(self, replica: int, h: Tensor) -> Tensor:
        """σ'(a) of one replica, from h = σ(a)."""
        return ACTIVATIONS[self._name(replica)][1](h)

    def slopes(self, h_RTBH: Tensor) -> Tensor:
        """σ'(a) of all replicas, from h = σ(a)."""
        return self._each(1, h_RTBH)

    def steepest(self, replica: int) -> float:
        """The largest σ' there is: 1/4 for sigmoid, 1 for all others."""
        return 0.25 if self._name(replica) == "sigmoid" else 1.0

    def advance(self, a: Tensor, before: State) -> tuple[State, State]:
        return (self._each(0, a),), ()

    def pull_back(self, d: State, before: State, after: State, kept: State) -> tuple[Tensor, State]:
        return d[0] * self._each(1, after[0]), ()

    def start(self, inputs: int, outputs: int, draws: np.random.Generator) -> Parameters:
        return self.starting(inputs, self.hidden_size, outputs, draws)
