"""Figures of a sweep."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from src.collect import Config, Replica, labels, paired, success_rates

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito (2008): told apart by colour-blind readers too."""

MARKERS = "osD^vP*"


class _Lines:
    """Which line each configuration belongs to, and how it looks."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.of: dict[Config, str] = labels(replicas)
        self.names = sorted(set(self.of.values()))

    def colour(self, name: str) -> str:
        return COLOURS[self.names.index(name) % len(COLOURS)]

    def marker(self, name: str) -> str:
        return MARKERS[self.names.index(name) % len(MARKERS)]


def _panels(replicas: Sequence[Replica]) -> dict[tuple[str, str], list[Replica]]:
    """Replicas by task and cell."""
    panels: dict[tuple[str, str], list[Replica]] = {}
    for replica in replicas:
        panels.setdefault((replica.outcome["task"], replica.outcome["cell"]), []).append(replica)
    return dict(sorted(panels.items()))


def _words(name: str) -> str:
    return name.replace("_", " ")


def success_rate(replicas: Sequence[Replica]) -> Figure:
    """Success rate against length with Wilson's 95 % intervals: a row a task, a panel a cell, a line a method."""
    panels, lines = _panels(replicas), _Lines(replicas)
    tasks, cells = (sorted({names[k] for names in panels}) for k in (0, 1))
    figure = Figure(figsize=(max(5.0, 1.2 + 4.2 * len(cells)), 1.0 + 3.1 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), len(cells), sharey=True, squeeze=False)
    counts = sorted(set(success_rates(replicas)["replicas"]))
    seeds = "-".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    handles: dict[str, Any] = {}
    for row, task in zip(grid, tasks, strict=True):
        for axis, cell in zip(row, cells, strict=True):
            if (task, cell) not in panels:
                axis.set_axis_off()
                continue
            _rates(axis, panels[task, cell], lines)
            axis.set(title=f"{_words(task)}, {_words(cell)}", xlabel="length T (steps)", ylim=(-0.04, 1.04))
            axis.grid(axis="y", alpha=0.3)
            handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
        row[0].set_ylabel(f"success rate\n({seeds} replicas, 95 % interval)")
    _legend(figure, handles, paired(replicas))
    return figure


def _rates(axis: Axes, inside: list[Replica], lines: _Lines) -> None:
    lengths = sorted({r.outcome["length"] for r in inside})
    gap = min((b - a for a, b in pairwise(lengths)), default=lengths[0]) * 0.04
    for k, name in enumerate(lines.names):
        mine = [r for r in inside if lines.of[r.config] == name]
        if not mine:
            continue
        table = success_rates(mine).dropna(subset=["rate"]).sort_values("length")
        x = table["length"] + gap * (k - (len(lines.names) - 1) / 2)  # side by side, or intervals hide each other
        below, above = table["rate"] - table["ci_low"], table["ci_high"] - table["rate"]
        axis.errorbar(
            x,
            table["rate"],
            [below.clip(lower=0), above.clip(lower=0)],
            color=lines.colour(name),
            marker=lines.marker(name),
            capsize=3,
            lw=1.5,
            label=name,
        )
    axis.set_xticks(lengths)
    if len(lengths) == 1:
        axis.set_xlim(lengths[0] - 5 * gap * len(lines.names), lengths[0] + 5 * gap * len(lines.names))


def error(replicas: Sequence[Replica]) -> Figure:
    """Error against updates, a thin line a replica: a row a task and cell, a column a length."""
    panels, lines = _panels(replicas), _Lines(replicas)
    lengths = sorted({r.outcome["length"] for r in replicas})
    figure = Figure(figsize=(max(5.0, 1.2 + 3.4 * len(lengths)), 1.2 + 2.7 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(lengths), sharey=True, squeeze=False)
    drawn: dict[str, Line2D] = {}
    for row, ((task, cell), inside) in zip(grid, panels.items(), strict=True):
        for axis, length in zip(row, lengths, strict=True):
            for r in (r for r in inside if r.outcome["length"] == length and not r.history.empty):
                name = lines.of[r.config]
                step, percent = r.history["step"], 100 * r.history["error"]
                (drawn[name],) = axis.plot(step, percent, color=lines.colour(name), marker=".", ms=2, lw=0.8, alpha=0.8)
                if r.outcome["solved"]:
                    axis.plot(step.iloc[-1], percent.iloc[-1], "o", color=lines.colour(name), ms=6, clip_on=False)
            axis.set(title=f"{_words(cell)}, length {length}", xlabel="updates", ylim=(0, 100), xlim=(0, None))
            axis.grid(axis="y", alpha=0.3)
        row[0].set_ylabel(f"{_words(task)}\nwrong sequences (%)")
    _legend(figure, dict(sorted(drawn.items())), "a line a replica, ending in a circle where it solved the task")
    return figure


def evaluation(table: pd.DataFrame, trained_on: tuple[int, int | None]) -> Figure:
    """Error against length of a trained population, a thin line a replica and their median; the lengths of training
    shaded. Lengths are on a logarithmic scale if they span more than a factor of ten.

    Args:
        table: as evaluation.csv.
        trained_on: length and max_length of the run.
    """
    wide = 100 * table.pivot(index="length", columns="seed", values="error")
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axis = figure.subplots()
    low, high = trained_on[0], trained_on[1] or trained_on[0]
    if low == high:
        axis.axvline(low, color="0.85", lw=6, label="length of training")
    else:
        axis.axvspan(low, high, color="0.9", label="lengths of training")
    for k, seed in enumerate(wide.columns):
        axis.plot(wide[seed], color=COLOURS[0], lw=0.8, alpha=0.7, label="a replica" if k == 0 else None)
    axis.plot(wide.median(axis=1), color=COLOURS[1], marker="o", ms=4, lw=2, label="median")
    if wide.index.max() > 10 * wide.index.min():
        axis.set_xscale("log")
        axis.set_xticks(wide.index, [f"{length:g}" for length in wide.index], fontsize=7, rotation=45)
        axis.minorticks_off()
    first = table.iloc[0]
    top = max(5.0, 1.08 * float(wide.max(axis=None)))
    axis.set(ylim=(-0.02 * top, top), xlabel="length T (steps)", ylabel="wrong sequences (%)")
    axis.set_title(f"{_words(first['task'])}, {_words(first['cell'])}, {first['optimizer']}", fontsize=10)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    return figure


def loss(replicas: Sequence[Replica]) -> Figure:
    """Training loss of each epoch against epochs, updates and seconds: the median over replicas, and their range. A
    replica that came to its schedule's end stays at its last loss; one that diverged is above all others."""
    panels, lines = _panels(replicas), _Lines(replicas)
    figure = Figure(figsize=(12, 0.9 + 3.4 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), 3, sharey="row", squeeze=False)
    drawn: dict[str, Any] = {}
    for row, ((task, cell), inside) in zip(grid, panels.items(), strict=True):
        for name in sorted({lines.of[r.config] for r in inside}):
            each = pd.concat(_to_the_end([r for r in inside if lines.of[r.config] == name])).groupby("epoch")
            for axis, x in zip(row, (each["step"], each["step"], each["seconds"]), strict=True):
                at = each["epoch"].first() if axis is row[0] else x.median()
                style = {
                    "color": lines.colour(name),
                    "ls": ("-", "--", ":")[lines.names.index(name) // len(COLOURS) % 3],
                }
                (drawn[name],) = axis.plot(at, each["loss"].median(), lw=1.2, **style)
                axis.fill_between(at, each["loss"].min(), each["loss"].max(), color=style["color"], alpha=0.15, lw=0)
        for axis, label in zip(row, ("epochs", "updates", "seconds"), strict=True):
            axis.set(xlabel=label, yscale="log")
            axis.grid(alpha=0.3)
        row[1].set_xscale("log")
        row[0].set_ylabel(f"{_words(task)}, {_words(cell)}\ntraining loss of an epoch")
    _legend(figure, dict(sorted(drawn.items())), "median over replicas, shaded: least to largest")
    return figure


def _to_the_end(replicas: Sequence[Replica]) -> list[pd.DataFrame]:
    """Histories, those that ended early continued to the longest."""
    longest = max((r.history for r in replicas), key=len)
    whole = []
    for r in replicas:
        own = r.history
        rest = longest[longest["epoch"] > own["epoch"].max()].copy()
        if not own.empty:
            rest["loss"] = float("inf") if r.outcome["status"] == "diverged" else own["loss"].iloc[-1]
        whole.append(pd.concat([own, rest]))
    return whole


def temporal_gradients(found: dict[str, np.ndarray], seeds: Sequence[int]) -> Figure:
    """‖∇_t‖ against t, and ‖∂a_T/∂a_t‖ with its bound where the cell has them, a line a replica, logarithmic.

    Args:
        found: one measurement, see src/callbacks/diagnostics.py.
    """
    both = not np.isnan(found["jacobian"]).all()
    figure = Figure(figsize=(5.2 * (1 + both), 3.6), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, 1 + both))
    panels = [("temporal_gradient", "$\\|\\nabla_t\\|$, all parameters")]
    panels += [("jacobian", "$\\|\\partial a_T / \\partial a_t\\|_2$")] * both
    for axis, (name, words) in zip(axes, panels, strict=True):
        for r, seed in enumerate(seeds):
            t = np.arange(1, found[name].shape[1] + 1)
            axis.plot(t, drawable(found[name][r]), color=COLOURS[r % len(COLOURS)], lw=1, label=f"seed {seed}")
            if name == "jacobian":
                axis.plot(t, drawable(found["bound"][r]), color=COLOURS[r % len(COLOURS)], lw=0.8, ls=":")
        axis.set(xlabel="step t", ylabel=words, yscale="log")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    if both:
        axes[1].set_title("dotted: the bound, (steepest slope x largest singular value) to the power T - t", fontsize=7)
    if len(seeds) <= len(COLOURS):
        axes[0].legend(frameon=False, fontsize=7)
    return figure


def drawable(x: np.ndarray) -> np.ndarray:
    """Without zeros, of which there is no logarithm, and what is larger than can be drawn."""
    return np.where((x > 1e-300) & (x < 1e300), x, np.nan)


def _legend(figure: Figure, handles: dict[str, Any], title: str) -> None:
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=4 if max(map(len, handles), default=0) < 12 else 1,
        frameon=False,
        title=title,
        title_fontsize=8,
    )
