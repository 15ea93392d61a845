"""Sums over the rows of each symbol: the gradient of W_in where inputs are symbols, without atomics."""

import triton
import triton.language as tl

from src.recurrence.cuda.kernels.functions import VARYING, load_rows


@triton.jit(do_not_specialize=VARYING)
def symbol_sums(
    symbols,
    delta,
    sums,
    N,
    G,
    I,
    EACH: tl.constexpr,
    ROWS: tl.constexpr,
    SYMBOLS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Σ over a part of the rows of one-hotᵀ δ, for a replica, a part, and a tile of symbols and columns.

    Args:
        symbols: RN; delta: RNG; sums: R, parts, I, G.
        EACH: rows of a part.
    """
    r = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    tiles = tl.cdiv(G, COLUMNS)
    wanted = tl.program_id(2) // tiles * SYMBOLS + tl.arange(0, SYMBOLS)
    columns = tl.program_id(2) % tiles * COLUMNS + tl.arange(0, COLUMNS)
    symbols += r * N
    delta += r * N * G
    sums += (r * tl.num_programs(1) + part) * I * G
    total = tl.zeros((SYMBOLS, COLUMNS), tl.float32)
    for first in range(0, EACH, ROWS):
        rows = part * EACH + first + tl.arange(0, ROWS)
        of_rows = tl.load(symbols + rows, mask=rows < N, other=0).to(tl.int32)
        chosen = tl.where(wanted[:, None] == of_rows[None, :], 1.0, 0.0)
        total = tl.dot(chosen, load_rows(delta, rows, columns, N, G, G), total, input_precision=PRECISION)
    inside = (wanted < I)[:, None] & (columns < G)[None, :]
    tl.store(sums + wanted[:, None] * G + columns[None, :], total, mask=inside)
