"""Tiles, and the launch of a kernel."""

from dataclasses import dataclass
from typing import Any

from src.recurrence.cuda.support import UNITS

PRECISIONS = ("tf32x3", "tf32")
"""How a product of float32 is made on tensor cores: three products of parts with 11 significant bits, as exact as
float32's own; or one, three times cheaper, with 2**-11 of relative error in every factor."""


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


def tiles(sequences: int, units: int) -> Tiles:
    """The tiles of a layer of so many units, for so many sequences."""
    own = max(16, 1 << (min(units, UNITS) - 1).bit_length())
    return Tiles(16 if sequences <= 16 else 32, own, -(-units // UNITS), 8 if own > 32 else 4)


def launch(kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any], constants: dict[str, Any], warps: int) -> None:
    """Runs a kernel, on the current stream; returns before it is done."""
    kernel[grid](**arguments, **constants, num_warps=warps, num_stages=1)
