"""What the time loop and the network need to know of a cell."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor

State = tuple[Tensor, ...]
"""Parts of the state handed to the next step, each RBH; the first is h, what the readout sees."""

NAMES = ("W", "W_in", "b", "W_out", "b_out")
"""The weights that every cell has, in the order in which gradients are handed on."""


class Parameters(NamedTuple):
    """Start of one replica, float32; ``readout = h W_out + b_out``, ``z = x W_in + b``. G = gates * H."""

    W_in: np.ndarray  # I x G; row i belongs to symbol i
    W: np.ndarray  # H x G
    b: np.ndarray  # G
    W_out: np.ndarray  # H x O
    b_out: np.ndarray  # O


@dataclass
class Weights:
    """Weights of R replicas, or their gradients. Without ``W_in`` and ``b`` the inputs are the drive z itself.

    ``own`` holds the parameters that only the cell itself knows.
    """

    W: Tensor  # RHG
    W_in: Tensor | None = None  # RIG
    b: Tensor | None = None  # RG
    W_out: Tensor | None = None  # RHO; of the readout
    b_out: Tensor | None = None  # RO
    own: dict[str, Tensor] = field(default_factory=dict)

    def named(self) -> list[tuple[str, Tensor]]:
        """Name and tensor of those that are there, the cell's own left out."""
        known = [(name, getattr(self, name)) for name in NAMES]
        return [(name, tensor) for name, tensor in known if tensor is not None]


class Cell(ABC):
    """What all cells have; one of your own subclasses :class:`ExplicitCell` or :class:`AutogradCell`.

    Args:
        name: what tables call it.
        hidden_size: H, units.
    """

    gates: ClassVar[int] = 1
    """Columns of W and z, in units of H."""
    parts: ClassVar[int] = 1
    """Parts of the state."""
    own: ClassVar[tuple[str, ...]] = ()
    """Parameters that only this cell knows, see :meth:`start_own`."""

    def __init__(self, name: str, hidden_size: int) -> None:
        self.name = name
        self.hidden_size = hidden_size

    def select(self, rows: Sequence[int]) -> "Cell":
        """The cell of some of the replicas, where it holds anything per replica."""
        return self

    def beside(self, replicas: int, other: "Cell", others: int) -> "Cell":
        """The cell of so many replicas of this one, and so many of another of its class, where it holds anything per
        replica."""
        return self

    @abstractmethod
    def start(self, inputs: int, outputs: int, draws: np.random.Generator) -> Parameters:
        """Draws one replica's initial parameters for I inputs and O outputs."""

    def start_own(self, draws: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws those named in ``own``, float32, after the others; an :class:`AutogradCell` may have some."""
        return {}


class ExplicitCell(Cell):
    """A cell ``a_t = z_t + h_{t-1} W``, then one step forward and one step back, elementwise, written down.

    It needs no autograd, and directions that reweight the factors of the gradient (Ω) work with it.
    """

    @abstractmethod
    def advance(self, a: Tensor, before: State) -> tuple[State, State]:
        """Takes step t. ``a`` RBG may be overwritten.

        Returns:
            the state after the step, and what :meth:`pull_back` wants to keep of it.
        """

    @abstractmethod
    def pull_back(self, d: State, before: State, after: State, kept: State) -> tuple[Tensor, State]:
        """Takes step t backwards, from ``d`` = dL/d(state after), the total derivative.

        Returns:
            delta = dL/da RBG, and what flows to the state before other than through W: one tensor for each part of
            the state after the first (h reaches the next step through W alone).
        """


class AutogradCell(Cell):
    """A cell whose step forward is written in plain torch operations; autograd goes back. Slower, and without Ω.

    For replicas to be independent bit for bit (law 1) use :func:`src.linalg.matmul` and :func:`logistic`.
    """

    @abstractmethod
    def step(self, z_RBG: Tensor, state: State, weights: Weights) -> State:
        """Takes step t.

        Args:
            z_RBG: x_t W_in + b.
            state: before the step.
            weights: stacked parameters W, and in ``weights.own`` those of :meth:`start_own`.
        """


def logistic(a: Tensor) -> Tensor:
    """1 / (1 + exp(-a)), by tanh: torch.sigmoid rounds differently with the size of the tensor."""
    return (a * 0.5).tanh() * 0.5 + 0.5
