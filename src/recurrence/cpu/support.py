"""Which cells and losses are compiled in."""

import torch
from torch import Tensor

from src.cells import Cell
from src.recurrence.cpu.structs import Activation, Loss
from src.recurrence.known import is_known

LOSSES = {"cross_entropy": Loss.CROSS_ENTROPY, "squared_error": Loss.SQUARED_ERROR}
ACTIVATIONS = {code.name.lower(): code for code in Activation}


def runs(cell: Cell, W: Tensor) -> bool:
    """Whether this cell is compiled in, for this device and precision."""
    return is_known(cell, set(ACTIVATIONS)) and W.device.type == "cpu" and W.dtype == torch.float32
