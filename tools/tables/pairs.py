"""Tables of runs that differ in one thing, and of networks that got stuck beside those that went on."""

from collections.abc import Callable

import pandas as pd
from scipy.stats import wilcoxon

from src.figures.pairs import PAIRS, Way, both_made, furthest, read
from tools.tables.words import markdown, probability, spread, thousands
from tools.tables.words import read as table_of

EARLY = (20_000, 60_000)
"""Updates by which each pair is compared, besides to the end."""


def compared(pair: tuple[Way, Way], budget: int) -> str:
    """How many seeds came farther with the second, how many less far, and the paired Wilcoxon test of that."""
    first, second = (furthest(read(way), budget) for way in pair)
    more = second - first
    counts = f"{(more > 0).sum()} : {(more < 0).sum()}"
    if not more.any():
        return counts
    return f"{counts} (p = {probability(wilcoxon(more[more != 0]).pvalue)})"


def reach_pairs() -> list[str]:
    """What one thing changes: ten seeds with it beside the same without it, by as many updates."""
    rows = []
    for pair in PAIRS:
        end = both_made(pair)
        cells = [compared(pair, budget) for budget in EARLY]
        last = "–" if end <= EARLY[-1] else f"{compared(pair, end)}, {end:,}"
        rows.append([" → ".join(way.name for way in pair), *cells, last])
    head = ["seeds that come farther with the second : less far", *(f"by {each:,} updates" for each in EARLY)]
    return markdown([*head, "by the end, and updates"], rows)


CLIMB = (400, 1000)
"""Steps between which networks are compared that went on and that got stuck."""

STUCK = 50_000
"""Who made more updates there got stuck."""

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


def reach_stuck() -> list[str]:
    """Networks that went on from 400 to 1 000 steps beside those that got stuck there, by the weight of Ω."""
    rows = []
    for folder, weight in WEIGHTS.items():
        every = climbs(folder)
        stuck = every["updates"] > STUCK
        for name, part in (("went on", every[~stuck]), ("got stuck", every[stuck])):
            spent = " to ".join(thousands(bound) for bound in sorted({part["updates"].min(), part["updates"].max()}))
            gradients = [spread(part[f"gradient_{which}"]) for which in ("passed", "missed")]
            omega = [spread(1000 * part[f"omega_{which}"], 1) for which in ("passed", "missed")]
            rows.append([f"{weight}, {name}", str(len(part)), spent, *gradients, *omega])
    head = ["", "networks", "updates there", "‖g‖, passed", "‖g‖, missed", "1000 Ω, passed", "1000 Ω, missed"]
    return markdown(head, rows)


TABLES: dict[str, Callable[[], list[str]]] = {
    "reach_pairs": reach_pairs,
    "reach_stuck": reach_stuck,
}
"""What makes the table of each name."""
