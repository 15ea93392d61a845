"""The success test: who solved the task leaves."""

from typing import Any

import pytorch_lightning as pl

from src.module import Training
from src.population import SOLVED


class Success(pl.Callback):
    """Tests the population every so many updates and at the end, on fresh sequences."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        population = module.population
        if module.check_due and population.live and population.interrupt is None:
            passed_A = module.test(list(range(len(population.live))), full=module.ended)
            population.read("check")
            population.leave(passed_A, SOLVED)
