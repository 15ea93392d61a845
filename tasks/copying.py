"""Copy memory (Arjovsky, Shah & Bengio, 2016, section 5.1): repeat ten symbols after T blank steps.

T = 4, three symbols of the kinds a and b; "-" is the blank, ">" the delimiter::

    step    0 1 2 3 4 5 6 7 8 9
    input   a b b - - - > - - -    T - 1 blanks before the delimiter; T + 2 * 3 steps
    target  - - - - - - - a b b

The paper has ten symbols of eight kinds: T + 20 steps and ten categories.
"""

from math import log
from typing import Any

import numpy as np
from torch import Tensor

from tasks.task import MEMORYLESS, Classification, Split


def copying(
    length: int, batch: int, draws: np.random.Generator, values: int = 8, items: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of ``items`` symbols of ``values`` kinds, drawn uniformly, to be repeated after the delimiter.

    The symbols stand first. The delimiter stands at step T + items - 1, counted from 0. All other inputs are blank.
    The targets are blank too, but for the symbols in the last steps.

    Args:
        length: T, steps from the last symbol to the delimiter.

    Returns:
        symbols_TB int8 of T + 2 items steps: kinds 0.., blank, delimiter; class_TB int64: kinds 0.., blank.
    """
    blank = values
    delimiter = values + 1
    drawn = draws.integers(0, values, size=(items, batch), dtype=np.int8)
    symbols_TB = np.full((length + 2 * items, batch), blank, dtype=np.int8)
    class_TB = np.full(symbols_TB.shape, blank, dtype=np.int64)
    symbols_TB[:items] = drawn
    symbols_TB[length + items - 1] = delimiter
    class_TB[-items:] = drawn
    return symbols_TB, class_TB


class Copy(Classification):
    """Wrong when any of the recalled symbols is; answers at blank steps count in the loss alone. Chance: 100 % wrong.

    The delimiter is never an answer, so that there is one class fewer than there are inputs.

    Args:
        values: kinds of symbols.
        items: symbols to be repeated.
    """

    every_step = True
    judged = "every"

    def __init__(self, values: int = 8, items: int = 10, **common: Any) -> None:
        super().__init__(**common)
        self.values = values
        self.items = items
        self.inputs = values + 2
        self.outputs = values + 1

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        return copying(length, batch, draws, self.values, self.items)

    def wrong(self, output: Tensor, target: Tensor) -> Tensor:
        return super().wrong(output, target) & (target != self.values)

    def yardsticks(self) -> dict[str, float]:
        """The loss of whoever is sure of the blanks and guesses each symbol: items log(values) / (T + 2 items)."""
        if self.loss_form is None:
            return {}
        guessed = self.items * log(self.values)
        return {MEMORYLESS: self.over_lengths(lambda length: guessed / (length + 2 * self.items))}
