"""Multiplication (HS97 task 5, P13): the product of the two marked values of a sequence as in addition."""

import numpy as np

from tasks.addition import marked_values
from tasks.task import Regression, Split


def multiplication(length: int, batch: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """inputs_TBI of :func:`~tasks.addition.marked_values` and target_B, the product of the two."""
    inputs_TBI, one, other = marked_values(length, batch, draws)
    return inputs_TBI, one * other


class Multiplication(Regression):
    """Chance, by the squared criterion: 23 % wrong by always answering .2, 39 % by .25."""

    inputs = 2
    minimum_length = 10

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        return multiplication(length, batch, draws)
