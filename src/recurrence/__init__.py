"""The seam for speed: the time loop, forward and backward, for R networks at once.

:func:`recur` is differentiable and is all the rest of the program sees. Implementations behind it supply three
functions (see reference.py, the specification): ``forward``, ``backward`` (the factors of the gradient) and
``weight_gradient`` (their one product).

Shapes: R replicas, T steps, B sequences, H units, G = gates * H columns of W; step t of the text is index t - 1 here.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from src.cells import Cell
from src.recurrence import reference
from src.recurrence.reference import Factors

__all__ = ["Factors", "Tape", "recur"]

# Vanishing gradients become denormal floats, which are slow on CPUs and carry nothing here. Threads inherit the mode of
# the thread that starts them, so it is set before any work is done.
torch.set_flush_denormal(True)


class Reweight(Protocol):
    """A direction's say in the gradient of W: the coefficient of v_t beside h_{t-1} in the product's left factor."""

    def __call__(self, factors: Factors) -> Tensor | None:
        """coefficient_RTB of v, or None for the plain gradient."""


@dataclass
class Tape:
    """Asks the backward pass for more than gradients.

    Args:
        reweight: called once with the factors; W then gets Σ_t (h_{t-1} + coefficient_t v_t)ᵀ δ_t.
        keep: leave the factors in ``factors`` after the backward pass.
    """

    reweight: Reweight | None = None
    keep: bool = False
    factors: Factors | None = field(default=None, init=False)


def recur(
    cell: Cell,
    z_RTBG: Tensor,
    W_RHG: Tensor,
    state: tuple[Tensor, ...] | None = None,
    length_R: Tensor | None = None,
    tape: Tape | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs ``a_t = z_t + h_{t-1} W`` through the cell for t = 1 .. length of each replica.

    Args:
        state: state before the first step, each part RBH; zeros if not given.
        length_R: steps of each replica, integers in [0, T]; T if not given. Steps after it are padding: whatever z
            holds there is ignored, h is 0 there, and gradients that arrive there are dropped.
        tape: see :class:`Tape`.

    Returns:
        h_RTBH, and the state after each replica's last step.
    """
    if state is None:
        R, _, B, _ = z_RTBG.shape
        state = (z_RTBG.new_zeros(R, B, cell.hidden_size),) * cell.parts
    if length_R is not None and bool((length_R == z_RTBG.shape[1]).all()):
        length_R = None
    differentiable = torch.is_grad_enabled() and any(x.requires_grad for x in (z_RTBG, W_RHG, *state))
    h_RTBH, *last = _Recurrence.apply(cell, tape or Tape(), length_R, differentiable, z_RTBG, W_RHG, *state)
    return h_RTBH, tuple(last)


class _Recurrence(torch.autograd.Function):
    """Joins an implementation's forward and backward to autograd."""

    @staticmethod
    def forward(ctx: Any, cell: Cell, tape: Tape, length_R: Tensor | None, keep: bool, *tensors: Tensor) -> Any:
        z_RTBG, W_RHG, *state = tensors
        ctx.set_materialize_grads(False)
        ctx.cell, ctx.tape, ctx.length_R = cell, tape, length_R
        h_RTBH, last, ctx.kept = reference.forward(cell, z_RTBG, W_RHG, tuple(state), length_R, keep)
        ctx.save_for_backward(W_RHG)
        return h_RTBH, *(part.clone() for part in last)  # not what is kept: that would be a cycle, freed late

    @staticmethod
    def backward(ctx: Any, dh_RTBH: Tensor | None, *dlast: Tensor | None) -> Any:
        (W_RHG,) = ctx.saved_tensors
        tape: Tape = ctx.tape
        want_v = tape.reweight is not None or tape.keep
        factors = reference.backward(ctx.cell, W_RHG, ctx.kept, dh_RTBH, dlast, ctx.length_R, want_v, want_d=tape.keep)
        ctx.kept = None
        coefficient = tape.reweight(factors) if tape.reweight is not None else None
        if tape.keep:
            tape.factors = factors
        dW_RHG = reference.weight_gradient(factors, coefficient)
        return None, None, None, None, factors.delta_RTBG, dW_RHG, *factors.dstate
