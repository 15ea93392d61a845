"""What can be run here, and on what."""

import os
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from src.cells import LSTM, Cell, Vanilla
from src.recurrence.known import is_known

ACTIVATIONS = {"tanh": 0, "sigmoid": 1, "relu": 2, "elu": 3, "identity": 4}
"""Numbers of the activations in the kernels."""

UNITS = 64
"""Most units of a tile; above, W is cut into tiles of so many columns."""
LARGEST = {Vanilla: 256, LSTM: 128}
"""Most units of a layer."""


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def missing() -> str | None:
    """Why kernels cannot run here, in one line; None: they can."""
    if find_spec("triton") is None:
        return "there is no Triton: pip install 'triton>=3.4' (CUDA builds of torch bring it)"
    if not torch.cuda.is_available() and not interpreted():
        return "torch sees no GPU here"
    return None


@cache
def room(device: torch.device) -> int:
    """KB of shared memory that a program can have; where there is no such device, an H100's."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return 227
    known: Any = torch.cuda.get_device_properties(device)
    return int(known.shared_memory_per_block_optin) // 1024


def refuses(cell: Cell) -> str | None:
    """Why there is no kernel for this cell, in one line; None: there is."""
    if not is_known(cell, set(ACTIVATIONS)):
        return f"there is no kernel for {cell.name}"
    most = LARGEST[LSTM if isinstance(cell, LSTM) else Vanilla]
    if cell.hidden_size > most:
        return f"kernels for {cell.name} go to {most} units, not to {cell.hidden_size}"
    return None


def fits(*tensors: Tensor) -> bool:
    """Whether kernels take these tensors: float32 on a GPU or, interpreted, on the CPU."""
    devices = ("cuda", "cpu") if interpreted() else ("cuda",)
    return all(each.dtype == torch.float32 and each.device.type in devices for each in tensors)
