"""A whole update without its step: some tens of launches, none of which the host waits for."""

from collections.abc import Callable

import torch
from torch import Tensor

from src.cells import State, Weights
from src.directions import Tape
from src.linalg import matmul, product
from src.recurrence.backend import Pass, Target
from src.recurrence.checks import refuse
from src.recurrence.cuda import products
from src.recurrence.cuda.run import Run


def cross_entropy(output_RTBO: Tensor, target_RTB: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each answer, and its derivative by the output."""
    classes = torch.arange(output_RTBO.shape[-1], device=output_RTBO.device)
    refuse(((target_RTB < 0) | (target_RTB >= len(classes))).any(), IndexError("a class that there is not"))
    right = classes == target_RTB[..., None]
    logarithm = output_RTBO.log_softmax(-1)
    return -torch.where(right, logarithm, 0.0).sum(-1), logarithm.exp() - right.to(logarithm.dtype)


def squared_error(output_RTBO: Tensor, target_RTB: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each answer, and its derivative by the output."""
    if output_RTBO.shape[-1] != 1:
        raise ValueError(f"squared_error is that of one output, not of {output_RTBO.shape[-1]}")
    error = output_RTBO - target_RTB[..., None]
    return error.square()[..., 0], 2 * error


LOSSES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
}


def learn(given: Pass, target: Target, gradients: Weights, tape: Tape, precision: str) -> tuple[Tensor, State]:
    """Overwrites ``gradients``; returns the loss and the last state. See src.recurrence.learn."""
    R, T, B = given.shape
    if target.values.shape not in ((R, B), (R, T, B)):
        raise ValueError(f"target {tuple(target.values.shape)} for inputs {tuple(given.inputs.shape)}")
    run = Run(given, keep=True, every_step=False, precision=precision)
    every = target.values.ndim == 3
    h = run.states[0][:, 1:] if every else run.last[0][:, None]
    W_out, b_out = given.weights.W_out, given.weights.b_out
    assert W_out is not None and b_out is not None
    output = torch.baddbmm(b_out[:, None], h.flatten(1, 2), W_out).view(*h.shape[:3], -1)
    loss_RTB, error = LOSSES[target.loss](output, target.values if every else target.values[:, None])
    share_RT = _shares(run, every)
    error = torch.where(share_RT[..., None, None] > 0, error * share_RT[..., None, None], 0.0)
    dh = matmul(error.flatten(1, 2), W_out.transpose(1, 2)).view(h.shape)
    at_end = (None if every else dh[:, 0], *[None] * (given.cell.parts - 1))
    found = run.backward(dh if every else None, at_end, tape).weights
    assert found is not None
    found.W_out = product(h, error)
    found.b_out = error.sum((1, 2))
    products.write(gradients, found)
    loss_R = torch.where(share_RT > 0, loss_RTB.sum(2) * share_RT, 0.0).sum(1)
    return loss_R, run.last


def _shares(run: Run, every: bool) -> Tensor:
    """What an answer counts in the mean over sequences and each replica's steps, RT; 0 in padding."""
    R, T, B = run.shape
    if not every:
        return run.W.new_full((R, 1), 1 / B)
    inside_RT = torch.arange(T, device=run.W.device) < run.length_R[:, None]
    return inside_RT / (run.length_R.clamp(min=1) * B)[:, None]
