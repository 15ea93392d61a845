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
from src.training.success import shares
from tasks.task import Task

BACK = "back"
"""Whoever does not pass a stage goes back to the parameters that passed the one before."""

STAY = "stay"
"""Whoever does not pass a stage stays in it, with the parameters that it has."""

THETA = "theta"
"""Name of the parameters among what is kept of a replica; the others are of the optimizer."""


TRIED = 100
"""Sequences on which a length is tried."""

NEARLY = 3
"""A length is nearly right if at most this many times the errors of a passed test are made there."""

AT_ONCE = 10
"""Lengths that are tried together."""

CANDIDATES = 100
"""Lengths that are tried at most before a replica goes on; of more, so many, evenly."""


def longer(length: int, growth: float, last: int) -> int:
    """``growth`` times a length, rounded up, at least a step more, and never above the last."""
    return min(last, max(length + 1, ceil(round(growth * length, 9))))


def growing(first: int, last: int, growth: float) -> list[int]:
    """All lengths of a curriculum without a search."""
    lengths = [first]
    while lengths[-1] < last:
        lengths.append(longer(lengths[-1], growth, last))
    return lengths


class Curriculum(pl.Callback):
    """Lengthens the sequences of each replica whenever it passes the success test at its own length.

    The last length is the task's. Who passes it has solved the task. Mini-batch n of a replica is a function of its
    seed, of n and of its length. The count of its updates never goes back, so no mini-batch is seen twice.

    Args:
        first: length of the first stage; None: the task's, so that there is one stage.
        growth: factor from a stage to the next one, above 1.
        search: factor to the longest next one, at least ``growth``: the replica is tried at the lengths between the two
            and goes on to the longest that it answers nearly right, see :meth:`nearest`. None: always to the shortest.
        patience: tests without success after which a replica goes back.
        fallback: ``back``: to its parameters, and its rows of the optimizer's memory, as they were when it passed the
            stage before; in the first stage there are none, and it stays. With a search it goes on to another length
            then. ``stay``: it never goes back.
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
        search: float | None = None,
    ) -> None:
        self.first = first
        self.growth = growth
        self.patience = patience
        self.fallback = fallback
        self.mixing = mixing
        self.exponent = exponent
        self.reference = reference
        self.search = search

    def setup(self, trainer: pl.Trainer, module: Training, stage: str) -> None:  # type: ignore[override]
        self.module = module
        self.last = module.task.length
        self.begin = self.first or self.last
        self.tasks: dict[int, tuple[Task, Task]] = {}
        replicas = len(module.population.seeds)
        self.length = np.full(replicas, self.begin)
        self.waited = np.zeros(replicas, dtype=int)  # tests without success
        self.passed: dict[int, dict[str, Tensor]] = {}  # what is kept of a replica, as it was when it passed
        self.missed: dict[int, list[int]] = {}  # lengths from which a replica went back since it passed
        module.population.noted = STAGED

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        self.set_rates(module.population)

    # -- what the population asks, see src/training/stages.py --------------------------------------------------------

    def learned(self, replica: int) -> Task:
        """The task at the replica's length."""
        return self.at(int(self.length[replica]))[0]

    def tested(self, replica: int) -> Task:
        """The task at the replica's length, without mixing."""
        return self.at(int(self.length[replica]))[1]

    def at(self, length: int) -> tuple[Task, Task]:
        """The task as it is learned and as it is tested at a length; the same objects each time."""
        if length not in self.tasks:
            task = self.module.task
            self.tasks[length] = (task.at(length, self.mixing), task.at(length))
        return self.tasks[length]

    def judge(self, population: Population, passed_A: np.ndarray, regular: bool) -> np.ndarray:
        """Notes the lengths that were passed, and moves on to others; returns who passed the last one."""
        replicas = list(population.live)
        last_A = self.length[replicas] == self.last
        for replica, passed in zip(replicas, passed_A, strict=True):
            if passed:
                population.last["reached"][replica] = self.length[replica]
            if regular and population.last["reached"][replica] != self.last:
                self.move(population, replica, bool(passed))
        self.set_rates(population)
        return passed_A & last_A

    # -- stages ------------------------------------------------------------------------------------------------------

    def move(self, population: Population, replica: int, passed: bool) -> None:
        """Moves a replica on to the next stage if it passed, or back if it has waited for too long."""
        if passed:
            self.waited[replica] = 0
            self.missed.pop(replica, None)
            if self.fallback == BACK:
                self.keep(population, replica)
            self.length[replica] = self.next_length(population, replica)
            return
        self.waited[replica] += 1
        if self.waited[replica] < self.patience:
            return
        self.waited[replica] = 0
        if replica in self.passed:
            self.go_back(population, replica)
            if self.search is not None:
                self.missed.setdefault(replica, []).append(int(self.length[replica]))
            self.length[replica] = self.next_length(population, replica)

    def next_length(self, population: Population, replica: int) -> int:
        """The length after the longest that a replica has passed.

        From where it went back it does not go at once again, and then shorter lengths than ``growth`` asks for will do.
        """
        reached = int(population.last["reached"][replica])
        shortest = longer(reached, self.growth, self.last)
        if self.search is None:
            return shortest
        missed = self.missed.get(replica, [])
        if missed:
            shortest = min(reached + 1, self.last)
        longest = longer(reached, self.search, self.last)
        lengths = [length for length in range(shortest, longest + 1) if length not in missed]
        if not lengths:
            missed.clear()
            return longest
        return self.nearest(population, replica, lengths)

    def nearest(self, population: Population, replica: int, lengths: list[int]) -> int:
        """The longest of some lengths that a replica answers nearly right, or the one where it is wrong least often.

        A network that has learned one length may be right at some of the next, and wrong at those between. Where the
        task stretches its lengths, each is tried at one of those that it is stretched to.
        """
        few = np.linspace(0, len(lengths) - 1, min(len(lengths), CANDIDATES)).round().astype(int)
        tried = [lengths[index] for index in few]
        if len(tried) == 1:
            return tried[0]
        row = self.module.network.select([population.live.index(replica)])
        place = (population.seeds[replica], int(population.updates[replica]))
        nearly = NEARLY * self.module.success.max_error
        best, least = tried[-1], np.inf
        for end in range(len(tried), 0, -AT_ONCE):  # the longest first: often one of them will do
            some = tried[max(0, end - AT_ONCE) : end]
            wrong_L = shares(row, self.module.task, place, [self.at(length)[1] for length in some], TRIED)
            if wrong_L.min() < least:
                least = wrong_L.min()
                best = some[np.flatnonzero(wrong_L <= max(nearly, least))[-1]]
            if least <= nearly:
                break
        return best

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
        reference = self.reference or self.begin
        shares_A = [(reference / int(self.length[replica])) ** self.exponent for replica in population.live]
        share_A = torch.tensor(shares_A, dtype=torch.float64)
        lr_A = population.settings["lr"][population.live]
        theta_AP = population.stack.theta_AP
        population.stack.settings["lr"] = (lr_A * share_A).to(theta_AP)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "length": self.length.tolist(),
            "waited": self.waited.tolist(),
            "passed": self.passed,
            "missed": self.missed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "stage" in state:  # of before there was a search: stages are counted from 0
            lengths = growing(self.begin, self.last, self.growth)
            state = state | {"length": [lengths[stage] for stage in state["stage"]], "missed": {}}
        self.length = np.array(state["length"])
        self.waited = np.array(state["waited"])
        self.passed = state["passed"]
        self.missed = state["missed"]
