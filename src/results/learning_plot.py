"""Figure of training losses against updates, where it is known what loss an answer without memory has."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from src.results.collect import Replica
from src.results.rates import memoryless
from src.results.style import Lines, drawable, legend, panels, spread, words

MOST_LENGTHS = 12
"""Lengths that get a panel; of more, these are spread evenly."""

WITHOUT_MEMORY = "without memory"
"""What the line of answers without memory is called."""


def with_yardstick(replicas: Sequence[Replica]) -> list[Replica]:
    """Those of tasks of which the loss of answers without memory is known."""
    return [replica for replica in replicas if not math.isnan(memoryless(replica))]


def learning(replicas: Sequence[Replica]) -> Figure:
    """Training loss against updates, a thin line per replica: a row per task and cell, a column per length.

    Args:
        replicas: of :func:`with_yardstick`.
    """
    lines = Lines(replicas)
    inside = panels(replicas)
    lengths = spread({replica.outcome["length"] for replica in replicas}, MOST_LENGTHS)
    figure = Figure(figsize=(max(5.0, 1.2 + 3.4 * len(lengths)), 1.2 + 2.7 * len(inside)), layout="constrained")
    grid = figure.subplots(len(inside), len(lengths), squeeze=False)
    drawn: dict[str, Any] = {}
    for row, ((task, cell), together) in zip(grid, inside.items(), strict=True):
        for axis, length in zip(row, lengths, strict=True):
            here = [replica for replica in together if replica.outcome["length"] == length]
            for name, alike in lines.split(here).items():
                drawn[name] = _draw_losses(axis, alike, lines.colour(name))
            if here:
                drawn[WITHOUT_MEMORY] = draw_memoryless(axis, here[0])
            axis.set(title=f"{words(cell)}, length {length}", xlabel="updates", xlim=(0, None), yscale="log")
            axis.grid(axis="y", alpha=0.3)
        row[0].set_ylabel(f"{words(task)}\ntraining loss")
    legend(figure, drawn, "a line per replica; dotted: the loss of answers without memory")
    return figure


def draw_memoryless(axis: Axes, replica: Replica) -> Any:
    """Draws the loss of answers without memory on a replica's task, and names the line; None: it is not known."""
    value = memoryless(replica)
    if math.isnan(value):
        return None
    return axis.axhline(value, color="black", lw=1, ls=":", label=WITHOUT_MEMORY)


def _draw_losses(axis: Axes, alike: Sequence[Replica], colour: str) -> Any:
    """Draws the losses of replicas of one line; returns an artist for the legend."""
    curves = []
    for replica in alike:
        step, loss = replica.curve("step", "loss").T
        curves.append(np.column_stack([step, drawable(loss)]))
    artist = axis.add_collection(LineCollection(curves, colors=colour, linewidths=0.8, alpha=0.8))
    axis.autoscale_view()
    return artist
