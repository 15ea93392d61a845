"""Training data for a population, in blocks of updates, and fresh test data. All are functions of the draws."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from tasks.draws import DRAW, Stream, generator
from tasks.task import Task

if TYPE_CHECKING:
    from src.population import Population


class Batch(NamedTuple):
    """A mini-batch for each of R replicas; shorter ones are padded to the longest."""

    inputs: Tensor  # symbols RTB, integers as they were drawn, or vectors RTBI float32
    target: Tensor  # RB, or RTB where there is one at every step, or RTBO; classes int64
    length: Tensor  # R, int64

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device) for tensor in self))

    def select(self, rows: Sequence[int]) -> "Batch":
        """The mini-batches of some replicas."""
        return Batch(*(tensor[list(rows)] for tensor in self))

    def cut(self, borders: Iterable[int]) -> Iterator["Batch"]:
        """The parts between these steps, the first of which is 0; targets are cut where there is one at every step."""
        every_step = self.target.ndim > 2
        for first, end in pairwise(borders):
            steps = slice(first, end)
            inputs, target = self.inputs[:, steps], self.target[:, steps] if every_step else self.target
            yield Batch(inputs, target, (self.length - first).clamp(0, inputs.shape[1]))


Block = list[Batch]
"""Mini-batches of consecutive updates: what one batch of the loader holds."""


def collate(drawn: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    """Stacks one mini-batch a replica, padding at the end."""
    lengths = [len(inputs) for inputs, _ in drawn]
    inputs_R, target_R = (_pad([pair[part] for pair in drawn]) for part in (0, 1))
    if np.issubdtype(target_R.dtype, np.integer):
        target_R = target_R.astype(np.int64)  # what torch's losses want of classes
    return Batch(torch.from_numpy(inputs_R), torch.from_numpy(target_R), torch.tensor(lengths))


def _pad(arrays: list[np.ndarray]) -> np.ndarray:
    """As one, with zeros after the shorter ones."""
    longest = max(map(len, arrays))
    padded = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype=arrays[0].dtype)
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = array
    return padded


def fresh_batch(task: Task, replicas: Sequence[tuple[int, int]], part: int, size: int) -> Batch:
    """Batch number ``part`` of the test of each replica, given by (seed, updates so far); each has its own length."""
    drawn = []
    for seed, updates in replicas:
        draws = generator(seed, Stream.TEST, updates, part)
        drawn.append(task.draw(task.draw_length(draws), size, draws))
    return collate(drawn)


class TrainingData:
    """Mini-batch number n of a seed, from blocks of DRAW updates of which the last one is remembered."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._block: dict[int, tuple[int, list[tuple[np.ndarray, np.ndarray]]]] = {}

    def __call__(self, seed: int, update: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of update 0, 1, …: a function of the seed and the update."""
        index, within = divmod(update, DRAW)
        if self._block.get(seed, (-1,))[0] != index:
            self._block[seed] = (index, self._draw(seed, index))
        return self._block[seed][1][within]

    def fixed(self, seeds: Sequence[int]) -> Batch:
        """The sequences of a fixed data set."""
        task = self.task
        return collate([task.draw(task.length, task.batch_size, generator(seed, Stream.DATA, 0)) for seed in seeds])

    def _draw(self, seed: int, index: int) -> list[tuple[np.ndarray, np.ndarray]]:
        task, draws, size = self.task, generator(seed, Stream.DATA, index), self.task.batch_size
        if task.varies:
            lengths = generator(seed, Stream.LENGTH, index)
            return [task.draw(task.draw_length(lengths), size, draws) for _ in range(DRAW)]
        inputs, target = task.draw(task.length, DRAW * size, draws)
        parts = [slice(k * size, (k + 1) * size) for k in range(DRAW)]
        return [(inputs[:, part], target[..., part]) for part in parts]


class Sequences(pl.LightningDataModule):
    """Yields blocks of updates for whoever in the population still learns.

    Args:
        task: what is drawn.
        population: asked for its live replicas and their updates before each block.
        block: most updates in a block. Changes nothing but the speed.
        max_steps: updates of each replica.
        stops: no block crosses a multiple of these many updates, where something is tested or logged.
    """

    def __init__(self, task: Task, population: "Population", block: int, max_steps: int, stops: Sequence[int]) -> None:
        super().__init__()
        self.population = population
        self.block = block
        self.max_steps = max_steps
        self.stops = tuple(stops)
        self.data = TrainingData(task)
        self._epoch: tuple[list[int], Batch] | None = None  # of a fixed data set: seeds and sequences

    def train_dataloader(self) -> "_Blocks":
        return _Blocks(self)

    def length_of_next(self) -> int:
        """Updates in the next block: up to the nearest stop, and never beyond max_steps."""
        step = self.population.step
        return min(self.block, self.max_steps - step, *(stop - step % stop for stop in self.stops))

    def next_block(self) -> Block:
        if self.data.task.fixed_data:
            return [self.epoch()]
        live = [(self.population.seeds[r], int(self.population.updates[r])) for r in self.population.live]
        return [collate([self.data(seed, n + k) for seed, n in live]) for k in range(self.length_of_next())]

    def epoch(self) -> Batch:
        """The fixed data of those who still learn."""
        seeds = [self.population.seeds[r] for r in self.population.live]
        if self._epoch is None:
            self._epoch = (seeds, self.data.fixed(seeds))
        before, batch = self._epoch
        if before != seeds:
            self._epoch = (seeds, batch.select([before.index(seed) for seed in seeds]))
        return self._epoch[1]


class _Blocks:
    """The loader. It has a length because Lightning would otherwise fetch one block ahead of who has left by then."""

    def __init__(self, source: Sequences) -> None:
        self.source = source

    def __len__(self) -> int:
        return 10**9  # a bound: iteration ends when nobody learns any more

    def state_dict(self) -> dict[str, int]:
        """Nothing: the population knows how far it is. Lightning asks before it believes that a loader can resume."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass

    def __iter__(self) -> Iterator[Block]:
        fixed = self.source.data.task.fixed_data  # who has spent the budget then leaves by itself
        population = self.source.population
        while population.learning and (fixed or population.step < self.source.max_steps):
            yield self.source.next_block()
        if self.source.population.interrupt is not None and self.source.population.unreported:
            yield []  # the signal came between two blocks: one more, without updates, for what ends a run
