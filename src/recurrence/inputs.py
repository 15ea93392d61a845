"""What the inputs of all steps add to a cell's pre-activation, and the gradients of that."""

import torch
import torch.nn.functional as F
from torch import Tensor

from src.cells import Weights
from src.linalg import matmul, product
from src.recurrence.checks import refuse


def inside(inputs: Tensor, weights: Weights, length_R: Tensor | None) -> Tensor:
    """The inputs, 0 in padding, where anything may stand.

    Raises:
        IndexError: a symbol outside [0, I).
    """
    if length_R is not None:
        inside_RT = torch.arange(inputs.shape[1], device=inputs.device) < length_R[:, None]
        inputs = torch.where(inside_RT.view(*inside_RT.shape, *[1] * (inputs.ndim - 2)), inputs, 0)
    if weights.W_in is not None and not inputs.is_floating_point():
        symbols = weights.W_in.shape[1]
        refuse((inputs < 0) | (inputs >= symbols), IndexError(f"a symbol is outside [0, {symbols})"))
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
    if inputs.device.type != "cpu":  # there index_add_ adds in another order each time
        each = F.one_hot(inputs.long(), W_in.shape[1]).to(delta_RTBG.dtype)
        dW_in = product(each, delta_RTBG)
        return dW_in, dW_in.sum(1)
    rows = torch.zeros_like(W_in).flatten(0, 1)  # index_add_ is faster than the backward pass of embedding
    rows.index_add_(0, _rows(inputs, W_in).flatten(), delta_RTBG.flatten(0, 2))
    dW_in = rows.view(W_in.shape)
    return dW_in, dW_in.sum(1)


def _rows(symbols_RTB: Tensor, W_in: Tensor) -> Tensor:
    """Rows of all replicas' tables as one."""
    R, symbols, _ = W_in.shape
    return symbols_RTB + symbols * torch.arange(R, device=symbols_RTB.device)[:, None, None]
