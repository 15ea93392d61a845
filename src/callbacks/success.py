"""The success test: who solved the task leaves, unless all are to go on."""

from typing import Any

import pytorch_lightning as pl

from src.rundir import BUDGET, DIVERGED, SOLVED
from src.training.module import Training
from tasks.data import evaluation_batch


class Success(pl.Callback):
    """Tests the population every so many updates, and once more, on all test sequences, when the budget is spent.

    Where answers are neither right nor wrong there is only a last test, of the loss on fresh sequences. Last tests are
    made after the last checkpoint: a run resumed from there is as if they had never been made.
    """

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        population = module.population
        if module.task.epochs:
            if module.check_due:
                population.read("check")
            population.leave(module.spent_R[population.live], BUDGET)
        elif module.check_due and population.live:
            if module.task.graded:
                self.test(module, full=False)
            else:
                population.read("check")

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        population = module.population
        if not module.task.graded:
            if population.interrupt is None:
                self.test_loss(module)
        elif population.live and module.spent:
            self.test(module, full=True)
            lost_A = (~population.stack.theta_AP.isfinite().all(1)).cpu().numpy()  # by the last update itself
            population.leave(lost_A, DIVERGED)

    def test_loss(self, module: Training) -> None:
        """Tests all replicas as they ended, on as many fresh sequences as the task says, the same for every method."""
        population = module.population
        task = module.task
        network = population.everyone()
        for row, seed in enumerate(population.seeds):
            batch = evaluation_batch(task, seed, 0, task.evaluated)
            loss_R = network.select([row]).loss(batch.to(network.W.device), task)
            population.last["test_loss"][row] = float(loss_R)

    def test(self, module: Training, full: bool) -> None:
        """Tests the living, each at its own stage; who has solved the task leaves unless ``success.leave`` is false."""
        population = module.population
        passed_A = module.test(list(range(len(population.live))), full)
        population.read("check")
        solved_A = module.stages.judge(population, passed_A, regular=not full)
        population.solve(solved_A)
        if module.success.leave:
            population.leave(solved_A, SOLVED)
