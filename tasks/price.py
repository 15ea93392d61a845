"""Synthetic price (M19): what is it worth to hold it now? Two sinusoids of wandering amplitude, and noise.

θ_0 ~ U(-π, π), θ_{t+1} = θ_t + drift U(-1, 1);  p_t = 100 + |cos θ_t| sin(f_1 t) + |sin θ_t| sin(f_2 t) + noise N(0, 1)

Where the article is silent the numbers are ours, and so is the reading of its targets, "the future returns of buying or
selling the commodity at each time-step". With r_t = p_{t+1} - p_t:

``hold``: the value of keeping the position, G_t = r_t + γ G_{t+1}; targets G_t and -G_t.

``greedy``: of the best action ever after, Q_t(a) = r_t(a) + γ max_b Q_{t+1}(b), r_t(sell) = -r_t(buy). Both actions
then share Σ γ^k |r_{t+k}|, which is the future of noise: hardly anything of it can be predicted.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.stats import foldnorm
from torch import Tensor

from tasks.draws import Stream, generator
from tasks.task import Split, Task, mean

FADE = 1e-4
"""Returns go on beyond the last step of a sequence until they count for less than this."""
RIDGE = 1e-6
"""Of the linear yardstick: weight of the squared coefficients, times the number of rows and the inputs' mean square."""


def signal(
    length: int,
    batch: int,
    draws: np.random.Generator,
    drift: float = 0.01,
    frequencies: Sequence[float] = (0.02, 0.05),
    signs: Sequence[float] = (1.0, 1.0),
) -> np.ndarray:
    """The price without its noise, signal_TB float64.

    Args:
        drift: largest step of θ (M19: .01).
        frequencies, signs: of the two sinusoids, in radians a step.
    """
    theta = draws.uniform(-np.pi, np.pi, batch) + np.zeros((length, 1))
    theta[1:] += np.cumsum(drift * draws.uniform(-1, 1, (length - 1, batch)), axis=0)
    t = np.arange(length)[:, None]
    one, other = (sign * np.sin(frequency * t) for sign, frequency in zip(signs, frequencies, strict=True))
    return 100 + np.abs(np.cos(theta)) * one + np.abs(np.sin(theta)) * other


def prices(
    length: int,
    batch: int,
    draws: np.random.Generator,
    noise: float = 0.1,
    decimals: int | None = None,
    **of_signal: Any,
) -> np.ndarray:
    """price_TB float64.

    Args:
        noise: its standard deviation (the text of M19: variance .01).
        decimals: if given, prices are rounded to so many (the code of M19: 2, cents).
        of_signal: ``drift``, ``frequencies``, ``signs``, see :func:`signal`.
    """
    clean_TB = signal(length, batch, draws, **of_signal)
    price_TB = clean_TB + draws.normal(0, noise, clean_TB.shape)
    return price_TB if decimals is None else price_TB.round(decimals)


def changes(price_TB: np.ndarray, window: int) -> np.ndarray:
    """The last ``window`` changes of the price at each step, the latest last, 0 before step 0: TBI float32."""
    T, B = price_TB.shape
    change = np.zeros((T + window, B), dtype=np.float32)
    change[window + 1 :] = np.diff(price_TB, axis=0)
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(change[1:], window, axis=0))


def discounted(reward_TB: np.ndarray, discount: float) -> np.ndarray:
    """Σ_k γ^k r_{t+k}, backwards from 0 at the end."""
    return lfilter([1.0], [1.0, -discount], reward_TB[::-1], axis=0)[::-1]


def returns(price_TB: np.ndarray) -> np.ndarray:
    """r_t = p_{t+1} - p_t; 0 at the last step."""
    reward_TB = np.zeros_like(price_TB)
    reward_TB[:-1] = np.diff(price_TB, axis=0)
    return reward_TB


def position_values(price_TB: np.ndarray, discount: float) -> np.ndarray:
    """G_t and -G_t, of keeping what was bought and what was sold, TBO float32."""
    value_TB = discounted(returns(price_TB), discount)
    return np.stack([value_TB, -value_TB], axis=-1).astype(np.float32)


def action_values(price_TB: np.ndarray, discount: float) -> np.ndarray:
    """Q_t of buying and of selling, TBO float32."""
    reward_TB = returns(price_TB)
    # the better action earns |r|, so that the value of a step is V_t = |r_t| + γ V_{t+1}
    return _of_actions(reward_TB, np.abs(reward_TB), discount)


def _of_actions(reward_TB: np.ndarray, best_TB: np.ndarray, discount: float) -> np.ndarray:
    """Q_t of both actions, from the reward of buying and that of the better action."""
    value_TB = discounted(best_TB, discount)
    after_TB = discount * np.concatenate([value_TB[1:], np.zeros((1, value_TB.shape[1]))])
    return np.stack([after_TB + reward_TB, after_TB - reward_TB], axis=-1).astype(np.float32)


TARGETS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {"hold": position_values, "greedy": action_values}


class Price(Task):
    """The same ``batch_size`` sequences in every epoch, a target at every step, mean squared error over both actions.

    Args:
        window: changes of the price that the network sees.
        discount: γ.
        target: ``hold`` or ``greedy``, see above. Runs made before there was a choice were ``greedy``.
        noise, drift, frequencies, signs, decimals: see :func:`prices`.
    """

    outputs = 2
    every_step = True
    epochs = True
    graded = False
    minimum_length = 2

    def __init__(
        self, window: int = 128, discount: float = 0.98, target: str = "greedy", *, length: int, **keys: Any
    ) -> None:
        common = {name: keys.pop(name) for name in ("name", "max_length", "stretch", "batch_size") if name in keys}
        super().__init__(length=length, **common)
        if self.varies:
            raise ValueError("max_length and stretch: the sequences of a fixed data set have one length")
        inspect.signature(signal).bind(length, batch=1, draws=None, **_of_signal(keys))  # or it is said what is unknown
        self.inputs, self.discount, self.target, self.keys = window, discount, target, keys

    @property
    def further(self) -> int:
        """Steps after the last one whose returns still count for its target."""
        return 1 + math.ceil(math.log(FADE) / math.log(self.discount)) if self.discount > 0 else 1

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        price_TB = prices(length + self.further, batch, draws, **self.keys)
        target_TBO = TARGETS[self.target](price_TB, self.discount)
        return changes(price_TB[:length], self.inputs), np.ascontiguousarray(target_TBO[:length])

    def loss(self, output: Tensor, target: Tensor, length_R: Tensor | None = None) -> Tensor:
        return mean((output - target).square().mean(-1), length_R)

    def wrong(self, output: Tensor, target: Tensor) -> Tensor:
        raise TypeError("the values of actions are neither right nor wrong")

    def yardsticks(self) -> dict[str, float]:
        """Losses on fresh sequences, as many and as long as those learned from, of what needs no network.

        Returns:
            ``constant``: of the mean target of the sequences that seed 0 learns from; ``linear``: of a ridge regression
            on the inputs of a step, of the same sequences; ``oracle``: of somebody who knows all of the signal and
            all prices so far, and lacks future noise alone. Rounded prices count as their noise.
        """
        inputs_TBI, target_TBO = self.draw(self.length, self.batch_size, generator(0, Stream.DATA, 0))
        draws = generator(0, Stream.EVALUATION, self.length, 0)
        clean_TB = signal(self.length + self.further, self.batch_size, draws, **_of_signal(self.keys))
        price_TB = clean_TB + draws.normal(0, self.keys.get("noise", 0.1), clean_TB.shape)
        test_TBI = changes(price_TB[: self.length], self.inputs)
        wanted_TBO = TARGETS[self.target](price_TB, self.discount)[: self.length]
        weight_IO = _ridge(inputs_TBI, target_TBO)
        answers = {
            "constant": target_TBO.mean((0, 1)),
            "linear": test_TBI @ weight_IO[:-1] + weight_IO[-1],
            "oracle": self._expected(clean_TB, price_TB)[: self.length],
        }
        return {name: float(np.square(answer - wanted_TBO).mean()) for name, answer in answers.items()}

    def _expected(self, clean_TB: np.ndarray, price_TB: np.ndarray) -> np.ndarray:
        """The expected targets, of all signal and of all prices so far."""
        next_TB = np.concatenate([clean_TB[1:], price_TB[-1:]])  # a price of which only the noise is not known
        reward_TB = next_TB - price_TB
        if self.target == "hold":
            # G_t is what is known of r_t, and from then on the signal alone: later noise has mean 0
            after_TB = self.discount * discounted(returns(clean_TB), self.discount)
            value_TB = reward_TB + np.concatenate([after_TB[1:], np.zeros((1, after_TB.shape[1]))])
            return np.stack([value_TB, -value_TB], axis=-1)
        scale = math.sqrt(2) * self.keys.get("noise", 0.1)  # of the noise in r
        expected_TB = foldnorm.mean(np.abs(returns(clean_TB)) / scale, scale=scale)
        return _of_actions(reward_TB, expected_TB, self.discount)


def _of_signal(keys: dict[str, Any]) -> dict[str, Any]:
    """The keys of :func:`signal` among those of :func:`prices`."""
    return {name: value for name, value in keys.items() if name not in ("noise", "decimals")}


def _ridge(inputs_TBI: np.ndarray, target_TBO: np.ndarray) -> np.ndarray:
    """Coefficients of a ridge regression, the constant last: float64, (I + 1) O. One sequence after the other."""
    I, O = inputs_TBI.shape[2], target_TBO.shape[2]  # noqa: E741
    gram, product = np.zeros((I + 1, I + 1)), np.zeros((I + 1, O))
    rows = 0
    for x_TI, y_TO in zip(inputs_TBI.swapaxes(0, 1), target_TBO.swapaxes(0, 1), strict=True):
        with_constant = np.concatenate([x_TI, np.ones((len(x_TI), 1))], axis=1)
        gram += with_constant.T @ with_constant
        product += with_constant.T @ y_TO
        rows += len(x_TI)
    weight = np.full(I + 1, RIDGE * np.trace(gram[:I, :I]) / I)
    weight[-1] = 0
    return np.linalg.solve(gram + np.diag(weight), product)
