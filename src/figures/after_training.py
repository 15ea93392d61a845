"""What Ω does to the gradients through time: MSGD-C and MSGD-CR from the same starts, on the same data (P13)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from src.figures.caption import captioned
from src.figures.sequence import windows
from src.figures.training import RUNS, train
from src.results.style import COLOURS, drawable

METHODS = {
    "msgd_c": ("MSGD-C, without Ω", COLOURS[1]),
    "msgd_cr": ("MSGD-CR, with Ω", COLOURS[2]),
}
"""Name and colour of each method; colours as in docs/three_methods_error.png."""


def train_both(runs: Path, length: int, updates: int, replicas: int, *overrides: str) -> None:
    """Trains both methods on temporal order, for exactly so many updates each.

    The one test comes after the last update, so that no replica leaves before it.
    """
    for method in METHODS:
        train(
            runs / method,
            f"optimizer={method}",
            f"task.length={length}",
            f"replicas={replicas}",
            f"trainer.max_steps={updates}",
            f"success.check_every={updates}",
            "callbacks.diagnostics.every=1",
            *overrides,
        )


def norms_by_step(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads ‖∇_t‖ of every replica, RT, before the first update and after the last one."""
    with np.load(directory / "diagnostics.npz") as found:
        norms = found["temporal_gradient"]
    return norms[0], norms[-1]


def ratio(norms_RT: np.ndarray) -> np.ndarray:
    """‖∇_1‖ / ‖∇_T‖ of each replica: how much of the gradient comes through to the first step."""
    return norms_RT[:, 0] / norms_RT[:, -1]


def gradients_after_training(
    command: str, runs: Path = RUNS / "gradients_after_training", length: int = 100, updates: int = 5000
) -> Figure:
    """‖∇_t‖ against t before training, and after it with and without Ω: one thin line per replica, and the median."""
    replicas = 5
    train_both(runs, length, updates, replicas)
    return draw_after_training(command, runs, length, updates)


def draw_after_training(command: str, runs: Path, length: int, updates: int) -> Figure:
    """Draws the runs of both methods."""
    figure = Figure(figsize=(9.4, 5.2), layout="constrained")
    axis = figure.subplots()
    ratios: list[np.ndarray] = []
    errors = []
    for method, (name, colour) in METHODS.items():
        start_RT, end_RT = norms_by_step(runs / method)
        if not ratios:
            _lines(axis, start_RT, "0.45", "before training (both methods)")
            ratios.append(ratio(start_RT))
        _lines(axis, end_RT, colour, f"{name}, after {updates} updates")
        ratios.append(ratio(end_RT))
        errors.append(100 * pd.read_csv(runs / method / "results.csv")["error"].median())
    replicas = len(start_RT)
    for first, last in windows(length):
        axis.axvspan(first - 0.5, last + 0.5, color="#F0E442", alpha=0.35, lw=0, zorder=0)
        axis.text((first + last) / 2, 1.01, "A or B", transform=axis.get_xaxis_transform(), ha="center", fontsize=9)
    axis.set(xlabel="step t", ylabel="$\\|\\nabla_t\\|$, all parameters", yscale="log", xlim=(0, length + 1))
    axis.xaxis.set_major_locator(MultipleLocator(length / 10))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9, loc="lower right")
    medians = [f"{np.median(ratio_R):.2g}" for ratio_R in ratios]
    reached = [int((ratio_R > 0.01).sum()) for ratio_R in ratios]
    caption = (
        f"How much each step's parameters get from the loss at the end. Temporal order, length {length}, smart tanh, "
        f"seeds 0-{replicas - 1}; both methods\nhave the same starts and data; thin: one replica, thick: median; "
        f"shaded: where A or B may be. {updates} updates were chosen beforehand.\n"
        f"Of what the last step gets, the first gets {medians[0]} before training, {medians[1]} without Ω and "
        f"{medians[2]} with Ω (median); more than a hundredth\nin {reached[0]}, {reached[1]} and {reached[2]} of "
        f"{replicas} replicas. Median error after training: {errors[0]:.0f} % without Ω, {errors[1]:.0f} % with it."
    )
    return captioned(figure, caption, command, size=8.5)


def _lines(axis: Axes, norms_RT: np.ndarray, colour: str, label: str) -> None:
    t = np.arange(1, norms_RT.shape[1] + 1)
    axis.plot(t, drawable(norms_RT).T, color=colour, lw=0.8, alpha=0.5)
    axis.plot(t, drawable(np.median(norms_RT, axis=0)), color=colour, lw=2.6, label=label)
