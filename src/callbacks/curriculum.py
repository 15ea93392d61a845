"""A curriculum of lengths: each replica begins with short sequences and goes on to longer ones when it passes."""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src.population import Population
from src.rundir import STAGED
from src.training.module import Training
from tasks.task import Task

BACK = "back"
"""Whoever does not pass a stage goes back to the parameters that passed the one before."""

STAY = "stay"
"""Whoever does not pass a stage stays in it, with the parameters that it has."""

THETA = "theta"
"""Name of the parameters among what is kept of a replica; the others are of the optimizer."""


def growing(first: int, last: int, growth: float) -> list[int]:
    """Lengths of the stages: each is ``growth`` times the one before, rounded up, and at least a step longer."""
    lengths = [first]
    while lengths[-1] < last:
        longer = ceil(round(growth * lengths[-1], 9))
        lengths.append(min(last, max(lengths[-1] + 1, longer)))
    return lengths


class Curriculum(pl.Callback):
    """Lengthens the sequences of each replica whenever it passes the success test at its own length.

    The last length is the task's. Who passes it has solved the task. Mini-batch n of a replica is a function of its
    seed, of n and of its length. The count of its updates never goes back, so no mini-batch is seen twice.

    Args:
        first: length of the first stage; None: the task's, so that there is one stage.
        growth: factor from a stage to the next one, above 1.
        patience: tests without success after which a replica goes back.
        fallback: ``back``: to its parameters, and its rows of the optimizer's memory, as they were when it passed the
            stage before; in the first stage there are none, and it stays. ``stay``: it never goes back.
        mixing: each mini-batch's length is drawn from [mixing * L, L]; 1: it is L. Tests are at L.
        exponent: of the learning rate, lr * (reference / L) ** exponent; 0: constant.
        reference: length at which the learning rate is lr; None: the first.
    """

    def __init__(
        self,
        first: int | None,
        growth: float,
        patience: int,
        fallback: str = BACK,
        mixing: float = 1.0,
        exponent: float = 0.0,
        reference: int | None = None,
    ) -> None:
        self.first = first
        self.growth = growth
        self.patience = patience
        self.fallback = fallback
        self.mixing = mixing
        self.exponent = exponent
        self.reference = reference

    def setup(self, trainer: pl.Trainer, module: Training, stage: str) -> None:  # type: ignore[override]
        task = module.task
        self.lengths = growing(self.first or task.length, task.length, self.growth)
        reference = self.reference or self.lengths[0]
        self.shares = [(reference / length) ** self.exponent for length in self.lengths]
        self.learning = [task.at(length, self.mixing) for length in self.lengths]
        self.testing = [task.at(length) for length in self.lengths]
        replicas = len(module.population.seeds)
        self.stage = np.zeros(replicas, dtype=int)
        self.waited = np.zeros(replicas, dtype=int)  # tests without success
        self.passed: dict[int, dict[str, Tensor]] = {}  # what is kept of a replica, as it was when it passed
        module.population.noted = STAGED

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        self.set_rates(module.population)

    # -- what the population asks, see src/training/stages.py --------------------------------------------------------

    def learned(self, replica: int) -> Task:
        """The task at the replica's length."""
        return self.learning[self.stage[replica]]

    def tested(self, replica: int) -> Task:
        """The task at the replica's length, without mixing."""
        return self.testing[self.stage[replica]]

    def judge(self, population: Population, passed_A: np.ndarray, regular: bool) -> np.ndarray:
        """Notes the lengths that were passed, and moves on to others; returns who passed the last one."""
        replicas = list(population.live)
        last_A = self.stage[replicas] == len(self.lengths) - 1
        for replica, passed in zip(replicas, passed_A, strict=True):
            if passed:
                population.last["reached"][replica] = self.lengths[self.stage[replica]]
            if regular:
                self.move(population, replica, bool(passed))
        self.set_rates(population)
        return passed_A & last_A

    # -- stages ------------------------------------------------------------------------------------------------------

    def move(self, population: Population, replica: int, passed: bool) -> None:
        """Moves a replica on to the next stage if it passed, or back if it has waited for too long."""
        if passed:
            self.waited[replica] = 0
            self.stage[replica] = min(self.stage[replica] + 1, len(self.lengths) - 1)
            if self.fallback == BACK:
                self.keep(population, replica)
            return
        self.waited[replica] += 1
        if self.waited[replica] < self.patience:
            return
        self.waited[replica] = 0
        if replica in self.passed:
            self.go_back(population, replica)

    def keep(self, population: Population, replica: int) -> None:
        """Keeps a copy of a replica's parameters, and of its rows of the optimizer's memory."""
        row = population.stack.rows().take([population.live.index(replica)])
        self.passed[replica] = {THETA: row.theta_AP, **row.memory}

    def go_back(self, population: Population, replica: int) -> None:
        """Puts a replica back to what was kept of it."""
        rows = population.stack.rows()
        memory = {name: value.to(rows.theta_AP.device) for name, value in self.passed[replica].items()}
        theta_AP = memory.pop(THETA)
        row = rows.take([population.live.index(replica)])
        rows.put(replace(row, theta_AP=theta_AP, memory=memory))

    def set_rates(self, population: Population) -> None:
        """Sets the learning rate of each living replica to that of its length."""
        if self.exponent == 0:
            return
        share_A = torch.tensor([self.shares[self.stage[replica]] for replica in population.live], dtype=torch.float64)
        lr_A = population.settings["lr"][population.live]
        theta_AP = population.stack.theta_AP
        population.stack.settings["lr"] = (lr_A * share_A).to(theta_AP)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"stage": self.stage.tolist(), "waited": self.waited.tolist(), "passed": self.passed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stage = np.array(state["stage"])
        self.waited = np.array(state["waited"])
        self.passed = state["passed"]
