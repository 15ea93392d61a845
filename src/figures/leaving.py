"""Replicas leave their population as they solve the task, and the rest get cheaper."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.figures.caption import captioned
from src.figures.training import RUNS, train
from src.results.style import COLOURS

COLOUR = COLOURS[2]
"""Of MSGD-CR, as in docs/three_methods_error.png."""


def train_population(runs: Path, replicas: int, every: int, *overrides: str) -> None:
    """Trains with the default configuration: temporal order, length 50, MSGD-CR; tests after so many updates.

    One thread, so that the seconds depend on the replicas and not on how two threads share them.
    """
    train(
        runs,
        f"replicas={replicas}",
        f"success.check_every={every}",
        "callbacks.diagnostics.every=null",
        "threads=1",
        *overrides,
    )


def learning(results: pd.DataFrame, steps: np.ndarray) -> np.ndarray:
    """How many replicas made the update of each of these numbers."""
    return (results["updates"].to_numpy() >= steps[:, None]).sum(1)


def seconds_per_1000(history: pd.DataFrame) -> pd.Series:
    """Seconds of the whole population per 1000 updates, between each test and the one before, by the test's step."""
    at = history.groupby("step")["seconds"].max()
    before = at.shift(fill_value=0.0)
    updates = np.diff(at.index.to_numpy(), prepend=0)
    return 1000 * (at - before) / updates


def replicas_leaving(
    command: str, runs: Path = RUNS / "replicas_leaving", replicas: int = 10, every: int = 1000
) -> Figure:
    """Error of every replica until it leaves; how many still learn; what 1000 updates of all of them take."""
    train_population(runs, replicas, every)
    return draw_leaving(command, runs, every)


def draw_leaving(command: str, run: Path, every: int) -> Figure:
    """Draws one run."""
    results = pd.read_csv(run / "results.csv")
    history = pd.read_csv(run / "history.csv")
    figure = Figure(figsize=(9.4, 6.9), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(2.4, 1, 1))
    last = int(results["updates"].max())
    steps = np.arange(every, last + every, every)
    many = learning(results, steps)
    seconds = seconds_per_1000(history)
    _errors(top, history, results)
    _still_learning(middle, steps, many)
    _steps(
        bottom,
        steps,
        seconds.iloc[0] * many / many[0],
        color="0.5",
        ls=":",
        lw=1.4,
        label="in proportion to the replicas",
    )
    _steps(bottom, seconds.index.to_numpy(), seconds.to_numpy(), color=COLOURS[0], lw=1.8, label="measured")
    bottom.set(ylim=(0, 1.25 * seconds.max()), xlim=(0, 1.01 * last), ylabel="seconds per\n1000 updates of all")
    bottom.set_xlabel("updates of each replica that still learns")
    bottom.legend(frameon=False, fontsize=9, loc="upper right")
    for axis in (top, middle, bottom):
        axis.grid(alpha=0.3)
    figure.align_ylabels([top, middle, bottom])
    replicas = len(results)
    solved = int(results["solved"].sum())
    seeds = f"{results['seed'].min()}-{results['seed'].max()}"
    caption = (
        f"A population of {replicas} replicas (seeds {seeds}) learns temporal order, length 50, with MSGD-CR, and is "
        f"tested every {every} updates.\nA replica that answers fewer than 1 % of 10 000 sequences wrongly has solved "
        f"the task and leaves: {solved} of {replicas}. The rest get cheaper:\n1000 updates of all take "
        f"{seconds.iloc[0]:.2g} s at first and {seconds.iloc[-1]:.2g} s at last (wall clock, tests included, one "
        f"thread; {history['seconds'].max():.0f} s in all)."
    )
    return captioned(figure, caption, command, size=8.5)


def _steps(axis: Axes, ends: np.ndarray, values: np.ndarray, **style: Any) -> None:
    """Draws each value as a level line up to where it ends; the first one begins at 0."""
    axis.step(np.insert(ends, 0, 0), np.insert(values, 0, values[0]), where="pre", **style)


def _still_learning(axis: Axes, steps: np.ndarray, many: np.ndarray) -> None:
    """Draws how many still learn; the area is the number of updates made."""
    _steps(axis, steps, many, color=COLOUR, lw=1.8)
    axis.fill_between(np.insert(steps, 0, 0), np.insert(many, 0, many[0]), step="pre", color=COLOUR, alpha=0.25, lw=0)
    axis.set(ylabel="replicas\nstill learning", ylim=(0, 1.1 * many[0]))
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    share = 100 * many.sum() / (len(many) * many[0])
    words = f"shaded: the updates made,\n{share:.0f} % of those if nobody left"
    axis.text(0.985, 0.9, words, transform=axis.transAxes, ha="right", va="top", fontsize=9)


def _errors(axis: Axes, history: pd.DataFrame, results: pd.DataFrame) -> None:
    """Draws one line per replica, ending in a circle where it solved the task."""
    for _, outcome in results.iterrows():
        rows = history[history["seed"] == outcome["seed"]]
        percent = 100 * rows["error"]
        axis.plot(rows["step"], percent, color=COLOUR, lw=1, alpha=0.7)
        if outcome["solved"]:
            axis.plot(rows["step"].iloc[-1], percent.iloc[-1], "o", color=COLOUR, mec="white", ms=9, clip_on=False)
    axis.plot([], [], "-o", color=COLOUR, lw=1, mec="white", ms=9, label="one replica; circle: solved, leaves")
    axis.axhline(75, color="0.5", ls=":", lw=1.2, label="guessing")
    axis.set(ylabel="wrong sequences (%)", ylim=(0, 80))
    axis.legend(frameon=False, fontsize=9, loc="upper right", bbox_to_anchor=(1, 0.92))
