"""Ctrl-C and SIGTERM end a run after the current update, with everything written."""

import os
import signal
from types import FrameType

import pytorch_lightning as pl

from src.training.module import Training


class Interrupt(pl.Callback):
    """The first signal asks the population to stop; a second one ends the process at once.

    Lightning installs handlers of its own when a fit starts and restores the former ones at its end; ours come between.
    """

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        def handle(signum: int, _: FrameType | None) -> None:
            if module.population.interrupt is not None:
                os._exit(128 + signum)
            module.population.interrupt = signum

        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, handle)
