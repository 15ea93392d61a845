"""What an update leaves to look at: numbers per replica, and their means over windows of updates."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

METRICS = ("loss", "omega", "grad_norm", "clipped")
"""Per update and replica: the task's loss alone, Ω, the gradient's norm before clipping, 1 if it was clipped."""

WAITING = 256
"""Updates whose metrics wait to be summed, about: those of one call are not parted."""


class Window:
    """Means of metrics over the updates since it was last cleared.

    Values are kept as they come and summed when somebody asks: an update should not wait for its own record.

    Args:
        metrics: their names, in the order in which :meth:`add` takes them.
        replicas: R.
    """

    def __init__(self, metrics: Sequence[str], replicas: int) -> None:
        self.metrics = tuple(metrics)
        self.sum_MR = torch.zeros(len(self.metrics), replicas, dtype=torch.float64)
        self.updates_R = torch.zeros(replicas, dtype=torch.int64)
        self._waiting: list[list[Tensor]] = []
        self._count = 0  # of updates that wait
        self._live: list[int] = []

    @property
    def empty(self) -> bool:
        """Whether there has been no update since it was last cleared."""
        return not self._waiting and not self.updates_R.any()

    def add(self, values: list[Tensor], count: int, live: list[int]) -> None:
        """Takes one tensor per metric, with an entry for each of these replicas; of ``count`` updates, in a row."""
        if live is not self._live or self._count >= WAITING:
            self.sum()
            self._live = live
        self._waiting.append(values)
        self._count += count

    def sum(self) -> Tensor:
        """Sums over all updates, MR; added one after the other, so that when one asks changes no bit."""
        if self._waiting:
            flat = torch.stack([torch.cat(values) for values in zip(*self._waiting, strict=True)]).double()
            each_MUA = flat.view(len(self.metrics), self._count, len(self._live)).cpu()
            self.sum_MR[:, self._live] = torch.cat([self.sum_MR[:, None, self._live], each_MUA], dim=1).cumsum(1)[:, -1]
            self.updates_R[self._live] += self._count
            self._waiting = []
            self._count = 0
        return self.sum_MR

    def mean(self) -> dict[str, np.ndarray]:
        """The mean of each metric, by replica; NaN for a replica without updates."""
        mean_MR = self.sum() / self.updates_R
        return dict(zip(self.metrics, mean_MR.numpy(), strict=True))

    def clear(self, replicas: Sequence[int]) -> None:
        """Begins anew for these replicas."""
        chosen = list(replicas)
        self.sum()[:, chosen] = 0
        self.updates_R[chosen] = 0
