"""Temporal gradients, and Galvan's direction that is made of them (G16, eq. 25-27, algorithm 3).

∇_t is what the gradient would be if every step had its own copy of all parameters: of the batch-mean loss, all
parameters together; readout and bias have their part where there is a loss. With rows, left and right, of every product
that makes a gradient (src/recurrence/interface.py), ∇_t = left_tᵀ right_t, Σ_t ∇_t = ∇L. The direction::

    s = Σ_t w_t ∇_t,   w_t = β_t / ‖∇_t‖, or β_t where ‖∇_t‖ < 1e-8;   d = -‖∇L‖ s / ‖s‖

and -∇L instead where ‖∇L‖ > ψ (conditional switching), where s is 0 or anything is not finite, and, if asked for, where
d is no descent direction. β_t > 0, Σβ = 1, drawn anew for each update and replica.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from src.linalg import matmul, product
from src.recurrence.interface import Copies, Rows, SimplexTerm
from tasks.draws import Stream, words

TINY = 1e-8
"""Steps whose gradient's norm is below this are not divided by it."""

FORMS = {"uniform": lambda u: u, "exponential": lambda u: np.exp(1 - u)}
"""β before it is divided by its sum, of u ~ U(0, 1): in G16's repository the one in the runs on addition, the other in
those on temporal order."""

MATRICES = 2**22
"""Most numbers in the matrices of the steps that are looked at together."""


def betas(draws: Sequence[tuple[int, int]], length_R: Tensor, T: int, form: str) -> Tensor:
    """β_RT of replicas of these seeds and numbers of updates; 0 beyond a replica's length."""
    beta_RT = np.zeros((len(draws), T), dtype=np.float32)
    for row, (seed, update), length in zip(beta_RT, draws, length_R.tolist(), strict=True):
        u = (words(seed, Stream.BETA, update, length) >> np.uint64(11)) * 2.0**-53
        weight = FORMS[form](u)
        row[:length] = weight / weight.sum()
    return torch.from_numpy(beta_RT).to(length_R.device)


def norms(rows: Sequence[Rows | Copies], length_R: Tensor, T: int) -> dict[str, Tensor]:
    """‖∇_t‖² of each parameter by itself, RT; their sum is that of the whole."""
    squares = {}
    for own in rows:
        if isinstance(own, Copies):
            squares[own.weight] = own.grad_RT.square().flatten(2).sum(2)
            continue
        of_weight, of_bias = [], []
        for left, right in _in_blocks(own, length_R):
            of_weight.append(squared_norms(left, right))
            of_bias.append(right.sum(2).square().sum(2))
        for name, parts in ((own.weight, of_weight), (own.bias, of_bias)):
            if name is not None:
                squares[name] = _placed(torch.cat(parts, 1), length_R, T) if own.at_end else torch.cat(parts, 1)
    return squares


def whole(squares: dict[str, Tensor]) -> Tensor:
    """‖∇_t‖² of all parameters, RT; one after the other, for torch's sum over a stack depends on its size."""
    first, *rest = squares.values()
    for each in rest:
        first = first + each
    return first


def squared_norms(left_RTBK: Tensor, right_RTBM: Tensor, gram: bool | None = None) -> Tensor:
    """‖left_tᵀ right_t‖² for each step, RT.

    Args:
        gram: whether by products of pairs of sequences, Σ_bb' (left_b · left_b') (right_b · right_b'), instead of the
            matrices themselves; by default whichever takes fewer multiplications.
    """
    (R, T, B, K), M = left_RTBK.shape, right_RTBM.shape[3]
    left, right = left_RTBK.reshape(R * T, B, K), right_RTBM.reshape(R * T, B, M)
    if gram is None:
        gram = B * (K + M) < K * M
    if gram:
        pairs = matmul(left, left.transpose(1, 2)) * matmul(right, right.transpose(1, 2))
        return pairs.sum((1, 2)).clamp(min=0).view(R, T)
    return matmul(left.transpose(1, 2), right).square().sum((1, 2)).view(R, T)


def simplex(
    rows: Sequence[Rows | Copies], gradients: dict[str, Tensor], length_R: Tensor, T: int, term: SimplexTerm
) -> None:
    """Overwrites the gradients with -d, what is subtracted from the parameters; see src.recurrence.simplex."""
    beta_RT = term.betas(length_R, T)
    norm_RT = whole(norms(rows, length_R, T)).sqrt()
    weight_RT = torch.where(norm_RT < TINY, beta_RT, beta_RT / norm_RT)
    weight_RT = torch.where(norm_RT.isinf(), torch.nan, weight_RT)  # else the step would be left out
    plain, weighted = _sums(rows, None, length_R), _sums(rows, weight_RT, length_R)
    names = [*plain]
    g_RP, s_RP = (torch.cat([sums[name].flatten(1) for name in names], 1).double() for sums in (plain, weighted))
    g_R, s_R = g_RP.square().sum(1).sqrt(), s_RP.square().sum(1).sqrt()
    taken_R = (s_R > 0) & ~(g_R > term.psi_R)  # NaN is not above 0
    if term.descent:
        taken_R &= (g_RP * s_RP).sum(1) > 0
    scale_R = torch.where(taken_R, g_R / s_R, 1.0).float()
    for name in names:
        shape = (-1, *[1] * (plain[name].ndim - 1))
        d = torch.where(taken_R.view(shape), weighted[name], plain[name]) * scale_R.view(shape)
        gradients[name].copy_(d)


def _sums(rows: Sequence[Rows | Copies], weight_RT: Tensor | None, length_R: Tensor) -> dict[str, Tensor]:
    """Σ_t w_t ∇_t of each parameter, w_t = 1 if not given; in an order that padding does not change."""
    sums = {}
    for own in rows:
        if isinstance(own, Copies):
            total = torch.zeros_like(own.grad_RT[:, 0])
            for t, grad in enumerate(own.grad_RT.unbind(1)):
                total += grad if weight_RT is None else grad * weight_RT[:, t].view(-1, *[1] * (grad.ndim - 1))
            sums[own.weight] = total
            continue
        left, right = _left(own, slice(None), length_R), own.right.flatten(3)
        if weight_RT is not None:
            w_RT = weight_RT.gather(1, (length_R - 1).clamp(min=0)[:, None]) if own.at_end else weight_RT
            right = right * w_RT[..., None, None]
        sums[own.weight] = product(left, right)
        if own.bias is not None:
            sums[own.bias] = product(right.new_ones(1).expand(*right.shape[:3], 1), right)[:, 0]
    return sums


def _left(own: Rows, steps: slice, length_R: Tensor) -> Tensor:
    """The left factor of some steps, one-hot and 0 in padding."""
    left = own.left[:, steps]
    if not own.at_end:
        at = torch.arange(own.left.shape[1], device=left.device)[steps]
        inside_RT = at < length_R[:, None]
        left = torch.where(inside_RT.view(*inside_RT.shape, *[1] * (left.ndim - 2)), left, 0)
    return left if own.symbols is None else F.one_hot(left.long(), own.symbols).to(own.right.dtype)


def _in_blocks(own: Rows, length_R: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Left and right factor of so many steps as shall be looked at together."""
    R, T = own.left.shape[:2]
    each = R * own.right.shape[3:].numel() * (own.symbols or own.left.shape[3])
    count = max(1, MATRICES // each)
    for t in range(0, T, count):
        steps = slice(t, t + count)
        yield _left(own, steps, length_R), own.right[:, steps].flatten(3)


def _placed(at_end_R1: Tensor, length_R: Tensor, T: int) -> Tensor:
    """What belongs to each replica's last step, RT."""
    last_RT = torch.arange(T, device=length_R.device) == length_R[:, None] - 1
    return torch.where(last_RT, at_end_R1, 0.0)
