"""Tiles, and the launch of a kernel."""

from dataclasses import dataclass
from typing import Any

from src.recurrence.cuda.support import UNITS

PRECISIONS = ("tf32x3", "tf32")
"""How a product of float32 is made on tensor cores: three products of parts with 11 significant bits, as exact as
float32's own; or one, three times cheaper, with 2**-11 of relative error in every factor."""

OPTIONS = {"num_stages": 1, "enable_fp_fusion": True}
"""Of every kernel. No load is begun ahead of its loop's barrier, and a multiplication with an addition is one rounding."""


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


def tiles(sequences: int, units: int, lstm: bool, backward: bool) -> Tiles:
    """The tiles of a layer of so many units, for so many sequences: the largest that compile without spilling.

    See the table in docs/cuda.md. LSTM's four W do not stay on chip on the way back above 32 units.
    """
    most = 32 if lstm and backward and 32 < units <= UNITS else UNITS
    own = max(16, 1 << (min(units, most) - 1).bit_length())
    large = lstm or units > UNITS or sequences <= 16
    return Tiles(16 if large else 32, own, -(-units // own), 8 if units > 32 else 4)


def launch(kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any], constants: dict[str, Any], warps: int) -> None:
    """Runs a kernel, on the current stream; returns before it is done."""
    kernel[grid](**arguments, **constants, num_warps=warps, **OPTIONS)
