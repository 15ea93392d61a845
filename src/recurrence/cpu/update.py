"""A whole update without its step, in one call."""

import ctypes

import torch
from torch import Tensor

from src.cells import Cell
from src.cells.cell import State
from src.recurrence.cpu.call import Prepared
from src.recurrence.cpu.direction import Direction
from src.recurrence.cpu.support import LOSSES
from src.recurrence.interface import Tape, Weights


def learn(
    cell: Cell,
    inputs: Tensor,
    target: Tensor,
    weights: Weights,
    gradients: Weights,
    loss: str,
    length_R: Tensor | None,
    tape: Tape,
    state: State | None,
    threads: int,
) -> tuple[Tensor, State]:
    """Overwrites ``gradients``; returns the loss and the last state. See src.recurrence.learn."""
    update = Prepared(cell, inputs, weights, length_R, threads)
    R, T, B = update.shape
    if target.shape not in ((R, B), (R, T, B)):
        raise ValueError(f"target {tuple(target.shape)} for inputs {tuple(inputs.shape)}")
    if loss == "squared_error" and update.call.O != 1:
        raise ValueError(f"squared_error is that of one output, not of {update.call.O}")
    update.call.loss = LOSSES[loss]
    update.call.every = target.ndim == 3
    loss_R = torch.empty(R)
    update.point(target=target.to(torch.int64 if loss == "cross_entropy" else torch.float32), losses=loss_R)
    update.set_weights(gradients, "d")
    if tape.simplex is not None:
        direction = Direction(R, T, B, update.memory["length"], tape.simplex, threads)
        update.call.simplex = ctypes.addressof(direction.call)
    if tape.reweight is not None:
        update.add_omega(tape.reweight)  # type: ignore[arg-type]
    last = tuple(torch.empty(R, B, update.H) for _ in range(cell.parts))
    update.point(**dict(zip(("h_last", "c_last"), last, strict=False)))
    if state is not None:
        update.set_state(state)
    update.call_backward()
    return loss_R, last
