"""Products over all rows of a pass, batched over replicas."""

import torch
from torch import Tensor

from src.cells import Weights
from src.linalg import product
from src.recurrence.cuda.launch import launch

PART = 1024
"""Rows that one program sums over, so that a few replicas make many programs."""
ROWS = 32
COLUMNS = 64


def of_inputs(inputs: Tensor, W_in: Tensor, delta_RTBG: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """dL/dW_in and dL/db."""
    if inputs.is_floating_point():
        return product(inputs, delta_RTBG), delta_RTBG.sum((1, 2))
    dW_in = of_symbols(inputs, W_in.shape[1], delta_RTBG, precision)
    return dW_in, dW_in.sum(1)


def of_symbols(symbols_RTB: Tensor, count: int, delta_RTBG: Tensor, precision: str) -> Tensor:
    """The sum of δ over the rows of each symbol, R x symbols x G."""
    from src.recurrence.cuda.kernels.symbols import symbol_sums

    R, T, B, G = delta_RTBG.shape
    tile = max(16, min(64, 1 << (count - 1).bit_length()))
    parts = max(1, -(-T * B // PART))
    sums = delta_RTBG.new_empty(R, parts, count, G)
    arguments = {"symbols": symbols_RTB, "delta": delta_RTBG, "sums": sums, "N": T * B, "G": G, "I": count}
    constants = {"EACH": PART, "ROWS": ROWS, "SYMBOLS": tile, "COLUMNS": COLUMNS, "PRECISION": precision}
    grid = (R, parts, -(-count // tile) * -(-G // COLUMNS))
    launch(symbol_sums, grid, arguments, constants, warps=4)
    return sums.sum(1)


def of_omega(W_RHG: Tensor, coefficient_RTB: Tensor, delta_RTBG: Tensor) -> Tensor:
    """α ∂⁺Ω/∂W = Σ ακ (δ Wᵀ)ᵀ δ = W S with S = Σ ακ δᵀ δ: no v is needed."""
    return torch.bmm(W_RHG, product(delta_RTBG * coefficient_RTB[..., None], delta_RTBG))


def write(gradients: Weights, found: Weights) -> None:
    """Overwrites gradients, in one launch."""
    torch._foreach_copy_([into for _, into in gradients.named()], [value for _, value in found.named()])
