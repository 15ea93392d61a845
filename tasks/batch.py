"""Mini-batches of R replicas side by side."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """A mini-batch for each of R replicas; shorter ones are padded to the longest."""

    inputs: Tensor  # symbols RTB, integers as they were drawn, or vectors RTBI float32
    target: Tensor  # RB, or RTB where there is one at every step; with several outputs RBO or RTBO; classes int64
    length: Tensor  # R, int64
    lengths: Sequence[int] | None = None  # the same where no device has to be waited for; None: not known

    def each(self, change: Callable[[Tensor], Tensor], lengths: Sequence[int] | None = None) -> "Batch":
        """The same with each of its tensors changed.

        Args:
            lengths: those of the new mini-batches, if they are known.
        """
        return Batch(change(self.inputs), change(self.target), change(self.length), lengths)

    def to(self, device: torch.device) -> "Batch":
        """The same on another device. From pinned memory it is on its way there when this returns."""
        return self.each(lambda tensor: tensor.to(device, non_blocking=True), self.lengths)

    def select(self, rows: Sequence[int]) -> "Batch":
        """The mini-batches of some replicas."""
        chosen = list(rows)
        lengths = None if self.lengths is None else [self.lengths[row] for row in chosen]
        return self.each(lambda tensor: tensor[chosen], lengths)

    def lengthened(self, steps: int, every_step: bool) -> "Batch":
        """The same with padding up to so many steps."""
        target = _lengthened(self.target, steps) if every_step else self.target
        return Batch(_lengthened(self.inputs, steps), target, self.length, self.lengths)

    def trimmed(self, every_step: bool) -> "Batch":
        """The same without steps that are padding for all; lengths must be known."""
        assert self.lengths is not None
        longest = max(self.lengths)
        return Batch(self.inputs[:, :longest], self.target[:, :longest] if every_step else self.target, *self[2:])

    def cut(self, borders: Iterable[int], every_step: bool) -> Iterator["Batch"]:
        """The parts between these steps, the first of which is 0; targets are cut where there is one at every step."""
        for first, end in pairwise(borders):
            inputs = self.inputs[:, first:end]
            target = self.target[:, first:end] if every_step else self.target
            yield Batch(inputs, target, (self.length - first).clamp(0, inputs.shape[1]))

    def between(self, first_R: Tensor, end_R: Tensor, every_step: bool) -> "Batch":
        """The steps of each replica from its first one to its end; targets are cut where there is one at every step.

        Args:
            first_R, end_R: 0 <= first <= end <= the replica's length.
        """
        length = end_R - first_R
        on_host = length.device.type == "cpu"
        longest = int(length.max()) if on_host else self.inputs.shape[1]  # a device would have to be waited for
        steps_RT = first_R[:, None] + torch.arange(longest, device=length.device)
        steps_RT = steps_RT.clamp(max=self.inputs.shape[1] - 1)  # padding may hold anything
        row_R1 = torch.arange(len(length), device=length.device)[:, None]
        target = self.target[row_R1, steps_RT] if every_step else self.target
        return Batch(self.inputs[row_R1, steps_RT], target, length)


Pair = tuple[np.ndarray, np.ndarray]
"""Inputs and targets of one replica's mini-batch, as a task draws them."""


def collate(drawn: Sequence[Pair]) -> Batch:
    """Stacks one mini-batch per replica, padding at the end."""
    lengths = [len(inputs) for inputs, _ in drawn]
    inputs = _padded([pair[0] for pair in drawn])
    target = _padded([pair[1] for pair in drawn])
    if target.dtype.kind in "iu":
        target = target.astype(np.int64, copy=False)  # what torch's losses want of classes
    length = torch.from_numpy(np.array(lengths))
    return Batch(torch.from_numpy(inputs), torch.from_numpy(target), length, lengths)


def _lengthened(values: Tensor, steps: int) -> Tensor:
    """Values of so many steps, zeros after the last."""
    missing = steps - values.shape[1]
    if missing == 0:
        return values
    return torch.cat([values, values.new_zeros(values.shape[0], missing, *values.shape[2:])], dim=1)


def _padded(arrays: list[np.ndarray]) -> np.ndarray:
    """Stacks arrays, with zeros after the shorter ones. A single one is not copied."""
    if len(arrays) == 1:
        return arrays[0][None]
    sizes = {len(array) for array in arrays}
    if len(sizes) == 1:
        return np.array(arrays)
    longest = max(sizes)
    padded = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype=arrays[0].dtype)
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = array
    return padded
