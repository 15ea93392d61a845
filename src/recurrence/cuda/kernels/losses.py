"""The loss of every answer with its derivative, and Ω with its coefficients: what would else be tens of launches."""

import triton
import triton.language as tl

from src.recurrence.cuda.kernels.functions import VARYING


@triton.jit(do_not_specialize=VARYING)
def losses(
    output,
    target,
    length_R,
    loss,
    error,
    faults,
    T,
    B,
    O,
    EVERY: tl.constexpr,
    CLASSES: tl.constexpr,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
):
    """Each answer's share of its replica's loss, and its derivative by the output; 0 in padding.

    Args:
        output: RTBO, error too; target, loss: RTB. T is 1 unless EVERY step has a target.
        faults: one flag a program: a class outside [0, O).
        CLASSES: whether the loss is the cross entropy of the softmax; else squared error of the one output.
    """
    r = tl.program_id(0).to(tl.int64)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, OUTPUTS)
    length = tl.minimum(tl.maximum(tl.load(length_R + r).to(tl.int32), 0), T)
    if EVERY:
        steps = length
    else:
        steps = 1
    inside = rows < steps * B
    share = 1.0 / (tl.maximum(steps, 1) * B).to(tl.float32)
    cells = (rows < T * B)[:, None] & (columns < O)[None, :]
    places = r * T * B * O + rows[:, None] * O + columns[None, :]
    y = tl.load(output + places, mask=cells, other=0.0)
    wanted = tl.load(target + r * T * B + rows, mask=inside, other=0)
    if CLASSES:
        wrong = tl.where(inside & ((wanted < 0) | (wanted >= O)), 1, 0)
        right = wanted[:, None] == columns[None, :]
        y = tl.where((columns < O)[None, :], y, -float("inf"))
        above = y - tl.max(y, 1)[:, None]
        power = tl.exp(above)
        total = tl.sum(power, 1)
        each = tl.log(total) - tl.sum(tl.where(right, above, 0.0), 1)
        slope = power / total[:, None] - tl.where(right, 1.0, 0.0)
    else:
        wrong = tl.where(inside, 0, 0)
        slope = y - wanted[:, None]
        each = tl.sum(tl.where((columns < O)[None, :], slope * slope, 0.0), 1)
        slope = 2.0 * slope
    tl.store(loss + r * T * B + rows, tl.where(inside, each * share, 0.0), mask=rows < T * B)
    tl.store(error + places, tl.where(inside[:, None], slope * share, 0.0), mask=cells)
    tl.store(faults + r * tl.num_programs(1) + tl.program_id(1), tl.max(wrong, 0).to(tl.int8))


@triton.jit(do_not_specialize=VARYING)
def omega(d2, v2, alpha_R, plain_R, value_R, coefficient, N, B, BOUND, ROWS: tl.constexpr):
    """Ω_R and ακ, see src/directions/omega.py: one program a replica, over its N = T B pairs.

    A NaN counts, so that it shows. Where α is 0 the coefficient is 0 and Ω is NaN.
    """
    r = tl.program_id(0).to(tl.int64)
    d2 += r * N
    v2 += r * N
    coefficient += r * N
    alpha = tl.load(alpha_R + r)
    plain = tl.load(plain_R + r) != 0
    pairs_B = tl.zeros((ROWS,), tl.float32)
    total_B = tl.zeros((ROWS,), tl.float32)
    for first in range(0, N, ROWS):
        rows = first + tl.arange(0, ROWS)
        d2_B = tl.load(d2 + rows, mask=rows < N, other=0.0)
        v2_B = tl.load(v2 + rows, mask=rows < N, other=0.0)
        counts = ((d2_B < BOUND) == 0) & (rows < N)
        q = tl.where(counts, v2_B, 1.0) / tl.where(counts, d2_B, 1.0)
        excess = tl.where(plain, tl.sqrt(q), q) - 1.0
        pairs_B += tl.where(counts, 1.0, 0.0)
        total_B += tl.where(counts, excess * excess, 0.0)
    share = 1.0 / tl.where(plain, B, tl.maximum(tl.sum(pairs_B, 0), 1.0))
    value = tl.sum(total_B, 0) * share
    tl.store(value_R + r, tl.where(alpha == 0.0, float("nan"), value))
    for first in range(0, N, ROWS):
        rows = first + tl.arange(0, ROWS)
        d2_B = tl.load(d2 + rows, mask=rows < N, other=0.0)
        v2_B = tl.load(v2 + rows, mask=rows < N, other=0.0)
        counts = ((d2_B < BOUND) == 0) & (rows < N)
        d2_B = tl.where(counts, d2_B, 1.0)
        v2_B = tl.where(counts, v2_B, 1.0)
        flows = v2_B > 0
        d = tl.sqrt(d2_B)
        v = tl.sqrt(tl.where(flows, v2_B, 1.0))
        of_norms = tl.where(flows, 2.0 * (v / d - 1.0) / (v * d), 0.0)
        of_squares = 4.0 * (v2_B / d2_B - 1.0) / d2_B
        kappa = tl.where(plain, of_norms, of_squares) * share
        weighted = tl.where(alpha == 0.0, 0.0, alpha * kappa)
        tl.store(coefficient + rows, tl.where(counts, weighted, 0.0), mask=rows < N)
