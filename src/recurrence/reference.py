"""The recurrence as a loop a person can read: the specification of every faster one.

With d_t = dL/d(state_t), total, and row vectors: δ_t = dL/da_t, v_t = δ_t Wᵀ, d_{t-1} = v_t + the direct part at t-1.
Memory is laid out step by step (TRBH); the tensors returned are views of it as RTBH.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from src.cells import Cell
from src.cells.cell import State
from src.linalg import matmul, product


@dataclass
class Factors:
    """What one backward pass leaves: the factors of the gradient of W, Σ_t h_{t-1}ᵀ δ_t, and of Ω.

    Rows of padding are zero in all but h_before. The squared norms run over all parts of the state: for LSTM
    ‖d‖² = ‖dL/dh‖² + ‖dL/dc‖² and ‖(δ Wᵀ, dc ⊙ f)‖² (our extension).
    """

    h_before_RTBH: Tensor
    delta_RTBG: Tensor
    dstate: State  # dL/d(state before the first step), each RBH
    length_R: Tensor | None  # None: all T
    v_RTBH: Tensor | None = None  # δ Wᵀ; this and the rest on request
    d_RTBH: Tensor | None = None  # the total derivative of h
    d2_RTB: Tensor | None = None  # ‖d_t‖²
    v2_RTB: Tensor | None = None  # ‖v_t‖²


Kept = tuple[list[State], list[State]]


def _active(length_R: Tensor | None, t: int) -> Tensor | None:
    return None if length_R is None else (length_R > t)[:, None, None]


def _where(active: Tensor | None, new: Tensor, old: Tensor | float) -> Tensor:
    return new if active is None else torch.where(active, new, old)


def forward(
    cell: Cell, z_RTBG: Tensor, W_RHG: Tensor, state: State, length_R: Tensor | None, keep: bool
) -> tuple[Tensor, State, Kept]:
    """All steps: h_RTBH, the state after each replica's last step, and what :func:`backward` needs if ``keep``.

    After a replica's length its state stays as it is and h is 0.
    """
    R, T, B, _ = z_RTBG.shape
    h_TRBH = z_RTBG.new_empty(T, R, B, cell.hidden_size)
    states, kept = [state], []
    for t in range(T):
        after, keeps = cell.advance(matmul(state[0], W_RHG).add_(z_RTBG[:, t]), state)
        active = _active(length_R, t)
        state = tuple(_where(active, new, old) for new, old in zip(after, state, strict=True))
        h_TRBH[t] = _where(active, after[0], 0.0)
        if keep:
            states.append(state)
            kept.append(keeps)
    return h_TRBH.transpose(0, 1), state, (states, kept)


def backward(
    cell: Cell,
    W_RHG: Tensor,
    kept: Kept,
    dh_RTBH: Tensor | None,
    dlast: tuple[Tensor | None, ...],
    length_R: Tensor | None,
    want_v: bool = False,
    want_d: bool = False,
) -> Factors:
    """All steps backwards, from dL/dh at every step (direct parts; None: 0) and dL/d(last state) (None: 0).

    Args:
        want_v: also hand out v and the squared norms of d and v.
        want_d: also hand out d.
    """
    states, keeps = kept
    T = len(keeps)
    R, B, H = states[0][0].shape
    W_RGH = W_RHG.transpose(1, 2)
    new = W_RHG.new_zeros
    delta = new(T, R, B, cell.gates * H)
    v_all, d2, v2 = (new(T, R, B, H), new(T, R, B), new(T, R, B)) if want_v else (None, None, None)
    d_all = new(T, R, B, H) if want_d else None
    d: State = tuple(torch.zeros_like(states[0][0]) if part is None else part for part in dlast)
    for t in reversed(range(T)):
        active = _active(length_R, t)
        if dh_RTBH is not None:
            d = (d[0] + _where(active, dh_RTBH[:, t], 0.0), *d[1:])
        back, carried = cell.pull_back(d, states[t], states[t + 1], keeps[t])
        delta[t] = _where(active, back, 0.0)
        v: State = (matmul(delta[t], W_RGH), *carried)
        if v_all is not None and d2 is not None and v2 is not None:
            v_all[t], d2[t], v2[t] = v[0], sum_of_squares(d), sum_of_squares(v)
        if d_all is not None:
            d_all[t] = d[0]
        d = tuple(_where(active, through, stays) for through, stays in zip(v, d, strict=True))

    def out(by_step: Tensor | None) -> Tensor | None:
        """Replicas first, and zero in padding."""
        if by_step is None or length_R is None:
            return None if by_step is None else by_step.transpose(0, 1)
        inside = torch.arange(T, device=length_R.device) < length_R[:, None]
        inside = inside.view(R, T, *[1] * (by_step.ndim - 2))
        return torch.where(inside, by_step.transpose(0, 1), 0.0)

    h_before = torch.stack([step[0] for step in states[:T]], dim=1)
    return Factors(h_before, delta.transpose(0, 1), d, length_R, out(v_all), out(d_all), out(d2), out(v2))


def sum_of_squares(parts: State) -> Tensor:
    """‖·‖² over units and parts of the state: RB."""
    total = parts[0].square().sum(-1)
    for part in parts[1:]:
        total = total + part.square().sum(-1)
    return total


def weight_gradient(factors: Factors, coefficient_RTB: Tensor | None = None) -> Tensor:
    """Σ_t (h_{t-1} + coefficient_t v_t)ᵀ δ_t, RHG. Without a coefficient, dL/dW.

    Raises:
        ValueError: a coefficient, but v was not asked for.
    """
    left_RTBH = factors.h_before_RTBH
    if coefficient_RTB is not None:
        if factors.v_RTBH is None:
            raise ValueError("a coefficient needs v: call backward with want_v=True")
        left_RTBH = torch.addcmul(left_RTBH, coefficient_RTB[..., None], factors.v_RTBH)
    return product(left_RTBH, factors.delta_RTBG)
