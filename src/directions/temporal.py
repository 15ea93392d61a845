"""Temporal gradients: ∇_t is what the gradient would be if every step had its own copy of all parameters (G16, eq. 25).

Of the batch-mean loss, all parameters together; readout and bias have their part where there is a loss. With left and
right, the factors of every product that makes a gradient (src/directions/tape.py), ∇_t = left_tᵀ right_t and
Σ_t ∇_t = ∇L. Norms and weighted sums of them need no gradient matrix per step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from src.directions.tape import Copies, Product
from src.linalg import known, matmul, product

MATRICES = 2**22
"""Most numbers in the matrices of the steps that are looked at together."""
SHORT = 1e-15
"""Below this a norm is taken of the gradient times LARGER: float32 would lose the squares of what is below 1e-19."""
LARGER = 2.0**64


def norms(products: Sequence[Product | Copies], length_R: Tensor, steps: int) -> dict[str, Tensor]:
    """‖∇_t‖² of each parameter by itself, RT; their sum is that of the whole."""
    squares = {}
    for own in products:
        if isinstance(own, Copies):
            squares[own.weight] = own.grad_RT.square().flatten(2).sum(2)
            continue
        of_weight, of_bias = [], []
        for left, right in _blocks(own, length_R):
            of_weight.append(squared_norms(left, right))
            of_bias.append(right.sum(2).square().sum(2))
        for name, parts in ((own.weight, of_weight), (own.bias, of_bias)):
            if name is not None:
                joined = torch.cat(parts, 1)
                squares[name] = _placed(joined, length_R, steps) if own.at_end else joined
    return squares


def whole(squares: dict[str, Tensor]) -> Tensor:
    """‖∇_t‖² of all parameters, RT; one after the other, for torch's sum over a stack depends on its size."""
    first, *rest = squares.values()
    for each in rest:
        first = first + each
    return first


def lengths(products: Sequence[Product | Copies], length_R: Tensor, steps: int) -> Tensor:
    """‖∇_t‖ of all parameters together, RT; right down to 1e-35, whose square float32 does not hold."""
    norm_RT = whole(norms(products, length_R, steps)).sqrt()
    short_RT = norm_RT < SHORT
    if known(short_RT.any()) is False:
        return norm_RT
    larger = whole(norms([_enlarged(own) for own in products], length_R, steps)).sqrt()
    return torch.where(short_RT, larger / LARGER, norm_RT)


def _enlarged(own: Product | Copies) -> Product | Copies:
    """The same gradients times LARGER, a power of two, which changes no other bit."""
    if isinstance(own, Copies):
        return replace(own, grad_RT=own.grad_RT * LARGER)
    return replace(own, right=own.right * LARGER)


def squared_norms(left_RTBK: Tensor, right_RTBM: Tensor, gram: bool | None = None) -> Tensor:
    """‖left_tᵀ right_t‖² for each step, RT.

    Args:
        gram: whether by products of pairs of sequences, Σ_bb' (left_b · left_b') (right_b · right_b'), instead of the
            matrices themselves; by default whichever takes fewer multiplications.
    """
    R, T, B, K = left_RTBK.shape
    M = right_RTBM.shape[3]
    left = left_RTBK.reshape(R * T, B, K)
    right = right_RTBM.reshape(R * T, B, M)
    if gram is None:
        gram = B * (K + M) < K * M
    if gram:
        pairs = matmul(left, left.transpose(1, 2)) * matmul(right, right.transpose(1, 2))
        return pairs.sum((1, 2)).clamp(min=0).view(R, T)
    return matmul(left.transpose(1, 2), right).square().sum((1, 2)).view(R, T)


def sums(products: Sequence[Product | Copies], weight_RT: Tensor | None, length_R: Tensor) -> dict[str, Tensor]:
    """Σ_t w_t ∇_t of each parameter, w_t = 1 if not given; in an order that padding does not change."""
    found = {}
    for own in products:
        if isinstance(own, Copies):
            found[own.weight] = _sum_of_copies(own, weight_RT)
            continue
        left = _left(own, slice(None), length_R)
        right = own.right.flatten(3)
        if weight_RT is not None:
            w_RT = weight_RT.gather(1, (length_R - 1).clamp(min=0)[:, None]) if own.at_end else weight_RT
            right = right * w_RT[..., None, None]
        found[own.weight] = product(left, right)
        if own.bias is not None:
            found[own.bias] = product(right.new_ones(1).expand(*right.shape[:3], 1), right)[:, 0]
    return found


def _sum_of_copies(own: Copies, weight_RT: Tensor | None) -> Tensor:
    """Adds the steps' gradients one after the other."""
    total = torch.zeros_like(own.grad_RT[:, 0])
    for t, grad in enumerate(own.grad_RT.unbind(1)):
        if weight_RT is not None:
            grad = grad * weight_RT[:, t].view(-1, *[1] * (grad.ndim - 1))
        total += grad
    return total


def _left(own: Product, steps: slice, length_R: Tensor) -> Tensor:
    """The left factor of some steps, one-hot and 0 in padding."""
    left = own.left[:, steps]
    if not own.at_end:
        at = torch.arange(own.left.shape[1], device=left.device)[steps]
        inside_RT = at < length_R[:, None]
        left = torch.where(inside_RT.view(*inside_RT.shape, *[1] * (left.ndim - 2)), left, 0)
    return left if own.symbols is None else F.one_hot(left.long(), own.symbols).to(own.right.dtype)


def _blocks(own: Product, length_R: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Left and right factor of so many steps as shall be looked at together."""
    R, T = own.left.shape[:2]
    each = R * own.right.shape[3:].numel() * (own.symbols or own.left.shape[3])
    count = max(1, MATRICES // each)
    for t in range(0, T, count):
        steps = slice(t, t + count)
        yield _left(own, steps, length_R), own.right[:, steps].flatten(3)


def _placed(at_end_R1: Tensor, length_R: Tensor, steps: int) -> Tensor:
    """Moves what belongs to each replica's last step there: RT, 0 elsewhere."""
    last_RT = torch.arange(steps, device=length_R.device) == length_R[:, None] - 1
    return torch.where(last_RT, at_end_R1, 0.0)
