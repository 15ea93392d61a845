"""Blocks drawn by a thread while a device learns from the one before."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from tasks.block import Block
from tasks.data import TrainingData
from tasks.task import Task

Live = Sequence[tuple[int, int, Task]]
"""Each replica's seed, its updates so far, and what it learns now."""


def draw(data: TrainingData, live: Live, count: int, pinned: bool = False) -> Block:
    """The mini-batches of the next updates of these replicas.

    Args:
        pinned: whether they shall lie in memory that a GPU reads by itself.
    """
    return Block.drawn([data.pieces(seed, n, count, task) for seed, n, task in live], data.task.every_step, pinned)


class Ahead:
    """Draws the block that is likely to be the next one, in memory that a GPU reads by itself.

    What is drawn is a function of seed, update and task alone. A block that was begun for replicas of which some have
    left is that of those who stay; one that was begun for anything else is thrown away.

    One thread: several wait for each other, as Python lets one at a time work, and make little of it (docs/cuda.md).

    Args:
        data: what is drawn.
    """

    def __init__(self, data: TrainingData) -> None:
        self.data = data
        self.thread = ThreadPoolExecutor(1)
        self.begun: tuple[Live, int, Future[Block]] | None = None

    def take(self, live: Live, count: int) -> Block:
        """The mini-batches of the next updates, from what was begun if they are there."""
        begun = self.begun
        self.begun = None
        if begun is None:
            return self._draw(live, count)
        known, length, future = begun
        block = future.result()
        if length != count or not set(live) <= set(known):
            return self._draw(live, count)
        if list(live) == list(known):
            return block
        return block.select([list(known).index(each) for each in live])

    def begin(self, live: Live, count: int) -> None:
        """Begins to draw the mini-batches of these updates."""
        if live and count > 0:
            self.begun = (live, count, self.thread.submit(self._draw, live, count))

    def close(self) -> None:
        """Lets the thread end."""
        self.thread.shutdown(cancel_futures=True)

    def _draw(self, live: Live, count: int) -> Block:
        return draw(self.data, live, count, pinned=torch.cuda.is_available())
