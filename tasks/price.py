"""Synthetic price (M19): what are buying and selling worth now? Two sinusoids of wandering amplitude, and noise.

θ_0 ~ U(-π, π), θ_{t+1} = θ_t + drift U(-1, 1);  p_t = 100 + |cos θ_t| sin(f_1 t) + |sin θ_t| sin(f_2 t) + noise N(0, 1)

Where the article is silent the numbers are ours, and so is the reading of its targets, "the future returns of buying or
selling the commodity at each time-step", by Bellman's equation: actions buy and sell, rewards r_t(buy) = p_{t+1} - p_t
(0 at the last step) and r_t(sell) = -r_t(buy), Q_t(a) = r_t(a) + γ max_b Q_{t+1}(b), backwards from 0 at the end.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.signal import lfilter
from torch import Tensor

from tasks.task import Split, Task, mean


def prices(
    length: int,
    batch: int,
    draws: np.random.Generator,
    noise: float = 0.1,
    drift: float = 0.01,
    frequencies: Sequence[float] = (0.02, 0.05),
    signs: Sequence[float] = (1.0, 1.0),
    decimals: int | None = None,
) -> np.ndarray:
    """price_TB float64.

    Args:
        noise: its standard deviation (the text of M19: variance .01).
        drift: largest step of θ (M19: .01).
        frequencies, signs: of the two sinusoids, in radians a step.
        decimals: if given, prices are rounded to so many (the code of M19: 2, cents).
    """
    theta = draws.uniform(-np.pi, np.pi, batch) + np.zeros((length, 1))
    theta[1:] += np.cumsum(drift * draws.uniform(-1, 1, (length - 1, batch)), axis=0)
    t = np.arange(length)[:, None]
    one, other = (sign * np.sin(frequency * t) for sign, frequency in zip(signs, frequencies, strict=True))
    price = 100 + np.abs(np.cos(theta)) * one + np.abs(np.sin(theta)) * other + draws.normal(0, noise, theta.shape)
    return price if decimals is None else price.round(decimals)


def changes(price_TB: np.ndarray, window: int) -> np.ndarray:
    """The last ``window`` changes of the price at each step, the latest last, 0 before step 0: TBI float32."""
    T, B = price_TB.shape
    change = np.zeros((T + window, B), dtype=np.float32)
    change[window + 1 :] = np.diff(price_TB, axis=0)
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(change[1:], window, axis=0))


def action_values(price_TB: np.ndarray, discount: float) -> np.ndarray:
    """Q_t of buying and of selling, TBO float32."""
    reward = np.zeros_like(price_TB)
    reward[:-1] = np.diff(price_TB, axis=0)
    # the better action earns |r|, so that the value of a step is V_t = |r_t| + γ V_{t+1}
    value = lfilter([1.0], [1.0, -discount], np.abs(reward)[::-1], axis=0)[::-1]
    after = discount * np.concatenate([value[1:], np.zeros((1, price_TB.shape[1]))])
    return np.stack([after + reward, after - reward], axis=-1).astype(np.float32)


class Price(Task):
    """The same ``batch_size`` sequences in every epoch, a target at every step, mean squared error over both actions.

    Args:
        window: changes of the price that the network sees.
        discount: γ.
        noise, drift, frequencies, signs, decimals: see :func:`prices`.
    """

    outputs = 2
    every_step = True
    epochs = True
    graded = False
    minimum_length = 2

    def __init__(self, window: int = 128, discount: float = 0.98, *, length: int, **keys: Any) -> None:
        common = {name: keys.pop(name) for name in ("name", "max_length", "stretch", "batch_size") if name in keys}
        super().__init__(length=length, **common)
        if self.varies:
            raise ValueError("max_length and stretch: the sequences of a fixed data set have one length")
        inspect.signature(prices).bind(length, batch=1, draws=None, **keys)  # or it is said now what is unknown
        self.inputs, self.discount, self.keys = window, discount, keys

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        price_TB = prices(length, batch, draws, **self.keys)
        return changes(price_TB, self.inputs), action_values(price_TB, self.discount)

    def loss(self, output: Tensor, target: Tensor, length_R: Tensor | None = None) -> Tensor:
        return mean((output - target).square().mean(-1), length_R)

    def wrong(self, output: Tensor, target: Tensor) -> Tensor:
        raise TypeError("the values of actions are neither right nor wrong")
