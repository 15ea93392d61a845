"""Solved or not: the share of fresh sequences a replica answers wrongly (P13)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.network import Network
from src.recurrence import ask
from tasks.data import fresh_batch
from tasks.draws import Stream
from tasks.task import Task

BATCH = 1000
"""Sequences tested at a time, all of one length."""


@dataclass(frozen=True)
class SuccessTest:
    """A replica has solved the task when fewer than ``max_error`` of ``sequences`` fresh sequences are wrong.

    Args:
        max_error: in (0, 1). P13: .01; Pcode stops at no error at all, which any number below 1 / sequences means.
        check_every: updates between tests.
        sequences: in a test.
        leave: whether a replica that has solved the task learns no more; else it goes on to the end of its budget.
    """

    max_error: float
    check_every: int
    sequences: int
    leave: bool = True

    def passed(self, wrong: np.ndarray) -> np.ndarray:
        """Whether so many wrong answers of all sequences are few enough."""
        return wrong / self.sequences < self.max_error

    def run(
        self,
        network: Network,
        task: Task,
        seeds: Sequence[int],
        updates: Sequence[int],
        full: bool = False,
        tasks: Sequence[Task] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tests the network's replicas on sequences that are a function of their seed and update alone.

        Unless ``full``, a replica's test stops with the batch in which it can no longer pass.

        Args:
            tasks: the task at each replica's own length; None: all are tested on ``task``.

        Returns:
            share of wrong sequences among those seen, and whether the test was passed; one a replica.
        """
        device = network.W.device
        wrong, seen = np.zeros(len(seeds), dtype=int), np.zeros(len(seeds), dtype=int)
        undecided = list(range(len(seeds)))
        for part, first in enumerate(range(0, self.sequences, BATCH)):
            size = min(BATCH, self.sequences - first)
            replicas = [(seeds[r], int(updates[r])) for r in undecided]
            own = None if tasks is None else [tasks[r] for r in undecided]
            batch = fresh_batch(task, replicas, part, size, own).to(device)
            some = network if len(undecided) == len(seeds) else network.select(undecided)
            wrong_RB = some.wrong(batch, task)
            wrong[undecided] += ask(wrong_RB).sum(1).numpy()
            seen[undecided] += size
            if not full:
                undecided = [r for r in undecided if wrong[r] / self.sequences <= self.max_error]
            if not undecided:
                break
        return wrong / seen, (seen == self.sequences) & self.passed(wrong)


def shares(network: Network, task: Task, place: tuple[int, int], tasks: Sequence[Task], sequences: int) -> np.ndarray:
    """Share of wrong answers of one replica at each of some lengths, tried together.

    Args:
        network: of this replica alone.
        place: its seed and the number of its updates, of which the sequences are a function.
        tasks: the task at each length.
        sequences: at each of them.
    """
    batch = fresh_batch(task, [place] * len(tasks), 0, sequences, tasks, Stream.SEARCH).to(network.W.device)
    wrong_LB = network.select([0] * len(tasks)).wrong(batch, task)
    return ask(wrong_LB).float().mean(1).numpy()
