"""Which task each replica learns and is tested on, and what follows from its test; a curriculum decides otherwise."""

from typing import Protocol

import numpy as np

from src.population import Population
from tasks.task import Task


class Stages(Protocol):
    """What a population asks about the stages of its replicas."""

    def learned(self, replica: int) -> Task:
        """The task that a replica learns now; the same object until its stage changes."""

    def tested(self, replica: int) -> Task:
        """The task that a replica is tested on now."""

    def judge(self, population: Population, passed_A: np.ndarray, regular: bool) -> np.ndarray:
        """Takes the outcome of a test of the living, and returns who has solved the task with it.

        Args:
            passed_A: who passed.
            regular: whether training goes on after this test; only then may anything change.
        """


class OneStage:
    """All replicas learn one task, and who passes has solved it.

    Args:
        task: what is learned.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def learned(self, replica: int) -> Task:
        """The task."""
        return self.task

    def tested(self, replica: int) -> Task:
        """The task."""
        return self.task

    def judge(self, population: Population, passed_A: np.ndarray, regular: bool) -> np.ndarray:
        """Whoever passed has solved the task."""
        return passed_A
