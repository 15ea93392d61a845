"""Mini-batches as functions of a replica's seed and of what it has done so far: for training, tests and evaluations."""

from collections.abc import Sequence

import numpy as np

from tasks.batch import Batch, Pair, collate
from tasks.block import Piece
from tasks.draws import DRAW, Stream, generator
from tasks.task import Split, Task


class TrainingData:
    """Mini-batch number n of a seed, drawn in blocks of DRAW updates; the last block of each seed is remembered."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._known: dict[int, tuple[int, Task, list[Piece]]] = {}

    def __call__(self, seed: int, update: int, task: Task | None = None) -> Pair:
        """Inputs and targets of update 0, 1, …: a function of the seed, the update and the task.

        Args:
            task: this one at a length of the replica's own; None: as it is.
        """
        (piece,) = self.pieces(seed, update, 1, task or self.task)
        return piece.at(0)

    def pieces(self, seed: int, first: int, count: int, task: Task) -> list[Piece]:
        """The same of several updates from a first one on, in order."""
        found: list[Piece] = []
        end = first + count
        while first < end:
            index, within = divmod(first, DRAW)
            last = min(DRAW, within + end - first)
            drawn = self._drawn(task, seed, index)
            found += drawn[within:last] if task.varies else [drawn[0].between(within, last)]
            first += last - within
        return found

    def fixed(self, seeds: Sequence[int], epoch: int = 0) -> Batch:
        """The sequences of one epoch of a task that is learned in epochs."""
        return collate([self.task.epoch(epoch, generator(seed, Stream.DATA, 0)) for seed in seeds])

    def _drawn(self, task: Task, seed: int, index: int) -> list[Piece]:
        """DRAW updates: a piece each where lengths vary, else in one piece."""
        known = self._known.get(seed)
        if known is None or known[0] != index or known[1] is not task:
            known = (index, task, self._draw(task, seed, index))
            self._known[seed] = known
        return known[2]

    def _draw(self, task: Task, seed: int, index: int) -> list[Piece]:
        draws = generator(seed, Stream.DATA, index)
        size = task.batch_size
        if not task.varies:
            return [_piece(task, DRAW, *task.draw(task.length, DRAW * size, draws, Split.TRAIN))]
        lengths = generator(seed, Stream.LENGTH, index)
        drawn = [task.draw(task.draw_length(lengths), size, draws, Split.TRAIN) for _ in range(DRAW)]
        return [_piece(task, 1, *pair) for pair in drawn]


def _piece(task: Task, updates: int, inputs: np.ndarray, target: np.ndarray) -> Piece:
    """What was drawn for so many updates at once, whose sequences lie one after the other."""
    inputs = inputs.reshape(len(inputs), updates, -1, *inputs.shape[2:]).swapaxes(0, 1)
    if task.every_step:
        return Piece(inputs, target.reshape(len(target), updates, -1, *target.shape[2:]).swapaxes(0, 1))
    return Piece(inputs, target.reshape(updates, -1, *target.shape[1:]))


def fresh_batch(
    task: Task,
    replicas: Sequence[tuple[int, int]],
    part: int,
    size: int,
    tasks: Sequence[Task] | None = None,
    stream: Stream = Stream.TEST,
) -> Batch:
    """One part of the success test of each replica, or of the search for its next length.

    Args:
        replicas: seed and number of updates of each; the sequences, and their length, are a function of these.
        part: number of the part, from 0.
        size: sequences in it.
        tasks: the task at each replica's own length; None: all are tested on ``task``.
        stream: what the draws are for.
    """
    drawn = []
    for (seed, updates), own in zip(replicas, tasks or [task] * len(replicas), strict=True):
        draws = generator(seed, stream, updates, part)
        drawn.append(own.draw(own.draw_length(draws), size, draws, Split.TEST))
    return collate(drawn)


def evaluation_batch(task: Task, seed: int, part: int, size: int) -> Batch:
    """One part of the evaluation of one replica: a function of its seed, the task's length and the part.

    Methods are evaluated on the same sequences. Where the task stretches its length, every part has its own.
    """
    draws = generator(seed, Stream.EVALUATION, task.length, part)
    return collate([task.draw(task.draw_length(draws), size, draws, Split.EVALUATION)])
