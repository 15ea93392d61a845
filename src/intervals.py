"""Intervals for success rates."""

from functools import lru_cache

from scipy.stats import binomtest


@lru_cache(maxsize=1000)
def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927).

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
