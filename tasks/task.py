"""What every task says of itself: its sizes, its lengths, its loss, and when an answer is wrong.

Shapes: R replicas, T steps, B sequences, I inputs, O outputs; ``l`` is the length of a mini-batch, drawn anew for each.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from enum import Enum
from math import ceil, floor
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CROSS_ENTROPY, HINGE, SQUARED_ERROR = "cross_entropy", "hinge", "squared_error"

MEMORYLESS = "memoryless"
"""The yardstick of who has forgotten what the task asks for, and otherwise answers as well as can be."""


class Split(Enum):
    """What sequences are drawn for. A generator makes fresh ones for all three; a corpus has a part for each."""

    TRAIN = "train"
    TEST = "test"  # of success, while training goes on
    EVALUATION = "evaluation"  # of what was trained


class Task(ABC):
    """A task whose answer is read at the last step or, if ``every_step``, at each.

    Args:
        name: what tables call it.
        length: L, the nominal length in steps.
        max_length: if given, L is drawn for each mini-batch and replica from [length, max_length] (P13: 50 to 200).
        stretch: l is then drawn from [L, L + floor(stretch * L)); 0: l = L.
        batch_size: sequences of a training mini-batch.
    """

    inputs: int
    """I: number of symbols, or of real-valued inputs."""
    outputs: int
    """O: classes, or real-valued outputs."""
    minimum_length: ClassVar[int] = 1
    """Shortest L whose windows hold a step."""
    every_step: bool = False
    """Whether there is a target at every step: target_RTB and output_RTBO instead of target_RB and output_RBO."""
    epochs: ClassVar[bool] = False
    """Whether a replica learns from the same ``batch_size`` sequences in every epoch, not from fresh ones for ever."""
    graded: ClassVar[bool] = True
    """Whether answers are right or wrong, so that a replica can solve the task; else only its loss is known."""
    in_bits: ClassVar[bool] = False
    """Whether people read its loss in bits, not in nats."""
    judged: str = "last"
    """With targets at every step: whether the answer at the ``last`` step decides what is wrong, or ``every`` one."""

    def __init__(
        self, name: str, length: int, max_length: int | None = None, stretch: float = 0.0, batch_size: int = 20
    ) -> None:
        self.name = name
        self.length, self.max_length = length, max_length
        self.stretch = stretch
        self.batch_size = batch_size

    def at(self, length: int, mixing: float = 1.0) -> Self:
        """The same task at another length.

        Args:
            length: L.
            mixing: below 1: L is drawn for each mini-batch from [mixing * length, length].
        """
        other = copy(self)
        shortest = ceil(round(mixing * length, 9))
        other.length = shortest
        other.max_length = length if shortest < length else None
        return other

    @property
    def varies(self) -> bool:
        """Whether mini-batches differ in length."""
        return self.max_length is not None or self.stretch > 0

    @property
    def rounds(self) -> int:
        """Epochs after which the same sequences come again."""
        return 1

    @property
    def held(self) -> int:
        """Bytes that it holds, however many replicas there are."""
        return 0

    def draw_length(self, draws: np.random.Generator) -> int:
        """l of one mini-batch: first L, then its stretch."""
        nominal = self.length
        if self.max_length is not None:
            nominal = int(draws.integers(self.length, self.max_length + 1))
        spread = floor(round(self.stretch * nominal, 9))
        return nominal + (int(draws.integers(spread)) if spread > 0 else 0)

    @abstractmethod
    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sequences and targets as a function of the arguments alone.

        Args:
            length: steps of every sequence.
            batch: number of sequences.
            draws: the only source of randomness.
            split: what the sequences are for; no matter to a task that makes them up.

        Returns:
            inputs_TB (symbols, integers) or inputs_TBI (float32), and target_B, or target_TB if ``every_step``.
        """

    def epoch(self, number: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sequences and targets of one epoch, from 0; the same ones in each unless a task has more of them."""
        return self.draw(self.length, self.batch_size, draws, Split.TRAIN)

    def continues(self, number: int) -> bool:
        """Whether the sequences of this epoch go on where those of the epoch before have ended, so that the state is
        carried over."""
        return number % self.rounds != 0

    def about(self) -> str | None:
        """One line that is printed before training: what is learned from; None: the name says it."""
        return None

    def keepsake(self) -> dict[str, str]:
        """What a checkpoint keeps beside the parameters, because they mean nothing without it; a run goes on only with
        the same."""
        return {}

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor, length_R: Tensor | None = None) -> Tensor:
        """Mean over the sequences and, with targets at every step, over each replica's ``length_R`` steps: loss_R."""

    def yardsticks(self) -> dict[str, float]:
        """Losses on fresh sequences of what needs no network, by name: what a loss can be compared with.

        Of a task whose answers are neither right nor wrong the names are columns of loss.csv. Of another task figures
        of the loss have a line at :data:`MEMORYLESS`, if it has one.
        """
        return {}

    def over_lengths(self, value: Callable[[int], float]) -> float:
        """The mean of a function of l over all lengths that a mini-batch may have."""
        longest = self.length if self.max_length is None else self.max_length
        means = []
        for nominal in range(self.length, longest + 1):
            spread = max(1, floor(round(self.stretch * nominal, 9)))
            means.append(sum(value(nominal + extra) for extra in range(spread)) / spread)
        return sum(means) / len(means)

    @property
    def evaluated(self) -> int:
        """Sequences of a replica's last test where answers are neither right nor wrong."""
        return self.batch_size

    @property
    def loss_form(self) -> str | None:
        """The name under which a fused recurrence may know :meth:`loss`: ``cross_entropy`` or ``squared_error``."""
        return None

    @abstractmethod
    def wrong(self, output: Tensor, target: Tensor) -> Tensor:
        """Which answers are wrong, bool, of the target's shape. Outputs that are not finite are wrong."""


def mean(each: Tensor, length_R: Tensor | None) -> Tensor:
    """Over the sequences, each_RB, or over sequences and steps, each_RTB, of which padding does not count: R."""
    if each.ndim == 2:
        return each.mean(1)
    _, T, B = each.shape
    if length_R is None:
        length_R = torch.full(each.shape[:1], T, device=each.device)
    inside = torch.arange(T, device=each.device) < length_R[:, None]
    # step after step, so that padding changes no bit
    return torch.where(inside[..., None], each, 0.0).sum(2).cumsum(1)[:, -1] / (length_R.clamp(min=1) * B)


class Classification(Task):
    """One output a class; wrong when the largest output is not the class's.

    Args:
        loss: ``cross_entropy`` of the softmax, or ``hinge``: max(0, 1 - s y) of each output y, where s is 1 for the
            output of the class and -1 for the others; the mean over outputs (G16).
    """

    def __init__(self, *args: object, loss: str = CROSS_ENTROPY, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.form = loss

    def loss(self, output: Tensor, target: Tensor, length_R: Tensor | None = None) -> Tensor:
        if self.form == HINGE:
            sign = 2 * F.one_hot(target, self.outputs) - 1
            return mean((1 - sign * output).clamp(min=0).mean(-1), length_R)
        each = F.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="none")
        return mean(each.view(target.shape), length_R)

    @property
    def loss_form(self) -> str | None:
        known = type(self).loss is Classification.loss and self.form == CROSS_ENTROPY
        return CROSS_ENTROPY if known else None

    def wrong(self, output: Tensor, target: Tensor) -> Tensor:
        right = (output.argmax(-1) == target) & output.isfinite().all(-1)
        return ~right


class Regression(Task):
    """Linear outputs and squared error, the mean over outputs.

    With one output targets are numbers, target_RB or target_RTB. With several they have a last dimension for them,
    target_RBO or target_RTBO, and an answer is wrong where any of its outputs is.

    Args:
        criterion: an answer is wrong when ``squared`` error > .04 (P13) or ``absolute`` error > .04 (HS97, MS11, G16).
    """

    outputs = 1
    tolerance = 0.04

    def __init__(self, *args: object, criterion: str = "squared", **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.criterion = criterion

    def loss(self, output: Tensor, target: Tensor, length_R: Tensor | None = None) -> Tensor:
        return mean(self._errors(output, target).square().mean(-1), length_R)

    @property
    def loss_form(self) -> str | None:
        return SQUARED_ERROR if type(self).loss is Regression.loss and self.outputs == 1 else None

    def wrong(self, output: Tensor, target: Tensor) -> Tensor:
        error = self._errors(output, target).abs()
        bound = torch.tensor(self.tolerance, dtype=error.dtype)
        return ~((error.square() if self.criterion == "squared" else error) <= bound).all(-1)

    def _errors(self, output: Tensor, target: Tensor) -> Tensor:
        """The error of each output."""
        return output - (target[..., None] if self.outputs == 1 else target)
