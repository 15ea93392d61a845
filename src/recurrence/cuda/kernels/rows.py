"""Products over all rows of a pass: the gradient of W, and Ω's S, without atomics."""

import triton
import triton.language as tl

from src.recurrence.cuda.kernels.functions import VARYING, load_rows


@triton.jit(do_not_specialize=VARYING)
def row_products(
    left,
    right,
    weight,
    sums,
    N,
    K,
    G,
    left_next,
    each,
    WEIGHTED: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Σ over a part of the rows of leftᵀ right, for a replica, a part, and a tile of K and G.

    Args:
        left: RNK; right: RNG; sums: R, parts, K, G.
        weight: of each row, RN, if WEIGHTED.
        left_next: from one replica to the next.
        each: rows of a part.
    """
    r = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    tiles = tl.cdiv(G, TILE)
    of_left = tl.program_id(2) // tiles * TILE + tl.arange(0, TILE)
    of_right = tl.program_id(2) % tiles * TILE + tl.arange(0, TILE)
    left += r * (left_next // K * K)  # a multiple of K, which only the kernel knows
    right += r * N * G
    weight += r * N
    sums += (r * tl.num_programs(1) + part) * K * G
    total = tl.zeros((TILE, TILE), tl.float32)
    for first in range(0, each, ROWS):
        rows = part * each + first + tl.arange(0, ROWS)
        own = load_rows(left, rows, of_left, N, K, K)
        if WEIGHTED:
            own *= tl.load(weight + rows, mask=rows < N, other=0.0)[:, None]
        total = tl.dot(tl.trans(own), load_rows(right, rows, of_right, N, G, G), total, input_precision=PRECISION)
    inside = (of_left < K)[:, None] & (of_right < G)[None, :]
    tl.store(sums + of_left[:, None] * G + of_right[None, :], total, mask=inside)
