"""What the recurrent matrix looks like while it learns."""

from typing import Any

import pytorch_lightning as pl

from src.linalg import spectral_radius
from src.module import Training


class Diagnostics(pl.Callback):
    """Spectral radius of W at every check and at the end; LSTM's W is not square and has none."""

    def __init__(self) -> None:
        self.measured: dict[int, int] = {}  # replica: its updates when last measured

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        population = module.population
        if not (module.check_due or module.stopping) or module.network.cell.gates != 1:
            return
        for replica, W_HH in enumerate(population.parameters()["W"]):  # of the first layer
            updates = int(population.updates[replica])
            if self.measured.get(replica) != updates:
                population.last["spectral_radius"][replica] = spectral_radius(W_HH)
                self.measured[replica] = updates
