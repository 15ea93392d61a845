"""Truncated backpropagation through time: sequences cut into parts, over whose borders no gradient flows."""

from typing import Any

import numpy as np
import pytorch_lightning as pl

from src.rundir import PLATEAU
from src.training.module import Training


def cut(length: int, parts: int) -> list[int]:
    """Borders of so many parts in order, whose lengths differ by at most one."""
    return [part * length // parts for part in range(parts + 1)]


class TruncatedBPTT(pl.Callback):
    """Cuts every sequence into parts in order. The state is carried over from part to part, the gradient is cut there.

    Of a fixed data set, learned in epochs, every part makes an update; states start from zero at each epoch (M19,
    "batch sequence length"). Of fresh sequences all parts together make one update: each part's gradient counts by its
    share of the steps, and where the only target is at the last step, the gradient reaches back one part from there.

    In epochs there may be stages. A replica whose loss of an epoch, the mean over its parts, has not been below the
    least of its stage for ``patience`` epochs goes on with its next number of parts; after the last one it ends, with
    status ``plateau``. Losses of different stages are not compared: in short parts the weights follow the sequence
    while it is read.

    Args:
        parts: numbers of parts, stage after stage (M19: 100, 50, 10, 2, 1).
        patience: in epochs (M19: 20); None: the first stage lasts until the budget is spent.
        steps: if given, parts of so many steps instead, a shorter one included where they do not fit; one stage.
    """

    def __init__(self, parts: list[int], patience: int | None = None, steps: int | None = None) -> None:
        self.parts = list(parts)
        self.patience = patience
        self.steps = steps

    def setup(self, trainer: pl.Trainer, module: Training, stage: str) -> None:  # type: ignore[override]
        replicas = len(module.population.seeds)
        self.stage = np.zeros(replicas, dtype=int)
        self.waited = np.zeros(replicas, dtype=int)
        self.least = np.full(replicas, np.inf)

    def borders(self, replica: int, length: int) -> list[int]:
        """Where the sequences of a replica are cut now, from 0 to their length."""
        if self.steps is not None:
            return [*range(0, length, self.steps), length]
        return cut(length, self.parts[self.stage[replica]])

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        if module.task.epochs and self.patience is not None and module.check_due:
            population = module.population
            loss = population.read("check")["loss"]
            ended = [self.advance(r, loss[r]) for r in population.live]
            population.leave(ended, PLATEAU)

    def advance(self, replica: int, loss: float) -> bool:
        """Notes the loss of an epoch; returns whether the replica has come to the end of its last stage."""
        assert self.patience is not None
        if loss < self.least[replica]:
            self.least[replica] = loss
            self.waited[replica] = 0
            return False
        self.waited[replica] += 1
        if self.waited[replica] < self.patience:
            return False
        self.stage[replica] += 1
        self.waited[replica] = 0
        self.least[replica] = np.inf
        stages = 1 if self.steps is not None else len(self.parts)
        return bool(self.stage[replica] == stages)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).tolist() for name in ("stage", "waited", "least")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, values in state.items():
            setattr(self, name, np.array(values))
