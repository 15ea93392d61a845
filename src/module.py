"""The LightningModule: one update of a population, by manual optimization."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from src.directions import Direction
from src.network import Network
from src.population import DIVERGED, Population
from src.success import SuccessTest
from tasks.datamodule import Batch, Block
from tasks.task import Task


class Training(pl.LightningModule):
    """Trains a population on a task. Lightning sees a block of updates as one batch.

    Args:
        task: what is learned.
        network, population: of the same replicas.
        success: the test of a replica.
        direction: how a gradient becomes an update.
        max_steps: updates of each replica.
        config: kept in checkpoints; plain numbers, strings, lists and dictionaries.
    """

    def __init__(
        self,
        task: Task,
        network: Network,
        population: Population,
        success: SuccessTest,
        direction: Direction,
        max_steps: int,
        config: dict[str, Any],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task, self.network, self.population = task, network, population
        self.success, self.direction = success, direction
        self.max_steps, self.config = max_steps, config

    def training_step(self, block: Block, _: int) -> None:
        present = list(self.population.live)
        for batch in block:
            if not self.population.learning:
                break
            if len(self.population.live) < len(present):
                batch = batch.select([present.index(replica) for replica in self.population.live])
            self.update(batch)

    def update(self, batch: Batch) -> None:
        """Forward, backward, callbacks (clipping), step; then whoever diverged leaves."""
        population = self.population
        direction = self.direction.begin(population.settings)
        population.noted["loss"] = self.network.learn(batch, self.task, direction)
        if (omega_A := direction.value()) is not None:
            population.noted["omega"] = omega_A
        self.optimizers().step()  # type: ignore[union-attr]
        population.record()
        if population.diverged_A is not None:
            diverged_A, population.diverged_A = population.diverged_A.cpu().numpy(), None
            self.test(np.flatnonzero(diverged_A).tolist(), full=True)
            population.leave(diverged_A, DIVERGED)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Each replica's learning rate; the optimizer's own is 1."""
        self.population.grad_AP.mul_(self.population.settings["lr"][:, None])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.population.optimizer = torch.optim.SGD([self.population.attach(self.network)], lr=1.0)
        return self.population.optimizer

    def on_train_start(self) -> None:
        self.population.begin()

    # -- tests ---------------------------------------------------------------------------------------------------

    @property
    def check_due(self) -> bool:
        """Whether it is time for one of the regular tests."""
        return self.population.step % self.success.check_every == 0

    @property
    def spent(self) -> bool:
        """Whether the budget is."""
        return self.population.step >= self.max_steps

    @property
    def stopping(self) -> bool:
        """Whether this was the last block: nobody learns any more, or somebody asked to stop."""
        return self.spent or not self.population.learning

    def test(self, rows: list[int], full: bool) -> np.ndarray:
        """Tests the replicas of these rows and notes their errors; returns who passed."""
        population = self.population
        replicas = [population.live[row] for row in rows]
        seeds, updates = [population.seeds[r] for r in replicas], population.updates[replicas].tolist()
        errors, passed = self.success.run(self.network.select(rows), self.task, seeds, updates, full)
        population.tested(replicas, errors)
        return passed

    # -- checkpoints hold all R replicas ---------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        population = self.population
        checkpoint["config"] = self.config
        checkpoint["population"] = population.state_dict()
        checkpoint["state_dict"] = {f"network.{name}": p for name, p in population.parameters().items()}
        for state in checkpoint["optimizer_states"]:
            for of_parameter in state["state"].values():
                of_parameter.update(population.memory())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.population.load_state_dict(checkpoint["population"])
