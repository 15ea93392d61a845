"""What goes into an implementation of the recurrence and what comes out of it.

Shapes: R replicas, T steps, B sequences, I inputs, H units, G = gates * H columns of W; step t of the text is index
t - 1 here. With d_t = dL/d(state_t), total, and row vectors: δ_t = dL/da_t, v_t = δ_t Wᵀ.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from src.cells.cell import State

NAMES = ("W", "W_in", "b", "W_out", "b_out")


@dataclass
class Weights:
    """Of R replicas, or their gradients. Without ``W_in`` and ``b`` the inputs are the drive z itself.

    ``own`` holds the parameters that only the cell itself knows.
    """

    W: Tensor  # RHG
    W_in: Tensor | None = None  # RIG
    b: Tensor | None = None  # RG
    W_out: Tensor | None = None  # RHO; the readout is :func:`~src.recurrence.learn`'s alone
    b_out: Tensor | None = None  # RO
    own: dict[str, Tensor] = field(default_factory=dict)

    def named(self) -> list[tuple[str, Tensor]]:
        """Those that are there, the cell's own left out."""
        return [(name, getattr(self, name)) for name in NAMES if getattr(self, name) is not None]


@dataclass
class Rows:
    """The factors of one product that makes gradients: of ``weight`` Σ_t left_tᵀ right_t, of ``bias`` Σ_t right_t."""

    weight: str
    bias: str | None
    left: Tensor  # RTBK; or symbols RTB, each for a row that is one-hot; in padding anything
    right: Tensor  # RTBM, or gate by gate RTBgH; 0 in padding
    at_end: bool = False  # of each replica's last step alone; T is 1 then
    symbols: int | None = None  # how many there are

    def __post_init__(self) -> None:
        self.left, self.right = self.left.detach(), self.right.detach()
        if self.symbols is None:
            self.left = self.left.to(self.right.dtype)  # as the pass itself took them


@dataclass
class Copies:
    """Gradients of one weight by step, where a cell runs by autograd: as if every step had its own copy of it."""

    weight: str
    grad_RT: Tensor  # RT and the weight's shape; 0 in padding


@dataclass
class Factors:
    """What one backward pass leaves: the factors of the gradient of W, Σ_t h_{t-1}ᵀ δ_t, and of Ω.

    Rows of padding are zero in all but h_before. The squared norms run over all parts of the state: for LSTM
    ‖d‖² = ‖dL/dh‖² + ‖dL/dc‖² and ‖(δ Wᵀ, dc ⊙ f)‖² (our extension).
    """

    h_before_RTBH: Tensor
    delta_RTBG: Tensor
    v_RTBH: Tensor  # δ Wᵀ
    d_RTBH: Tensor  # the total derivative of h
    d2_RTB: Tensor  # ‖d_t‖²
    v2_RTB: Tensor  # ‖v_t‖²


@dataclass
class Gradients:
    """Of the loss by the weights (W's as a tape reweights it), by the drive where that was the input, and by the state
    before the first step."""

    weights: Weights | None  # None where a tape wanted rows instead
    z_RTBG: Tensor | None
    state: State


@dataclass
class SimplexTerm:
    """Galvan's direction, see src/recurrence/temporal.py.

    Args:
        betas: β_RT of replicas of these lengths, T columns.
        psi_R: ψ; infinity: no switching.
        descent: whether ∇L is taken where d is no descent direction.
    """

    betas: Callable[[Tensor, int], Tensor]
    psi_R: Tensor
    descent: bool


class Reweight(Protocol):
    """A direction's say in the gradient of W: the coefficient of v_t beside h_{t-1} in the product's left factor."""

    def __call__(self, factors: Factors) -> Tensor | None:
        """coefficient_RTB of v, or None for the plain gradient."""


@dataclass
class Tape:
    """Asks the backward pass for more than gradients.

    Args:
        reweight: called once with the factors; W then gets Σ_t (h_{t-1} + coefficient_t v_t)ᵀ δ_t. An
            :class:`~src.recurrence.omega.OmegaTerm` costs little; for any other all factors are kept for a while.
        keep: leave the factors in ``factors`` after the backward pass.
        rows: if given, the weights get no gradients; the factors of the products that would make them are added here.
        suffix: of the weights' names there.
        simplex: beside ``rows``, what they are for: where it can be done on the way back, it is, and no rows are kept.
    """

    reweight: Reweight | None = None
    keep: bool = False
    rows: list[Rows | Copies] | None = None
    suffix: str = ""
    simplex: SimplexTerm | None = None
    factors: Factors | None = field(default=None, init=False)

    def record(self, inputs: Tensor | None, weights: Weights, h_before_RTBH: Tensor, delta: Tensor) -> None:
        """Adds the rows of a recurrent layer."""
        assert self.rows is not None
        self.rows.append(Rows("W" + self.suffix, None, h_before_RTBH, delta))
        if inputs is not None and weights.W_in is not None:
            symbols = None if inputs.is_floating_point() else weights.W_in.shape[1]
            self.rows.append(Rows("W_in" + self.suffix, "b" + self.suffix, inputs, delta, symbols=symbols))
