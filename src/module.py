"""The LightningModule: one update of a population, by manual optimization."""

from collections.abc import Callable
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
        step: makes torch's optimizer from a list of parameters, one learning rate for all; None: gradient descent with
            each replica's own from the settings (``lr``).
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
        step: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task, self.network, self.population = task, network, population
        self.success, self.direction = success, direction
        self.max_steps, self.config, self.step = max_steps, config, step

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
        if population.diverged_A is not None:  # an optimizer with a memory moves even without a gradient
            population.theta_AP.data[population.diverged_A] = self.theta_before
        population.record()
        if population.diverged_A is not None:
            diverged_A, population.diverged_A = population.diverged_A.cpu().numpy(), None
            self.test(np.flatnonzero(diverged_A).tolist(), full=True)
            population.leave(diverged_A, DIVERGED)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Gradient descent takes each replica's learning rate. A step that diverged is going to be taken back."""
        population = self.population
        if self.step is None:
            population.grad_AP.mul_(population.settings["lr"][:, None])
        if population.diverged_A is not None:
            self.theta_before = population.theta_AP.data[population.diverged_A]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [self.population.attach(self.network)]
        self.population.optimizer = torch.optim.SGD(parameters, lr=1.0) if self.step is None else self.step(parameters)
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
            # not in place: these are the optimizer's own dictionaries
            state["state"] = {key: {**own, **population.memory()} for key, own in state["state"].items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.population.load_state_dict(checkpoint["population"])
