"""The gradient of the loss as it is, and what every direction offers."""

from typing import Self

from torch import Tensor

from src.recurrence import Tape


class Direction:
    """How a gradient becomes an update. The base is the plain gradient: MSGD and, clipped, MSGD-C.

    Called in this order for each update: :meth:`begin`, :meth:`tape` for each layer, the backward pass, :meth:`value`.
    """

    def begin(self, settings: dict[str, Tensor]) -> Self:
        """Starts an update with the per-replica settings of the method, A each."""
        return self

    def tape(self) -> Tape:
        """What the backward pass of one layer shall do besides."""
        return Tape()

    def value(self) -> Tensor | None:
        """Ω of each replica, summed over layers, A; None where the method has none."""
        return None
