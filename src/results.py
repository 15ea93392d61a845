"""What a run leaves on disk: results.csv, one row a replica; history.csv, one row a replica and check."""

import csv
import os
from collections.abc import Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from src.population import INTERRUPTED, RUNNING, SOLVED, Population

RESULTS = (
    *("task", "length", "max_length", "cell", "optimizer", "seed", "status", "solved", "solved_at", "updates"),
    *("error", "best_error", "loss", "spectral_radius", "seconds", "test_loss"),
)
HISTORY = ("seed", "step", "epoch", "seconds", "loss", "omega", "grad_norm", "error")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a whole table, or leaves the former one; None and NaN are empty cells."""
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)
    os.replace(partial, path)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def results_rows(population: Population, config: dict[str, Any]) -> list[list[Any]]:
    """One row a replica, as the columns RESULTS say; who still runs counts as interrupted."""
    last, rows = population.last, []
    task = config["task"]
    names = [task["name"], task["length"], task["max_length"], config["cell"]["name"], config["optimizer"]["name"]]
    for r, seed in enumerate(population.seeds):
        status = INTERRUPTED if population.status[r] == RUNNING else population.status[r]
        solved_at = int(population.solved_at[r]) if status == SOLVED else None
        measured = [float(last[column][r]) for column in ("error", "best_error")]
        rows.append(
            [*names, seed, status, status == SOLVED if population.graded else None, solved_at]
            + [int(population.updates[r]), *measured, float(population.means["check"]["loss"][r])]
            + [float(last["spectral_radius"][r]), round(float(last["seconds"][r]), 3), float(last["test_loss"][r])]
        )
    return rows


def history_rows(population: Population, replicas: Sequence[int]) -> list[list[Any]]:
    """One row for each of these replicas, as the columns HISTORY say; means since the last check."""
    means = population.means["check"]
    return [
        [population.seeds[r], int(population.updates[r]), int(population.epochs[r]), round(population.seconds, 3)]
        + [float(means[metric][r]) for metric in ("loss", "omega", "grad_norm")]
        + [float(population.last["error"][r])]
        for r in replicas
    ]
