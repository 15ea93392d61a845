"""The recurrence as a loop a person can read: the specification of every faster one. It runs on every device.

With d_t = dL/d(state_t), total, and row vectors: δ_t = dL/da_t, v_t = δ_t Wᵀ, d_{t-1} = v_t + the direct part at t-1.
Memory is laid out step by step (TRBH); the tensors returned are views of it as RTBH.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from src.cells import Cell, ExplicitCell, State, Weights
from src.directions import Combination, Copies, Factors, Product, Tape
from src.linalg import known, matmul, product
from src.recurrence.backend import Backend, Descended, Descent, Gradients, Key, LayerRun, Pass, Passes, Run, Target
from src.recurrence.inputs import input_gradients, inside, project
from tasks.draws import generator, normal


class Reference(Backend):
    """Plain PyTorch, for every cell with a step back written down, on every device and in every precision."""

    name = "reference"
    device: ClassVar[str | None] = None
    wants_torch_threads = True

    def __init__(self, threads: int) -> None:
        pass  # torch has its own

    @classmethod
    def missing(cls) -> str | None:
        return None

    @classmethod
    def refuses(cls, cell: Cell) -> str | None:
        return None

    def runs(self, cell: Cell, like: Tensor) -> bool:
        return isinstance(cell, ExplicitCell)

    def takes(self, *tensors: Tensor) -> bool:
        return True

    def forward(self, given: Pass, keep: bool, every_step: bool) -> Run:
        return ReferenceRun(given, keep)

    def learn(self, given: Pass, target: Target, gradients: Weights, tape: Tape) -> tuple[Tensor, State] | None:
        return None

    def records(self, cell: Cell, like: Tensor) -> bool:
        return False

    def descend(
        self, passes: Passes, target: Target, gradients: Weights, tape: Tape, descent: Descent
    ) -> Descended | None:
        return None

    def norms(self, grad_RP: Tensor) -> Tensor:
        return torch.linalg.vector_norm(grad_RP, dim=1)

    def linear(self, x_RTBK: Tensor, W_RKM: Tensor, b_RM: Tensor, tanh: bool) -> LayerRun:
        return ReferenceLayer(x_RTBK, W_RKM, b_RM, tanh)

    def add_noise(self, x_RTBK: Tensor, keys: list[Key], std: float) -> Tensor:
        size = x_RTBK[0].numel()
        numbers = np.stack([normal(generator(*key), size, std) for key in keys])
        return x_RTBK + torch.from_numpy(numbers).view(x_RTBK.shape).to(x_RTBK)

    def combine(
        self,
        combination: Combination,
        products: list[Product | Copies],
        gradients: dict[str, Tensor],
        length_R: Tensor,
        steps: int,
    ) -> None:
        combination(products, gradients, length_R, steps)


class ReferenceRun(Run):
    """One pass through all steps, and back."""

    def __init__(self, given: Pass, keep: bool) -> None:
        assert isinstance(given.cell, ExplicitCell)
        self.cell = given.cell
        self.weights = given.weights
        length_R = given.length_R
        if length_R is not None and known((length_R == given.inputs.shape[1]).all()):
            length_R = None
        self.length_R = length_R
        self.inputs = inside(given.inputs, given.weights, length_R)
        self.states = [given.begin()]
        self.kept: list[State] = []
        self._advance(project(self.inputs, given.weights), keep)

    def _advance(self, z_RTBG: Tensor, keep: bool) -> None:
        """Takes all steps."""
        R, T, B, _ = z_RTBG.shape
        (state,) = self.states
        h_TRBH = z_RTBG.new_empty(T, R, B, self.cell.hidden_size)
        for t in range(T):
            after, kept = self.cell.advance(matmul(state[0], self.weights.W).add_(z_RTBG[:, t]), state)
            active = self.active(t)
            state = tuple(where(active, new, old) for new, old in zip(after, state, strict=True))
            h_TRBH[t] = where(active, after[0], 0.0)
            if keep:
                self.states.append(state)
                self.kept.append(kept)
        self.h_RTBH = h_TRBH.transpose(0, 1)
        self.last = state

    def active(self, t: int) -> Tensor | None:
        """Which replicas take step t + 1; None: all."""
        return None if self.length_R is None else (self.length_R > t)[:, None, None]

    def backward(self, dh_RTBH: Tensor | None, dlast: tuple[Tensor | None, ...], tape: Tape) -> Gradients:
        weights = self.weights
        factors, d = self._pull_back(dh_RTBH, dlast, tape)
        tape.factors = factors if tape.keep else None
        if tape.products is not None:
            tape.record_layer(self.inputs, weights, factors.h_before_RTBH, factors.delta_RTBG)
            return Gradients(None, factors.delta_RTBG, d)
        gradients = Weights(product(tape.left(factors), factors.delta_RTBG))
        if weights.W_in is None:
            return Gradients(gradients, factors.delta_RTBG, d)
        gradients.W_in, gradients.b = input_gradients(self.inputs, weights.W_in, factors.delta_RTBG)
        return Gradients(gradients, None, d)

    def _pull_back(self, dh_RTBH: Tensor | None, dlast: tuple[Tensor | None, ...], tape: Tape) -> tuple[Factors, State]:
        """Takes all steps back; returns their factors, and dL/d(state before the first)."""
        T = len(self.kept)
        W_RGH = self.weights.W.transpose(1, 2)
        R, B, H = self.states[0][0].shape
        new = self.weights.W.new_zeros
        delta = new(T, R, B, self.cell.gates * H)
        v_all = new(T, R, B, H)
        d_all = new(T, R, B, H)
        d2 = new(T, R, B)
        v2 = new(T, R, B)
        d: State = tuple(torch.zeros_like(self.states[0][0]) if part is None else part for part in dlast)
        for t in reversed(range(T)):
            active = self.active(t)
            if dh_RTBH is not None:
                d = (d[0] + where(active, dh_RTBH[:, t], 0.0), *d[1:])
            back, carried = self.cell.pull_back(d, self.states[t], self.states[t + 1], self.kept[t])
            delta[t] = where(active, back, 0.0)
            v: State = (matmul(delta[t], W_RGH), *carried)
            if not tape.plain:
                v_all[t] = v[0]
                d_all[t] = d[0]
                d2[t] = sum_of_squares(d)
                v2[t] = sum_of_squares(v)
            d = tuple(where(active, through, stays) for through, stays in zip(v, d, strict=True))
        h_before = torch.stack([step[0] for step in self.states[:T]], dim=1)
        others = (self._inside(each) for each in (v_all, d_all, d2, v2))
        return Factors(h_before, delta.transpose(0, 1), *others), d

    def _inside(self, by_step: Tensor) -> Tensor:
        """Puts replicas first, and zero into padding."""
        by_replica = by_step.transpose(0, 1)
        if self.length_R is None:
            return by_replica
        inside_RT = torch.arange(len(by_step), device=by_step.device) < self.length_R[:, None]
        return torch.where(inside_RT.view(*inside_RT.shape, *[1] * (by_step.ndim - 2)), by_replica, 0.0)


class ReferenceLayer(LayerRun):
    """y = x W + b of every step, or its tanh; and back, in sums whose order padding does not change."""

    def __init__(self, x: Tensor, W: Tensor, b: Tensor, tanh: bool) -> None:
        a = matmul(x.flatten(1, 2), W).add_(b[:, None]).view(*x.shape[:3], -1)
        self.y = a.tanh_() if tanh else a
        self.x = x
        self.W = W
        self.tanh = tanh

    def pull_back(self, dy_RTBM: Tensor, y_RTBM: Tensor) -> Tensor:
        """dL/d(x W + b)."""
        return dy_RTBM * (1 - y_RTBM * y_RTBM) if self.tanh else dy_RTBM

    def to_inputs(self, da_RTBM: Tensor) -> Tensor:
        """dL/dx."""
        return matmul(da_RTBM.flatten(1, 2), self.W.transpose(1, 2)).view(self.x.shape)

    def backward(self, dy_RTBM: Tensor, y_RTBM: Tensor, wants_dx: bool) -> tuple[Tensor | None, Tensor, Tensor]:
        da = self.pull_back(dy_RTBM, y_RTBM)
        ones = self.x.new_ones(1).expand(*self.x.shape[:3], 1)
        return self.to_inputs(da) if wants_dx else None, product(self.x, da), product(ones, da)[:, 0]


def where(active: Tensor | None, new: Tensor, old: Tensor | float) -> Tensor:
    """The new values of replicas that are active, the old ones of the others; None: all are."""
    return new if active is None else torch.where(active, new, old)


def sum_of_squares(parts: State) -> Tensor:
    """‖·‖² over units and parts of the state: RB."""
    total = parts[0].square().sum(-1)
    for part in parts[1:]:
        total = total + part.square().sum(-1)
    return total
