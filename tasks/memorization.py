"""Noiseless memorization (MS11, P13): repeat a few values after a long silence.

L = 3, two values (a, b) at three positions; "-" waits, ">" asks for them, "." is the class "none"::

    step    0 1 2 3 4 5 6 7 8
    input   a b b - - - > - -      L + 2 * 3 steps
    target  . . . . . . a b b
"""

from typing import Any

import numpy as np

from tasks.task import Classification, Split


def memorization(
    length: int, batch: int, draws: np.random.Generator, values: int = 2, items: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """``items`` symbols of ``values`` kinds, to be answered in their order when the cue comes (MS11, P13, Pcode).

    The cue stands at step L + items, counted from 0, with L the nominal length; all other steps after the values
    hold "wait". The targets are the class "none" until the cue, and from there on the values.

    Returns:
        symbols_TB int8, T = L + 2 items: values 0.., wait, recall; class_TB int64: values 0.., none.
    """
    wait, recall, none = values, values + 1, values
    drawn = draws.integers(0, values, size=(items, batch), dtype=np.int8)
    symbols_TB = np.full((length + 2 * items, batch), wait, dtype=np.int8)
    class_TB = np.full(symbols_TB.shape, none, dtype=np.int64)
    symbols_TB[:items], class_TB[-items:] = drawn, drawn
    symbols_TB[length + items] = recall
    return symbols_TB, class_TB


class Memorization(Classification):
    """Wrong when any step's answer is. A 5-bit one has 2 values at 5 positions, a 20-bit one 5 at 10 (MS11, P13).

    Args:
        values: kinds of them.
        items: values to be repeated.
    """

    every_step = True
    judged = "every"

    def __init__(self, values: int = 2, items: int = 5, **common: Any) -> None:
        super().__init__(**common)
        self.values, self.items = values, items
        self.inputs = values + 2
        self.outputs = values + 1

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        return memorization(length, batch, draws, self.values, self.items)
