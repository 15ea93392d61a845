"""The results as tables, and their numbers as text."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from src.intervals import wilson

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = "–"


def read(folder: str, table: str = "replicas") -> pd.DataFrame:
    """A table of results/."""
    return pd.read_csv(ROOT / "results" / folder / f"{table}.csv")


def of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows that have these values in these columns."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


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


def spread(values: pd.Series, digits: int = 0) -> str:
    """The median, and where there are several values the least and the largest in brackets."""
    middle = f"{values.median():.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({values.min():.{digits}f}–{values.max():.{digits}f})"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table.

    Raises:
        ValueError: a cell shows a number that is none: something was asked for that was not measured.
    """
    lines = [header, ["---"] * len(header), *rows]
    for line in lines:
        if re.search(r"\bnan\b", " ".join(line)):
            raise ValueError(f"not a number in a table: {line}")
    return [f"| {' | '.join(line)} |" for line in lines]


def passes(alike: pd.DataFrame) -> str:
    """The rate, when the last one passed, or the least errors of those that did not."""
    if alike.empty:
        return NOT_RUN
    failed = alike["solved_at"].isna()
    text = rate(alike)
    if not failed.all():
        text += f"<br>the last after {thousands(alike['solved_at'].max())}"
    if failed.any():
        error = 100 * alike.loc[failed, "best_error"]
        budget = thousands(alike["updates"].max())
        text += f"<br>the others at best {error.min():.2g}–{error.max():.2g} % wrong within {budget}"
    return text
