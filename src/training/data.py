"""The Lightning data module: blocks of updates for whoever still learns."""

from collections.abc import Iterator, Sequence

import pytorch_lightning as pl

from src.population import Population
from tasks.batch import Batch, collate
from tasks.data import TrainingData
from tasks.task import Task

Block = list[Batch]
"""Mini-batches of consecutive updates, or the sequences of an epoch: what one batch of the loader holds."""


class Sequences(pl.LightningDataModule):
    """Yields blocks of updates for whoever in the population still learns.

    Args:
        task: what is drawn.
        population: asked for its live replicas and their updates before each block.
        block: most updates in a block. Changes nothing but the speed.
        max_steps: updates of each replica.
        stops: no block crosses a multiple of these many updates, where something is tested or logged.
    """

    def __init__(self, task: Task, population: Population, block: int, max_steps: int, stops: Sequence[int]) -> None:
        super().__init__()
        self.population = population
        self.block = block
        self.max_steps = max_steps
        self.stops = tuple(stops)
        self.data = TrainingData(task)
        self._seeds: list[int] = []  # of those whose sequences are in _epoch
        self._epoch: Batch | None = None

    def train_dataloader(self) -> "_Blocks":
        return _Blocks(self)

    def length_of_next(self) -> int:
        """Updates in the next block: up to the nearest stop, and never beyond max_steps."""
        step = self.population.step
        return min(self.block, self.max_steps - step, *(stop - step % stop for stop in self.stops))

    def next_block(self) -> Block:
        """The next updates' mini-batches, or one epoch's sequences."""
        if self.data.task.epochs:
            return [self.epoch()]
        live = self.population.draws()
        return [collate([self.data(seed, n + k) for seed, n in live]) for k in range(self.length_of_next())]

    def epoch(self) -> Batch:
        """The sequences of those who still learn, where a task is learned in epochs."""
        seeds = [self.population.seeds[r] for r in self.population.live]
        if self._epoch is None:
            self._epoch = self.data.fixed(seeds)
        elif self._seeds != seeds:
            self._epoch = self._epoch.select([self._seeds.index(seed) for seed in seeds])
        self._seeds = seeds
        return self._epoch


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
        in_epochs = self.source.data.task.epochs  # who has spent the budget then leaves by itself
        population = self.source.population
        while population.learning and (in_epochs or population.step < self.source.max_steps):
            yield self.source.next_block()
        if population.interrupt is not None and population.unreported:
            yield []  # the signal came between two blocks: one more, without updates, for what ends a run
