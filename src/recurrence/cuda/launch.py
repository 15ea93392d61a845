"""Tiles, and the launch of a kernel."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from src.recurrence.cuda.support import MIXED, UNITS

PRECISIONS = ("tf32x3", "tf32")
"""How a product of float32 is made on tensor cores: three products of parts with 11 significant bits, as exact as
float32's own; or one, three times cheaper, with 2**-11 of relative error in every factor."""

LSTM_ROOM = 136
"""KB of shared memory that LSTM's W of 33 to 64 units takes."""

OPTIONS = {"num_stages": 1, "enable_fp_fusion": True}
"""Of every kernel: no load begins ahead of its loop's barrier; a multiplication and an addition round once."""


@dataclass(frozen=True)
class Tiles:
    """How a layer is cut for programs.

    Args:
        rows: sequences of a program; the units of a tile; the columns of tiles; the program's warps of 32 threads.
    """

    rows: int
    units: int
    columns: int
    warps: int

    @property
    def constants(self) -> dict[str, int]:
        """What the kernels are compiled for."""
        return {"ROWS": self.rows, "UNITS": self.units, "COLUMNS": self.columns}


def tiles(replicas: int, sequences: int, units: int, lstm: bool, backward: bool, room: int, processors: int) -> Tiles:
    """The tiles of a layer of so many units, for so many sequences: the largest that compile without spilling.

    A step of 16 sequences takes half as long as one of 32. So where every processor can have a tile of its own tiles
    are small; where processors have several tiles to do, one after the other, large ones are better.

    See the table in docs/cuda.md. From 33 to 64 units LSTM's four W do not stay on chip on the way back, nor on the way
    forward where a program has less than LSTM_ROOM.

    Args:
        room: KB of shared memory that a program can have.
        processors: of the GPU.
    """
    cut = lstm and 32 < units <= UNITS and (backward or room < LSTM_ROOM)
    own = max(32 if lstm else 16, 1 << (min(units, 32 if cut else UNITS) - 1).bit_length())
    small = lstm or units > UNITS or replicas * -(-sequences // 16) <= processors
    rows = 16 if small or sequences <= 16 else 32
    return Tiles(rows, own, -(-units // own), 8 if own > 32 or (cut and backward) else 4)


def options(kernel: Any, arguments: dict[str, Any], constants: dict[str, Any], warps: int) -> dict[str, Any]:
    """How Triton compiles a kernel for a launch."""
    found: dict[str, Any] = {"num_warps": warps, **OPTIONS}
    if "UNITS" in constants:
        name = kernel.fn.__name__
        forms = (name.startswith("lstm"), name.endswith("backward"), constants.get("CODE") == MIXED)
        most = registers(arguments["H"], constants["COLUMNS"], *forms)
        if most is not None:
            found["maxnreg"] = most
    return found


def registers(units: int, columns: int, lstm: bool, backward: bool, mixed: bool) -> int | None:
    """Most registers of a thread; None: as the assembler likes.

    Left to itself it spills some, so that more programs fit on an SM. A bound forbids that: it is the lowest of 128,
    168 and 255 with which nothing spills. 8 warps of 128 registers fit twice on an SM, 4 warps of 168 three times.
    Rows of 16, 32, ... units are read four numbers at a time, and take fewer; mixed activations take more.
    """
    on_chip = not backward and columns == 1
    if units > UNITS:
        return 255
    if on_chip and units <= 32:
        return (168 if units % 16 else 128) if lstm else None
    if on_chip and not lstm:
        return 255 if units % 16 or mixed else 128
    if on_chip:
        return None
    if units > 32:
        return 255 if units % 16 else 128
    if lstm:
        return 255
    return 168 if units > 16 else None


def launch(
    kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any], constants: dict[str, Any], warps: int
) -> None:
    """Runs a kernel on its tensors' device, on the current stream; returns before it is done."""
    with on_device(arguments):
        kernel[grid](**arguments, **constants, **options(kernel, arguments, constants, warps))


def on_device(arguments: dict[str, Any]) -> AbstractContextManager[Any]:
    """Makes the GPU of the arguments the current one, for Triton launches there; nothing where they are on none."""
    device = next(each.device for each in arguments.values() if isinstance(each, Tensor))
    if device.type != "cuda" or not torch.cuda.is_available():
        return nullcontext()
    return torch.cuda.device(device)
