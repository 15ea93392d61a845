"""Random permutation (HS97 task 2b, MS11, P13): remember the first symbol to the end.

One sequence of length 6 among 100 symbols; with ``predict=every`` every next symbol is to be predicted, all but
the last in vain::

    step                0   1   2   3   4   5
    symbol              1  57   8  93  22  61
    target, first       .   .   .   .   .   1
    target, every      57   8  93  22  61   1
"""

from typing import Any

import numpy as np

from tasks.task import Classification, Split

SYMBOLS = 100


def permutation(
    length: int, batch: int, draws: np.random.Generator, predict: str = "first"
) -> tuple[np.ndarray, np.ndarray]:
    """The first symbol is 0 or 1, the others are 2..99; all draws independent and uniform (Pcode).

    Args:
        predict: ``first``: the first symbol, at the last step (Pcode); ``every``: at each step the next symbol, and at
            the last one the first (HS97, MS11).

    Returns:
        symbols_TB int8, and class_B or class_TB int64.
    """
    symbols_TB = draws.integers(2, SYMBOLS, size=(length, batch), dtype=np.int8)
    symbols_TB[0] = draws.integers(0, 2, size=batch, dtype=np.int8)
    return symbols_TB, (symbols_TB[0] if predict == "first" else np.roll(symbols_TB, -1, axis=0)).astype(np.int64)


class Permutation(Classification):
    """Wrong when the answer at the last step is not the first symbol. Chance: 50 % wrong.

    Args:
        predict: ``first`` or ``every``, see :func:`permutation`.
    """

    inputs = outputs = SYMBOLS

    def __init__(self, predict: str = "first", **common: Any) -> None:
        super().__init__(**common)
        self.predict = predict
        self.every_step = predict == "every"

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        return permutation(length, batch, draws, self.predict)
