"""Figure of a curriculum: the longest length passed against updates, and the share that came so far."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from src.results.collect import Replica
from src.results.rates import success_rates
from src.results.reach import at_each_length, lengths_of
from src.results.style import Lines, legend, panels, words

TICKS = (1.0, 2.0, 5.0)
"""Digits that lengths on a logarithmic axis are labelled at."""


def reach(replicas: Sequence[Replica]) -> Figure:
    """Left a line per replica, right a line per configuration with its 95 % interval: a row per task and cell.

    Args:
        replicas: those whose lengths grow.
    """
    lines = Lines(replicas)
    inside = panels(replicas)
    figure = Figure(figsize=(10, 0.9 + 3.4 * len(inside)), layout="constrained")
    grid = figure.subplots(len(inside), 2, squeeze=False)
    drawn: dict[str, Any] = {}
    for (left, right), ((task, cell), together) in zip(grid, inside.items(), strict=True):
        for name, alike in lines.split(together).items():
            drawn[name] = _draw_replicas(left, alike, lines.colour(name))
            _draw_shares(right, alike, lines.colour(name))
        left.set(title=f"{words(task)}, {words(cell)}", xlabel="updates", ylabel="longest length passed (steps)")
        last = max(int(dict(replica.config)["task.length"]) for replica in together)
        shortest = min([*lengths_of(together), last])
        left.set(yscale="log", xlim=(0, None), ylim=(0.9 * shortest, 1.1 * last))
        right.set(
            xlabel="length T (steps)",
            ylabel="share of replicas that passed T or more",
            xscale="log",
            xlim=(0.9 * shortest, 1.1 * last),  # where nobody has ended there is no share to take them from
            ylim=(-0.04, 1.04),
        )
        for axis in (left.yaxis, right.xaxis):
            axis.set_major_locator(LogLocator(subs=TICKS))
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_formatter(NullFormatter())
        left.grid(alpha=0.3)
        right.grid(alpha=0.3)
    legend(figure, dict(sorted(drawn.items())), "left: a line per replica; right: within the budget, 95 % interval")
    return figure


def _draw_replicas(axis: Axes, alike: Sequence[Replica], colour: str) -> Any:
    """Draws the longest length passed of each replica, in steps; returns an artist for the legend."""
    curves = []
    for replica in alike:
        history = replica.history.dropna(subset=["reached"])
        steps = [*history["step"], int(replica.outcome["updates"])]
        reached = [*history["reached"], replica.outcome["reached"]]
        if len(history):
            curves.append(_stairs(steps, reached))
    artist = axis.add_collection(LineCollection(curves, colors=colour, linewidths=1.0, alpha=0.8))
    axis.autoscale_view()
    return artist


def _stairs(steps: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Corners of a line that keeps each value until the next step."""
    corners = [(steps[0], values[0])]
    for step, value in zip(steps[1:], values[1:], strict=True):
        corners.append((step, corners[-1][1]))
        corners.append((step, value))
    return corners


def _draw_shares(axis: Axes, alike: Sequence[Replica], colour: str) -> None:
    """Draws the share of replicas that passed each length, with its interval."""
    table = success_rates(at_each_length(alike)).dropna(subset=["rate"]).sort_values("length")
    axis.plot(table["length"], table["rate"], color=colour, lw=1.5, drawstyle="steps-pre")
    axis.fill_between(table["length"], table["ci_low"], table["ci_high"], step="pre", color=colour, alpha=0.15, lw=0)
