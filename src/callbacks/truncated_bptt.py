"""Truncated backpropagation through time: sequences cut into parts, an update a part (M19)."""

from typing import Any

import numpy as np
import pytorch_lightning as pl

from src.module import Training
from src.rundir import PLATEAU


def cut(length: int, parts: int) -> list[int]:
    """Borders of so many parts in order, their lengths differing by at most one."""
    return [part * length // parts for part in range(parts + 1)]


class TruncatedBPTT(pl.Callback):
    """Cuts every sequence of a fixed data set into parts in order. The state is carried over from part to part, the
    gradient is cut there; states start from zero at each epoch (M19, "batch sequence length").

    A replica whose loss of an epoch, the mean over its parts, has not been below the least of its stage for
    ``patience`` epochs goes on with its next number of parts; after the last one it ends, with status ``plateau``.
    Losses of different stages are not compared: in short parts the weights follow the sequence while it is read.

    Args:
        parts: numbers of parts, stage after stage (M19: 100, 50, 10, 2, 1).
        patience: in epochs (M19: 20); None: the first stage lasts until the budget is spent.
        steps: if given, parts of so many steps instead, a last shorter one included; one stage.
    """

    def __init__(self, parts: list[int], patience: int | None = None, steps: int | None = None) -> None:
        self.parts, self.patience, self.steps = list(parts), patience, steps

    def setup(self, trainer: pl.Trainer, module: Training, stage: str) -> None:  # type: ignore[override]
        replicas = len(module.population.seeds)
        self.stage, self.waited = np.zeros(replicas, dtype=int), np.zeros(replicas, dtype=int)
        self.least = np.full(replicas, np.inf)
        module.borders = self.borders

    def borders(self, replica: int, length: int) -> list[int]:
        """Where the sequences of a replica are cut now, from 0 to their length."""
        if self.steps is not None:
            return [*range(0, length, self.steps), length]
        return cut(length, self.parts[self.stage[replica]])

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        if module.task.fixed_data and self.patience is not None:
            population = module.population
            loss = population.read("check")["loss"]
            ended = [self.advance(r, loss[r]) for r in population.live]
            population.leave(ended, PLATEAU)

    def advance(self, replica: int, loss: float) -> bool:
        """Notes the loss of an epoch; whether the replica has come to the end of its last stage."""
        assert self.patience is not None
        if loss < self.least[replica]:
            self.least[replica], self.waited[replica] = loss, 0
            return False
        self.waited[replica] += 1
        if self.waited[replica] < self.patience:
            return False
        self.stage[replica], self.waited[replica], self.least[replica] = self.stage[replica] + 1, 0, np.inf
        return bool(self.stage[replica] == (1 if self.steps is not None else len(self.parts)))

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).tolist() for name in ("stage", "waited", "least")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, values in state.items():
            setattr(self, name, np.array(values))
