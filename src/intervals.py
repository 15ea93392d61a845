"""Intervals for success rates."""

from functools import lru_cache
from math import sqrt
from statistics import NormalDist


@lru_cache(maxsize=1000)
def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927): all p no further from it than z √(p (1 - p) / n).

    SciPy's is the same, as the tests see; but to import it takes a second of every sweep.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials} trials")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    reach = z * sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    whole = 1 + z * z / trials
    low = 0.0 if successes == 0 else (centre - reach) / whole
    high = 1.0 if successes == trials else (centre + reach) / whole
    return low, high
