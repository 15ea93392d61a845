"""The Lightning data module: blocks of updates for whoever still learns."""

from collections.abc import Iterator, Sequence

import pytorch_lightning as pl
import torch

from src.population import Population
from src.training.ahead import Ahead, Live, draw
from src.training.stages import OneStage, Stages
from tasks.batch import Batch
from tasks.block import NOTHING, Block, most_updates
from tasks.data import TrainingData
from tasks.task import Task


class Sequences(pl.LightningDataModule):
    """Yields blocks of updates for whoever in the population still learns.

    Args:
        task: what is drawn.
        population: asked for its live replicas and their updates before each block.
        block: most updates in a block; fewer where there are many long sequences. Changes nothing but the speed.
        max_steps: updates of each replica.
        stops: no block crosses a multiple of these many updates, where something is tested or logged.
        ahead: whether a thread draws the next block while a device learns from the last one.
        stages: which task each replica learns now; None: all learn ``task``.
    """

    def __init__(
        self,
        task: Task,
        population: Population,
        block: int,
        max_steps: int,
        stops: Sequence[int],
        ahead: bool = False,
        stages: Stages | None = None,
    ) -> None:
        super().__init__()
        self.stages = stages or OneStage(task)
        self.population = population
        self.block = block
        self.max_steps = max_steps
        self.stops = tuple(stops)
        self.data = TrainingData(task)
        self.ahead = Ahead(self.data) if ahead and not task.epochs else None
        self._seeds: list[int] = []  # of those whose sequences are in _epoch
        self._epoch: Batch | None = None
        self._round = 0  # of the epochs whose sequences differ, which one that is

    def train_dataloader(self) -> "_Blocks":
        return _Blocks(self)

    def transfer_batch_to_device(self, batch: Block, device: torch.device, dataloader_idx: int) -> Block:
        """Sends a block's mini-batches; nobody waits for them to arrive."""
        return batch.to(device)

    def teardown(self, stage: str) -> None:
        if self.ahead is not None:
            self.ahead.close()

    def length_at(self, step: int) -> int:
        """Updates in the block that begins here: up to the nearest stop, and never beyond max_steps."""
        longest = max((task.max_length or task.length for _, _, task in self.live()), default=0)
        steps = len(self.population.seeds) * self.data.task.batch_size * longest  # whoever leaves changes nothing
        most = min(self.block, most_updates(steps, self.ahead is not None))
        return min(most, self.max_steps - step, *(stop - step % stop for stop in self.stops))

    def next_block(self) -> Block:
        """The next updates' mini-batches, or one epoch's sequences."""
        if self.data.task.epochs:
            return Block.one(self.epoch(), self.data.task.every_step)
        step = self.population.step
        count = self.length_at(step)
        if self.ahead is None:
            return draw(self.data, self.live(), count)
        block = self.ahead.take(self.live(), count)
        self.ahead.begin(self.live(count), self.length_at(step + count))
        return block

    def live(self, ahead: int = 0) -> Live:
        """Who still learns, and what each learns now, so many updates ahead."""
        draws = self.population.draws(ahead)
        tasks = [self.stages.learned(replica) for replica in self.population.live]
        return [(seed, n, task) for (seed, n), task in zip(draws, tasks, strict=True)]

    def epoch(self) -> Batch:
        """The sequences of those who still learn, where a task is learned in epochs."""
        seeds = [self.population.seeds[r] for r in self.population.live]
        number = int(self.population.epochs[self.population.live].max()) % self.data.task.rounds
        if self._epoch is None or number != self._round:
            self._epoch = self.data.fixed(seeds, number)
            self._round = number
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
            yield NOTHING  # the signal came between two blocks: one more, without updates, for what ends a run
