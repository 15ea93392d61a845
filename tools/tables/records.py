"""The table of patient records."""

from collections.abc import Callable

import pandas as pd

from tools.tables.words import fraction, markdown, read


def records() -> list[str]:
    """AUC and interval of the networks, of the regression and of their difference, in each cohort."""
    areas = read("records", "auc")
    rows = []
    for (cohort, shuffled), own in areas.groupby(["task.cohort", "task.shuffled"], sort=False):
        first = own.iloc[0]
        cells = [_area(row) for _, row in own.iterrows()]
        words = ", outcomes shuffled" if shuffled else ""
        rows.append([f"{cohort}{words}", str(first["patients"]), str(first["damage"]), *cells])
    return markdown(["patients", "who count", "with damage", "network", "last visit", "difference"], rows)


def _area(row: pd.Series) -> str:
    low, high = (fraction(row[column], 3).replace("-0", "−") for column in ("ci_low", "ci_high"))
    return f"{fraction(row['auc'], 3)} ({low} to {high})"


TABLES: dict[str, Callable[[], list[str]]] = {
    "records": records,
}
"""What makes the table of each name."""
