"""A whole update without its step, in one call."""

import ctypes

import torch
from torch import Tensor

from src.cells import State, Weights
from src.directions import SimplexCombination, Tape
from src.recurrence.backend import Pass, Target
from src.recurrence.cpu.call import Prepared
from src.recurrence.cpu.direction import Direction
from src.recurrence.cpu.support import LOSSES


def learn(given: Pass, target: Target, gradients: Weights, tape: Tape, threads: int) -> tuple[Tensor, State]:
    """Overwrites ``gradients``; returns the loss and the last state. See src.recurrence.learn."""
    update = Prepared(given, threads)
    R, T, B = update.shape
    set_target(update, target)
    loss_R = torch.empty(R)
    update.point(losses=loss_R)
    update.set_weights(gradients, "d")
    if isinstance(tape.combination, SimplexCombination):
        direction = Direction(R, T, B, update.memory["length"], tape.combination, threads)
        update.call.simplex = ctypes.addressof(direction.call)
    if tape.terms:
        update.add_omega(tape)
    last = tuple(torch.empty(R, B, update.H) for _ in range(given.cell.parts))
    update.point(**dict(zip(("h_last", "c_last"), last, strict=False)))
    if given.state is not None:
        update.set_state(given.state)
    update.call_backward()
    return loss_R, last


def set_target(update: Prepared, target: Target) -> None:
    """Sets what a call shall learn.

    Raises:
        ValueError: targets, or a loss, that do not fit to the inputs and the readout.
    """
    R, T, B = update.shape
    if target.values.shape not in ((R, B), (R, T, B)):
        raise ValueError(f"target {tuple(target.values.shape)} for inputs {(R, T, B)}")
    if target.loss == "squared_error" and update.call.O != 1:
        raise ValueError(f"squared_error is that of one output, not of {update.call.O}")
    update.call.loss = LOSSES[target.loss]
    update.call.every = target.values.ndim == 3
    numbers = torch.int64 if target.loss == "cross_entropy" else torch.float32
    update.point(target=target.values.to(numbers))
