"""A curriculum of lengths: each replica begins with short sequences and goes on to longer ones when it passes."""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src.population import Population
from src.recurrence import ask
from src.rundir import STAGED
from src.training.module import Training
from tasks.data import fresh_batch
from tasks.task import Task

BACK = "back"
"""Whoever does not pass a stage goes back to the parameters that passed the one before."""

STAY = "stay"
"""Whoever does not pass a stage stays in it, with the parameters that it has."""

THETA = "theta"
"""Name of the parameters among what is kept of a replica; the others are of the optimizer."""


NEARLY = 0.1
"""Share of wrong answers with which a length that is searched for is as good as any."""

SEARCH = 1_000_000
"""Part of the draws of tests that is for the search."""


def longer(length: int, last: int, growth: float) -> int:
    """The next length: ``growth`` times this one, rounded up, at least a step more, and never above the last."""
    return min(last, max(length + 1, ceil(round(growth * length, 9))))


def growing(first: int, last: int, growth: float) -> list[int]:
    """Lengths of the stages where none is searched for."""
    lengths = [first]
    while lengths[-1] < last:
        lengths.append(longer(lengths[-1], last, growth))
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
        search: sequences on which a replica that has gone back is tried at each length between the one that it has
            passed and the one that it has not; it goes on with the one that it is nearest to, see :meth:`nearest`.
            0: it tries the same length again.
        cooling: factor of the learning rate for each test without success at the same length; 1: none.
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
        search: int = 0,
        cooling: float = 1.0,
    ) -> None:
        self.first = first
        self.growth = growth
        self.patience = patience
        self.fallback = fallback
        self.mixing = mixing
        self.exponent = exponent
        self.reference = reference
        self.search = search
        self.cooling = cooling

    def setup(self, trainer: pl.Trainer, module: Training, stage: str) -> None:  # type: ignore[override]
        self.module = module
        self.last = module.task.length
        self.begin = self.first or self.last
        self.tasks: dict[int, tuple[Task, Task]] = {}  # by length: what is learned, and what is tested
        replicas = len(module.population.seeds)
        self.length = np.full(replicas, self.begin)
        self.waited = np.zeros(replicas, dtype=int)  # tests without success
        self.passed: dict[int, dict[str, Tensor]] = {}  # what is kept of a replica, as it was when it passed
        module.population.noted = STAGED

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        self.set_rates(module.population)

    def at(self, length: int) -> tuple[Task, Task]:
        """The task at a length, as it is learned and as it is tested; the same objects each time."""
        if length not in self.tasks:
            task = self.module.task
            self.tasks[length] = (task.at(length, self.mixing), task.at(length))
        return self.tasks[length]

    # -- what the population asks, see src/training/stages.py --------------------------------------------------------

    def learned(self, replica: int) -> Task:
        """The task at the replica's length."""
        return self.at(int(self.length[replica]))[0]

    def tested(self, replica: int) -> Task:
        """The task at the replica's length, without mixing."""
        return self.at(int(self.length[replica]))[1]

    def judge(self, population: Population, passed_A: np.ndarray, regular: bool) -> np.ndarray:
        """Notes the lengths that were passed, and moves on to others; returns who passed the last one."""
        replicas = list(population.live)
        last_A = self.length[replicas] == self.last
        for replica, passed in zip(replicas, passed_A, strict=True):
            if passed:
                population.last["reached"][replica] = self.length[replica]
            if regular:
                self.move(population, replica, bool(passed))
        self.set_rates(population)
        return passed_A & last_A

    # -- stages ------------------------------------------------------------------------------------------------------

    def move(self, population: Population, replica: int, passed: bool) -> None:
        """Moves a replica on to the next stage if it passed, or back if it has waited for too long."""
        length = int(self.length[replica])
        if passed:
            self.waited[replica] = 0
            self.length[replica] = longer(length, self.last, self.growth)
            if self.fallback == BACK:
                self.keep(population, replica)
            return
        self.waited[replica] += 1
        if self.waited[replica] < self.patience:
            return
        self.waited[replica] = 0
        if replica in self.passed:
            self.go_back(population, replica)
            reached = int(population.last["reached"][replica])
            if self.search and reached + 1 < length:
                self.length[replica] = self.nearest(population, replica, reached, length)

    def nearest(self, population: Population, replica: int, above: int, below: int) -> int:
        """The length between these two that a replica is nearest to knowing.

        What it has learned may be right at some lengths and wrong at those between. Each is tried on the same draws.
        The longest is taken of those with at most :data:`NEARLY` wrong; if there is none, of those with fewest.
        """
        lengths = list(range(above + 1, below))
        row = population.live.index(replica)
        place = (population.seeds[replica], int(population.updates[replica]))
        tasks = [self.at(length)[1] for length in lengths]
        network = self.module.network.select([row] * len(lengths))
        batch = fresh_batch(self.module.task, [place] * len(lengths), SEARCH, self.search, tasks)
        wrong_L = ask(network.wrong(batch.to(network.W.device), self.module.task)).float().mean(1).numpy()
        chosen = np.flatnonzero(wrong_L <= max(NEARLY, wrong_L.min()))
        return lengths[chosen[-1]]

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
        if self.exponent == 0 and self.cooling == 1:
            return
        reference = self.reference or self.begin
        shares = []
        for replica in population.live:
            share = (reference / int(self.length[replica])) ** self.exponent
            shares.append(share * self.cooling ** int(self.waited[replica]))
        share_A = torch.tensor(shares, dtype=torch.float64)
        lr_A = population.settings["lr"][population.live]
        theta_AP = population.stack.theta_AP
        population.stack.settings["lr"] = (lr_A * share_A).to(theta_AP)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"length": self.length.tolist(), "waited": self.waited.tolist(), "passed": self.passed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "stage" in state:  # of before lengths were searched for: counted from 0
            lengths = growing(self.begin, self.last, self.growth)
            state = state | {"length": [lengths[stage] for stage in state["stage"]]}
        self.length = np.array(state["length"])
        self.waited = np.array(state["waited"])
        self.passed = state["passed"]
