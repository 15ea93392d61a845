"""Tables of Muccino's article on a price."""

from collections.abc import Callable

from src.figures.price import RUNS as PRICE
from src.results.rates import spikes
from tools.tables.words import fraction, markdown, of, read, thousands

FURTHER = {
    "price_adagrad": "Adagrad, lr .01",
    "price_adadelta": "Adadelta, lr 1",
    "price_clip_01": "Adam, clipped at .1",
    "price_clip_05": "Adam, clipped at .5",
    "price_clip_5": "Adam, clipped at 5",
    "price_halves": "Adam, clipped at 1, 64 parts",
    "price_short": "Adam, clipped at 1, 10 parts",
    "printed_msgd": "printed code: SGD",
    "printed_rmsprop": "printed code: RMSprop",
    "printed_adam": "printed code: Adam",
}
"""Runs of the article's future work, and of its code as printed."""


def price() -> list[str]:
    """Training loss of the article's methods."""
    return _losses(PRICE)


def price_further() -> list[str]:
    """Training loss of its future work, and of the printed code."""
    return _losses(FURTHER)


def _losses(runs: dict[str, str]) -> list[str]:
    """Training loss after so many epochs: the median; at the end also the range; on fresh sequences; spikes."""
    return markdown(
        ["method", "after 5 epochs", "10", "20", "50", "range at 50", "fresh sequences", "updates", "spikes, by seed"],
        [_price_row(run, name) for run, name in runs.items()],
    )


def _price_row(run: str, name: str) -> list[str]:
    results = of(read("price"), run=run)
    history = of(read("price", "history"), run=run)
    losses = history.groupby("epoch")["loss"].median()
    digits = 5 if losses[50] < 0.002 else 4 if losses[50] < 0.01 else 3
    at = [fraction(losses[epoch], digits) for epoch in (5, 10, 20, 50)]
    ends = f"{fraction(results['loss'].min(), digits)}–{fraction(results['loss'].max(), digits)}"
    fresh = fraction(results["test_loss"].median(), digits)
    counts = [spikes(own) for _, own in history.groupby("seed")["loss"]]
    return [name, *at, ends, fresh, thousands(results["updates"].median()), ", ".join(map(str, counts))]


TABLES: dict[str, Callable[[], list[str]]] = {
    "price": price,
    "price_further": price_further,
}
"""What makes the table of each name."""
