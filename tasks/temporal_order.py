"""Temporal order (HS97 task 6a, P13): which of A and B came first, which second, long ago?

One sequence of length 20, time from left to right, and the windows that hold the two relevant symbols::

    step    0 1 2 3 4 5 6 7 8 9 . . .           19
    symbol  d f A c e d d f c e B d c f e e c d f c      class: v0 + 2 v1 = A, B = 0 + 2 = 2
                [0]             [1]
"""

from typing import Any

import numpy as np

from tasks.draws import symbols
from tasks.task import Classification, Split

SYMBOLS = "ABcdef"


def temporal_order(
    length: int, batch: int, draws: np.random.Generator, positions: str = "pascanu"
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of ``length`` symbols and the class of the order of their two relevant ones (HS97, P13).

    A = 0, B = 1, distractors c..f = 2..5; all draws independent and uniform. With L the length and w = floor(L / 10),
    positions counted from 0: ``pascanu``: p0 in [w, 2w), p1 in [L // 2, L // 2 + w) (P13, Pcode);
    ``galvan``, easier: p0 in [0, w), p1 in [w, w + floor(.4 L)) (G16).

    Returns:
        symbols_TB int8 and class_B int64, v0 + 2 v1.
    """
    window, half = length // 10, length // 2
    first, second = {
        "pascanu": ((window, 2 * window), (half, half + window)),
        "galvan": ((0, window), (window, window + 2 * length // 5)),
    }[positions]
    symbols_TB = symbols(draws, 2, 6, (length, batch))
    value_2B = draws.integers(0, 2, size=(2, batch), dtype=np.int8)
    columns = np.arange(batch)
    symbols_TB[draws.integers(*first, size=batch), columns] = value_2B[0]
    symbols_TB[draws.integers(*second, size=batch), columns] = value_2B[1]
    return symbols_TB, (value_2B[0] + 2 * value_2B[1]).astype(np.int64)


class TemporalOrder(Classification):
    """Chance: 75 % wrong.

    Args:
        positions: ``pascanu`` or ``galvan``, see :func:`temporal_order`.
    """

    inputs = len(SYMBOLS)
    outputs = 4
    minimum_length = 10

    def __init__(self, positions: str = "pascanu", **common: Any) -> None:
        super().__init__(**common)
        self.positions = positions

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        return temporal_order(length, batch, draws, self.positions)
