"""Cells that autograd takes back: the loop, step by step, in torch's operations."""

from typing import Any

import torch
from torch import Tensor

from src.cells import AutogradCell, State, Weights
from src.directions import Copies, Tape
from src.recurrence.backend import Pass
from src.recurrence.inputs import input_gradients, inside, project
from src.recurrence.reference import where


def by_autograd(cell: AutogradCell, given: Pass, tape: Tape, every_step: bool) -> tuple[Tensor | None, State]:
    """Takes all steps; returns h_RTBH, if wanted, and the state after each replica's last step.

    Raises:
        ValueError: a tape that asks for factors, of which there are none here.
    """
    if not tape.plain:
        raise ValueError(f"{cell.name} runs by autograd: there are no factors to keep or to reweight, so no Ω")
    weights, length_R = given.weights, given.length_R
    inputs = inside(given.inputs, weights, length_R)
    z_RTBG = inputs if weights.W_in is None else _Projection.apply(inputs, weights.W_in, weights.b, tape)
    of_steps = _weights(weights, inputs.shape[1], tape)
    state = given.begin()
    h_RBH = []
    for t, z_RBG in enumerate(z_RTBG.unbind(1)):
        active = None if length_R is None else (length_R > t)[:, None, None]
        after = cell.step(z_RBG, state, of_steps[t])
        state = tuple(where(active, new, old) for new, old in zip(after, state, strict=True))
        if every_step:
            h_RBH.append(where(active, state[0], 0.0))
    return torch.stack(h_RBH, dim=1) if every_step else None, state


def _weights(weights: Weights, steps: int, tape: Tape) -> list[Weights]:
    """The weights of each step: the same ones or, where a tape wants products, copies."""
    if tape.products is None:
        return [Weights(weights.W, own=weights.own)] * steps
    W = _EachStep.apply(weights.W, steps, "W", tape)
    own = {name: _EachStep.apply(p, steps, name, tape) for name, p in weights.own.items()}
    return [Weights(W[t], own={name: copies[t] for name, copies in own.items()}) for t in range(steps)]


class _Projection(torch.autograd.Function):
    """Joins :func:`project` and :func:`input_gradients` to autograd."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, W_in: Tensor, b: Tensor, tape: Tape) -> Tensor:
        ctx.save_for_backward(inputs, W_in)
        ctx.tape = tape
        return project(inputs, Weights(W_in, W_in, b))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        inputs, W_in = ctx.saved_tensors
        (dz_RTBG,) = grads
        if ctx.tape.products is not None:
            ctx.tape.record_inputs(inputs, W_in, dz_RTBG)
            return None, None, None, None
        return None, *input_gradients(inputs, W_in, dz_RTBG), None


class _EachStep(torch.autograd.Function):
    """A copy of a parameter for every step, TR...; their gradients go to the tape."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, steps: int, name: str, tape: Tape) -> Tensor:
        ctx.name = name
        ctx.tape = tape
        return p.expand(steps, *p.shape).clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (of_steps,) = grads
        ctx.tape.record(Copies(ctx.name + ctx.tape.suffix, of_steps.transpose(0, 1)))
        return None, None, None, None
