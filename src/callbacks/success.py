"""The success test: who solved the task leaves."""

from typing import Any

import pytorch_lightning as pl

from src.module import Training
from src.network import Network
from src.rundir import BUDGET, DIVERGED, SOLVED
from tasks.datamodule import collate
from tasks.draws import Stream, generator


class Success(pl.Callback):
    """Tests the population every so many updates, and once more, on all test sequences, when the budget is spent.

    Where answers are neither right nor wrong there is only a last test, of the loss on fresh sequences. Last tests are
    made after the last checkpoint: a run resumed from there is as if they had never been made.
    """

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        population = module.population
        if module.task.fixed_data:
            population.read("check")
            population.leave(module.spent_R[population.live], BUDGET)
        elif module.check_due and population.live:
            self.test(module, full=False)

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        population = module.population
        if module.task.fixed_data:
            if population.interrupt is None:
                self.test_loss(module)
        elif population.live and module.spent:
            lost_A = (~population.theta_AP.isfinite().all(1)).cpu().numpy()  # by the last update itself
            self.test(module, full=True)
            population.leave(lost_A, DIVERGED)

    def test_loss(self, module: Training) -> None:
        """Of all replicas as they ended, on as many fresh sequences as in training, the same ones for every method."""
        population, task = module.population, module.task
        network = Network(module.cell, population.parameters())
        for row, seed in enumerate(population.seeds):
            draws = generator(seed, Stream.EVALUATION, task.length)
            batch = collate([task.draw(task.length, task.batch_size, draws)])
            loss_R = network.select([row]).loss(batch.to(network.W.device), task)
            population.last["test_loss"][row] = float(loss_R)

    def test(self, module: Training, full: bool) -> None:
        population = module.population
        passed_A = module.test(list(range(len(population.live))), full)
        population.read("check")
        population.leave(passed_A, SOLVED)
