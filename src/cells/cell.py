"""What the time loop and the network need to know of a cell."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from src.recurrence.interface import Weights

State = tuple[Tensor, ...]
"""Parts of the state handed to the next step, each RBH; the first is h, what the readout sees."""


class Parameters(NamedTuple):
    """Start of one replica, float32; ``readout = h W_out + b_out``, ``z = x W_in + b``. G = gates * H."""

    W_in: np.ndarray  # I x G; row i belongs to symbol i
    W: np.ndarray  # H x G
    b: np.ndarray  # G
    W_out: np.ndarray  # H x O
    b_out: np.ndarray  # O


class Cell(ABC):
    """What all cells have; one of one's own subclasses :class:`ExplicitCell` or :class:`AutogradCell`.

    Args:
        name: what tables call it.
        hidden_size: H, units.
        layers: of such cells, each fed by h of the one below.
        dense: tanh layers before them, without recurrence (M19: 2).
        dense_size: units of each; H if not given.
        noise: standard deviation of the Gaussian noise added to what goes from layer to layer in training (M19).
    """

    gates: ClassVar[int] = 1
    """Columns of W and z, in units of H."""
    parts: ClassVar[int] = 1
    """Parts of the state."""
    own: ClassVar[tuple[str, ...]] = ()
    """Parameters that only this cell knows, see :meth:`start_own`."""

    def __init__(
        self,
        name: str,
        hidden_size: int,
        layers: int = 1,
        dense: int = 0,
        dense_size: int | None = None,
        noise: float = 0.0,
    ) -> None:
        self.name = name
        self.hidden_size = hidden_size
        self.layers, self.dense, self.dense_size, self.noise = layers, dense, dense_size or hidden_size, noise

    @property
    def stacked(self) -> bool:
        """Whether there is more than one recurrent layer between input and readout."""
        return self.layers > 1 or self.dense > 0

    def select(self, rows: Sequence[int]) -> "Cell":
        """The cell of some of the replicas, where it holds anything per replica."""
        return self

    @abstractmethod
    def start(self, inputs: int, outputs: int, draws: np.random.Generator) -> Parameters:
        """Draws one replica's initial parameters for I inputs and O outputs."""

    def start_own(self, draws: np.random.Generator) -> dict[str, np.ndarray]:
        """Then draws those named in ``own``, float32; an :class:`AutogradCell` may have some."""
        return {}


class ExplicitCell(Cell):
    """``a_t = z_t + h_{t-1} W``, and then one step forward and one step back, elementwise, written down.

    Needs no autograd, and the directions that reweight the factors of the gradient (Ω) work with it.
    """

    @abstractmethod
    def advance(self, a: Tensor, before: State) -> tuple[State, State]:
        """Step t. ``a`` RBG may be overwritten.

        Returns:
            the state after the step, and what :meth:`pull_back` wants to keep of it.
        """

    @abstractmethod
    def pull_back(self, d: State, before: State, after: State, kept: State) -> tuple[Tensor, State]:
        """Step t backwards, from ``d`` = dL/d(state after), the total derivative.

        Returns:
            delta = dL/da RBG, and what flows to the state before other than through W: one tensor for each part of
            the state after the first (h reaches the next step through W alone).
        """


class AutogradCell(Cell):
    """One step forward in plain torch operations; autograd goes back. Slower, and without Ω.

    For replicas to be independent bit for bit (law 1) use :func:`src.linalg.matmul` and :func:`logistic`.
    """

    @abstractmethod
    def step(self, z_RBG: Tensor, state: State, weights: "Weights") -> State:
        """Step t.

        Args:
            z_RBG: x_t W_in + b.
            state: before the step.
            weights: stacked parameters W, and in ``weights.own`` those of :meth:`start_own`.
        """


def logistic(a: Tensor) -> Tensor:
    """1 / (1 + exp(-a)), by tanh: torch.sigmoid rounds differently with the size of the tensor."""
    return (a * 0.5).tanh() * 0.5 + 0.5
