"""Ω, the regulariser of Pascanu, Mikolov & Bengio (2013): gradients shall keep their norm on the way back.

With d_t = dL/d(state_t), total, and v_t = δ_t Wᵀ what it sends back through the recurrence, for each sequence::

    squared (Pcode)       Ω = 1/N Σ over (t, sequence) with ‖d_t‖² >= 1e-20 of (‖v_t‖²/‖d_t‖² - 1)²
    plain (P13, eq. 9)    Ω = 1/B Σ over the same pairs of (‖v_t‖/‖d_t‖ - 1)²

N counts the pairs of the replica; where there is none, Ω and its gradient are 0. Only the *immediate* derivative is
taken: d, δ and h are constants, and W acts through the explicit factor in v_t = δ_t Wᵀ alone. Hence
∂⁺Ω/∂W = Σ_t κ_t v_tᵀ δ_t, and the gradient of L + αΩ is the product Σ_t (h_{t-1} + α κ_t v_t)ᵀ δ_t.
For LSTM the norms run over h and c (our extension), and the formulas stand as they are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from src.directions.direction import Direction
from src.directions.tape import Factors, Term
from src.linalg import known

FORMS = ("squared", "plain")
PLAIN = "omega_is_plain"
"""Name of the setting that says which replicas have the plain form: 1 or 0."""
BOUND = 1e-20
"""Pairs with ‖d_t‖² below this do not count (Pcode)."""


def omega(d2_RTB: Tensor, v2_RTB: Tensor, form: str | Tensor = "squared") -> tuple[Tensor, Tensor]:
    """Ω and the coefficients of its immediate derivative, from squared norms.

    Args:
        d2_RTB: ‖d_t‖², zero in padding.
        v2_RTB: ‖v_t‖².
        form: ``squared`` or ``plain``; or, for each replica, whether it is plain (not 0), R.

    Returns:
        Ω_R and κ_RTB; κ is 0 for pairs that do not count.
    """
    if isinstance(form, Tensor):
        return _mixed(d2_RTB, v2_RTB, form != 0)
    counts = ~(d2_RTB < BOUND)  # a NaN counts, so that it shows
    d2 = torch.where(counts, d2_RTB, 1.0)  # chosen before dividing: 0/0 would poison what it is multiplied with
    v2 = torch.where(counts, v2_RTB, 1.0)
    if form == "squared":
        pairs_R = counts.sum((1, 2)).clamp(min=1).to(d2.dtype)
        excess = v2 / d2 - 1
        kappa = 4 * excess / (pairs_R[:, None, None] * d2)
        value = _sum(excess.square()) / pairs_R
    else:
        batch = d2.shape[2]
        d, v = d2.sqrt(), v2.sqrt()
        excess = v / d - 1
        kappa = torch.where(v > 0, 2 * excess / (batch * torch.where(v > 0, v * d, 1.0)), 0.0)
        value = _sum(excess.square()) / batch
    return value, torch.where(counts, kappa, 0.0)


def _mixed(d2_RTB: Tensor, v2_RTB: Tensor, plain_R: Tensor) -> tuple[Tensor, Tensor]:
    """The same where replicas differ in the form."""
    squared_R, squared_RTB = omega(d2_RTB, v2_RTB, "squared")
    value_R, kappa_RTB = omega(d2_RTB, v2_RTB, "plain")
    return torch.where(plain_R, value_R, squared_R), torch.where(plain_R[:, None, None], kappa_RTB, squared_RTB)


def _sum(x_RTB: Tensor) -> Tensor:
    """Sums over steps and sequences, step after step, so that padding to another length changes no bit."""
    return x_RTB.sum(2).cumsum(1)[:, -1]


@dataclass
class OmegaTerm:
    """αΩ beside the loss, for one backward pass of one layer.

    Args:
        form: see :func:`omega`.
        alpha_R: weight of each replica; where it is 0 the gradient is the plain one, and Ω is NaN.
    """

    form: str | Tensor
    alpha_R: Tensor

    @property
    def plain_R(self) -> Tensor:
        """Whether each replica's form is the plain one: 1 or 0."""
        if isinstance(self.form, Tensor):
            return self.form
        return torch.full_like(self.alpha_R, float(self.form == "plain"))

    def __call__(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Ω_R, and the coefficients ακ_RTB of v."""
        return self.of_norms(factors.d2_RTB, factors.v2_RTB)

    def of_norms(self, d2_RTB: Tensor, v2_RTB: Tensor) -> tuple[Tensor, Tensor]:
        """The same from the squared norms alone, which are all it needs."""
        value_R, kappa_RTB = omega(d2_RTB, v2_RTB, self.form)
        alpha_R11 = self.alpha_R[:, None, None]
        coefficient_RTB = torch.where(alpha_R11 == 0, 0.0, alpha_R11 * kappa_RTB)
        return torch.where(self.alpha_R == 0, torch.nan, value_R), coefficient_RTB


class Omega(Direction):
    """The gradient of L + αΩ, each replica with its own α and form: MSGD-CR. Where every α is 0, the plain gradient.

    Args:
        form: ``squared`` (Pcode) or ``plain`` (P13, eq. 9).

    Raises:
        ValueError: any other ``form``.
    """

    held = ("form",)
    metrics = ("omega",)

    def __init__(self, form: str = "squared") -> None:
        if form not in FORMS:
            raise ValueError(f"form={form}: must be {' or '.join(FORMS)}")
        self.form = form
        self.settings = {"alpha": 0.0, PLAIN: float(form == "plain")}  # type: ignore[misc]

    def terms(self, settings: dict[str, Tensor]) -> dict[str, Term]:
        alpha_R = settings.get("alpha")
        if alpha_R is None or known(alpha_R.any()) is False:
            return {}
        return {"omega": OmegaTerm(self._form(settings), alpha_R)}

    def _form(self, settings: dict[str, Tensor]) -> str | Tensor:
        """The form of all replicas or, where they differ or a device would have to be asked, of each."""
        plain_R = settings.get(PLAIN)
        if plain_R is None:
            return self.form
        if known(plain_R.any()) is False:
            return "squared"
        return "plain" if known(plain_R.all()) else plain_R
