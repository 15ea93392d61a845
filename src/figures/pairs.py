"""How far networks come whose lengths grow, with and without one thing, from the same seeds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.figures.caption import captioned
from src.figures.reach import RESULTS, TICKS, in_steps, of_run
from src.results.style import COLOURS

EVERY = 500
"""Updates between two points of a line."""

NOTHING = 45
"""Where one is drawn that has passed no length: a little below the first, 50."""


@dataclass(frozen=True)
class Way:
    """A run of ten networks, seeds 0-9.

    Args:
        name: what is particular about it, in words.
        folder: its folder in results/.
        run: its name there.
    """

    name: str
    folder: str
    run: str


PAIRS = (
    (Way("α = 4", "reach", "msgd_cr"), Way("α = 12", "reach_alpha", "alpha_12")),
    (Way("20 sequences a batch", "reach_alpha", "alpha_12"), Way("10 sequences", "reach_batch", "10_far")),
    (Way("goes back after 5 tests", "reach_alpha", "alpha_12"), Way("stays", "reach_alpha", "stay")),
    (Way("exponent 1", "reach", "no_momentum"), Way("exponent 1.5", "reach", "exponent_15")),
    (Way("search to 1.05", "reach", "msgd_cr"), Way("no search", "reach", "no_search")),
    (Way("search to 1.05", "reach", "msgd_cr"), Way("to 1.1", "reach", "tenth")),
    (Way("1.05 times as long", "reach", "no_momentum"), Way("1.02 times", "reach", "growth_102")),
    (Way("momentum .9", "reach", "no_search"), Way("no momentum", "reach", "no_momentum")),
)
"""Runs that differ in one thing, or nearly so; what else differs is in docs/reach-settings.md."""


def read(way: Way, results: Path = RESULTS) -> pd.DataFrame:
    """The lengths that the networks of a run passed."""
    return of_run(results, way.folder, way.run)


def both_made(pair: tuple[Way, Way], results: Path = RESULTS) -> int:
    """Updates that both runs have made, or after which all networks of one had solved the task."""
    return min(int(read(way, results)["budget"].iloc[0]) for way in pair)


def furthest(passed: pd.DataFrame, budget: int) -> pd.Series:
    """The longest length that each seed passed within a budget; 0 where there is none."""
    within = passed[passed["updates"] <= budget].groupby("seed")["length"].max()
    return within.reindex(sorted(passed["seed"].unique())).fillna(0)


def reach_settings(command: str, results: Path = RESULTS) -> Figure:
    """A panel a pair: the median of the longest lengths passed against updates, and the quartiles."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    panels = figure.subplots(2, len(PAIRS) // 2, sharey=True)
    for axis, pair in zip(panels.flat, PAIRS, strict=True):
        end = both_made(pair, results)
        for way, colour in zip(pair, (COLOURS[0], COLOURS[1]), strict=True):
            draw_quartiles(axis, read(way, results), end, colour, way.name)
        axis.set(yscale="log", xlim=(0, end / 1000))
        in_steps(axis.yaxis, TICKS)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    for axis in panels[-1]:
        axis.set_xlabel("thousand updates")
    for axis in panels[:, 0]:
        axis.set_ylabel("longest length passed (steps)")
    caption = (
        "Temporal order, 50 tanh units, MSGD-CR, seeds 0-9 of each: median (line) and quartiles (band), to the update\n"
        "that both have made. Tests of each pair, and what else differs: docs/reach-settings.md."
    )
    return captioned(figure, caption, command)


def draw_quartiles(axis: Axes, passed: pd.DataFrame, end: int, colour: str, label: str) -> None:
    """Draws the median and the quartiles of the longest lengths passed, of all seeds."""
    updates = np.arange(0, end + 1, EVERY)
    each = pd.DataFrame([furthest(passed, int(budget)) for budget in updates]).clip(lower=NOTHING)
    low, middle, high = each.quantile([0.25, 0.5, 0.75], axis=1).to_numpy()
    axis.plot(updates / 1000, middle, color=colour, lw=2, label=label)
    axis.fill_between(updates / 1000, low, high, color=colour, alpha=0.15, lw=0)
