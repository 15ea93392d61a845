"""tanh and its kin, and tiles of memory, inside kernels.

A tile is a block of ROWS sequences and UNITS units; what lies beyond the last sequence or unit is 0.
"""

import triton
import triton.language as tl

STEPS: tl.constexpr = tl.constexpr(32)
"""Steps whose symbols are checked together."""

VARYING = ("T", "B", "N", "I", "x_next", "h_next")
"""Numbers that change within a run, or between tasks. Triton compiles nothing anew for them, be they 1 or divisible
by 16."""


@triton.jit
def tanh(x):
    """The rational function of cpu/native/functions.h, with the same error; NaN stays."""
    x = tl.where(x > 9.02, 9.02, x)
    x = tl.where(x < -9.02, -9.02, x)
    u = x * x
    p = (((1.33186209e-8 * u + 2.05831475e-5) * u + 3.49401403e-3) * u + 0.133797005) * u + 1.0
    q = (((7.76183185e-7 * u + 3.28305934e-4) * u + 2.58709956e-2) * u + 0.467130154) * u + 1.0
    y = x * p / q
    y = tl.where(y > 1.0, 1.0, y)
    return tl.where(y < -1.0, -1.0, y)


@triton.jit
def logistic(x):
    """1 / (1 + exp(-x))."""
    return 0.5 * tanh(0.5 * x) + 0.5


@triton.jit
def activate(a, code):
    """h = σ(a), by the number of the activation, which may be known only when the kernel runs."""
    if code == 0:
        h = tanh(a)
    elif code == 1:
        h = logistic(a)
    elif code == 2:
        h = tl.where(a < 0, 0.0, a)
    elif code == 3:
        half = tanh(0.5 * tl.where(a < 0, a, 0.0))
        h = tl.where(a < 0, 2.0 * half / (1.0 - half), a)
    else:
        h = a
    return h


@triton.jit
def slope(h, code):
    """σ'(a) as a function of h = σ(a)."""
    if code == 0:
        s = 1.0 - h * h
    elif code == 1:
        s = h * (1.0 - h)
    elif code == 2:
        s = tl.where(h > 0, 1.0, 0.0)
    elif code == 3:
        s = tl.where(h < 0, h + 1.0, 1.0)
    else:
        s = tl.where(h == h, 1.0, 1.0)
    return s


@triton.jit
def load_rows(base, rows, units, B, H, width):
    """A tile of a matrix whose rows are ``width`` numbers long."""
    inside = (rows < B)[:, None] & (units < H)[None, :]
    return tl.load(base + rows[:, None] * width + units[None, :], mask=inside, other=0.0)


@triton.jit
def store_rows(base, rows, units, B, H, width, tile):
    """Writes a tile of a matrix whose rows are ``width`` numbers long."""
    inside = (rows < B)[:, None] & (units < H)[None, :]
    tl.store(base + rows[:, None] * width + units[None, :], tile, mask=inside)


@triton.jit
def load_weights(W, rows, columns, H, width):
    """A tile of W, of rows and columns below H each."""
    inside = (rows < H)[:, None] & (columns < H)[None, :]
    return tl.load(W + rows[:, None] * width + columns[None, :], mask=inside, other=0.0)


@triton.jit
def load_transposed(W, rows, columns, H, width):
    """The same tile of the transpose of W, RHG with ``width`` = G."""
    inside = (rows < H)[:, None] & (columns < H)[None, :]
    return tl.load(W + columns[None, :] * width + rows[:, None], mask=inside, other=0.0)


@triton.jit
def known_length(length_R, r, T):
    """A replica's steps; kernels trust no length that the inputs do not have."""
    return tl.minimum(tl.maximum(tl.load(length_R + r).to(tl.int32), 0), T)


@triton.jit
def note_faults(faults, x, rows, length_R, length, r, T, B, I, SYMBOLS: tl.constexpr):
    """Flags of one program: 1 for a symbol outside [0, I), 2 for a length outside [0, T]."""
    given = tl.load(length_R + r)
    fault = tl.where((given < 0) | (given > T), 2, 0)
    if SYMBOLS:
        unknown = tl.zeros((STEPS, rows.shape[0]), tl.int32)
        # many steps at once: load after load would take as long as the steps themselves
        for first in range(0, length, STEPS):
            steps = first + tl.arange(0, STEPS)
            inside = (steps < length)[:, None] & (rows < B)[None, :]
            symbols = tl.load(x + steps[:, None] * B + rows[None, :], mask=inside, other=0).to(tl.int32)
            unknown = tl.where((symbols < 0) | (symbols >= I), 1, unknown)
        fault += tl.max(tl.max(unknown, 1), 0)
    tl.store(faults + r * tl.num_programs(1) + tl.program_id(1), fault.to(tl.int8))


@triton.jit
def symbols_of(x, t, rows, B, SYMBOLS: tl.constexpr):
    """The symbols of a step; where inputs are vectors, anything."""
    if SYMBOLS:
        symbols = tl.load(x + t * B + rows, mask=rows < B, other=0).to(tl.int32)
    else:
        symbols = rows
    return symbols


@triton.jit
def drive(x, table, symbols, t, rows, units, B, H, width, I, SYMBOLS: tl.constexpr):
    """z of a step: rows of the table W_in + b that the symbols name, or z itself. Symbols outside [0, I) give 0."""
    inside = (rows < B)[:, None] & (units < H)[None, :]
    if SYMBOLS:
        known = (symbols >= 0) & (symbols < I)
        z = tl.load(table + symbols[:, None] * width + units[None, :], mask=inside & known[:, None], other=0.0)
    else:
        z = tl.load(x + (t * B + rows)[:, None] * width + units[None, :], mask=inside, other=0.0)
    return z
