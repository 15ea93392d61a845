"""Mini-batches as functions of a replica's seed and of what it has done so far: for training, tests and evaluations."""

from collections.abc import Sequence

from tasks.batch import Batch, Pair, collate
from tasks.draws import DRAW, Stream, generator
from tasks.task import Split, Task


class TrainingData:
    """Mini-batch number n of a seed, drawn in blocks of DRAW updates; the last block of each seed is remembered."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._blocks: dict[int, tuple[int, Task, list[Pair]]] = {}

    def __call__(self, seed: int, update: int, task: Task | None = None) -> Pair:
        """Inputs and targets of update 0, 1, …: a function of the seed, the update and the task.

        Args:
            task: this one at a length of the replica's own; None: as it is.
        """
        task = task or self.task
        index, within = divmod(update, DRAW)
        known = self._blocks.get(seed)
        if known is None or known[0] != index or known[1] is not task:
            known = (index, task, self._draw(task, seed, index))
            self._blocks[seed] = known
        return known[2][within]

    def fixed(self, seeds: Sequence[int], epoch: int = 0) -> Batch:
        """The sequences of one epoch of a task that is learned in epochs."""
        return collate([self.task.epoch(epoch, generator(seed, Stream.DATA, 0)) for seed in seeds])

    def _draw(self, task: Task, seed: int, index: int) -> list[Pair]:
        """The mini-batches of DRAW updates."""
        draws = generator(seed, Stream.DATA, index)
        size = task.batch_size
        if task.varies:
            lengths = generator(seed, Stream.LENGTH, index)
            return [task.draw(task.draw_length(lengths), size, draws, Split.TRAIN) for _ in range(DRAW)]
        inputs, target = task.draw(task.length, DRAW * size, draws, Split.TRAIN)
        parts = [slice(k * size, (k + 1) * size) for k in range(DRAW)]
        if task.every_step:
            return [(inputs[:, part], target[:, part]) for part in parts]
        return [(inputs[:, part], target[part]) for part in parts]


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
