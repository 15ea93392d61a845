"""Tiles, and the launch of a kernel."""

from dataclasses import dataclass
from typing import Any

from src.recurrence.cuda.support import UNITS

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


def tiles(sequences: int, units: int, lstm: bool, backward: bool, room: int) -> Tiles:
    """The tiles of a layer of so many units, for so many sequences: the largest that compile without spilling.

    See the table in docs/cuda.md. From 33 to 64 units LSTM's four W do not stay on chip on the way back, nor on the way
    forward where a program has less than LSTM_ROOM.

    Args:
        room: KB of shared memory that a program can have.
    """
    cut = lstm and 32 < units <= UNITS and (backward or room < LSTM_ROOM)
    own = max(32 if lstm else 16, 1 << (min(units, 32 if cut else UNITS) - 1).bit_length())
    few = lstm or units > UNITS or sequences <= 16
    return Tiles(16 if few else 32, own, -(-units // own), 8 if own > 32 or (cut and backward) else 4)


def launch(
    kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any], constants: dict[str, Any], warps: int
) -> None:
    """Runs a kernel, on the current stream; returns before it is done."""
    kernel[grid](**arguments, **constants, num_warps=warps, **OPTIONS)
