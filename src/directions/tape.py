"""What a direction asks the backward pass for, and what it gets: the factors of the products that make gradients.

With d_t = dL/d(state_t), total, and row vectors: δ_t = dL/da_t, v_t = δ_t Wᵀ. One product carries every method:
dL/dW = Σ_t h_{t-1}ᵀ δ_t, over all steps and sequences. A regulariser of the norms ‖v_t‖, ‖d_t‖ changes its left factor;
the simplex direction weighs its rows.

Shapes: R replicas, T steps, B sequences, I inputs, H units, G = gates * H columns of W; step t of the text is index
t - 1 here.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from src.cells import Weights


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


class Term(Protocol):
    """A regulariser Φ of the norms of the gradient, beside the loss, in one backward pass of one layer.

    Only its immediate derivative counts, through W in v_t = δ_t Wᵀ alone: ∂⁺Φ/∂W = Σ_t (∂Φ/∂v_t)ᵀ δ_t, and
    ∂Φ/∂v_t = coefficient_t v_t. The term is its own specification; a backend may have its own way for one it knows.
    """

    def __call__(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Φ_R without its weight, NaN where a replica has none, and coefficient_RTB with it."""


@dataclass
class Product:
    """The factors of one product that makes gradients: of ``weight`` Σ_t left_tᵀ right_t, of ``bias`` Σ_t right_t."""

    weight: str
    bias: str | None
    left: Tensor  # RTBK; or symbols RTB, each for a row that is one-hot; in padding anything
    right: Tensor  # RTBM, or gate by gate RTBgH; 0 in padding
    at_end: bool = False  # of each replica's last step alone; T is 1 then
    symbols: int | None = None  # how many there are

    def __post_init__(self) -> None:
        self.left = self.left.detach()
        self.right = self.right.detach()
        if self.symbols is None:
            self.left = self.left.to(self.right.dtype)  # as the pass itself took them


@dataclass
class Copies:
    """Gradients of one weight by step, where a cell runs by autograd: as if every step had its own copy of it."""

    weight: str
    grad_RT: Tensor  # RT and the weight's shape; 0 in padding


class Combination(Protocol):
    """A direction made of all products of an update, not of gradients: see src/directions/simplex.py."""

    def __call__(
        self, products: list[Product | Copies], gradients: dict[str, Tensor], length_R: Tensor, steps: int
    ) -> None:
        """Overwrites the gradients of every weight and bias that the products name.

        Args:
            length_R: steps of each replica.
            steps: T, the longest of these lengths, padding included.
        """


@dataclass
class Tape:
    """Asks the backward pass of one layer for more than gradients, and takes down the answers.

    Args:
        terms: regularisers by the name of their metric; W then gets Σ_t (h_{t-1} + Σ coefficient_t v_t)ᵀ δ_t.
        keep: leave the factors in ``factors``.
        products: if given, the weights get no gradients; the products that would make them are added here.
        combination: beside ``products``, what they are for: where it can be done on the way back, it is, and no
            products are kept.
        suffix: of the weights' names in the products.
    """

    terms: dict[str, Term] = field(default_factory=dict)
    keep: bool = False
    products: list[Product | Copies] | None = None
    combination: Combination | None = None
    suffix: str = ""
    factors: Factors | None = field(default=None, init=False)
    values: dict[str, Tensor] = field(default_factory=dict, init=False)
    """Each term's Φ_R."""

    @property
    def plain(self) -> bool:
        """Whether nothing is asked for that only factors give."""
        return not self.terms and not self.keep

    def left(self, factors: Factors) -> Tensor:
        """The left factor of the gradient of W: h_{t-1} + Σ coefficient_t v_t, RTBH. Evaluates the terms."""
        left = factors.h_before_RTBH
        for name, term in self.terms.items():
            value_R, coefficient_RTB = term(factors)
            self.values[name] = value_R
            coefficient = coefficient_RTB[..., None]
            mixed = torch.addcmul(left, coefficient, factors.v_RTBH)
            left = torch.where(coefficient == 0, left, mixed)  # 0 times infinity would not be 0
        return left

    def record(self, product: Product | Copies) -> None:
        """Adds a product to those asked for."""
        assert self.products is not None
        self.products.append(product)

    def record_layer(self, inputs: Tensor | None, weights: Weights, h_before_RTBH: Tensor, delta: Tensor) -> None:
        """Adds the products of a recurrent layer; without ``inputs`` that of W alone."""
        self.record(Product("W" + self.suffix, None, h_before_RTBH, delta))
        if inputs is not None and weights.W_in is not None:
            self.record_inputs(inputs, weights.W_in, delta)

    def record_inputs(self, inputs: Tensor, W_in: Tensor, delta: Tensor) -> None:
        """Adds the product of W_in and b."""
        symbols = None if inputs.is_floating_point() else W_in.shape[1]
        self.record(Product("W_in" + self.suffix, "b" + self.suffix, inputs, delta, symbols=symbols))
