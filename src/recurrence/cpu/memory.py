"""Memory that is used again: what one update keeps for its backward pass, the next one needs too.

Fresh pages cost more than the arithmetic that fills them, so blocks go back to a list when the last tensor that lies in
them is gone, and the next request takes one from there.
"""

from math import prod

import numpy as np
import torch
from torch import Tensor

_free: list[np.ndarray] = []


class _Lease:
    """Holds a block as long as some array or tensor lies in it."""

    def __init__(self, block: np.ndarray, size: int) -> None:
        self.block = block
        self.__array_interface__ = block[:size].__array_interface__

    def __del__(self, free: list[np.ndarray] = _free) -> None:
        free.append(self.block)


def empty(*shape: int) -> Tensor:
    """Returns a float32 tensor on the CPU that holds anything. Its block is free again when no view of it is left."""
    size = prod(shape)
    return torch.from_numpy(np.asarray(_Lease(_take(size), size))).view(shape)


def _take(size: int) -> np.ndarray:
    """Takes the smallest free block that is large enough, or makes one in place of the largest."""
    fitting = [i for i, block in enumerate(_free) if block.size >= size]
    if fitting:
        return _free.pop(min(fitting, key=_size_of))
    if _free:
        _free.pop(max(range(len(_free)), key=_size_of))
    return np.empty(max(size, 1), dtype=np.float32)


def _size_of(index: int) -> int:
    return _free[index].size
