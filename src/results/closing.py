"""What is printed at the end of a run: one row per replica, and how many have solved the task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from src.intervals import wilson
from src.rundir import INTERRUPTED, RESULTS

NUMBERS = {
    "reached": ("reached", 1.0, ",.0f"),
    "error": ("error %", 100.0, ".2f"),
    "best_error": ("best %", 100.0, ".2f"),
    "loss": ("loss", 1.0, ".3g"),
    "test_loss": ("test loss", 1.0, ".3g"),
    "spectral_radius": ("radius", 1.0, ".3f"),
    "seconds": ("seconds", 1.0, ".1f"),
}
"""Heading, factor and format of the columns of numbers."""


def closing_table(rows: Sequence[Sequence[Any]], directory: Path, graded: bool, short: bool = False) -> None:
    """Prints one row per replica, the success rate, and where things are.

    Args:
        rows: as in results.csv.
        graded: whether answers are right or wrong.
        short: only one line, where there are many runs.
    """
    results = [dict(zip(RESULTS, row, strict=True)) for row in rows]
    console = Console()
    if short:
        console.print(f"{directory.name}: {rate(results)}", highlight=False, markup=False, soft_wrap=True)
        return
    console.print(table(results))
    if graded:
        console.print(rate(results), highlight=False)
    console.print(f"in {directory}: results.csv, history.csv, checkpoints/, TensorBoard events", soft_wrap=True)


def table(results: Sequence[dict[str, Any]]) -> Table:
    """The replicas' numbers; columns in which nobody has one are left out."""
    first = results[0]
    length = str(first["length"])
    if first["max_length"]:
        length += f"-{first['max_length']}"
    title = f"{first['task']}, length {length}, {first['cell']}, {first['optimizer']}"
    printed = Table(title=title, title_justify="left")
    printed.add_column("seed", justify="right")
    printed.add_column("status", justify="right", min_width=11)
    printed.add_column("updates", justify="right")
    used = [name for name in NUMBERS if any(not np.isnan(result[name]) for result in results)]
    if "reached" in used:
        used.remove("best_error")  # at the last length only: the table stays narrow
    for name in used:
        printed.add_column(NUMBERS[name][0], justify="right")
    for result in results:
        numbers = [_number(name, result[name]) for name in used]
        printed.add_row(str(result["seed"]), str(result["status"]), f"{result['updates']:,}", *numbers)
    return printed


def _number(name: str, value: float) -> str:
    """A number as it is printed; empty where there is none."""
    _, factor, form = NUMBERS[name]
    return "" if np.isnan(value) else format(factor * value, form)


def rate(results: Sequence[dict[str, Any]]) -> str:
    """Solved replicas of all, with Wilson's interval; without it where some were interrupted."""
    solved = sum(bool(result["solved"]) for result in results)
    interrupted = sum(result["status"] == INTERRUPTED for result in results)
    words = f"{solved}/{len(results)} solved"
    if interrupted:
        return f"{words} so far, {interrupted} interrupted"
    low, high = wilson(solved, len(results))
    return f"{words} ({100 * solved / len(results):.0f} %, 95 % interval {100 * low:.0f}-{100 * high:.0f} %)"
