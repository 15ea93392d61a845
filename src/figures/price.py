"""Training loss on the synthetic price against epochs and updates (M19), of the runs in results/price."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.figures.caption import captioned
from src.results.style import COLOURS
from tasks.price import Price

HISTORY = Path(__file__).resolve().parents[2] / "results" / "price" / "history.csv"
"""One row per run, replica and epoch."""

RUNS = {
    "msgd": "SGD",
    "msgd_parts": "SGD, 100 parts",
    "rmsprop": "RMSprop",
    "rmsprop_clipped": "RMSprop, clipped",
    "adam": "Adam",
    "adam_clipped": "Adam, clipped",
    "adam_clipped_parts": "Adam, clipped, 100 parts",
}
"""Name of each run that is drawn."""


def price_losses(command: str, history: Path = HISTORY, length: int = 20_000) -> Figure:
    """Median and range of five replicas for each way of training, and the yardsticks that need no network."""
    each = pd.read_csv(history).groupby(["run", "epoch"])
    middle = each["loss"].median()
    low = each["loss"].min()
    high = each["loss"].max()
    steps = each["step"].median()
    figure = Figure(figsize=(10.6, 4.9), layout="constrained")
    by_epoch, by_update = figure.subplots(1, 2, sharey=True)
    for (run, name), colour in zip(RUNS.items(), COLOURS, strict=True):
        for axis, x in ((by_epoch, middle[run].index), (by_update, steps[run])):
            axis.plot(x, middle[run], color=colour, lw=1.4, label=name)
            axis.fill_between(x, low[run], high[run], color=colour, alpha=0.15, lw=0)
    by_epoch.set(xlabel="epochs", ylabel="training loss of an epoch", yscale="log")
    by_update.set(xlabel="updates", xscale="log")
    yardsticks = Price(target="hold", name="price", length=length, batch_size=15).yardsticks()
    for axis in (by_epoch, by_update):
        _draw_yardsticks(axis, yardsticks)
        axis.grid(alpha=0.3)
    by_epoch.legend(frameon=False, fontsize=7, ncols=2)
    caption = (
        f"15 sequences of {length:,} steps, dense and LSTM layers of 64 units, learning rate .01, clipped at 1; median "
        "and range of five seeds (0-4).\nDotted: the loss on fresh sequences of always answering the mean, and of a "
        "linear regression. In 100 parts an epoch has 100 updates."
    ).replace(",000", " 000")
    return captioned(figure, caption, command)


def _draw_yardsticks(axis: Axes, yardsticks: dict[str, float]) -> None:
    """Marks what an answer that needs no network loses."""
    for name in ("constant", "linear"):
        axis.axhline(yardsticks[name], color="black", lw=1, ls=":")
        right = (1, yardsticks[name])
        axis.annotate(name, right, xycoords=("axes fraction", "data"), fontsize=7, ha="right", va="bottom")
