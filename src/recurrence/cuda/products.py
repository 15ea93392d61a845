"""Products over all rows of a pass, batched over replicas."""

from typing import Any

import torch
from torch import Tensor

from src.directions import OmegaTerm
from src.directions.omega import BOUND
from src.linalg import in_parts, product
from src.recurrence.cuda.launch import launch

PART = 1024
"""Rows that one program sums over, so that a few replicas make many programs."""
ROWS = 32
COLUMNS = 64


PAIRS = 1024
"""Pairs that Ω's program looks at together."""


def over_rows(left_RTBK: Tensor, right_RTBM: Tensor, into_RKM: Tensor) -> None:
    """Σ over (t, sequence) of leftᵀ right."""
    in_parts(left_RTBK.flatten(1, 2), right_RTBM.flatten(1, 2), into_RKM)


def of_inputs(dW_in: Tensor, db: Tensor, inputs: Tensor, delta_RTBG: Tensor, precision: str) -> None:
    """Overwrites dL/dW_in and dL/db."""
    if inputs.is_floating_point():
        over_rows(inputs, delta_RTBG, dW_in)
        torch.sum(delta_RTBG, (1, 2), out=db)
    else:
        torch.sum(of_symbols(inputs, dW_in.shape[1], delta_RTBG, precision), 1, out=dW_in)
        torch.sum(dW_in, 1, out=db)


def of_symbols(symbols_RTB: Tensor, count: int, delta_RTBG: Tensor, precision: str) -> Tensor:
    """Sums of δ over the rows of each symbol, R x parts of the rows x symbols x G."""
    from src.recurrence.cuda.kernels.symbols import symbol_sums

    R, T, B, G = delta_RTBG.shape
    tile = max(16, min(64, 1 << (count - 1).bit_length()))
    parts = max(1, -(-T * B // PART))
    sums = delta_RTBG.new_empty(R, parts, count, G)
    arguments = {"symbols": symbols_RTB, "delta": delta_RTBG, "sums": sums, "N": T * B, "G": G, "I": count}
    constants = {"EACH": PART, "ROWS": ROWS, "SYMBOLS": tile, "COLUMNS": COLUMNS, "PRECISION": precision}
    grid = (R, parts, -(-count // tile) * -(-G // COLUMNS))
    launch(symbol_sums, grid, arguments, constants, warps=4)
    return sums


def omega(term: OmegaTerm, d2_RTB: Tensor, v2_RTB: Tensor) -> tuple[Tensor, Tensor]:
    """Ω_R and the coefficients ακ_RTB of v, as the term itself would find them."""
    from src.recurrence.cuda.kernels.losses import omega as kernel

    R, T, B = d2_RTB.shape
    value_R = d2_RTB.new_empty(R)
    coefficient_RTB = torch.empty_like(d2_RTB)
    arguments: dict[str, Any] = {"d2": d2_RTB, "v2": v2_RTB, "alpha_R": term.alpha_R.float()}
    arguments |= {"plain_R": term.plain_R.float(), "value_R": value_R}
    arguments |= {"coefficient": coefficient_RTB, "N": T * B, "B": B, "BOUND": BOUND}
    launch(kernel, (R,), arguments, {"ROWS": PAIRS}, warps=4)
    return value_R, coefficient_RTB


def add_omega(gradient_RHG: Tensor, W_RHG: Tensor, coefficient_RTB: Tensor, delta_RTBG: Tensor) -> None:
    """Adds α ∂⁺Ω/∂W = Σ ακ (δ Wᵀ)ᵀ δ = W S with S = Σ ακ δᵀ δ: no v is needed."""
    gradient_RHG.baddbmm_(W_RHG, product(delta_RTBG * coefficient_RTB[..., None], delta_RTBG))
