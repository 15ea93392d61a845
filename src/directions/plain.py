"""The gradient of the loss as it is: MSGD and MSGD-C."""

from torch import Tensor

from src.recurrence import Tape


class Direction:
    """One update's direction; the base of all others.

    :meth:`tape` is handed to the recurrence of each layer, :meth:`value` read after the backward pass.
    """

    def tape(self) -> Tape:
        """What the backward pass of one layer shall do besides."""
        return Tape()

    def value(self) -> Tensor | None:
        """Ω of each replica, summed over layers, or None where the method has none: R."""
        return None
