"""python tools/reproduction.py: writes the tables of README, REPRODUCTION and docs anew from the replicas in results/.

A table stands below a line ``<!-- table: NAME -->`` and ends at the next blank line. TABLES says what makes it.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest, fisher_exact

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from src.figures.lengths import METHODS, STARTS, rates_within  # noqa: E402
from src.figures.price import RUNS as PRICE  # noqa: E402
from src.intervals import wilson  # noqa: E402
from src.results.rates import spikes  # noqa: E402

PAGES = [ROOT / "README.md", ROOT / "REPRODUCTION.md", *sorted((ROOT / "docs").glob("*.md"))]
LENGTHS = (10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 250)
FAR = (50, 100, 150, 200, 250, 500, 1000, 2000, 3000, 5000)
"""Lengths at which P13 reports the networks that were trained on 50 to 200."""
NOT_RUN = "–"


def read(folder: str, table: str = "replicas") -> pd.DataFrame:
    """A table of results/."""
    return pd.read_csv(ROOT / "results" / folder / f"{table}.csv")


def _of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows that have these values in these columns."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


# -- numbers as text ---------------------------------------------------------------------------------------------------


def thousands(number: float) -> str:
    """A whole number, its thousands apart."""
    return f"{number:,.0f}".replace(",", " ")


def interval(solved: int, replicas: int) -> str:
    """Wilson's 95 % interval in per cent."""
    low, high = wilson(solved, replicas)
    return f"[{100 * low:.0f}–{100 * high:.0f} %]"


def rate(replicas: pd.DataFrame) -> str:
    """Solved of all, with the interval."""
    solved = int(replicas["solved_at"].notna().sum())
    return f"{solved} of {len(replicas)} {interval(solved, len(replicas))}"


def median(replicas: pd.DataFrame) -> str:
    """Median of the updates to success; who had none counts as later than any."""
    middle = replicas["solved_at"].fillna(np.inf).median()
    return thousands(middle) if np.isfinite(middle) else NOT_RUN


def fraction(value: float, digits: int = 2) -> str:
    """A number below 1 without the zero in front."""
    return f"{value:.{digits}f}".removeprefix("0")


def probability(p: float) -> str:
    """A p-value with one or two digits that count."""
    if p < 0.0005:
        return "< .001"
    if p < 0.0995:
        return fraction(p, 3)
    return fraction(p) if p < 0.995 else "1"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


# -- Pascanu, Mikolov & Bengio -----------------------------------------------------------------------------------------


def solved_of_ten(budget: int) -> list[str]:
    """Solved of ten within so many updates, and the median of the updates to success in thousands."""
    replicas = read("pascanu_figure")
    replicas = replicas[replicas["trainer.max_steps"] >= budget]
    rates = rates_within(replicas, budget)
    assert (rates["replicas"] == 10).all()
    lengths = [length for length in LENGTHS if length in set(replicas["length"])]
    rows = []
    for cell, start in STARTS.items():
        for optimizer, method in METHODS.items():
            of_method = _of(replicas, cell=cell, optimizer=optimizer)
            if of_method.empty:
                continue
            cells = []
            for length in lengths:
                alike = of_method[of_method["length"] == length]
                cells.append(_count(alike, budget) if len(alike) else NOT_RUN)
            rows.append([start, method, *cells])
    return markdown(["start", "method", *map(str, lengths)], rows)


def smart_start() -> list[str]:
    """Solved of ten within 100 000 updates from the smart start, at the lengths at which all three methods ran."""
    rates = rates_within(read("pascanu_figure"), 100_000).query("cell == 'smart_tanh'")
    counts = rates.pivot(index="optimizer", columns="length", values="solved").dropna(axis="columns").astype(int)
    names = ["MSGD, plain gradient descent", "MSGD-C, clipped", "MSGD-CR, clipped and with Ω"]
    rows = [[name, *map(str, counts.loc[method])] for name, method in zip(names, METHODS, strict=True)]
    return markdown(["solved of ten at length", *map(str, counts.columns)], rows)


def _count(alike: pd.DataFrame, budget: int) -> str:
    """How many had solved the task after so many updates; in brackets the median in thousands, if half of them had."""
    solved_at = alike["solved_at"].where(alike["solved_at"] <= budget, np.inf)
    solved = int(np.isfinite(solved_at).sum())
    middle = solved_at.median()
    return f"{solved} ({middle / 1000:.0f})" if np.isfinite(middle) else str(solved)


def intervals_of_ten() -> list[str]:
    """What a count of ten stands for."""
    counts = range(11)
    return markdown(["of ten", *map(str, counts)], [["interval, %", *(interval(k, 10)[1:-3] for k in counts)]])


def comparisons() -> list[str]:
    """Two methods on the same ten seeds after 100 000 updates: who solved more, Fisher's and the sign test's p."""
    replicas = read("pascanu_figure")
    pairs = [("msgd_c", "msgd"), ("msgd_cr", "msgd_c")]
    rows = []
    for cell, start in STARTS.items():
        for pair in pairs:
            found = {length: _compared(replicas, cell, length, pair) for length in LENGTHS}
            if sum(text != NOT_RUN for text in found.values()) > 1:
                rows.append([start, " : ".join(METHODS[one] for one in pair), *found.values()])
    return markdown(["start", "methods", *map(str, LENGTHS)], rows)


def _compared(replicas: pd.DataFrame, cell: str, length: int, pair: tuple[str, str]) -> str:
    """Solved by the one and by the other; two-sided p of counts and of pairs."""
    solved = []
    for optimizer in pair:
        alike = _of(replicas, cell=cell, length=length, optimizer=optimizer).sort_values("seed")
        if alike.empty:
            return NOT_RUN
        solved.append((alike["solved_at"] <= 100_000).to_numpy())
    one, other = solved
    counts = [[one.sum(), (~one).sum()], [other.sum(), (~other).sum()]]
    only_one = int((one & ~other).sum())
    only_other = int((other & ~one).sum())
    unpaired = fisher_exact(counts).pvalue
    signs = binomtest(only_one, only_one + only_other).pvalue if only_one + only_other else 1.0
    return f"{one.sum()} : {other.sum()}<br>{probability(unpaired)}<br>{probability(signs)}"


def omega_unclipped() -> list[str]:
    """How Ω without clipping ended, at each start and length."""
    rows = []
    for (cell, length), alike in read("omega_unclipped").groupby(["cell", "length"], sort=False):
        unsolved = alike[alike["solved_at"].isna()]
        radii = unsolved["spectral_radius"]
        ends = f"{thousands(radii.min()) if radii.min() >= 10 else f'{radii.min():.1f}'} to {thousands(radii.max())}"
        diverged = int((alike["status"] == "diverged").sum())
        rows.append([STARTS[cell], str(length), rate(alike), str(diverged), ends if len(unsolved) else NOT_RUN])
    return markdown(["start", "length", "solved", "not finite", "ρ(W) of the unsolved at their end"], rows)


def clipping_thresholds() -> list[str]:
    """Success by threshold."""
    rows = []
    for threshold, alike in read("clipping_thresholds").groupby("optimizer.clip"):
        rows.append([f"{threshold:g}", rate(alike), median(alike)])
    return markdown(["θ", "solved", "median updates"], rows)


# -- Muccino -----------------------------------------------------------------------------------------------------------


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
    results = _of(read("price"), run=run)
    history = _of(read("price", "history"), run=run)
    losses = history.groupby("epoch")["loss"].median()
    digits = 5 if losses[50] < 0.002 else 4 if losses[50] < 0.01 else 3
    at = [fraction(losses[epoch], digits) for epoch in (5, 10, 20, 50)]
    ends = f"{fraction(results['loss'].min(), digits)}–{fraction(results['loss'].max(), digits)}"
    fresh = fraction(results["test_loss"].median(), digits)
    counts = [spikes(own) for _, own in history.groupby("seed")["loss"]]
    return [name, *at, ends, fresh, thousands(results["updates"].median()), ", ".join(map(str, counts))]


TABLES: dict[str, Callable[[], list[str]]] = {
    "intervals_of_ten": intervals_of_ten,
    "smart_start": smart_start,
    "within_100_000": lambda: solved_of_ten(100_000),
    "within_300_000": lambda: solved_of_ten(300_000),
    "comparisons": comparisons,
    "omega_unclipped": omega_unclipped,
    "clipping_thresholds": clipping_thresholds,
    "price": price,
    "price_further": price_further,
}
"""What makes the table of each name."""


def rewritten(page: str) -> str:
    """A page with all its tables made anew."""

    def table(found: re.Match[str]) -> str:
        return "\n".join([found[1], *TABLES[found[2]]()])

    return re.sub(r"(<!-- table: (\w+) -->)(?:\n\|.*)*", table, page)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rewritten(page.read_text()))
