"""L1 and L2: a penalty on large weights beside the loss, rivals of Ω that P13 names.

The loss gets λ₁ Σ|w| + λ₂ Σ w², hence the gradient gets λ₁ sign(w) + 2 λ₂ w, with sign(0) = 0. It is a part of the
gradient like that of Ω: it is clipped together with the rest, so that θ bounds the whole step.
"""

import torch

from src.population import Stack

RECURRENT, EVERY_WEIGHT = "W", "all"
"""Which weights are penalised: W of every layer (P13), or all that are no biases."""


def penalise(stack: Stack, penalised: str) -> None:
    """Adds the gradient of each row's penalties to those of a stack, in place.

    Args:
        stack: its settings may have ``l1`` and ``l2``, λ₁ and λ₂ of each row; 0: none.
        penalised: ``W`` or ``all``.
    """
    known = [stack.settings[name] for name in ("l1", "l2") if name in stack.settings]
    if not known:
        return
    none_A = torch.zeros_like(known[0])
    l1_A = stack.settings.get("l1", none_A)
    l2_A = stack.settings.get("l2", none_A)
    has_none_A = (l1_A == 0) & (l2_A == 0)
    for p in stack.network.recurrent() if penalised == RECURRENT else stack.network.matrices():
        assert p.grad is not None
        weight = p.detach()
        each_A = (-1, *[1] * (p.ndim - 1))
        total = p.grad + l1_A.view(each_A) * weight.sign() + 2 * l2_A.view(each_A) * weight
        p.grad.copy_(torch.where(has_none_A.view(each_A), p.grad, total))  # 0 times infinity would not be 0
