"""Tables of runs that differ in one thing, and of slow networks beside quick ones."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import binomtest, wilcoxon

from src.figures.pairs import PAIRS, Pair, both_made, furthest, read
from tools.tables.words import markdown, probability, spread, thousands
from tools.tables.words import read as table_of

BY = (20_000, 60_000)
"""Updates by which each pair is compared."""

END = 1000
"""The last length of the task."""


def farther(pair: Pair, budget: int) -> str:
    """How many seeds came farther with the second, how many less far, and the paired Wilcoxon test of that."""
    first, second = (furthest(read(way), budget) for way in pair.ways)
    more = second - first
    counts = f"{(more > 0).sum()} : {(more < 0).sum()}"
    if not more.any():
        return counts
    return f"{counts} (p = {probability(wilcoxon(more[more != 0]).pvalue)})"


def sooner(pair: Pair) -> str:
    """How many seeds solved the task sooner with the second, how many later, and the sign test of that.

    Who has not solved it by the updates that both have made comes later than who has, and counts for nothing otherwise.
    """
    end = both_made(pair)
    first, second = (arrivals(read(way), end) for way in pair.ways)
    counts = [int((second < first).sum()), int((second > first).sum())]
    p = binomtest(counts[0], sum(counts)).pvalue
    return f"{counts[0]} : {counts[1]} (p = {probability(p)}), {end:,}"


def arrivals(passed: pd.DataFrame, budget: int) -> pd.Series:
    """Updates after which each seed had passed 1 000 steps within a budget; infinite where it had not."""
    there = passed[(passed["length"] == END) & (passed["updates"] <= budget)].set_index("seed")["updates"]
    return there.reindex(sorted(passed["seed"].unique())).fillna(np.inf)


def reach_pairs() -> list[str]:
    """What one thing changes: ten seeds with it beside the same without it."""
    rows = []
    for pair in PAIRS:
        first, second = pair.ways
        name = f"{pair.title}: {first.name} → {second.name}"
        rows.append([name, *(farther(pair, budget) for budget in BY), sooner(pair)])
    head = ["", *(f"farther : less far by {each:,} updates" for each in BY), "sooner : later at 1 000 steps, within"]
    return markdown(head, rows)


CLIMB = (400, END)
"""Steps between which networks are compared that were quick and that were slow."""

SLOW = 50_000
"""Updates there, above which a network is called slow."""

WEIGHTS = {"reach_far": "α = 4", "reach_alpha": "α = 12"}
"""Folders with the history of seeds 10-19, and the weight of Ω."""


def climbs(folder: str) -> pd.DataFrame:
    """What was measured of each network in its tests between 400 and 1 000 steps: medians, and the updates there."""
    history = table_of(f"{folder}/run", "history")
    first, last = CLIMB
    rows = {}
    for seed, own in history.groupby("seed"):
        there = own[own["length"].between(first, last - 1)]
        every = int(own["step"].iloc[0])
        passes = there["error"] < 0.01
        row = {"updates": every * len(there)}
        for name, part in (("passed", there[passes]), ("missed", there[~passes])):
            row[f"gradient_{name}"] = part["grad_norm"].median()
            row[f"omega_{name}"] = part["omega"].median()
        rows[seed] = row
    return pd.DataFrame(rows).T


def reach_slow() -> list[str]:
    """Networks that were quick from 400 to 1 000 steps beside those that were slow there, by the weight of Ω."""
    rows = []
    for folder, weight in WEIGHTS.items():
        every = climbs(folder)
        slow = every["updates"] > SLOW
        for name, part in (("quick", every[~slow]), ("slow", every[slow])):
            spent = " to ".join(thousands(bound) for bound in sorted({part["updates"].min(), part["updates"].max()}))
            gradients = [spread(part[f"gradient_{which}"]) for which in ("passed", "missed")]
            omega = [spread(1000 * part[f"omega_{which}"], 1) for which in ("passed", "missed")]
            rows.append([f"{weight}, {name}", str(len(part)), spent, *gradients, *omega])
    head = ["", "networks", "updates there", "‖g‖, passed", "‖g‖, missed", "1000 Ω, passed", "1000 Ω, missed"]
    return markdown(head, rows)


TABLES: dict[str, Callable[[], list[str]]] = {
    "reach_pairs": reach_pairs,
    "reach_slow": reach_slow,
}
"""What makes the table of each name."""
