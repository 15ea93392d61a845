"""Clipping, as a user configures it; the update does it (src/training/clipping.py)."""

import pytorch_lightning as pl

from src.training.clipping import clip_stack


class Clipping(pl.Callback):
    """Says how gradients are clipped: each replica's by its own θ (``optimizer.clip``), null: not at all (P13)."""

    clip = staticmethod(clip_stack)
    """Clips the gradients of a stack, in place. A subclass may clip otherwise; its updates are then made one by one."""
