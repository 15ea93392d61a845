"""What can be run here, and on what."""

import os
import shutil
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from src.cells import LSTM, Cell, Vanilla
from src.recurrence.known import is_known

ACTIVATIONS = {"tanh": 0, "sigmoid": 1, "relu": 2, "elu": 3, "identity": 4}
"""Numbers of the activations in the kernels."""

MIXED = -1
"""In place of the number of an activation: each replica has its own."""

UNITS = 64
"""Most units of a tile; above, W is cut into tiles of so many columns."""
LARGEST = {Vanilla: 256, LSTM: 128}
"""Most units of a layer."""


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET") == "1"


OLDEST = (3, 4)
"""Version of Triton from which on the kernels are known to compile."""

SHARED = {(8, 0): 163, (8, 7): 163, (9, 0): 227, (10, 0): 227, (10, 3): 227}
"""KB of shared memory that a program can have, by compute capability; others have 99, and those before 8.0 64."""


def missing() -> str | None:
    """Why kernels cannot run here, in one line; None: they can."""
    if find_spec("triton") is None:
        return "there is no Triton: pip install 'triton>=3.4' (CUDA builds of torch bring it)"
    if interpreted():
        return None
    if not torch.cuda.is_available():
        return "torch sees no GPU here"
    if torch.version.hip is not None:
        return "the kernels are for GPUs of NVIDIA's"
    return _of_triton()


@cache
def _of_triton() -> str | None:
    """What keeps Triton from compiling here."""
    import triton

    found = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if found < OLDEST:
        return f"Triton {triton.__version__} is too old: the kernels need 3.4 or newer"
    compilers = (os.environ.get("CC"), "gcc", "clang", "cc")
    if not any(shutil.which(name) for name in compilers if name):
        return "Triton needs a C compiler, and there is none (gcc, clang, or CC=...)"
    return None


@cache
def room(device: torch.device) -> int:
    """KB of shared memory that a program can have; where there is no such device, an H100's."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return 227
    known: Any = torch.cuda.get_device_properties(device)
    told = getattr(known, "shared_memory_per_block_optin", None)  # not of torch before 2.7
    if told is not None:
        return int(told) // 1024
    return SHARED.get((known.major, known.minor), 99 if known.major >= 8 else 64)


@cache
def processors(device: torch.device) -> int:
    """How many programs run side by side; where there is no such device, as on an H100."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return 132
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


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
