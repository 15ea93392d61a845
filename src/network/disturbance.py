"""What happens in training to what a layer hands on: noise and dropout."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from src.directions import Draws
from src.linalg import sent
from src.recurrence import add_noise
from tasks.draws import Stream, generator, kept

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


def noise(std: float, draws: Draws) -> Noise | None:
    """Gaussian noise, a function of each replica's seed, its update and the layer; None where ``std`` is 0."""
    if not std:
        return None

    def noisy(layer: int, x_RTBH: Tensor) -> Tensor:
        return add_noise(x_RTBH, [(seed, Stream.NOISE, update, layer) for seed, update in draws], std)

    return noisy


def dropout(share: float, draws: Draws) -> Noise | None:
    """Dropout, a function of each replica's seed, its update and the layer; None where ``share`` is 0.

    The masks are drawn step after step, so that padding changes none of them.
    """
    if not share:
        return None

    def dropped(layer: int, x_RTBH: Tensor) -> Tensor:
        size = x_RTBH[0].numel()
        masks = [kept(generator(seed, Stream.DROPOUT, update, layer), size, share) for seed, update in draws]
        return x_RTBH * sent(torch.from_numpy(np.stack(masks)), x_RTBH.device).view(x_RTBH.shape)

    return dropped
