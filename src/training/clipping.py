"""Clipping of each replica's gradient, and what happens when it is not finite.

g is the gradient of loss + αΩ over all parameters of a replica. If ‖g‖ > θ: g <- θ g / ‖g‖ (P13, algorithm 1).
If ‖g‖ is not finite or above 1e10:
    with clipping   g <- .02 W for W and 0 for the rest: a shrink (Pcode), times the learning rate, not clipped;
                    where a parameter is not finite either, no shrink helps: the replica has diverged;
    without         the replica has diverged: this step is not applied, and it leaves.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from src import recurrence
from src.linalg import works_ahead
from src.population import Stack

LIMIT = 1e10
"""Norms above this are as good as infinite (Pcode)."""

SHRINK = 0.02
"""Share of W that takes the place of a gradient that cannot be used (Pcode)."""


@dataclass
class Clipped:
    """What clipping found, one number per row."""

    norm_A: Tensor  # before clipping
    clipped_A: Tensor  # clipped or shrunk
    diverged_A: Tensor | None = None  # None: nobody; on a device that would have to be waited for, always a tensor


def clip(grad_AP: Tensor, threshold_A: Tensor) -> tuple[Tensor, Tensor]:
    """Scales each row to a norm of at most its threshold, in place; rows of unusable norm are left alone.

    Args:
        grad_AP: a replica's whole gradient per row.
        threshold_A: θ > 0; infinity: no clipping.

    Returns:
        norm_A before clipping, and which rows were clipped.
    """
    norm_A = recurrence.norms(grad_AP)
    clipped_A = (norm_A > threshold_A) & (norm_A <= LIMIT)
    scale_A = torch.where(clipped_A, threshold_A / norm_A, 1.0)
    grad_AP.mul_(scale_A[:, None])
    return norm_A, clipped_A


def finite(theta_AP: Tensor) -> Tensor:
    """Which rows hold finite numbers only: 0 times any other is NaN. Many times cheaper than looking at each."""
    return (theta_AP * 0).sum(1) == 0


def clip_stack(stack: Stack) -> Clipped:
    """Applies each replica's θ (``settings["clip"]``, infinity: none) to the gradients of a stack, in place."""
    threshold_A = stack.settings["clip"]
    norm_A, clipped_A = clip(stack.grad_AP, threshold_A)
    finite_A = finite(stack.theta_AP)
    usable_A = (norm_A <= LIMIT) & finite_A
    ahead = works_ahead(usable_A)
    if not ahead and bool(usable_A.all()):
        return Clipped(norm_A, clipped_A)
    unusable_A = ~usable_A
    lost_A = unusable_A & (threshold_A.isinf() | ~finite_A)
    shrunk_A = unusable_A & ~lost_A
    stack.grad_AP.masked_fill_(unusable_A[:, None], 0.0)
    for W in stack.network.recurrent():
        assert W.grad is not None
        W.grad.copy_(torch.where(shrunk_A[:, None, None], SHRINK * W.detach(), W.grad))
    return Clipped(norm_A, clipped_A | shrunk_A, lost_A if ahead or bool(lost_A.any()) else None)
