"""Temporal order of three symbols (HS97 task 6b, P13): which of A and B came first, second, third?

One sequence of length 20 and the windows that hold the three relevant symbols::

    step    0 1 2 3 4 5 6 7 8 9 . . .           19
    symbol  d f A c e d B d f c e d A f e e c d f c      class: v0 + 2 v1 + 4 v2 = A, B, A = 0 + 2 + 0 = 2
                [0]     [1]         [2]
"""

import numpy as np

from tasks.draws import symbols
from tasks.task import Classification, Split
from tasks.temporal_order import SYMBOLS


def temporal_order_3bit(length: int, batch: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of ``length`` symbols and the class of the order of their three relevant ones (HS97, P13).

    A = 0, B = 1, distractors c..f = 2..5; all draws independent and uniform. With L the length and w = floor(L / 10),
    positions counted from 0: each lies in a window of w steps that begins at w, floor(.3 L) and floor(.6 L).

    Returns:
        symbols_TB int8 and class_B int64, v0 + 2 v1 + 4 v2.
    """
    window = length // 10
    symbols_TB = symbols(draws, 2, 6, (length, batch))
    value_3B = draws.integers(0, 2, size=(3, batch), dtype=np.int8)
    for value_B, first in zip(value_3B, (window, 3 * length // 10, 6 * length // 10), strict=True):
        symbols_TB[draws.integers(first, first + window, size=batch), np.arange(batch)] = value_B
    return symbols_TB, (value_3B * np.array([[1], [2], [4]])).sum(0)


class TemporalOrder3Bit(Classification):
    """Chance: 87.5 % wrong."""

    inputs = len(SYMBOLS)
    outputs = 8
    minimum_length = 10

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        return temporal_order_3bit(length, batch, draws)
