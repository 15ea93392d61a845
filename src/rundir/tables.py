"""Tables of runs and sweeps: their columns, and how they are written: whole or not at all."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

RESULTS = (
    "task",
    "length",
    "max_length",
    "cell",
    "optimizer",
    "seed",
    "status",
    "solved",
    "solved_at",
    "updates",
    "error",
    "best_error",
    "loss",
    "spectral_radius",
    "seconds",
    "test_loss",
    "reached",
)
"""Columns of results.csv, which has one row per replica."""

LATER = ("test_loss", "reached")
"""Those of them that came later than the others: older files do without."""

HISTORY = ("seed", "step", "epoch", "seconds", "loss", "omega", "grad_norm", "error")
"""First columns of history.csv, which has one row per replica and check."""

STAGED = ("length", "reached")
"""Further columns of history.csv where lengths grow: of the test, and the longest that was passed."""


def history_columns(metrics: Sequence[str] = ()) -> tuple[str, ...]:
    """All columns of history.csv for a method that measures something of its own.

    Args:
        metrics: the names that the method declares; those that HISTORY holds already are not repeated.
    """
    further = [metric for metric in metrics if metric not in HISTORY]
    return (*HISTORY, *further)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a whole csv file or leaves the former one. None and NaN become empty cells.

    Raises:
        OSError: it cannot be written.
    """
    with replaced(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(value) for value in row])


def write_frame(table: "pd.DataFrame", path: Path) -> None:
    """Writes a whole csv file or leaves the former one.

    Raises:
        OSError: it cannot be written.
    """
    with replaced(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Gives another path to write to; what is there at the end takes the place of the former file, whole or not at all.

    Raises:
        OSError: it cannot be written; the message names the file.
    """
    partial = path.with_name(path.name + ".part")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if not isinstance(value, float):
        return value
    return "" if isnan(value) else f"{value:.6g}"
