"""What a method is that makes whole updates itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from src.directions import Draws
from src.population.stack import Stack
from tasks.batch import Batch
from tasks.task import Task


class Solver(ABC):
    """Makes whole updates itself: neither a direction nor clipping has a part in them.

    What it remembers it keeps in the state of the stack, as tensors with a row per replica.
    """

    metrics: ClassVar[tuple[str, ...]] = ()
    """Names of what its updates tell besides loss and gradient norm: columns of history.csv, tags train/NAME."""

    @abstractmethod
    def update(
        self, stack: Stack, batch: Batch, task: Task, step: Callable[[], object], draws: Draws
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Makes one update of all rows of a stack on the CPU.

        Args:
            batch: a mini-batch for each row.
            step: subtracts the gradients of the stack from its parameters.
            draws: each row's seed and updates so far.

        Returns:
            metrics, one number per row each, and which rows have diverged, so that they stay as they are; None: none.
        """
