"""The success test: who solved the task leaves."""

from typing import Any

import pytorch_lightning as pl

from src.module import Training
from src.population import DIVERGED, SOLVED


class Success(pl.Callback):
    """Tests the population every so many updates, and once more, on all test sequences, when the budget is spent.

    That last test is made after the last checkpoint: a run resumed from there is as if it had never been made.
    """

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        if module.check_due and module.population.live:
            self.test(module, full=False)

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        population = module.population
        if population.live and module.spent:
            lost_A = (~population.theta_AP.isfinite().all(1)).cpu().numpy()  # by the last update itself
            self.test(module, full=True)
            population.leave(lost_A, DIVERGED)

    def test(self, module: Training, full: bool) -> None:
        population = module.population
        passed_A = module.test(list(range(len(population.live))), full)
        population.read("check")
        population.leave(passed_A, SOLVED)
