"""The structs and number codes of native/fields.h, as Python passes them.

They are compared with those of C++ when the library is loaded: see layout.py. What a field means is said in fields.h.
"""

import ctypes
from enum import IntEnum


class Input(IntEnum):
    DENSE = 0
    SYMBOLS_8 = 1
    SYMBOLS_64 = 2
    VECTORS = 3


class Form(IntEnum):
    SQUARED = 0
    PLAIN = 1


class Loss(IntEnum):
    NONE = 0
    CROSS_ENTROPY = 1
    SQUARED_ERROR = 2


class Activation(IntEnum):
    TANH = 0
    SIGMOID = 1
    RELU = 2
    ELU = 3
    IDENTITY = 4


def _numbers(names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_int64) for name in names.split()]


def _pointers(names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_void_p) for name in names.split()]


class Product(ctypes.Structure):
    """The factors of one product that makes gradients."""

    _fields_ = [
        *_numbers("input K H gates left_next left_step left_row right_next right_step right_row right_gate"),
        *_numbers("at_end ready weight_next bias_next"),
        *_pointers("left right weight bias"),
    ]


class Simplex(ctypes.Structure):
    """The simplex direction."""

    _fields_ = [
        *_numbers("R T B threads products descent"),
        *_pointers("length product beta psi tiny"),
    ]


class Call(ctypes.Structure):
    """The recurrence: forward, backward, or a whole update."""

    _fields_ = [
        *_numbers("R T B H I O lstm threads input loss every pad"),
        *_pointers("length activation x target"),
        *_pointers("W W_in b W_out b_out dW dW_in db dW_out db_out"),
        *_numbers("W_next W_in_next b_next W_out_next b_out_next"),
        *_numbers("dW_next dW_in_next db_next dW_out_next db_out_next"),
        *_pointers("h0 c0 h c gates h_last c_last"),
        *_pointers("dh dh_last dc_last dh0 dc0"),
        *_pointers("delta d v e d2 v2 dz"),
        *_pointers("losses alpha form omega simplex"),
    ]


class Descent(ctypes.Structure):
    """Several updates of R networks."""

    _fields_ = [
        *_numbers("updates P"),
        *_pointers("length x target theta gradient velocity momentum rate most losses omega norm"),
    ]


class Linear(ctypes.Structure):
    """A layer without a recurrence."""

    _fields_ = [
        *_numbers("R N K M threads tanh x_next x_row W_next b_next"),
        *_pointers("x W b y dy dx dW db"),
    ]


class Noise(ctypes.Structure):
    """Noise that is added to rows."""

    _fields_ = [
        *_numbers("R N K threads x_next x_row"),
        *_pointers("stream quantiles x y"),
    ]


STRUCTS: tuple[type[ctypes.Structure], ...] = (Product, Simplex, Call, Descent, Linear, Noise)
CODES: tuple[type[IntEnum], ...] = (Input, Form, Loss, Activation)
