"""Clipping of each replica's gradient, and what happens when it is not finite.

g is the gradient of loss + αΩ over all parameters of a replica. If ‖g‖ > θ: g <- θ g / ‖g‖ (P13, algorithm 1).
If ‖g‖ is not finite or above 1e10:
    with clipping   g <- .02 W for W and 0 for the rest: a shrink (Pcode), times the learning rate, not clipped;
                    where a parameter is not finite either, no shrink helps: the replica has diverged;
    without         the replica has diverged: this step is not applied, and it leaves.
"""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from src.module import Training

LIMIT = 1e10
SHRINK = 0.02


def clip(grad_AP: Tensor, threshold_A: Tensor) -> tuple[Tensor, Tensor]:
    """Scales each row to a norm of at most its threshold, in place; rows of unusable norm are left alone.

    Args:
        grad_AP: a replica's whole gradient per row.
        threshold_A: θ > 0; infinity: no clipping.

    Returns:
        norm_A before clipping, and which rows were clipped.
    """
    norm_A = torch.linalg.vector_norm(grad_AP, dim=1)
    clipped_A = (norm_A > threshold_A) & (norm_A <= LIMIT)
    scale_A = torch.where(clipped_A, threshold_A / norm_A, 1.0)
    grad_AP.mul_(scale_A[:, None])
    return norm_A, clipped_A


def finite(theta_AP: Tensor) -> Tensor:
    """Which rows hold finite numbers only: 0 times any other is NaN. Many times cheaper than looking at each."""
    return (theta_AP * 0).sum(1) == 0


class Clipping(pl.Callback):
    """Applies each replica's θ (``population.settings["clip"]``, infinity: none) before the step."""

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: Training, optimizer: Any) -> None:  # type: ignore[override]
        population = module.population
        threshold_A = population.settings["clip"]
        norm_A, clipped_A = clip(population.grad_AP, threshold_A)
        usable_A = (norm_A <= LIMIT) & finite(population.theta_AP.data)
        if not bool(usable_A.all()):
            clipped_A = clipped_A | self.rescue(module, ~usable_A, threshold_A)
        population.noted |= {"grad_norm": norm_A, "clipped": clipped_A}

    def rescue(self, module: Training, unusable_A: Tensor, threshold_A: Tensor) -> Tensor:
        """Shrinks W where there is clipping, marks as diverged where not, or where parameters are not finite.

        Returns:
            which rows were shrunk.
        """
        population = module.population
        lost_A = unusable_A & (threshold_A.isinf() | ~finite(population.theta_AP.data))
        population.grad_AP[unusable_A] = 0
        shrunk_A = unusable_A & ~lost_A
        for W in module.network.recurrent():
            assert W.grad is not None
            W.grad[shrunk_A] = SHRINK * W.detach()[shrunk_A]
        if bool(lost_A.any()):
            population.diverged_A = lost_A
        return shrunk_A
