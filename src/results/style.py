"""What all figures share: colours, the look of each line, the legend."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.results.collect import Config, Replica
from src.results.comparison import labels

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito (2008): colour-blind readers can tell them apart too."""

METHODS = ("msgd", "msgd_c", "msgd_cr", "simplex", "adam", "simplex_switching", "rmsprop")
"""Methods that have a colour of their own."""

LETTER, HANDLE, ROW = 0.1, 0.7, 0.21
"""Inches that a letter of a legend takes, a line's sample, and a row."""

MARKERS = "osD^vP*"
DASHES = ("-", "--", ":")


class Lines:
    """Which line each configuration belongs to, and how it looks.

    Args:
        replicas: all that are drawn in one figure.
    """

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.of: dict[Config, str] = labels(replicas)
        self.names = sorted(set(self.of.values()))

    def place(self, name: str) -> int:
        """The number of a line among all of the figure."""
        return self.names.index(name)

    def colour(self, name: str) -> str:
        """Colour of a line: the same in all figures where each method has one line; else the eighth begins anew."""
        if set(self.names) <= set(METHODS):
            return COLOURS[METHODS.index(name)]
        return COLOURS[self.place(name) % len(COLOURS)]

    def marker(self, name: str) -> str:
        """Marker of a line's points."""
        return MARKERS[self.place(name) % len(MARKERS)]

    def dashes(self, name: str) -> str:
        """Dashes of a line: others for the second seven colours than for the first."""
        return DASHES[self.place(name) // len(COLOURS) % len(DASHES)]

    def split(self, replicas: Sequence[Replica]) -> dict[str, list[Replica]]:
        """Some of the replicas by their line, in the order of the lines' names."""
        groups: dict[str, list[Replica]] = {}
        for replica in replicas:
            groups.setdefault(self.of[replica.config], []).append(replica)
        return dict(sorted(groups.items()))


def panels(replicas: Sequence[Replica]) -> dict[tuple[str, str], list[Replica]]:
    """Replicas by task and cell, sorted."""
    groups: dict[tuple[str, str], list[Replica]] = {}
    for replica in replicas:
        groups.setdefault((replica.outcome["task"], replica.outcome["cell"]), []).append(replica)
    return dict(sorted(groups.items()))


def spread(lengths: Iterable[int], most: int) -> list[int]:
    """Some of the lengths, from the least to the largest: at most so many."""
    known = sorted(set(lengths))
    if len(known) <= most:
        return known
    places = np.linspace(0, len(known) - 1, most).round().astype(int)
    return [known[place] for place in places]


def words(name: str) -> str:
    """A name as a reader writes it."""
    return name.replace("_", " ")


def drawable(x: np.ndarray) -> np.ndarray:
    """Numbers for a logarithmic axis: NaN for zeros and for what is too large to be drawn."""
    return np.where((x > 1e-300) & (x < 1e300), x, np.nan)


def draw_rates(axis: Axes, x: pd.Series, rates: pd.DataFrame, **look: Any) -> None:
    """Draws success rates with their intervals as one line.

    Args:
        x: where the points stand.
        rates: with the columns rate, ci_low and ci_high.
        look: colour, marker and label, as Matplotlib's errorbar takes them.
    """
    below = (rates["rate"] - rates["ci_low"]).clip(lower=0)
    above = (rates["ci_high"] - rates["rate"]).clip(lower=0)
    axis.errorbar(x, rates["rate"], [below, above], capsize=3, lw=1.5, **look)


def legend(figure: Figure, handles: dict[str, Any], title: str) -> None:
    """Puts one legend below all panels; the figure grows where it has many lines.

    Args:
        figure: with a constrained layout.
        handles: one artist per name.
        title: a line above it.
    """
    longest = max(map(len, handles), default=0)
    columns = max(1, int(figure.get_figwidth() / (LETTER * longest + HANDLE)))
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + ROW * max(0, rows - 2))
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        title=title,
        title_fontsize=8,
    )
