"""Which cells, directions and losses are compiled in."""

import torch
from torch import Tensor

from src.cells import LSTM, Cell, Vanilla
from src.recurrence.cpu.structs import Activation, Form, Loss
from src.recurrence.interface import Reweight
from src.recurrence.omega import OmegaTerm

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


def compiled(term: Reweight | None) -> bool:
    """Whether a reweighting is Ω as it is compiled in."""
    return isinstance(term, OmegaTerm) and type(term).__call__ is OmegaTerm.__call__
