"""The simple cell, all steps in one launch: one program a replica and tile of its batch.

Up to 64 units (COLUMNS = 1) W, the state and its derivative stay in the program. Above, W is cut into tiles that are
read anew in each step, and a step's state goes through memory: a barrier lies between its parts.
"""

import triton
import triton.language as tl

from src.recurrence.cuda.kernels.functions import (
    VARYING,
    activate,
    drive,
    known_length,
    load_rows,
    load_transposed,
    load_weights,
    note_faults,
    slope,
    store_rows,
    symbols_of,
)


@triton.jit(do_not_specialize=VARYING)
def simple_forward(
    x,
    table,
    W,
    h,
    length_R,
    code_R,
    faults,
    T,
    B,
    H,
    I,
    x_next,
    h_next,
    W_next,
    CODE: tl.constexpr,
    SYMBOLS: tl.constexpr,
    STORE: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """h of all steps from that before the first.

    Args:
        x: symbols RTB with table RIH, or z_RTBH.
        h: R, T + 1 steps, B, H, the first of them given. Without STORE of one step, which is overwritten by the last.
        faults: one flag a program, see note_faults.
        x_next, h_next, W_next: from one replica to the next.
        CODE: of all activations; -1: as in code_R.
    """
    r = tl.program_id(0).to(tl.int64)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, UNITS)
    x += r * x_next if SYMBOLS else r * (x_next // H * H)
    table += r * I * H
    W += r * W_next
    h += r * (h_next // H * H)  # a multiple of H, which only the kernel knows
    length = known_length(length_R, r, T)
    note_faults(faults, x, rows, length_R, length, r, T, B, I, SYMBOLS)
    if CODE < 0:
        code = tl.load(code_R + r)
    else:
        code: tl.constexpr = CODE
    left = load_rows(h, rows, units, B, H, H)
    right = load_weights(W, units, units, H, H)
    last = tl.maximum(length - 1, 0)
    if COLUMNS == 1:
        there = tl.where(length > 0, B, 0)
        z = drive(x, table, symbols_of(x, 0, rows, there, SYMBOLS), 0, rows, units, there, H, H, I, SYMBOLS)
        coming = symbols_of(x, tl.minimum(1, last), rows, there, SYMBOLS)
    for t in range(length):
        before = h + t * B * H
        after = before + B * H
        if COLUMNS == 1:
            a = z
            # what the next step needs is on its way while this one is made
            z = drive(x, table, coming, tl.minimum(t + 1, last), rows, units, B, H, H, I, SYMBOLS)
            coming = symbols_of(x, tl.minimum(t + 2, last), rows, B, SYMBOLS)
            left = activate(tl.dot(left, right, a, input_precision=PRECISION), code)
            if STORE:
                store_rows(after, rows, units, B, H, H, left)
        else:
            symbols = symbols_of(x, t, rows, B, SYMBOLS)
            for column in range(COLUMNS):
                own = column * UNITS + units
                a = drive(x, table, symbols, t, rows, own, B, H, H, I, SYMBOLS)
                for part in range(COLUMNS):
                    others = part * UNITS + units
                    h_part = load_rows(before, rows, others, B, H, H)
                    a = tl.dot(h_part, load_weights(W, others, own, H, H), a, input_precision=PRECISION)
                store_rows(after, rows, own, B, H, H, activate(a, code))
        if COLUMNS > 1:
            tl.debug_barrier()
    if STORE:
        for t in range(length, T):
            for column in range(COLUMNS):
                own = column * UNITS + units
                store_rows(h + (t + 1) * B * H, rows, own, B, H, H, tl.zeros((ROWS, UNITS), tl.float32))
    else:
        store_rows(h, rows, units, B, H, H, left)


@triton.jit(do_not_specialize=VARYING)
def simple_backward(
    dh,
    h,
    W,
    delta,
    d_state,
    d2,
    v2,
    length_R,
    code_R,
    T,
    B,
    H,
    W_next,
    CODE: tl.constexpr,
    DIRECT: tl.constexpr,
    NORMS: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """δ of all steps, from d of the last.

    Args:
        dh: direct parts, RTBH, if DIRECT.
        h: as :func:`simple_forward` leaves it.
        d_state: RBH; dL/d(last state), overwritten by that of the state before the first step.
        d2, v2: ‖d‖² and ‖v‖², RTB, if NORMS.
    """
    r = tl.program_id(0).to(tl.int64)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, UNITS)
    dh += r * T * B * H
    h += r * (T + 1) * B * H
    W += r * W_next
    delta += r * T * B * H
    d_state += r * B * H
    d2 += r * T * B
    v2 += r * T * B
    length = known_length(length_R, r, T)
    if CODE < 0:
        code = tl.load(code_R + r)
    else:
        code: tl.constexpr = CODE
    d = load_rows(d_state, rows, units, B, H, H)
    right = load_transposed(W, units, units, H, H)
    last = tl.maximum(length - 1, 0)
    if COLUMNS == 1:
        coming = load_rows(h + length * B * H, rows, units, B, H, H)
        if DIRECT:
            direct = load_rows(dh + last * B * H, rows, units, tl.where(length > 0, B, 0), H, H)
    for step in range(length):
        t = length - 1 - step
        now = t * B * H
        d2_B = tl.zeros((ROWS,), tl.float32)
        v2_B = tl.zeros((ROWS,), tl.float32)
        for column in range(COLUMNS):
            own = column * UNITS + units
            if COLUMNS == 1:
                # what the next step needs is on its way while this one is made
                reached = coming
                coming = load_rows(h + now, rows, own, B, H, H)
                if DIRECT:
                    d += direct
                    direct = load_rows(dh + tl.maximum(t - 1, 0) * B * H, rows, own, B, H, H)
            else:
                reached = load_rows(h + now + B * H, rows, own, B, H, H)
                d = load_rows(d_state, rows, own, B, H, H)
                if DIRECT:
                    d += load_rows(dh + now, rows, own, B, H, H)
            back = d * slope(reached, code)
            store_rows(delta + now, rows, own, B, H, H, back)
            if NORMS:
                d2_B += tl.sum(d * d, 1)
            if COLUMNS == 1:
                d = tl.dot(back, right, input_precision=PRECISION)
                if NORMS:
                    v2_B = tl.sum(d * d, 1)
        if COLUMNS > 1:
            tl.debug_barrier()
            for column in range(COLUMNS):
                own = column * UNITS + units
                v = tl.zeros((ROWS, UNITS), tl.float32)
                for part in range(COLUMNS):
                    others = part * UNITS + units
                    of_part = load_rows(delta + now, rows, others, B, H, H)
                    v = tl.dot(of_part, load_transposed(W, others, own, H, H), v, input_precision=PRECISION)
                store_rows(d_state, rows, own, B, H, H, v)
                if NORMS:
                    v2_B += tl.sum(v * v, 1)
            tl.debug_barrier()
        if NORMS:
            tl.store(d2 + t * B + rows, d2_B, mask=rows < B)
            tl.store(v2 + t * B + rows, v2_B, mask=rows < B)
    if COLUMNS == 1:
        store_rows(d_state, rows, units, B, H, H, d)
    for t in range(length, T):
        for column in range(COLUMNS):
            own = column * UNITS + units
            store_rows(delta + t * B * H, rows, own, B, H, H, tl.zeros((ROWS, UNITS), tl.float32))
        if NORMS:
            tl.store(d2 + t * B + rows, tl.zeros((ROWS,), tl.float32), mask=rows < B)
            tl.store(v2 + t * B + rows, tl.zeros((ROWS,), tl.float32), mask=rows < B)
