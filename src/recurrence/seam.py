"""The seam: the time loop, forward and backward, for R networks at once, whichever backend runs it."""

from typing import Any

import torch
from torch import Tensor

from src.cells import AutogradCell, State, Weights
from src.directions import Combination, Copies, Product, Tape
from src.recurrence import process
from src.recurrence.autograd import by_autograd
from src.recurrence.backend import Descended, Descent, Pass, Passes, Target

_NONE = Weights(None)  # type: ignore[arg-type]


def recur(given: Pass, tape: Tape | None = None, every_step: bool = True) -> tuple[Tensor | None, State]:
    """Runs ``a_t = x_t W_in + b + h_{t-1} W`` through the cell for t = 1 .. length of each replica; differentiable.

    Whatever the inputs hold after a replica's length is ignored, h is 0 there, and gradients that arrive there are
    dropped. Inputs that are the drive itself may want a gradient.

    Args:
        tape: what the backward pass shall do besides.
        every_step: whether h of every step is wanted.

    Returns:
        h_RTBH, or None unless ``every_step``; and the state after each replica's last step.

    Raises:
        ValueError: a length outside [0, T]; a tape that asks for factors of a cell that runs by autograd.
        IndexError: a symbol outside [0, I).
    """
    tape = tape or Tape()
    given.check()
    if isinstance(given.cell, AutogradCell):
        return by_autograd(given.cell, given, tape, every_step)
    weights = given.weights
    learned = (given.inputs, weights.W, weights.W_in, weights.b, *given.begin())
    keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in learned)
    h_RTBH, *last = _Recurrence.apply(given, tape, keep, every_step, *learned)
    return h_RTBH, tuple(last)


def learn(
    given: Pass, target: Target, gradients: Weights, tape: Tape | None = None
) -> tuple[Tensor, tuple[Tensor, ...]] | None:
    """Makes forward, readout, loss and the way back in one call, without autograd: overwrites ``gradients``.

    No gradient flows into the state.

    Returns:
        loss_R and the state after each replica's last step; None where no backend does this in one call: the same is
        then to be had by :func:`recur`.

    Raises:
        ValueError, IndexError: as :func:`recur`; a class that there is not.
    """
    given.check()
    return process.backend_of(given.cell, given.weights.W).learn(given, target, gradients, tape or Tape())


def descend(
    passes: Passes,
    target: Target,
    gradients: Weights,
    descent: Descent,
    tape: Tape | None = None,
) -> Descended | None:
    """Makes several updates, with clipping and with the steps of gradient descent, in one call::

        g <- min(1, most / ‖g‖) g,   v <- momentum v + rate g,   θ <- θ - v

    No replica waits for another. An update is not as usual if a norm is not finite or above 1e10, or if a parameter is
    not finite. It is not made, and no replica begins one beyond it, but some may have made some beyond it already.

    Args:
        passes: one for each update.
        target: of all of them.
        gradients: overwritten.

    Returns:
        how many updates were made before the first that is not as usual, and what was found in them; None where no
        backend does this in one call.

    Raises:
        ValueError, IndexError: as :func:`learn`.
    """
    passes.check()
    backend = process.backend_of(passes.cell, passes.weights.W)
    return backend.descend(passes, target, gradients, tape or Tape(), descent)


def norms(grad_RP: Tensor) -> Tensor:
    """The norm of each row, to the last bit as :func:`descend` takes it."""
    return process.backend_for(grad_RP).norms(grad_RP)


def combine(
    combination: Combination,
    products: list[Product | Copies],
    gradients: dict[str, Tensor],
    length_R: Tensor,
    steps: int,
) -> None:
    """Overwrites gradients with what a direction makes of all products of an update.

    Args:
        gradients: of every weight and bias that the products name.
        steps: T, the longest of the lengths, padding included.
    """
    plain = [product.right for product in products if isinstance(product, Product)]
    backend = process.backend_for(*plain, *gradients.values())
    backend.combine(combination, products, gradients, length_R, steps)


class _Recurrence(torch.autograd.Function):
    """Joins a backend's forward and backward to autograd."""

    @staticmethod
    def forward(ctx: Any, given: Pass, tape: Tape, keep: bool, every_step: bool, *learned: Any) -> Any:
        inputs, W, W_in, b, *state = learned
        ctx.set_materialize_grads(False)
        detached = Pass(given.cell, inputs, Weights(W, W_in, b), tuple(state), given.length_R)
        run = process.backend_of(given.cell, W).forward(detached, keep, every_step)
        ctx.run = run if keep else None
        ctx.tape = tape
        # not what is kept itself: an output that is stored here would be a cycle, freed late
        h_RTBH = run.h_RTBH
        run.h_RTBH = None
        return h_RTBH if every_step else None, *(part.clone() for part in run.last)

    @staticmethod
    def backward(ctx: Any, dh_RTBH: Tensor | None, *dlast: Tensor | None) -> Any:
        gradients = ctx.run.backward(dh_RTBH, dlast, ctx.tape)
        ctx.run = None
        own = gradients.weights or _NONE
        return None, None, None, None, gradients.z_RTBG, own.W, own.W_in, own.b, *gradients.state
