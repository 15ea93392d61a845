"""Success rate against length from each start, at two budgets (P13's figure), of the runs in results/pascanu_figure."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.figures.caption import captioned
from src.intervals import wilson
from src.results.style import COLOURS, MARKERS, draw_rates

TABLE = Path(__file__).resolve().parents[2] / "results" / "pascanu_figure" / "replicas.csv"
"""One row per replica."""

STARTS = {"smart_tanh": "smart tanh", "basic_tanh": "basic tanh", "sigmoid": "sigmoid"}
METHODS = {"msgd": "MSGD", "msgd_c": "MSGD-C", "msgd_cr": "MSGD-CR"}
BUDGETS = (100_000, 300_000)
SHIFT = 1.015
"""Factor between two lines at one length, or their intervals would hide each other."""


def rates_within(replicas: pd.DataFrame, budget: int) -> pd.DataFrame:
    """Success rates by cell, optimizer and length: who had solved the task after so many updates.

    Args:
        replicas: as in replicas.csv, with the column ``trainer.max_steps``.
        budget: updates; populations with a smaller budget are left out.

    Returns:
        a row per population: cell, optimizer, length, solved, replicas, rate, ci_low, ci_high (Wilson, 95 %).
    """
    enough = replicas[replicas["trainer.max_steps"] >= budget]
    rows = []
    for names, alike in enough.groupby(["cell", "optimizer", "length"]):
        solved = int((alike["solved_at"] <= budget).sum())
        rows.append([*names, solved, len(alike), solved / len(alike), *wilson(solved, len(alike))])
    columns = ["cell", "optimizer", "length", "solved", "replicas", "rate", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def success_by_length(command: str, table: Path = TABLE) -> Figure:
    """A row of panels per budget, a panel per start, a line per method."""
    replicas = pd.read_csv(table)
    figure = Figure(figsize=(10.6, 6.6), layout="constrained")
    grid = figure.subplots(len(BUDGETS), len(STARTS), sharex=True, sharey=True)
    for row, budget in zip(grid, BUDGETS, strict=True):
        rates = rates_within(replicas, budget)
        for axis, (cell, name) in zip(row, STARTS.items(), strict=True):
            _draw_methods(axis, rates[rates["cell"] == cell])
            axis.set(title=f"{name}, {budget // 1000} 000 updates", ylim=(-0.04, 1.04))
        row[0].set_ylabel("success rate")
    for axis in grid[-1]:
        axis.set_xlabel("length T (steps)")
    lengths = sorted(replicas["length"].unique())
    grid[0, 0].set_xticks(lengths, [str(length) for length in lengths])
    grid[0, 0].minorticks_off()
    grid[0, 0].legend(frameon=False, fontsize=8)
    caption = (
        "Temporal order, 50 units, batches of 20, learning rate .01, θ = 1, α = 4; ten seeds per point (0-9), Wilson's "
        "95 % intervals.\nWhat is not drawn was not run: plain MSGD had 100 000 updates. Commits: results/README.md."
    )
    return captioned(figure, caption, command)


def _draw_methods(axis: Axes, rates: pd.DataFrame) -> None:
    """Draws the lines of one panel; lengths on a logarithmic axis."""
    axis.set_xscale("log")
    axis.grid(axis="y", alpha=0.3)
    for k, (method, name) in enumerate(METHODS.items()):
        line = rates[rates["optimizer"] == method].sort_values("length")
        if not line.empty:
            draw_rates(axis, line["length"] * SHIFT ** (k - 1), line, color=COLOURS[k], marker=MARKERS[k], label=name)
