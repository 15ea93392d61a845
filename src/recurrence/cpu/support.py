"""Which cells, directions and losses are compiled in."""

import torch
from torch import Tensor

from src.cells import LSTM, Cell, Vanilla
from src.directions import OmegaTerm, Tape
from src.recurrence.cpu.structs import Activation, Form, Loss

LOSSES = {"cross_entropy": Loss.CROSS_ENTROPY, "squared_error": Loss.SQUARED_ERROR}
FORMS = {"squared": Form.SQUARED, "plain": Form.PLAIN}
ACTIVATIONS = {code.name.lower(): code for code in Activation}
EQUATIONS = ("advance", "pull_back", "_each", "names")
"""A cell's methods that say what it computes."""


def runs(cell: Cell, W: Tensor) -> bool:
    """Whether this cell is compiled in, for this device and precision. A subclass with equations of its own is not."""
    compiled_in = LSTM if isinstance(cell, LSTM) else Vanilla
    for name in EQUATIONS:
        if getattr(type(cell), name, None) is not getattr(compiled_in, name, None):
            return False
    if isinstance(cell, Vanilla) and not set(cell.names(1)) <= ACTIVATIONS.keys():
        return False
    return W.device.type == "cpu" and W.dtype == torch.float32


def compiled(tape: Tape) -> bool:
    """Whether a tape's terms are none, or one that is Ω as it is compiled in."""
    terms = list(tape.terms.values())
    if len(terms) != 1:
        return not terms
    return isinstance(terms[0], OmegaTerm) and type(terms[0]).__call__ is OmegaTerm.__call__


def compiled_term(tape: Tape) -> tuple[str, OmegaTerm]:
    """The name of the metric and the term of a tape with the one that is compiled in."""
    ((name, term),) = tape.terms.items()
    assert isinstance(term, OmegaTerm)
    return name, term
