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


@dataclass(frozen=True)
class Pair:
    """Two runs of the same seeds that differ in one thing, or nearly so: docs/reach-settings.md has what else differs.

    Args:
        title: what they differ in.
        first: how most runs are.
        second: what is compared with it.
    """

    title: str
    first: Way
    second: Way

    @property
    def ways(self) -> tuple[Way, Way]:
        return self.first, self.second


LIGHT = ("reach", "msgd_cr")
HEAVY = ("reach_alpha", "alpha_12")
ALONE = ("reach", "no_search")
PLAIN = ("reach", "no_momentum")
"""Folders and runs that stand in several pairs; the last has neither search nor momentum."""

PAIRS = (
    Pair("weight of Ω", Way("α = 4", *LIGHT), Way("α = 12", *HEAVY)),
    Pair("batch; α = 12", Way("20 sequences", *HEAVY), Way("10", "reach_batch", "10_far")),
    Pair("going back; α = 12", Way("after 5 tests", *HEAVY), Way("never", "reach_alpha", "stay")),
    Pair("rate's exponent; α = 4", Way("1", *PLAIN), Way("1.5", "reach", "exponent_15")),
    Pair("search; α = 4", Way("to 1.05", *LIGHT), Way("none", *ALONE)),
    Pair("search; α = 4", Way("to 1.05", *LIGHT), Way("to 1.1", "reach", "tenth")),
    Pair("step without search; α = 4", Way("1.05", *PLAIN), Way("1.02", "reach", "growth_102")),
    Pair("momentum; α = 4", Way(".9", *ALONE), Way("none", *PLAIN)),
)


def read(way: Way, results: Path = RESULTS) -> pd.DataFrame:
    """The lengths that the networks of a run passed."""
    return of_run(results, way.folder, way.run)


def both_made(pair: Pair, results: Path = RESULTS) -> int:
    """Updates that both runs have made, or after which all networks of one had solved the task."""
    return min(int(read(way, results)["budget"].iloc[0]) for way in pair.ways)


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
        for way, colour in zip(pair.ways, COLOURS[:2], strict=True):
            draw_quartiles(axis, read(way, results), end, colour, way.name)
        axis.axhline(TICKS[-1], color="0.6", ls=":", lw=1)
        axis.set(title=pair.title, xlabel="thousand updates", yscale="log", xlim=(0, end / 1000))
        in_steps(axis.yaxis, TICKS)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    for axis in panels[:, 0]:
        axis.set_ylabel("longest length passed (steps)")
    caption = (
        "Temporal order, 50 tanh units, MSGD-CR, seeds 0-9 of each: median (line) and quartiles (band),\n"
        "to the update that both have made. Dotted: 1000 steps, the end of the task.\n"
        "Tests, and what else differs: docs/reach-settings.md."
    )
    return captioned(figure, caption, command)


def draw_quartiles(axis: Axes, passed: pd.DataFrame, end: int, colour: str, label: str) -> None:
    """Draws the median and the quartiles of the longest lengths passed, of all seeds."""
    updates = np.arange(0, end + 1, EVERY)
    each = pd.DataFrame([furthest(passed, int(budget)) for budget in updates]).clip(lower=NOTHING)
    low, middle, high = each.quantile([0.25, 0.5, 0.75], axis=1).to_numpy()
    axis.plot(updates / 1000, middle, color=colour, lw=2, label=label)
    axis.fill_between(updates / 1000, low, high, color=colour, alpha=0.15, lw=0)
