"""Two runs, or two sweeps, beside each other: what differs between them, and whether the outcomes do."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from src.intervals import wilson
from src.results.collect import Config, Replica, by_config
from src.results.comparison import has_stages
from src.results.reach import furthest, growing
from src.rundir import ENDED

SAME_DATA = "task."
"""What the keys begin with that decide which sequences a seed sees."""

SAME_START = "cell."
"""And those that decide where it starts."""


@dataclass
class Comparison:
    """Replicas of one setting on both sides.

    Args:
        shared: what they have in common, of the keys that differ within a side.
        one, other: the replicas of each side.
        paired: what a seed has in common on both sides, in words; empty: nothing, or the seeds are others.
    """

    shared: dict[str, Any]
    one: list[Replica]
    other: list[Replica]
    paired: str


@dataclass
class PairTest:
    """A two-sided test of outcomes, in pairs of a seed, or of any replica of one side with any of the other.

    Args:
        name: what it is called.
        for_one, for_other: pairs that speak for one side and for the other.
        p: probability of a difference as large, if there were none.
    """

    name: str
    for_one: int
    for_other: int
    p: float


@dataclass
class Reach:
    """How far the replicas of both sides came whose lengths grow.

    Args:
        updates: as many as all made who had neither solved the task nor diverged.
        one, other: the longest length that each replica had passed by then; 0: none.
        test: whether one side came farther.
    """

    updates: int
    one: list[int]
    other: list[int]
    test: PairTest


def different(one: Sequence[Replica], other: Sequence[Replica]) -> dict[str, tuple[list[Any], list[Any]]]:
    """Keys whose values on the two sides are not the same, with the values of each."""
    found = {}
    sides = [[dict(config) for config in by_config(side)] for side in (one, other)]
    keys = {key for side in sides for config in side for key in config}
    for key in sorted(keys):
        mine, theirs = (_distinct(config.get(key) for config in side) for side in sides)
        if set(mine) != set(theirs):
            found[key] = (mine, theirs)
    return found


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def comparisons(one: Sequence[Replica], other: Sequence[Replica]) -> tuple[list[Comparison], int]:
    """Settings that both sides have, apart from the keys whose values on one side are none of the other's.

    Returns:
        the comparisons, and how many configurations have no counterpart, or more than one: they are never pooled.
    """
    apart = [key for key, (mine, theirs) in different(one, other).items() if not set(mine) & set(theirs)]
    sides = [_by_rest(side, apart) for side in (one, other)]
    common = [rest for rest in sides[0] if len(sides[0][rest]) == 1 == len(sides[1].get(rest, ()))]
    inside = [key for key, _ in common[0] if len({dict(rest).get(key) for rest in common}) > 1] if common else []
    found = []
    for rest in common:
        ((mine,), (theirs,)) = (side[rest].values() for side in sides)
        shared = {key: dict(rest).get(key) for key in inside}
        found.append(Comparison(shared, mine, theirs, _paired(apart, mine, theirs)))
    configurations = sum(len(groups) for side in sides for groups in side.values())
    return found, configurations - 2 * len(found)


def _by_rest(side: Sequence[Replica], keys: Iterable[str]) -> dict[Config, dict[Config, list[Replica]]]:
    """Replicas by what is left of their configuration without these keys, and then by their configuration."""
    groups: dict[Config, dict[Config, list[Replica]]] = {}
    left_out = set(keys)
    for config, alike in by_config(side).items():
        rest = Config(item for item in config if item[0] not in left_out)
        groups.setdefault(rest, {})[config] = alike
    return groups


def _paired(keys: Iterable[str], one: Sequence[Replica], other: Sequence[Replica]) -> str:
    """What replicas of one seed have in common; empty where the seeds are not the same, or occur twice."""
    seeds = [sorted(replica.outcome["seed"] for replica in side) for side in (one, other)]
    if seeds[0] != seeds[1] or len({*seeds[0]}) < len(seeds[0]) or any(key.startswith(SAME_DATA) for key in keys):
        return ""
    common = [] if any(key.startswith(SAME_START) for key in keys) else ["starts"]
    if not any(has_stages(replica.config) for replica in (*one, *other)):  # each has lengths of its own
        common.append("data")
    return f"the same {' and '.join(common)}" if common else ""


def pair_tests(comparison: Comparison) -> list[PairTest]:
    """Tests of pairs: who solved the task at all, and who sooner. None where answers are neither right nor wrong."""
    theirs = {replica.outcome["seed"]: replica.outcome for replica in comparison.other}
    pairs = [(replica.outcome, theirs[replica.outcome["seed"]]) for replica in comparison.one]
    if not all(outcome["solved"] in (True, False) for pair in pairs for outcome in pair):
        return []
    solved = [(mine["solved"] is True, their["solved"] is True) for mine, their in pairs]
    sooner = [(_when(mine), _when(their)) for mine, their in pairs]
    return [
        _sign_test("solved at all (McNemar's exact test)", [mine - their for mine, their in solved]),
        _sign_test("solved sooner (sign test)", [(mine < their) - (their < mine) for mine, their in sooner]),
    ]


def reach(comparison: Comparison) -> Reach | None:
    """How far both sides came by as many updates; None where lengths do not grow on both."""
    sides = [sorted(side, key=_seed) for side in (comparison.one, comparison.other)]
    if any(len(growing(side)) < len(side) for side in sides):
        return None
    updates = _made_by_all([*sides[0], *sides[1]])
    one, other = ([furthest(replica, updates) for replica in side] for side in sides)
    if comparison.paired:
        signs = [(mine > their) - (their > mine) for mine, their in zip(one, other, strict=True)]
        return Reach(updates, one, other, _sign_test("farther, in pairs of a seed (sign test)", signs))
    from scipy.stats import mannwhitneyu  # takes a second to be imported

    ahead = sum(mine > their for mine in one for their in other)
    behind = sum(mine < their for mine in one for their in other)
    test = PairTest("farther, each with each (Mann-Whitney)", ahead, behind, float(mannwhitneyu(one, other).pvalue))
    return Reach(updates, one, other, test)


def _made_by_all(replicas: Sequence[Replica]) -> int:
    """Updates that all have made who could make more; where nobody could, as many as somebody has made."""
    made = [(replica.outcome["status"] in ENDED, int(replica.outcome["updates"])) for replica in replicas]
    return min((updates for ended, updates in made if not ended), default=max(updates for _, updates in made))


def _seed(replica: Replica) -> int:
    return int(replica.outcome["seed"])


def _when(outcome: dict[str, Any]) -> float:
    """Updates until the task was solved; infinity: it was not."""
    return float(outcome["solved_at"]) if outcome["solved"] is True else math.inf


def _sign_test(name: str, signs: Sequence[int]) -> PairTest:
    """Pairs that are equal say nothing; of the others half would speak for each side, if there were no difference."""
    from scipy.stats import binomtest  # takes a second to be imported

    ahead = sum(sign > 0 for sign in signs)
    behind = sum(sign < 0 for sign in signs)
    p = float(binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0
    return PairTest(name, ahead, behind, p)


def difference(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float, float]:
    """Difference of two rates, other - one, with its 95 % interval: Newcombe's from Wilson's (1998, method 10).

    Args:
        one, other: solved, of all.
    """
    (k, n), (other_k, other_n) = one, other
    p, q = k / n, other_k / other_n
    low, high = wilson(k, n)
    other_low, other_high = wilson(other_k, other_n)
    apart = q - p
    least = apart - math.hypot(q - other_low, high - p)
    most = apart + math.hypot(other_high - q, p - low)
    return apart, least, most
