"""Ctrl-C, SIGTERM and a queue's warning end a run after the updates that are being made, with everything written."""

import os
import signal
from types import FrameType

import pytorch_lightning as pl

from src.packing import seat
from src.training.module import Training

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals by which a queue announces that it takes the machine away; whoever waits for one puts the job back."""


class Interrupt(pl.Callback):
    """The first signal asks the population to stop; a second one ends the process at once.

    A warning is taken only where somebody waits for it, and is handed on to them when the run has ended. It counts more
    than an interruption before or after it: queues send both.

    Lightning installs handlers of its own when a fit starts and restores the former ones at its end; ours come between.
    """

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        if seat() is not None:  # its pack listens for all
            return
        population = module.population

        def handle(signum: int, _: FrameType | None) -> None:
            if signum in WARNINGS or population.interrupt is None:
                population.interrupt = signum
            elif population.interrupt not in WARNINGS:
                os._exit(128 + signum)

        expected = [signum for signum in WARNINGS if callable(signal.getsignal(signum))]
        for signum in (signal.SIGINT, signal.SIGTERM, *expected):
            signal.signal(signum, handle)
