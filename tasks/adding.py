"""The adding problem (Arjovsky, Shah & Bengio, 2016, section 5.2): the sum of the two marked values.

One sequence of length T = 10; one mark lies in the first half, one in the second::

    step     0   1   2   3   4   5   6   7   8   9
    value   .3  .7  .1  .9  .2  .4  .6  .9  .0  .5      target: .9 + .6 = 1.5
    marker   0   0   0   1   0   0   1   0   0   0
            [first mark       ] [second mark      ]

HS97's task 4 (:mod:`tasks.addition`) marks early steps only, and asks for the mean.
"""

import numpy as np

from tasks.task import MEMORYLESS, Regression, Split


def adding(length: int, batch: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of (value, marker) and the sum of the two marked values.

    Values are uniform on [0, 1). With T the length and positions counted from 0, the marks are uniform on
    [0, floor(T / 2)) and [floor(T / 2), T).

    Returns:
        inputs_TBI float32, I = (value, marker), and target_B float32.
    """
    half = length // 2
    inputs_TBI = np.zeros((length, batch, 2), dtype=np.float32)
    inputs_TBI[..., 0] = draws.random((length, batch), dtype=np.float32)
    columns = np.arange(batch)
    first = draws.integers(0, half, size=batch)
    second = draws.integers(half, length, size=batch)
    inputs_TBI[first, columns, 1] = 1
    inputs_TBI[second, columns, 1] = 1
    return inputs_TBI, inputs_TBI[first, columns, 0] + inputs_TBI[second, columns, 0]


class Adding(Regression):
    """Chance, always answering 1: 92 % wrong by the absolute criterion, 64 % by the squared one."""

    inputs = 2
    minimum_length = 2

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        return adding(length, batch, draws)

    def yardsticks(self) -> dict[str, float]:
        """The loss of whoever always answers 1: the variance of the sum of two uniform numbers."""
        return {MEMORYLESS: 1 / 6}
