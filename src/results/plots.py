"""Figures of a sweep: success rate against length, error against updates, loss against epochs and time."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from src.results.collect import Replica
from src.results.comparison import paired
from src.results.learning_plot import draw_memoryless
from src.results.rates import success_rates
from src.results.style import COLOURS, Lines, draw_rates, legend, panels, spread, words
from src.rundir import DIVERGED

GAP = 0.04
"""Between two lines at one length, as a share of the least distance between two lengths."""

MOST_LENGTHS = 12
"""Lengths that get a panel in the figure of errors; of more, these are spread evenly."""

WIDE = 10
"""Losses that differ by more than this factor are drawn on a logarithmic scale."""

MOST_DOTS = 300
"""Checks of one line in one panel that get a dot each."""


def against_length(replicas: Sequence[Replica]) -> bool:
    """Whether success is drawn against length: in some panel there are several."""
    return any(len({replica.outcome["length"] for replica in inside}) > 1 for inside in panels(replicas).values())


def success_rate(replicas: Sequence[Replica]) -> Figure:
    """Success rate against length with Wilson's 95 % intervals: a row per task, a panel per cell, a line per method.

    Where each panel has one length, against updates: the share of replicas that have solved the task by then.
    """
    inside = panels(replicas)
    several = against_length(replicas)
    lines = Lines(replicas)
    tasks = sorted({task for task, _ in inside})
    cells = sorted({cell for _, cell in inside})
    figure = Figure(figsize=(max(5.0, 1.2 + 4.2 * len(cells)), 1.0 + 3.1 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), len(cells), sharey=True, squeeze=False)
    handles: dict[str, Any] = {}
    for row, task in zip(grid, tasks, strict=True):
        for axis, cell in zip(row, cells, strict=True):
            if (task, cell) not in inside:
                axis.set_axis_off()
                continue
            if several:
                _draw_rates(axis, inside[task, cell], lines)
                axis.set(title=f"{words(task)}, {words(cell)}", xlabel="length T (steps)", ylim=(-0.04, 1.04))
            else:
                _draw_times(axis, inside[task, cell], lines)
                length = inside[task, cell][0].outcome["length"]
                axis.set(title=f"{words(task)}, {words(cell)}, length {length}", xlabel="updates", ylim=(-0.04, 1.04))
            axis.grid(axis="y", alpha=0.3)
            artists, names = axis.get_legend_handles_labels()
            handles |= dict(zip(names, artists, strict=True))
        of = "success rate" if several else "share that has solved the task"
        row[0].set_ylabel(f"{of}\n({_counts(replicas)} replicas, 95 % interval)")
    legend(figure, handles, paired(replicas))
    return figure


def _counts(replicas: Sequence[Replica]) -> str:
    """How many replicas a point stands for: one number, or the least and the largest."""
    counts = success_rates(replicas)["replicas"]
    low = int(counts.min())
    high = int(counts.max())
    return f"{low}" if low == high else f"{low}-{high}"


def _draw_rates(axis: Axes, inside: Sequence[Replica], lines: Lines) -> None:
    """Draws one panel; lines stand side by side, or their intervals would hide each other."""
    lengths = sorted({replica.outcome["length"] for replica in inside})
    gap = GAP * min((b - a for a, b in pairwise(lengths)), default=lengths[0])
    middle = (len(lines.names) - 1) / 2
    for name, alike in lines.split(inside).items():
        table = success_rates(alike).dropna(subset=["rate"]).sort_values("length")
        x = table["length"] + gap * (lines.place(name) - middle)
        draw_rates(axis, x, table, color=lines.colour(name), marker=lines.marker(name), label=name)
    axis.set_xticks(spread(lengths, MOST_LENGTHS))
    if len(lengths) == 1:
        margin = 5 * gap * len(lines.names)
        axis.set_xlim(lengths[0] - margin, lengths[0] + margin)


def _draw_times(axis: Axes, inside: Sequence[Replica], lines: Lines) -> None:
    """Draws the share of replicas that have solved the task against updates, and at the end its interval."""
    longest = max(replica.outcome["updates"] for replica in inside)
    for name, alike in lines.split(inside).items():
        rates = success_rates(alike).iloc[[0]]
        at = sorted(int(replica.outcome["solved_at"]) for replica in alike if replica.outcome["solved"])
        shares = [number / len(alike) for number in range(len(at) + 1)]
        end = min(longest, _budget(alike))
        look: dict[str, Any] = {"color": lines.colour(name), "marker": lines.marker(name)}
        axis.plot(
            [0, *at, end], [*shares, shares[-1]], drawstyle="steps-post", lw=1.5, markevery=[-1], label=name, **look
        )
        if not rates["rate"].isna().any():
            place = pd.Series([end + longest * (0.03 + 0.03 * lines.place(name))])
            draw_rates(axis, place, rates, **look)
    axis.set_xlim(0, longest * (1.06 + 0.03 * len(lines.names)))


def _budget(alike: Sequence[Replica]) -> float:
    """Updates that replicas of one line could make; infinity where that is not known."""
    budgets = [dict(replica.config).get("trainer.max_steps") for replica in alike]
    return max((math.inf if budget is None else float(budget) for budget in budgets), default=math.inf)


MANY = 30
"""Lines of one method in one panel from which on their median is drawn above them."""


def error(replicas: Sequence[Replica]) -> Figure:
    """Error against updates, a thin line per replica: a row per task and cell, a column per length.

    Many lines of one method are pale, and their median is drawn above them.
    """
    lines = Lines(replicas)
    inside = panels(replicas)
    lengths = spread({replica.outcome["length"] for replica in replicas}, MOST_LENGTHS)
    figure = Figure(figsize=(max(5.0, 1.2 + 3.4 * len(lengths)), 1.2 + 2.7 * len(inside)), layout="constrained")
    grid = figure.subplots(len(inside), len(lengths), sharey=True, squeeze=False)
    drawn: dict[str, Any] = {}
    for row, ((task, cell), together) in zip(grid, inside.items(), strict=True):
        for axis, length in zip(row, lengths, strict=True):
            here = [replica for replica in together if replica.outcome["length"] == length]
            for name, alike in lines.split(here).items():
                drawn[name] = _draw_errors(axis, alike, lines.colour(name))
            axis.set(title=f"{words(cell)}, length {length}", xlabel="updates", ylim=(0, 100), xlim=(0, None))
            axis.grid(axis="y", alpha=0.3)
        row[0].set_ylabel(f"{words(task)}\nwrong sequences (%)")
    legend(figure, dict(sorted(drawn.items())), "a line per replica, ending in a circle where it solved the task")
    return figure


def training(replicas: Sequence[Replica]) -> Figure:
    """Errors and losses of one run against updates: a line per replica, ending in a circle where it solved the task."""
    first = replicas[0]
    panels_of = {"error": "wrong sequences (%)"} if first.graded else {}
    panels_of["loss"] = "training loss"
    figure = Figure(figsize=(0.6 + 4.8 * len(panels_of), 3.4), layout="constrained")
    axes = figure.subplots(1, len(panels_of), squeeze=False)[0]
    for axis, (column, label) in zip(axes, panels_of.items(), strict=True):
        for number, replica in enumerate(replicas):
            colour = COLOURS[number % len(COLOURS)]
            curve = replica.curve("step", column) * [1, 100 if column == "error" else 1]
            axis.plot(*curve.T, ".-", color=colour, lw=1, ms=3, label=f"seed {replica.outcome['seed']}")
            if replica.outcome["solved"] is True and len(curve):
                axis.plot(*curve[-1], "o", color=colour, ms=7, clip_on=False)
        axis.set(xlabel="updates", ylabel=label, xlim=(0, None))
        axis.grid(alpha=0.3)
    draw_memoryless(axes[-1], first)
    if first.graded:
        axes[0].set_ylim(0, 100)
    losses = np.concatenate([replica.curve("loss") for replica in replicas])
    known = losses[np.isfinite(losses) & (losses > 0)]
    if len(known) and known.max() > WIDE * known.min():
        axes[-1].set_yscale("log")
    if len(replicas) <= len(COLOURS):
        axes[-1].legend(frameon=False, fontsize=8)
    outcome = first.outcome
    names = (words(outcome["task"]), f"length {outcome['length']}", words(outcome["cell"]), outcome["optimizer"])
    figure.suptitle(", ".join(names), fontsize=10)
    return figure


def _draw_errors(axis: Axes, alike: Sequence[Replica], colour: str) -> Any:
    """Draws the errors of replicas of one line; returns an artist for the legend."""
    curves = []
    ends = []
    for replica in alike:
        curve = replica.curve("step", "error") * [1, 100]
        curves.append(curve)
        if replica.outcome["solved"] and len(curve):
            ends.append(curve[-1])
    many = len(alike) >= MANY
    artist: Any = axis.add_collection(LineCollection(curves, colors=colour, linewidths=0.8, alpha=0.2 if many else 0.8))
    points = np.concatenate(curves)
    if many and len(points):
        (artist,) = axis.plot(*_median(curves), color=colour, lw=2)
    elif len(points) <= MOST_DOTS:
        axis.plot(*points.T, ".", color=colour, ms=2, alpha=0.8)
    if ends:
        axis.plot(*np.array(ends).T, "o", color=colour, ms=6, clip_on=False)
    axis.autoscale_view()
    return artist


def _median(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Steps, and the median of all curves there; who has ended stays at the last value."""
    steps = np.unique(np.concatenate(curves)[:, 0])
    values = []
    for curve in curves:
        if len(curve):
            place = np.searchsorted(curve[:, 0], steps, side="right") - 1
            values.append(np.where(place >= 0, curve[place.clip(min=0), 1], np.nan))
    return np.stack([steps, np.nanmedian(values, axis=0)])


def loss(replicas: Sequence[Replica]) -> Figure:
    """Training loss of each epoch against epochs, updates and seconds: the median over replicas, and their range.

    A replica that came to its schedule's end stays at its last loss; one that diverged is above all others.
    """
    lines = Lines(replicas)
    inside = panels(replicas)
    figure = Figure(figsize=(12, 0.9 + 3.4 * len(inside)), layout="constrained")
    grid = figure.subplots(len(inside), 3, sharey="row", squeeze=False)
    drawn: dict[str, Any] = {}
    for row, ((task, cell), together) in zip(grid, inside.items(), strict=True):
        for name, alike in lines.split(together).items():
            drawn[name] = _draw_losses(row, alike, lines, name)
        for axis, label in zip(row, ("epochs", "updates", "seconds"), strict=True):
            axis.set(xlabel=label, yscale="log")
            axis.grid(alpha=0.3)
        row[1].set_xscale("log")
        row[0].set_ylabel(f"{words(task)}, {words(cell)}\ntraining loss of an epoch")
    legend(figure, dict(sorted(drawn.items())), "median over replicas, shaded: least to largest")
    return figure


def _draw_losses(row: Sequence[Axes], alike: Sequence[Replica], lines: Lines, name: str) -> Any:
    """Draws one line against epochs, updates and seconds; returns the last of the three."""
    each = pd.concat(continued(alike)).groupby("epoch")
    colour = lines.colour(name)
    places = (each["epoch"].first(), each["step"].median(), each["seconds"].median())
    for axis, x in zip(row, places, strict=True):
        (line,) = axis.plot(x, each["loss"].median(), lw=1.2, color=colour, ls=lines.dashes(name))
        axis.fill_between(x, each["loss"].min(), each["loss"].max(), color=colour, alpha=0.15, lw=0)
    return line


def continued(replicas: Sequence[Replica]) -> list[pd.DataFrame]:
    """Histories of the replicas, those that ended early continued to the longest."""
    longest = max((replica.history for replica in replicas), key=len)
    whole = []
    for replica in replicas:
        history = replica.history
        rest = longest[longest["epoch"] > history["epoch"].max()].copy()
        if not history.empty:
            diverged = replica.outcome["status"] == DIVERGED
            rest["loss"] = float("inf") if diverged else history["loss"].iloc[-1]
        whole.append(pd.concat([history, rest]))
    return whole
