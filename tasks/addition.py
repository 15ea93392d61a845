"""Addition (HS97 task 4, P13): the mean of the two marked values.

One sequence of length 10; the first mark lies in the first tenth, the second in the four tenths after it::

    step     0   1   2   3   4   5   6   7   8   9
    marker   1   0   0   1   0   0   0   0   0   0
    value   .3  .7  .1  .9  .2  .4  .6  .9  .0  .5      target: (.3 + .9) / 2 = .6
            [0] [1             ]
"""

import numpy as np

from tasks.task import Regression, Split


def marked_values(length: int, batch: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequences of (marker, value) and the two marked values (Pcode; its length is drawn by the task).

    With l the length and w = floor(l / 10), positions counted from 0: p0 in [0, w), p1 in w + [0, floor(.4 l));
    values uniform on [0, 1).

    Returns:
        inputs_TBI float32, I = (marker, value), and the marked values, B each.
    """
    window = length // 10
    inputs_TBI = np.zeros((length, batch, 2), dtype=np.float32)
    inputs_TBI[..., 1] = draws.random((length, batch), dtype=np.float32)
    columns = np.arange(batch)
    first = draws.integers(0, window, size=batch)
    second = window + draws.integers(0, 4 * length // 10, size=batch)
    inputs_TBI[first, columns, 0] = inputs_TBI[second, columns, 0] = 1
    return inputs_TBI, inputs_TBI[first, columns, 1], inputs_TBI[second, columns, 1]


def addition(length: int, batch: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """inputs_TBI of :func:`marked_values` and target_B, the mean of the two."""
    inputs_TBI, one, other = marked_values(length, batch, draws)
    return inputs_TBI, (one + other) / 2


class Addition(Regression):
    """Chance, always answering .5: 36 % wrong by the squared criterion, 85 % by the absolute one."""

    inputs = 2
    minimum_length = 10

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        return addition(length, batch, draws)
