"""Mini-batches of updates that follow each other, in three pieces of memory."""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.batch import Batch, Pair

ALIGNED = 64
"""Every mini-batch begins at a multiple of so many numbers: kernels are compiled for addresses divisible by 16."""

STEPS = 4_000_000
"""Steps of all sequences of a block, about, at most: they are drawn before the first of them is learned, and a signal
waits for the last."""

STEPS_AHEAD = 64_000_000
"""The same where they are drawn while a GPU learns: it takes many at a time."""


def most_updates(steps: int, ahead: bool = False) -> int:
    """Updates that make a block at most, where each has so many steps of all replicas' sequences, padding included: a
    power of two, so that blocks of jobs that learn together often end together."""
    return 1 << (max(1, (STEPS_AHEAD if ahead else STEPS) // max(1, steps)).bit_length() - 1)


class Piece(NamedTuple):
    """What one replica's task has drawn for w updates in a row, all of one length."""

    inputs: np.ndarray  # wTB, or wTBI
    target: np.ndarray  # wB, or wTB where there is one at every step; with several outputs wBO or wTBO

    def between(self, first: int, end: int) -> "Piece":
        """Some of its updates."""
        return Piece(self.inputs[first:end], self.target[first:end])

    def at(self, update: int) -> Pair:
        """One of its updates."""
        return self.inputs[update], self.target[update]


class Block(Sequence[Batch]):
    """Mini-batches of N updates that follow each other, for the same R replicas. All are padded to the longest.

    What lies in memory for an update, its padding included, is one row; a device fetches all rows in three copies.

    Args:
        inputs: as those of a mini-batch, with N in front: NRTB, or NRTBI.
        target: likewise.
        length: NR.
        lengths: the same, where no device has to be waited for.
        every_step: whether there is a target at every step.
    """

    def __init__(
        self, inputs: Tensor, target: Tensor, length: Tensor, lengths: Sequence[Sequence[int]], every_step: bool
    ) -> None:
        self.inputs = inputs
        self.target = target
        self.length = length
        self.lengths = lengths
        self.every_step = every_step

    @classmethod
    def one(cls, batch: Batch, every_step: bool) -> "Block":
        """A mini-batch that is there already, not copied; its lengths must be known."""
        return cls(batch.inputs[None], batch.target[None], batch.length[None], [batch.lengths or []], every_step)

    @classmethod
    def drawn(cls, pieces: Sequence[Sequence[Piece]], every_step: bool, pinned: bool = False) -> "Block":
        """What the tasks of R replicas have drawn, for each of them all updates in order.

        Args:
            pinned: whether it shall lie in memory that a GPU reads by itself.
        """
        of_replicas = [[piece.inputs.shape[1] for piece in own for _ in piece.inputs] for own in pieces]
        lengths = [list(own) for own in zip(*of_replicas, strict=True)]
        N, R, T = len(lengths), len(pieces), max(map(max, lengths))
        first = pieces[0][0]
        kind = np.dtype(np.int64) if first.target.dtype.kind in "iu" else first.target.dtype  # classes, as losses want
        answers = (T, *first.target.shape[2:]) if every_step else first.target.shape[1:]
        inputs = _rows(N, (R, T, *first.inputs.shape[2:]), _torch(first.inputs.dtype), pinned)
        target = _rows(N, (R, *answers), _torch(kind), pinned)
        length = _rows(N, (R,), torch.int64, pinned)
        length.copy_(torch.tensor(lengths))
        for row, own in enumerate(pieces):
            _fill(inputs.numpy()[:, row], [piece.inputs for piece in own])
            _fill(target.numpy()[:, row], [piece.target for piece in own])
        return cls(inputs, target, length, lengths, every_step)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: Any) -> Any:
        """One update's mini-batch, without padding that is none of its own; of a slice, a block of these updates."""
        tensors = self.inputs[index], self.target[index], self.length[index]
        if isinstance(index, slice):
            return Block(*tensors, self.lengths[index], self.every_step)
        lengths = self.lengths[index]
        batch = Batch(*tensors, lengths)
        return batch if max(lengths, default=0) == self.inputs.shape[2] else batch.trimmed(self.every_step)

    def each(self, change: Callable[[Tensor], Tensor], lengths: Sequence[Sequence[int]]) -> "Block":
        """The same with each of its tensors changed."""
        return Block(change(self.inputs), change(self.target), change(self.length), lengths, self.every_step)

    def to(self, device: torch.device) -> "Block":
        """The same on another device. From pinned memory it is on its way there when this returns."""
        return self.each(lambda rows: _moved(rows, device), self.lengths)

    def select(self, replicas: Sequence[int]) -> "Block":
        """The mini-batches of some replicas, by their places in the block, padded to the longest that is left."""
        chosen = list(replicas)
        lengths = [[own[row] for row in chosen] for own in self.lengths]
        longest = max(map(max, lengths))
        inputs = self.inputs[:, :, :longest]
        target = self.target[:, :, :longest] if self.every_step else self.target
        shorter = Block(inputs, target, self.length, self.lengths, self.every_step)
        pinned = self.inputs.is_pinned()
        return shorter.each(lambda rows: _gathered(rows[:, chosen], pinned), lengths)


NOTHING = Block(torch.zeros(0, 0, 0), torch.zeros(0, 0), torch.zeros(0, 0), [], every_step=False)
"""A block without updates."""


def beside(blocks: Sequence[Block]) -> Block:
    """The mini-batches of several groups of replicas, one group after the other; shorter ones are padded."""
    first = blocks[0]
    if len(blocks) == 1:
        return first
    longest = max(block.inputs.shape[2] for block in blocks)
    inputs = _side_by_side([block.inputs for block in blocks], longest)
    target = _side_by_side([block.target for block in blocks], longest if first.every_step else None)
    length = _side_by_side([block.length for block in blocks], None)
    lengths = [list(chain(*own)) for own in zip(*[block.lengths for block in blocks], strict=True)]
    return Block(inputs, target, length, lengths, first.every_step)


def _side_by_side(parts: Sequence[Tensor], steps: int | None) -> Tensor:
    """The rows of several groups as rows of all; of so many steps, where they have steps."""
    first = parts[0]
    replicas = sum(part.shape[1] for part in parts)
    inner = first.shape[2:] if steps is None else (steps, *first.shape[3:])
    rows = _rows(len(first), (replicas, *inner), first.dtype, device=first.device)
    row = 0
    for part in parts:
        place = rows[:, row : row + part.shape[1]]
        row += part.shape[1]
        if steps is None:
            place.copy_(part)
        else:
            place[:, :, : part.shape[2]] = part
            place[:, :, part.shape[2] :] = 0
    return rows


def _rows(
    count: int,
    shape: Sequence[int],
    dtype: torch.dtype,
    pinned: bool = False,
    device: torch.device | None = None,
) -> Tensor:
    """So many tensors of this shape, one after the other, each at a multiple of ALIGNED numbers; not set."""
    numbers = math.prod(shape)
    row = -(-numbers // ALIGNED) * ALIGNED
    memory = torch.empty(count, row, dtype=dtype, pin_memory=pinned, device=device)
    return memory[:, :numbers].view(count, *shape)


def _moved(rows: Tensor, device: torch.device) -> Tensor:
    """The same rows on another device, fetched at once where they lie one after the other."""
    if rows.device == device:
        return rows
    if not len(rows) or not rows[0].is_contiguous() or rows.stride(0) < rows[0].numel():
        return rows.to(device, non_blocking=True)
    step = rows.stride(0)
    memory = rows.as_strided((len(rows), step), (step, 1)).to(device, non_blocking=True)
    return memory[:, : rows[0].numel()].view(rows.shape)


def _gathered(tensor: Tensor, pinned: bool = False) -> Tensor:
    """A copy as rows that are aligned."""
    rows = _rows(len(tensor), tensor.shape[1:], tensor.dtype, pinned, None if pinned else tensor.device)
    return rows.copy_(tensor)


def _fill(rows: np.ndarray, parts: Sequence[np.ndarray]) -> None:
    """Writes parts one after the other, each as long as it is, and zeros after it."""
    n = 0
    for part in parts:
        place = rows[n : n + len(part)]
        n += len(part)
        if place.shape == part.shape:
            place[...] = part
            continue
        steps = part.shape[1]
        place[:, :steps] = part
        place[:, steps:] = 0


def _torch(kind: np.dtype) -> torch.dtype:
    """The same kind of number."""
    return torch.from_numpy(np.empty(0, dtype=kind)).dtype
