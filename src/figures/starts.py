"""Networks by the spectral radius of W at the start: their gradients through time, and how often they learn (G16)."""

from pathlib import Path

import hydra
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from src.config import refuse
from src.figures.caption import captioned
from src.figures.training import compose
from src.network import Network, build_architecture
from src.results.style import COLOURS, MARKERS, draw_rates, drawable
from src.training.measure import measure
from tasks.batch import collate
from tasks.data import TrainingData

RADII = (0.8, 0.9, 1.0, 1.1, 1.2)
"""Of W at the start (G16)."""


def at_the_start(radius: float, length: int, seeds: int) -> dict[str, np.ndarray]:
    """Measures gradients before the first update: temporal order, 50 tanh units, σ = .1.

    Returns:
        the arrays of :func:`src.callbacks.diagnostics.measure`.
    """
    cfg = compose("cell=spectral", f"cell.spectral_radius={radius}", f"task.length={length}")
    task = hydra.utils.instantiate(cfg.task)
    data = TrainingData(task)
    batch = collate([data(seed, 0) for seed in range(seeds)])
    return measure(Network.start(build_architecture(cfg.cell), task, range(seeds)), task, batch, sequences=4)


def gradients_at_the_start(command: str, length: int = 100, seeds: int = 10) -> Figure:
    """‖∇_t‖ and ‖∂a_T/∂a_t‖ against t for W of several spectral radii."""
    figure = Figure(figsize=(10.6, 4.9), layout="constrained")
    axes = figure.subplots(1, 2)
    t = np.arange(1, length + 1)
    for radius, colour in zip(RADII, COLOURS, strict=False):
        found = at_the_start(radius, length, seeds)
        for axis, name in zip(axes, ("temporal_gradient", "jacobian"), strict=True):
            low, middle, high = (drawable(np.quantile(found[name], q, axis=0)) for q in (0, 0.5, 1))
            axis.plot(t, middle, color=colour, lw=1.8, label=f"$\\rho = {radius:g}$")
            axis.fill_between(t, low, high, color=colour, alpha=0.15, lw=0)
        axes[1].plot(t, drawable(np.median(found["bound"], axis=0)), color=colour, lw=0.9, ls=":")
    axes[0].set(xlabel="step t", ylabel="$\\|\\nabla_t\\|$, all parameters", yscale="log")
    axes[1].set(xlabel="step t", ylabel="$\\|\\partial a_T / \\partial a_t\\|_2$", yscale="log", ylim=(1e-12, 1e12))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    caption = (
        f"At the start: temporal order, length {length}, 50 tanh units, W scaled to spectral radius $\\rho$; median "
        f"and range of {seeds} seeds (0-{seeds - 1}), one mini-batch of 20 each.\n"
        "Dotted: the bound $(\\sigma'_{max}\\,\\mu_{max})^{T-t}$, $\\mu_{max}$ the largest singular value of W "
        "(G16, eq. 24): far above what happens."
    )
    return captioned(figure, caption, command)


PUBLISHED = {
    "G16, $\\rho$ > 1": ((10, 20, 50, 100, 150, 200), (1, 1, 1, 0.66, 0.66, 0)),
    "G16, $\\rho$ < 1": ((10, 20, 50, 100, 150, 200), (1, 1, 0, 0, 0, 0)),
}
"""Clipped SGD on temporal order (a constant in G16's plotting script; 3 runs)."""


def success_by_radius(command: str, table: Path) -> Figure:
    """Success rate against length, one line per spectral radius, beside the published numbers.

    Args:
        table: success_rate.csv of a sweep over cell.spectral_radius and task.length.
    """
    rates = pd.read_csv(table)
    if "cell.spectral_radius" not in rates:
        refuse([f"--table={table}: no column cell.spectral_radius; a sweep over it is wanted, experiment=galvan_rho"])
    if rates.duplicated(["cell.spectral_radius", "length"]).any():
        refuse([f"--table={table}: more differs between its rows than cell.spectral_radius and task.length"])
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axis = figure.subplots()
    by_radius = dict(list(rates.sort_values("length").groupby("cell.spectral_radius", dropna=False)))
    largest_first = sorted(by_radius, key=lambda radius: np.inf if pd.isna(radius) else -radius)
    for k, radius in enumerate(largest_first):
        rows = by_radius[radius]
        name = "ours, as drawn" if pd.isna(radius) else f"ours, $\\rho$ = {radius:g}"
        draw_rates(axis, rows["length"] * (1 + 0.02 * k), rows, color=COLOURS[k], marker=MARKERS[k], label=name)
    for k, (name, (lengths, rate)) in enumerate(PUBLISHED.items()):
        axis.plot(lengths, rate, ls=":", lw=1.2, marker="x", color=COLOURS[k], label=name)
    axis.set(xlabel="length T (steps)", ylabel="success rate", ylim=(-0.05, 1.05), xscale="log")
    axis.set_xticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    replicas = "-".join(map(str, sorted({int(rates["replicas"].min()), int(rates["replicas"].max())})))
    caption = (
        f"Clipped SGD on temporal order, 50 tanh units, by the spectral radius of W at the start; {replicas} seeds,\n"
        "95 % intervals. Budget, learning rate and batch are the sweep's own, not G16's."
    )
    return captioned(figure, caption, command)
