"""Clipping, as a user configures it; the update does it (src/training/clipping.py)."""

import pytorch_lightning as pl

from src.population import Stack
from src.training.clipping import Clipped, clip_stack


class Clipping(pl.Callback):
    """Says how gradients are clipped: each replica's by its own θ (``optimizer.clip``), null: not at all (P13)."""

    def clip(self, stack: Stack) -> Clipped:
        """Clips the gradients of a stack, in place."""
        return clip_stack(stack)
