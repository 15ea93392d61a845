"""What happens in training to what a layer hands on: noise and dropout."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Noise = Callable[[int, Tensor], Tensor]
"""Changes a layer's output in training; called with the layer's index, from 0 at the input, and its output RTBH."""


@dataclass(frozen=True)
class Disturbance:
    """What happens in training to what layers hand on; what goes from step to step is left as it is.

    Args:
        noise: added between layers.
        dropout: drops units between layers and before the readout.
    """

    noise: Noise | None = None
    dropout: Noise | None = None

    def between(self, layer: int, x_RTBH: Tensor) -> Tensor:
        """What the next layer gets."""
        x_RTBH = x_RTBH if self.noise is None else self.noise(layer, x_RTBH)
        return self.before_readout(layer, x_RTBH)

    def before_readout(self, layer: int, h: Tensor) -> Tensor:
        """What the readout gets: of all steps, RTBH, or of one, RBH."""
        if self.dropout is None:
            return h
        return self.dropout(layer, h) if h.ndim == 4 else self.dropout(layer, h[:, None])[:, 0]


CALM = Disturbance()
"""Outside training nothing is disturbed."""
