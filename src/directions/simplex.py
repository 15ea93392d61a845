"""Galvan's direction: temporal gradients of one length, weighted at random (G16, eq. 25-27, algorithm 3).

With ∇_t the temporal gradients (src/directions/temporal.py)::

    s = Σ_t w_t ∇_t,   w_t = β_t / ‖∇_t‖, or β_t where ‖∇_t‖ < tiny;   d = -‖∇L‖ s / ‖s‖

and -∇L instead where ‖∇L‖ > ψ (conditional switching), where s is 0 or anything is not finite, and, if asked for, where
d is no descent direction. β_t > 0, Σβ = 1, drawn anew for each update and replica.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from src.directions.direction import Direction, Draws
from src.directions.tape import Copies, Product
from src.directions.temporal import lengths, sums
from src.linalg import sent
from tasks.draws import Stream, words

TINY = 1e-25
"""Steps whose gradient's norm is below this are not divided by it (G16's code at the date of its slides; half a year
later 1e-8, below which half of a network's steps can lie at length 100)."""

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"uniform": lambda u: u, "exponential": lambda u: np.exp(1 - u)}
"""β before it is divided by its sum, of u ~ U(0, 1): in G16's repository the one in the runs on addition, the other in
those on temporal order."""


def betas(draws: Draws, length_R: Tensor, steps: int, form: str) -> Tensor:
    """β_RT of replicas of these seeds and numbers of updates; 0 beyond a replica's length."""
    if length_R.device.type != "cpu":
        return _betas_on_device(draws, length_R, steps, form)
    beta_RT = np.zeros((len(draws), steps), dtype=np.float32)
    for row, (seed, update), length in zip(beta_RT, draws, length_R.tolist(), strict=True):
        u = (words(seed, Stream.BETA, update, length) >> np.uint64(11)) * 2.0**-53
        weight = FORMS[form](u)
        row[:length] = weight / weight.sum()
    return torch.from_numpy(beta_RT)


def _betas_on_device(draws: Draws, length_R: Tensor, steps: int, form: str) -> Tensor:
    """The same, to the last bits of the sums, where the lengths would have to be waited for: of the same draws."""
    u_RT = np.stack([words(seed, Stream.BETA, update, steps) >> np.uint64(11) for seed, update in draws]) * 2.0**-53
    weight_RT = sent(torch.from_numpy(FORMS[form](u_RT)), length_R.device)
    inside_RT = torch.arange(steps, device=length_R.device) < length_R[:, None]
    weight_RT = torch.where(inside_RT, weight_RT, 0.0)
    total_R1 = weight_RT.sum(1, keepdim=True)
    return (weight_RT / torch.where(total_R1 > 0, total_R1, 1.0)).float()


@dataclass
class SimplexCombination:
    """The simplex direction of one update.

    Args:
        betas: β_RT of replicas of these lengths, for so many steps.
        psi_R: ψ; infinity: no switching.
        tiny_R: a step whose gradient's norm is below this is not divided by it.
        descent: whether ∇L is taken where d is no descent direction.
    """

    betas: Callable[[Tensor, int], Tensor]
    psi_R: Tensor
    tiny_R: Tensor
    descent: bool

    def __call__(
        self, products: list[Product | Copies], gradients: dict[str, Tensor], length_R: Tensor, steps: int
    ) -> None:
        """Overwrites the gradients with -d, what is subtracted from the parameters."""
        weight_RT = self.weights(lengths(products, length_R, steps), length_R)
        plain = sums(products, None, length_R)
        weighted = sums(products, weight_RT, length_R)
        g_RP = torch.cat([gradient.flatten(1) for gradient in plain.values()], 1).double()
        s_RP = torch.cat([weighted[name].flatten(1) for name in plain], 1).double()
        g_R = g_RP.square().sum(1).sqrt()
        s_R = s_RP.square().sum(1).sqrt()
        taken_R = (s_R > 0) & ~(g_R > self.psi_R)  # NaN is not above 0
        if self.descent:
            taken_R &= (g_RP * s_RP).sum(1) > 0
        scale_R = torch.where(taken_R, g_R / s_R, 1.0).float()
        for name, gradient in plain.items():
            shape = (-1, *[1] * (gradient.ndim - 1))
            d = torch.where(taken_R.view(shape), weighted[name], gradient) * scale_R.view(shape)
            gradients[name].copy_(d)

    def weights(self, norm_RT: Tensor, length_R: Tensor) -> Tensor:
        """w_RT from the norms of the temporal gradients."""
        beta_RT = self.betas(length_R, norm_RT.shape[1])
        weight_RT = torch.where(norm_RT < self.tiny_R[:, None], beta_RT, beta_RT / norm_RT)
        return torch.where(norm_RT.isinf(), torch.nan, weight_RT)  # else the step would be left out


class Simplex(Direction):
    """d = -‖∇L‖ s / ‖s‖, s = Σ β_t ∇_t / ‖∇_t‖ (G16, algorithm 3), each replica with its own ψ and tiny.

    Args:
        beta: ``uniform``, β_t ∝ u_t, or ``exponential``, β_t ∝ exp(1 - u_t), u ~ U(0, 1).
        descent: whether -∇L is taken where d is no descent direction.

    Raises:
        ValueError: any other ``beta``.
    """

    settings: ClassVar[dict[str, float]] = {"psi": float("inf"), "tiny": TINY}

    def __init__(self, beta: str = "exponential", descent: bool = False) -> None:
        if beta not in FORMS:
            raise ValueError(f"beta={beta}: must be {' or '.join(FORMS)}")
        self.beta = beta
        self.descent = descent

    def combination(self, settings: dict[str, Tensor], draws: Draws) -> SimplexCombination:
        def drawn(length_R: Tensor, steps: int) -> Tensor:
            return betas(draws, length_R, steps, self.beta)

        return SimplexCombination(drawn, settings["psi"], settings["tiny"], self.descent)
