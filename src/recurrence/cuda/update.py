"""A whole update without its step: some tens of launches, none of which the host waits for."""

from typing import Any

import torch
from torch import Tensor

from src.cells import State, Weights
from src.directions import Product, Tape
from src.linalg import matmul
from src.recurrence.backend import Pass, Target
from src.recurrence.checks import refuse
from src.recurrence.cuda import products
from src.recurrence.cuda.launch import launch
from src.recurrence.cuda.run import Run

LOSSES = ("cross_entropy", "squared_error")
ROWS = 32
"""Answers of a program."""


def learn(given: Pass, target: Target, gradients: Weights, tape: Tape, precision: str) -> tuple[Tensor, State]:
    """Overwrites ``gradients``, or records what would make them; returns the loss and the last state.

    See src.recurrence.learn.
    """
    R, T, B = given.shape
    if target.values.shape not in ((R, B), (R, T, B)):
        raise ValueError(f"target {tuple(target.values.shape)} for inputs {tuple(given.inputs.shape)}")
    run = Run(given, keep=True, every_step=False, precision=precision)
    every = target.values.ndim == 3
    h = run.states[0][:, 1:] if every else run.last[0][:, None]
    W_out, b_out = given.weights.W_out, given.weights.b_out
    assert W_out is not None and b_out is not None
    output = torch.baddbmm(b_out[:, None], h.flatten(1, 2), W_out).view(*h.shape[:3], -1)
    loss_RTB, error = losses(output, target, run.length_R, every)
    dh = matmul(error.flatten(1, 2), W_out.transpose(1, 2)).view(h.shape)
    at_end = (None if every else dh[:, 0], *[None] * (given.cell.parts - 1))
    run.backward(dh if every else None, at_end, tape, gradients)
    if tape.products is not None:
        tape.record(Product("W_out", "b_out", h, error, at_end=not every))
    else:
        assert gradients.W_out is not None and gradients.b_out is not None
        products.over_rows(h, error, gradients.W_out)
        torch.sum(error, (1, 2), out=gradients.b_out)
    return loss_RTB.sum((1, 2)), run.last


def losses(output_RTBO: Tensor, target: Target, length_R: Tensor, every: bool) -> tuple[Tensor, Tensor]:
    """Each answer's share of its replica's loss, RTB, and its derivative by the output; T is 1 unless ``every``."""
    from src.recurrence.cuda.kernels.losses import losses as kernel

    R, T, B, outputs = output_RTBO.shape
    classes = target.loss == "cross_entropy"
    if not classes and outputs != 1:
        raise ValueError(f"squared_error is that of one output, not of {outputs}")
    loss_RTB = output_RTBO.new_empty(R, T, B)
    error = torch.empty_like(output_RTBO)
    programs = -(-T * B // ROWS)
    faults = output_RTBO.new_empty(R, programs, dtype=torch.int8)
    values = target.values.to(torch.int64 if classes else torch.float32).contiguous()
    arguments: dict[str, Any] = {
        "output": output_RTBO,
        "target": values,
        "length_R": length_R,
        "loss": loss_RTB,
        "error": error,
    }
    arguments |= {"faults": faults, "T": T, "B": B, "O": outputs}
    width = max(2, 1 << (outputs - 1).bit_length())
    constants = {"EVERY": every, "CLASSES": classes, "ROWS": ROWS, "OUTPUTS": width}
    launch(kernel, (R, programs), arguments, constants, warps=4)
    refuse(faults, IndexError(f"a class is outside [0, {outputs})"))
    return loss_RTB, error
