"""The LightningModule: one update of a population, by manual optimization."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from src.directions import Direction
from src.network import Carry, Network, Noise
from src.population import Population
from src.recurrence import add_noise
from src.rundir import BUDGET, DIVERGED
from src.success import SuccessTest
from tasks.datamodule import Batch, Block
from tasks.draws import Stream
from tasks.task import Task


def _of(batch: Batch, present: list[int], replicas: list[int]) -> Batch:
    """The mini-batches of some of those present."""
    return batch if replicas == present else batch.select([present.index(replica) for replica in replicas])


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
        max_epochs: through a fixed data set.
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
        max_epochs: int | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task, self.network, self.population = task, network, population
        self.cell = network.cell  # of all R; the network's is of those that are left
        self.success, self.direction = success, direction
        self.max_steps, self.max_epochs, self.config, self.step = max_steps, max_epochs, config, step
        self.borders: Callable[[int, int], list[int]] = lambda _, length: [0, length]
        """Where a replica's sequences of this length are cut; a callback may have its own way (truncated BPTT)."""

    def training_step(self, block: Block, _: int) -> None:
        present = list(self.population.live)
        for batch in block:
            if not self.population.learning:
                break
            if self.task.fixed_data:
                self.epoch(batch, present)
            else:
                self.update(_of(batch, present, self.population.live))

    def epoch(self, data: Batch, present: list[int]) -> None:
        """Once through the data: each replica's sequences part after part, in order, an update a part.

        Replicas whose sequences are cut alike, and that have made as many updates, are trained together. An epoch is
        always finished: budgets and signals wait for its end.
        """
        population, together = self.population, defaultdict(list)
        for replica in population.live:
            borders = self.borders(replica, data.inputs.shape[1])
            together[(*borders, population.updates[replica])].append(replica)
        for (*borders, _), replicas in together.items():
            with population.focus(replicas):
                own, carry = _of(data, present, replicas), Carry()
                for part in own.cut(borders):
                    live = population.live
                    if not live:
                        break
                    self.update(_of(part, replicas, live), carry)
                    if population.live is not live:  # somebody diverged
                        carry.select([live.index(replica) for replica in population.live])
                population.epochs[population.live] += 1
        population.leave((~population.theta_AP.isfinite().all(1)).tolist(), DIVERGED)  # by the last update itself

    def update(self, batch: Batch, carry: Carry | None = None) -> None:
        """Forward, backward, callbacks (clipping), step; then whoever diverged leaves."""
        population = self.population
        direction = self.direction.begin(population.settings, self.draws())
        noise = self.noise() if self.network.cell.noise else None
        population.noted["loss"] = self.network.learn(batch, self.task, direction, carry, noise)
        if (omega_A := direction.value()) is not None:
            population.noted["omega"] = omega_A
        self.optimizers().step()  # type: ignore[union-attr]
        if population.diverged_A is not None:  # an optimizer with a memory moves even without a gradient
            population.theta_AP.data[population.diverged_A] = self.theta_before
        population.record()
        if population.diverged_A is not None:
            diverged_A, population.diverged_A = population.diverged_A.cpu().numpy(), None
            if population.graded:
                self.test(np.flatnonzero(diverged_A).tolist(), full=True)
            population.leave(diverged_A, DIVERGED)

    def noise(self) -> Noise:
        """Gaussian noise between layers, a function of each replica's seed, its update and the layer."""
        std = self.network.cell.noise
        draws = self.draws()
        return lambda layer, x_RTBH: add_noise(x_RTBH, [(seed, Stream.NOISE, n, layer) for seed, n in draws], std)

    def draws(self) -> list[tuple[int, int]]:
        """Each live replica's seed and updates so far: what draws of an update are functions of."""
        population = self.population
        return [(population.seeds[r], int(population.updates[r])) for r in population.live]

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
        if self.task.fixed_data:  # a resumed run's budget may be spent for some
            self.population.leave(self.spent_R[self.population.live], BUDGET)

    # -- tests ---------------------------------------------------------------------------------------------------

    @property
    def check_due(self) -> bool:
        """Whether it is time for one of the regular tests; with a fixed data set, of a row of the history."""
        return self.task.fixed_data or self.population.step % self.success.check_every == 0

    @property
    def spent(self) -> bool:
        """Whether the budget is."""
        return bool(self.spent_R.any())

    @property
    def spent_R(self) -> np.ndarray:
        """Whose budget is."""
        population = self.population
        epochs = np.inf if self.max_epochs is None else self.max_epochs
        return (population.updates >= self.max_steps) | (population.epochs >= epochs)

    @property
    def stopping(self) -> bool:
        """Whether this was the last block: nobody learns any more, or somebody asked to stop."""
        return not self.population.learning or (self.spent and not self.task.fixed_data)

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
