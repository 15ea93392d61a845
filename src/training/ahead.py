"""Blocks drawn by threads while a device learns from the one before."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from tasks.batch import Batch, Pair, collate
from tasks.data import TrainingData
from tasks.task import Task

Live = Sequence[tuple[int, int, Task]]
"""Each replica's seed, its updates so far, and what it learns now."""


ALIGNED = 64
"""Every mini-batch begins at a multiple of so many numbers: kernels are compiled for addresses divisible by 16."""


def draw(data: TrainingData, live: Live, count: int) -> list[Batch]:
    """The mini-batches of the next updates of these replicas."""
    return [collate([data(seed, n + k, task) for seed, n, task in live]) for k in range(count)]


class Ahead:
    """Draws the block that is likely to be the next one, in memory that a GPU reads by itself.

    What is drawn is a function of seed, update and task alone. A block that was begun for replicas of which some have
    left is that of those who stay; one that was begun for anything else is thrown away.

    Args:
        data: what is drawn.
        threads: that draw and collate.
    """

    def __init__(self, data: TrainingData, threads: int) -> None:
        self.data = data
        self.pool = ThreadPoolExecutor(threads)
        self.leader = ThreadPoolExecutor(1)  # waits for the others, so that the caller need not
        self.begun: tuple[Live, int, Future[list[Batch]]] | None = None

    def take(self, live: Live, count: int) -> list[Batch]:
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
        rows = [list(known).index(each) for each in live]
        return _ready([batch.select(rows).trimmed(self.data.task.every_step) for batch in block])

    def begin(self, live: Live, count: int) -> None:
        """Begins to draw the mini-batches of these updates."""
        if live and count > 0:
            self.begun = (live, count, self.leader.submit(self._draw, live, count))

    def close(self) -> None:
        """Lets the threads end."""
        self.leader.shutdown(cancel_futures=True)
        self.pool.shutdown(cancel_futures=True)

    def _draw(self, live: Live, count: int) -> list[Batch]:
        """Draws a block, a replica a thread; then puts it together, an update a thread."""

        def of_replica(own: tuple[int, int, Task]) -> list[Pair]:
            seed, n, task = own
            return [self.data(seed, n + k, task) for k in range(count)]

        drawn = list(self.pool.map(of_replica, live))

        def of_update(k: int) -> Batch:
            return collate([own[k] for own in drawn])

        return _ready(list(self.pool.map(of_update, range(count))))


def _ready(block: list[Batch]) -> list[Batch]:
    """The same in pinned memory, where there is a GPU to read it."""
    if not block:
        return block
    return side_by_side(block, torch.Tensor.pin_memory) if torch.cuda.is_available() else block


def side_by_side(block: list[Batch], placed: Callable[[Tensor], Tensor]) -> list[Batch]:
    """The same mini-batches in three pieces of memory, so that a device fetches three and not three of each update.

    Args:
        placed: where a piece shall lie.
    """
    kinds = []
    for tensors in zip(*[batch[:3] for batch in block], strict=True):
        sizes = [-(-tensor.numel() // ALIGNED) * ALIGNED for tensor in tensors]
        piece = torch.empty(sum(sizes), dtype=tensors[0].dtype)
        for part, tensor in zip(piece.split(sizes), tensors, strict=True):
            part[: tensor.numel()] = tensor.flatten()
        parts = placed(piece).split(sizes)
        kinds.append([part[: t.numel()].view(t.shape) for part, t in zip(parts, tensors, strict=True)])
    inputs, target, length = kinds
    return [Batch(inputs[k], target[k], length[k], batch.lengths) for k, batch in enumerate(block)]


def fetched(block: list[Batch], device: torch.device) -> list[Batch]:
    """A block on its way to a device: pieces of memory that mini-batches share are sent once. Nobody waits."""
    if device.type == "cpu":
        return block
    pieces: dict[int, Tensor] = {}

    def fetch(tensor: Tensor) -> Tensor:
        piece = tensor._base
        if piece is None or piece.ndim != 1:
            return tensor.to(device, non_blocking=True)
        if id(piece) not in pieces:
            pieces[id(piece)] = piece.to(device, non_blocking=True)
        return pieces[id(piece)].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    return [batch.each(fetch, batch.lengths) for batch in block]
