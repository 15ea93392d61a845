"""Training loss of copy memory and adding beside that of answers without memory, of the runs in results/copy_adding."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from src.figures.caption import captioned
from src.results.style import COLOURS
from tasks.adding import Adding
from tasks.copying import Copy
from tasks.task import MEMORYLESS

HISTORY = Path(__file__).resolve().parents[2] / "results" / "copy_adding" / "history.csv"
"""One row per replica and test."""

TASKS = {"copy": Copy, "adding": Adding}
RIVALS = {
    "smart_tanh": "smart tanh, MSGD-CR",
    "spectral": "spectral start, MSGD-CR",
    "lstm": "LSTM, Adam",
    "irnn": "IRNN, MSGD-C",
    "orthogonal": "orthogonal start, MSGD-C",
}
"""Name of each cell with what trained it."""

LOSSES = (0.01, 0.8)
"""What is drawn of the losses: those of IRNN on copy at 500 steps are above 10⁷."""


def copy_adding(command: str, history: Path = HISTORY) -> Figure:
    """A row per task, a column per length; median and range of five replicas."""
    rows = pd.read_csv(history)
    lengths = sorted(rows["length"].unique())
    figure = Figure(figsize=(10.0, 6.0), layout="constrained")
    grid = figure.subplots(len(TASKS), len(lengths), sharex=True, sharey=True)
    for axes, (task, kind) in zip(grid, TASKS.items(), strict=True):
        for axis, length in zip(axes, lengths, strict=True):
            here = rows[(rows["task"] == task) & (rows["length"] == length)]
            for (cell, name), colour in zip(RIVALS.items(), COLOURS, strict=False):
                each = here[here["cell"] == cell].groupby("step")["loss"]
                steps = each.median().index
                axis.plot(steps, each.median(), color=colour, lw=1.5, marker=".", label=name)
                axis.fill_between(steps, each.min(), each.max(), color=colour, alpha=0.15, lw=0)
            without = kind(name=task, length=int(length), batch_size=20).yardsticks()[MEMORYLESS]
            axis.axhline(without, color="black", lw=1, ls=":", label="without memory")
            axis.set(title=f"{task}, T = {length}", yscale="log", ylim=LOSSES)
            axis.grid(alpha=0.3)
        axes[0].set_ylabel("training loss")
    for axis in grid[-1]:
        axis.set_xlabel("updates")
    figure.legend(
        *grid[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=8
    )
    caption = (
        "50 units, batches of 20; mean loss of the 2 000 updates before, median and range of five seeds (0-4). Dotted: "
        "answers without memory.\nNot seen: IRNN on copy at 500 steps, whose loss is above 10 million."
    )
    return captioned(figure, caption, command)
