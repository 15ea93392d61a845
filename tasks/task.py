"""What every task says of itself: its sizes, its lengths, its loss, and when an answer is wrong.

Shapes: R replicas, T steps, B sequences, I inputs, O outputs; ``l`` is the length of a mini-batch, drawn anew for each.
"""

from abc import ABC, abstractmethod
from math import floor
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Task(ABC):
    """A task whose answer is read at the last step.

    Args:
        name: what tables call it.
        length: L, the nominal length in steps.
        max_length: if given, L is drawn for each mini-batch and replica from [length, max_length] (P13: 50 to 200).
        stretch: l is then drawn from [L, L + floor(stretch * L)); 0: l = L.
        batch_size: sequences of a training mini-batch.
    """

    inputs: ClassVar[int]
    """I: number of symbols, or of real-valued inputs."""
    outputs: ClassVar[int]
    """O: classes, or real-valued outputs."""
    minimum_length: ClassVar[int] = 1
    """Shortest L whose windows hold a step."""

    def __init__(
        self, name: str, length: int, max_length: int | None = None, stretch: float = 0.0, batch_size: int = 20
    ) -> None:
        self.name = name
        self.length, self.max_length = length, max_length
        self.stretch = stretch
        self.batch_size = batch_size

    @property
    def varies(self) -> bool:
        """Whether mini-batches differ in length."""
        return self.max_length is not None or self.stretch > 0

    def draw_length(self, draws: np.random.Generator) -> int:
        """l of one mini-batch: first L, then its stretch."""
        nominal = self.length
        if self.max_length is not None:
            nominal = int(draws.integers(self.length, self.max_length + 1))
        spread = floor(round(self.stretch * nominal, 9))
        return nominal + (int(draws.integers(spread)) if spread > 0 else 0)

    @abstractmethod
    def draw(self, length: int, batch: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sequences and targets as a function of the draws alone.

        Returns:
            inputs_TB (symbols, int8) or inputs_TBI (float32), and target_B.
        """

    @abstractmethod
    def loss(self, output_RBO: Tensor, target_RB: Tensor) -> Tensor:
        """Mean over the sequences, loss_R."""

    @property
    def loss_form(self) -> str | None:
        """The name under which a fused recurrence may know :meth:`loss`: ``cross_entropy`` or ``squared_error``."""
        return None

    @abstractmethod
    def wrong(self, output_RBO: Tensor, target_RB: Tensor) -> Tensor:
        """Which sequences are answered wrongly, bool wrong_RB. Outputs that are not finite are wrong."""


class Classification(Task):
    """Softmax and cross entropy on the last step; wrong when the largest output is not the class."""

    def loss(self, output_RBO: Tensor, target_RB: Tensor) -> Tensor:
        each = F.cross_entropy(output_RBO.flatten(0, 1), target_RB.flatten(), reduction="none")
        return each.view(target_RB.shape).mean(1)

    @property
    def loss_form(self) -> str | None:
        return "cross_entropy" if type(self).loss is Classification.loss else None

    def wrong(self, output_RBO: Tensor, target_RB: Tensor) -> Tensor:
        right = (output_RBO.argmax(-1) == target_RB) & output_RBO.isfinite().all(-1)
        return ~right


class Regression(Task):
    """One linear output and squared error on the last step.

    Args:
        criterion: an answer is wrong when ``squared`` error > .04 (P13) or ``absolute`` error > .04 (HS97, MS11, G16).
    """

    outputs: ClassVar[int] = 1
    tolerance = 0.04

    def __init__(self, *args: object, criterion: str = "squared", **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.criterion = criterion

    def loss(self, output_RBO: Tensor, target_RB: Tensor) -> Tensor:
        return (output_RBO[..., 0] - target_RB).square().mean(1)

    @property
    def loss_form(self) -> str | None:
        return "squared_error" if type(self).loss is Regression.loss and self.outputs == 1 else None

    def wrong(self, output_RBO: Tensor, target_RB: Tensor) -> Tensor:
        error = (output_RBO[..., 0] - target_RB).abs()
        bound = torch.tensor(self.tolerance, dtype=error.dtype)
        return ~((error.square() if self.criterion == "squared" else error) <= bound)
