"""How well scores rank: the area under the ROC curve, and its interval."""

import numpy as np

from tasks.draws import Stream, generator

RESAMPLES = 2000
"""Bootstrap samples of an interval."""


def auc(score_N: np.ndarray, positive_N: np.ndarray, count_BN: np.ndarray | None = None) -> np.ndarray:
    """Of the pairs of a positive and a negative, the share in which the positive has the higher score.

    Equal scores count half. That is the area under the ROC curve (Hanley & McNeil, 1982).

    Args:
        count_BN: how often each counts, in B samples; None: once.

    Returns:
        auc_B, float64; NaN where there are no positives or no negatives.
    """
    count_BN = np.ones((1, len(score_N))) if count_BN is None else count_BN
    order = np.argsort(score_N, kind="stable")
    sorted_N = score_N[order]
    first_K = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))  # of each score
    ordered_BN = count_BN[:, order].astype(float)
    positives_BK = np.add.reduceat(ordered_BN * positive_N[order], first_K, axis=1)
    negatives_BK = np.add.reduceat(ordered_BN * ~positive_N[order], first_K, axis=1)
    below_BK = np.cumsum(negatives_BK, axis=1) - negatives_BK
    right_B = (positives_BK * (below_BK + negatives_BK / 2)).sum(1)
    pairs_B = positives_BK.sum(1) * negatives_BK.sum(1)
    return np.divide(right_B, pairs_B, out=np.full(len(pairs_B), np.nan), where=pairs_B > 0)


def resamples(cases: int, seed: int, samples: int = RESAMPLES) -> np.ndarray:
    """How often each case is drawn in bootstrap samples, with replacement: count_BN, a function of the seed."""
    draws = generator(seed, Stream.RECORDS, 3)
    return draws.multinomial(cases, np.full(cases, 1 / cases), size=samples)


def interval(value_B: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of bootstrap samples (percentile interval; Efron & Tibshirani, 1993); NaN does not count."""
    low, high = np.nanpercentile(value_B, [2.5, 97.5])
    return float(low), float(high)
