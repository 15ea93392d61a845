"""The gradient of the loss as it is, and what every direction offers."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor

from src.recurrence import Tape


class Direction:
    """How a gradient becomes an update. The base is the plain gradient: MSGD and, clipped, MSGD-C.

    Called in this order for each update: :meth:`begin`, :meth:`tape` for each layer, the backward pass, :meth:`finish`
    if the tapes asked for rows and got any, :meth:`value`.
    """

    def begin(self, settings: dict[str, Tensor], draws: Sequence[tuple[int, int]] = ()) -> Self:
        """Starts an update.

        Args:
            settings: of the method, per replica, A each.
            draws: each replica's seed and number of updates so far, for whatever is drawn.
        """
        return self

    def tape(self) -> Tape:
        """What the backward pass of one layer shall do besides."""
        return Tape()

    def finish(self, gradients: dict[str, Tensor], length_A: Tensor, T: int) -> None:
        """Overwrites the gradients, by parameter, of sequences of these lengths, T the longest."""

    def value(self) -> Tensor | None:
        """Ω of each replica, summed over layers, A; None where the method has none."""
        return None
