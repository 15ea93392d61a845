"""LSTM, all steps in one launch, in the manner of simple.py; its gates i, f, g, o lie side by side in G = 4 H."""

import triton
import triton.language as tl

from src.recurrence.cuda.kernels.functions import (
    VARYING,
    drive,
    known_length,
    load_rows,
    load_transposed,
    load_weights,
    logistic,
    note_faults,
    store_rows,
    symbols_of,
    tanh,
)


@triton.jit
def add_product(a, h, W, rows, own, B, H, G, COLUMNS: tl.constexpr, PRECISION: tl.constexpr):
    """a + h W of some columns of one gate, tile after tile."""
    UNITS: tl.constexpr = own.shape[0]
    for part in range(COLUMNS):
        others = part * UNITS + tl.arange(0, UNITS)
        h_part = load_rows(h, rows, others, B, H, H)
        a = tl.dot(h_part, load_weights(W, others, own, H, G), a, input_precision=PRECISION)
    return a


@triton.jit(do_not_specialize=VARYING)
def lstm_forward(
    x,
    table,
    W,
    h,
    c,
    gates,
    length_R,
    faults,
    T,
    B,
    H,
    I,
    x_next,
    h_next,
    W_next,
    SYMBOLS: tl.constexpr,
    STORE: tl.constexpr,
    KEEP: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """h and c of all steps from those before the first, and the gates RTBG, if KEEP. See simple_forward."""
    r = tl.program_id(0).to(tl.int64)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, UNITS)
    G = 4 * H
    x += r * x_next if SYMBOLS else r * (x_next // G * G)
    table += r * I * G
    W += r * W_next
    h += r * (h_next // H * H)  # a multiple of H, which only the kernel knows
    c += r * (h_next // H * H)
    gates += r * T * B * G
    length = known_length(length_R, r, T)
    note_faults(faults, x, rows, length_R, length, r, T, B, I, SYMBOLS)
    left = load_rows(h, rows, units, B, H, H)
    inner = load_rows(c, rows, units, B, H, H)
    W_i = load_weights(W, units, units, H, G)
    W_f = load_weights(W + H, units, units, H, G)
    W_g = load_weights(W + 2 * H, units, units, H, G)
    W_o = load_weights(W + 3 * H, units, units, H, G)
    for t in range(length):
        before = t * B * H
        after = before + B * H
        symbols = symbols_of(x, t, rows, B, SYMBOLS)
        for column in range(COLUMNS):
            own = column * UNITS + units
            kept = gates + t * B * G
            # gate after gate, so that few numbers wait in registers
            if COLUMNS > 1:
                inner = load_rows(c + before, rows, own, B, H, H)
            a = drive(x, table, symbols, t, rows, own, B, H, G, I, SYMBOLS)
            if COLUMNS == 1:
                a = tl.dot(left, W_i, a, input_precision=PRECISION)
            else:
                a = add_product(a, h + before, W, rows, own, B, H, G, COLUMNS, PRECISION)
            i = logistic(a)
            if KEEP:
                store_rows(kept, rows, own, B, H, G, i)
            a = drive(x + (0 if SYMBOLS else 2 * H), table + 2 * H, symbols, t, rows, own, B, H, G, I, SYMBOLS)
            if COLUMNS == 1:
                a = tl.dot(left, W_g, a, input_precision=PRECISION)
            else:
                a = add_product(a, h + before, W + 2 * H, rows, own, B, H, G, COLUMNS, PRECISION)
            g = tanh(a)
            if KEEP:
                store_rows(kept + 2 * H, rows, own, B, H, G, g)
            a = drive(x + (0 if SYMBOLS else H), table + H, symbols, t, rows, own, B, H, G, I, SYMBOLS)
            if COLUMNS == 1:
                a = tl.dot(left, W_f, a, input_precision=PRECISION)
            else:
                a = add_product(a, h + before, W + H, rows, own, B, H, G, COLUMNS, PRECISION)
            f = logistic(a)
            if KEEP:
                store_rows(kept + H, rows, own, B, H, G, f)
            inner = f * inner + i * g
            if STORE:
                store_rows(c + after, rows, own, B, H, H, inner)
            a = drive(x + (0 if SYMBOLS else 3 * H), table + 3 * H, symbols, t, rows, own, B, H, G, I, SYMBOLS)
            if COLUMNS == 1:
                a = tl.dot(left, W_o, a, input_precision=PRECISION)
            else:
                a = add_product(a, h + before, W + 3 * H, rows, own, B, H, G, COLUMNS, PRECISION)
            o = logistic(a)
            if KEEP:
                store_rows(kept + 3 * H, rows, own, B, H, G, o)
            out = o * tanh(inner)
            if COLUMNS == 1:
                left = out
            if STORE:
                store_rows(h + after, rows, own, B, H, H, out)
        if COLUMNS > 1:
            tl.debug_barrier()
    if STORE:
        for t in range(length, T):
            for column in range(COLUMNS):
                own = column * UNITS + units
                store_rows(h + (t + 1) * B * H, rows, own, B, H, H, tl.zeros((ROWS, UNITS), tl.float32))
    else:
        store_rows(h, rows, units, B, H, H, left)
        store_rows(c, rows, units, B, H, H, inner)


@triton.jit(do_not_specialize=VARYING)
def lstm_backward(
    dh,
    c,
    gates,
    W,
    delta,
    dh_state,
    dc_state,
    d2,
    v2,
    length_R,
    T,
    B,
    H,
    W_next,
    DIRECT: tl.constexpr,
    NORMS: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """δ_RTBG of all steps. The norms run over h and c. See simple_backward."""
    r = tl.program_id(0).to(tl.int64)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, UNITS)
    G = 4 * H
    dh += r * T * B * H
    c += r * (T + 1) * B * H
    gates += r * T * B * G
    W += r * W_next
    delta += r * T * B * G
    dh_state += r * B * H
    dc_state += r * B * H
    d2 += r * T * B
    v2 += r * T * B
    length = known_length(length_R, r, T)
    d = load_rows(dh_state, rows, units, B, H, H)
    dc = load_rows(dc_state, rows, units, B, H, H)
    W_i = load_transposed(W, units, units, H, G)
    W_f = load_transposed(W + H, units, units, H, G)
    W_g = load_transposed(W + 2 * H, units, units, H, G)
    W_o = load_transposed(W + 3 * H, units, units, H, G)
    for step in range(length):
        t = length - 1 - step
        kept = gates + t * B * G
        back = delta + t * B * G
        d2_B = tl.zeros((ROWS,), tl.float32)
        v2_B = tl.zeros((ROWS,), tl.float32)
        for column in range(COLUMNS):
            own = column * UNITS + units
            if COLUMNS > 1:
                d = load_rows(dh_state, rows, own, B, H, H)
                dc = load_rows(dc_state, rows, own, B, H, H)
            if DIRECT:
                d += load_rows(dh + t * B * H, rows, own, B, H, H)
            if NORMS:
                d2_B += tl.sum(d * d + dc * dc, 1)
            i = load_rows(kept, rows, own, B, H, G)
            f = load_rows(kept + H, rows, own, B, H, G)
            g = load_rows(kept + 2 * H, rows, own, B, H, G)
            o = load_rows(kept + 3 * H, rows, own, B, H, G)
            c_before = load_rows(c + t * B * H, rows, own, B, H, H)
            tanh_c = tanh(f * c_before + i * g)
            dc += d * o * (1.0 - tanh_c * tanh_c)
            delta_o = d * tanh_c * o * (1.0 - o)
            store_rows(back + 3 * H, rows, own, B, H, G, delta_o)
            if COLUMNS == 1:
                d = tl.dot(delta_o, W_o, input_precision=PRECISION)
            delta_i = dc * g * i * (1.0 - i)
            store_rows(back, rows, own, B, H, G, delta_i)
            if COLUMNS == 1:
                d = tl.dot(delta_i, W_i, d, input_precision=PRECISION)
            delta_f = dc * c_before * f * (1.0 - f)
            store_rows(back + H, rows, own, B, H, G, delta_f)
            if COLUMNS == 1:
                d = tl.dot(delta_f, W_f, d, input_precision=PRECISION)
            delta_g = dc * i * (1.0 - g * g)
            store_rows(back + 2 * H, rows, own, B, H, G, delta_g)
            if COLUMNS == 1:
                d = tl.dot(delta_g, W_g, d, input_precision=PRECISION)
            dc = dc * f
            if NORMS:
                v2_B += tl.sum(dc * dc, 1)
            if COLUMNS > 1:
                tl.debug_barrier()  # a number may be read by several warps, and is overwritten here
                store_rows(dc_state, rows, own, B, H, H, dc)
            else:
                if NORMS:
                    v2_B += tl.sum(d * d, 1)
        if COLUMNS > 1:
            tl.debug_barrier()
            for column in range(COLUMNS):
                own = column * UNITS + units
                v = tl.zeros((ROWS, UNITS), tl.float32)
                for part in range(4 * COLUMNS):
                    gate = part // COLUMNS * H
                    others = part % COLUMNS * UNITS + units
                    of_part = load_rows(back + gate, rows, others, B, H, G)
                    v = tl.dot(of_part, load_transposed(W + gate, others, own, H, G), v, input_precision=PRECISION)
                store_rows(dh_state, rows, own, B, H, H, v)
                if NORMS:
                    v2_B += tl.sum(v * v, 1)
            tl.debug_barrier()
        if NORMS:
            tl.store(d2 + t * B + rows, d2_B, mask=rows < B)
            tl.store(v2 + t * B + rows, v2_B, mask=rows < B)
    if COLUMNS == 1:
        store_rows(dh_state, rows, units, B, H, H, d)
        store_rows(dc_state, rows, units, B, H, H, dc)
    for t in range(length, T):
        for column in range(COLUMNS):
            own = column * UNITS + units
            for gate in tl.static_range(4):
                store_rows(delta + t * B * G + gate * H, rows, own, B, H, G, tl.zeros((ROWS, UNITS), tl.float32))
        if NORMS:
            tl.store(d2 + t * B + rows, tl.zeros((ROWS,), tl.float32), mask=rows < B)
            tl.store(v2 + t * B + rows, tl.zeros((ROWS,), tl.float32), mask=rows < B)
