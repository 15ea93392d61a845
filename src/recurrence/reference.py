"""The recurrence as a loop a person can read: the specification of every faster one.

With d_t = dL/d(state_t), total, and row vectors: δ_t = dL/da_t, v_t = δ_t Wᵀ, d_{t-1} = v_t + the direct part at t-1.
Memory is laid out step by step (TRBH); the tensors returned are views of it as RTBH.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from src.cells import AutogradCell, ExplicitCell
from src.cells.cell import State
from src.linalg import matmul, product
from src.recurrence.interface import Copies, Factors, Gradients, Rows, Tape, Weights


class Run:
    """One pass through all steps; afterwards ``h_RTBH``, and ``last``: the state after each replica's last step.

    After a replica's length its state stays as it is and h is 0.

    Args:
        inputs: symbols RTB (integers), vectors RTBI, or without W_in the drive z_RTBG.
        state: before the first step, each part RBH.
        length_R: steps of each replica; None: all T.
        keep: what :meth:`backward` needs.
        every_step: whether h of all steps is wanted; here it is there in any case.
    """

    def __init__(
        self,
        cell: ExplicitCell,
        inputs: Tensor,
        weights: Weights,
        state: State,
        length_R: Tensor | None,
        keep: bool,
        every_step: bool,
    ) -> None:
        if length_R is not None and bool((length_R == inputs.shape[1]).all()):
            length_R = None
        self.cell, self.weights, self.length_R = cell, weights, length_R
        self.inputs = inputs = inside(inputs, weights, length_R)
        z_RTBG = project(inputs, weights)
        R, T, B, _ = z_RTBG.shape
        h_TRBH = z_RTBG.new_empty(T, R, B, cell.hidden_size)
        self.states, self.kept = [state], []
        for t in range(T):
            after, kept = cell.advance(matmul(state[0], weights.W).add_(z_RTBG[:, t]), state)
            active = self.active(t)
            state = tuple(_where(active, new, old) for new, old in zip(after, state, strict=True))
            h_TRBH[t] = _where(active, after[0], 0.0)
            if keep:
                self.states.append(state)
                self.kept.append(kept)
        self.h_RTBH, self.last = h_TRBH.transpose(0, 1), state

    def active(self, t: int) -> Tensor | None:
        """Which replicas take step t + 1; None: all."""
        return None if self.length_R is None else (self.length_R > t)[:, None, None]

    def backward(self, dh_RTBH: Tensor | None, dlast: tuple[Tensor | None, ...], tape: Tape) -> Gradients:
        """All steps backwards, from dL/dh at every step (direct parts; None: 0) and dL/d(last state) (None: 0)."""
        T, weights = len(self.kept), self.weights
        R, B, H = self.states[0][0].shape
        W_RGH, new = weights.W.transpose(1, 2), weights.W.new_zeros
        delta, v_all, d_all = new(T, R, B, self.cell.gates * H), new(T, R, B, H), new(T, R, B, H)
        d2, v2 = new(T, R, B), new(T, R, B)
        d: State = tuple(torch.zeros_like(self.states[0][0]) if part is None else part for part in dlast)
        for t in reversed(range(T)):
            active = self.active(t)
            if dh_RTBH is not None:
                d = (d[0] + _where(active, dh_RTBH[:, t], 0.0), *d[1:])
            back, carried = self.cell.pull_back(d, self.states[t], self.states[t + 1], self.kept[t])
            delta[t] = _where(active, back, 0.0)
            v: State = (matmul(delta[t], W_RGH), *carried)
            if tape.keep or tape.reweight is not None:
                v_all[t], d_all[t], d2[t], v2[t] = v[0], d[0], sum_of_squares(d), sum_of_squares(v)
            d = tuple(_where(active, through, stays) for through, stays in zip(v, d, strict=True))
        h_before = torch.stack([step[0] for step in self.states[:T]], dim=1)
        factors = Factors(h_before, delta.transpose(0, 1), *(self._inside(each) for each in (v_all, d_all, d2, v2)))
        tape.factors = factors if tape.keep else None
        if tape.rows is not None:
            tape.record(self.inputs, weights, h_before, factors.delta_RTBG)
            return Gradients(None, factors.delta_RTBG, d)
        gradients = Weights(product(weighted_left(factors, tape), factors.delta_RTBG))
        if weights.W_in is None:
            return Gradients(gradients, factors.delta_RTBG, d)
        gradients.W_in, gradients.b = input_gradients(self.inputs, weights.W_in, factors.delta_RTBG)
        return Gradients(gradients, None, d)

    def _inside(self, by_step: Tensor) -> Tensor:
        """Replicas first, and zero in padding."""
        by_replica = by_step.transpose(0, 1)
        if self.length_R is None:
            return by_replica
        inside = torch.arange(len(by_step), device=by_step.device) < self.length_R[:, None]
        return torch.where(inside.view(*inside.shape, *[1] * (by_step.ndim - 2)), by_replica, 0.0)


def by_autograd(
    cell: AutogradCell,
    inputs: Tensor,
    weights: Weights,
    state: State,
    length_R: Tensor | None,
    tape: Tape,
    every_step: bool,
) -> tuple[Tensor | None, State]:
    """The same pass for a cell that autograd takes back: h_RTBH, if wanted, and the last state."""
    inputs, T = inside(inputs, weights, length_R), inputs.shape[1]
    z_RTBG = inputs if weights.W_in is None else _Projection.apply(inputs, weights.W_in, weights.b, tape)
    named = {"W": weights.W, **weights.own}
    if tape.rows is not None:
        copies = {name: _EachStep.apply(p, T, name, tape) for name, p in named.items()}
    each = []
    for t, z_RBG in enumerate(z_RTBG.unbind(1)):
        active = None if length_R is None else (length_R > t)[:, None, None]
        if tape.rows is not None:
            named = {name: of_step[t] for name, of_step in copies.items()}
        after = cell.step(z_RBG, state, Weights(named["W"], own={n: p for n, p in named.items() if n != "W"}))
        state = tuple(_where(active, new, old) for new, old in zip(after, state, strict=True))
        if every_step:
            each.append(_where(active, state[0], 0.0))
    return torch.stack(each, dim=1) if every_step else None, state


class _Projection(torch.autograd.Function):
    """:func:`project` and its :func:`input_gradients`."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, W_in: Tensor, b: Tensor, tape: Tape) -> Tensor:
        ctx.save_for_backward(inputs, W_in)
        ctx.tape = tape
        return project(inputs, Weights(W_in, W_in, b))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        inputs, W_in = ctx.saved_tensors
        if (rows := ctx.tape.rows) is not None:
            symbols, suffix = None if inputs.is_floating_point() else W_in.shape[1], ctx.tape.suffix
            rows.append(Rows("W_in" + suffix, "b" + suffix, inputs, grads[0], symbols=symbols))
            return None, None, None, None
        return None, *input_gradients(inputs, W_in, *grads), None


class _EachStep(torch.autograd.Function):
    """A copy of a parameter for every step, TR...; their gradients go to the tape."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, T: int, name: str, tape: Tape) -> Tensor:
        ctx.name, ctx.tape = name, tape
        return p.expand(T, *p.shape).clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        ctx.tape.rows.append(Copies(ctx.name + ctx.tape.suffix, grads[0].transpose(0, 1)))
        return None, None, None, None


def weighted_left(factors: Factors, tape: Tape) -> Tensor:
    """h_{t-1} + coefficient_t v_t, the left factor of the gradient of W; h_{t-1} where nothing is reweighted."""
    coefficient_RTB = None if tape.reweight is None else tape.reweight(factors)
    if coefficient_RTB is None:
        return factors.h_before_RTBH
    coefficient = coefficient_RTB[..., None]
    mixed = torch.addcmul(factors.h_before_RTBH, coefficient, factors.v_RTBH)
    return torch.where(coefficient == 0, factors.h_before_RTBH, mixed)  # 0 times infinity would not be 0


def _where(active: Tensor | None, new: Tensor, old: Tensor | float) -> Tensor:
    return new if active is None else torch.where(active, new, old)


def sum_of_squares(parts: State) -> Tensor:
    """‖·‖² over units and parts of the state: RB."""
    total = parts[0].square().sum(-1)
    for part in parts[1:]:
        total = total + part.square().sum(-1)
    return total


def inside(inputs: Tensor, weights: Weights, length_R: Tensor | None) -> Tensor:
    """The inputs, 0 in padding, where anything may stand.

    Raises:
        IndexError: a symbol outside [0, I).
    """
    if length_R is not None:
        steps = torch.arange(inputs.shape[1], device=inputs.device) < length_R[:, None]
        inputs = torch.where(steps.view(*steps.shape, *[1] * (inputs.ndim - 2)), inputs, 0)
    if weights.W_in is not None and not inputs.is_floating_point():
        symbols = weights.W_in.shape[1]
        if bool(((inputs < 0) | (inputs >= symbols)).any()):
            raise IndexError(f"a symbol is outside [0, {symbols})")
    return inputs


def project(inputs: Tensor, weights: Weights) -> Tensor:
    """z_RTBG of all steps at once; a symbol's is a row of W_in, plus b."""
    if weights.W_in is None or weights.b is None:
        return inputs
    if inputs.is_floating_point():
        z = matmul(inputs.flatten(1, 2), weights.W_in).add_(weights.b[:, None])
        return z.view(*inputs.shape[:3], -1)
    return F.embedding(_rows(inputs, weights.W_in), (weights.W_in + weights.b[:, None]).flatten(0, 1))


def input_gradients(inputs: Tensor, W_in: Tensor, delta_RTBG: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dW_in and dL/db, in an order of summation that padding does not change."""
    if inputs.is_floating_point():
        ones = inputs.new_ones(*inputs.shape[:3], 1)
        return product(inputs, delta_RTBG), product(ones, delta_RTBG)[:, 0]
    rows = torch.zeros_like(W_in).flatten(0, 1)  # index_add_ is faster than the backward pass of embedding
    rows.index_add_(0, _rows(inputs, W_in).flatten(), delta_RTBG.flatten(0, 2))
    dW_in = rows.view(W_in.shape)
    return dW_in, dW_in.sum(1)


def _rows(symbols_RTB: Tensor, W_in: Tensor) -> Tensor:
    """Of all replicas' tables as one."""
    R, symbols, _ = W_in.shape
    return symbols_RTB + symbols * torch.arange(R, device=symbols_RTB.device)[:, None, None]
