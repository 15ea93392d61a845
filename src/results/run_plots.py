"""Figures of one population: its errors on other lengths, its gradients on their way back through time."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.results.style import COLOURS, drawable, words

TEMPORAL_GRADIENT = "‖∇ₜ‖, all parameters"  # plain text: mathematics takes Matplotlib a tenth of a second
JACOBIAN = "‖∂a(T) / ∂a(t)‖₂"


def evaluation(table: pd.DataFrame, trained_on: tuple[int, int | None]) -> Figure:
    """Error against length of a trained population: a thin line per replica, their median, the lengths of training.

    Lengths are on a logarithmic scale if they span more than a factor of ten.

    Args:
        table: as evaluation.csv.
        trained_on: length and max_length of the run.
    """
    wide = 100 * table.pivot(index="length", columns="seed", values="error")
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axis = figure.subplots()
    _shade(axis, *trained_on)
    for number, seed in enumerate(wide.columns):
        axis.plot(wide[seed], color=COLOURS[0], lw=0.8, alpha=0.7, label="a replica" if number == 0 else None)
    axis.plot(wide.median(axis=1), color=COLOURS[1], marker="o", ms=4, lw=2, label="median")
    if wide.index.max() > 10 * wide.index.min():
        axis.set_xscale("log")
        axis.set_xticks(wide.index, [f"{length:g}" for length in wide.index], fontsize=7, rotation=45)
        axis.minorticks_off()
    top = max(5.0, 1.08 * float(wide.max(axis=None)))
    axis.set(ylim=(-0.02 * top, top), xlabel="length T (steps)", ylabel="wrong sequences (%)")
    first = table.iloc[0]
    axis.set_title(f"{words(first['task'])}, {words(first['cell'])}, {first['optimizer']}", fontsize=10)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    return figure


def _shade(axis: Axes, length: int, max_length: int | None) -> None:
    """Shades the lengths of training."""
    if max_length is None or max_length == length:
        axis.axvline(length, color="0.85", lw=6, label="length of training")
    else:
        axis.axvspan(length, max_length, color="0.9", label="lengths of training")


def temporal_gradients(found: dict[str, np.ndarray], seeds: Sequence[int]) -> Figure:
    """‖∇_t‖ against t, and ‖∂a_T/∂a_t‖ with its bound where the cell has them: a line per replica, logarithmic.

    Args:
        found: one measurement, see src/callbacks/diagnostics.py; arrays are RT.
        seeds: of the R replicas.
    """
    has_jacobian = not np.isnan(found["jacobian"]).all()
    panels = {"temporal_gradient": TEMPORAL_GRADIENT}
    if has_jacobian:
        panels["jacobian"] = JACOBIAN
    figure = Figure(figsize=(5.2 * len(panels), 3.6))
    figure.subplots_adjust(left=0.75 / figure.get_figwidth(), right=0.98, bottom=0.14, top=0.92, wspace=0.2)
    axes = np.atleast_1d(figure.subplots(1, len(panels)))
    for axis, (name, label) in zip(axes, panels.items(), strict=True):
        t = np.arange(1, found[name].shape[1] + 1)
        for number, seed in enumerate(seeds):
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(t, drawable(found[name][number]), color=colour, lw=1, label=f"seed {seed}")
        axis.set(xlabel="step t", ylabel=label, yscale="log")
        axis.minorticks_off()
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    if has_jacobian:
        _draw_bounds(axes[1], t, found["bound"])
        axes[1].set_title("dotted: the bound, (steepest slope x largest singular value) to the power T - t", fontsize=7)
    if len(seeds) <= len(COLOURS):
        axes[0].legend(frameon=False, fontsize=7)
    return figure


def _draw_bounds(axis: Axes, t: np.ndarray, bounds: np.ndarray) -> None:
    """Draws bounds RT as far as they are in sight: over a thousand steps they grow by hundreds of decades."""
    axis.set_ylim(axis.get_ylim())
    for number, bound in enumerate(bounds):
        axis.plot(t, drawable(bound), color=COLOURS[number % len(COLOURS)], lw=0.8, ls=":")
