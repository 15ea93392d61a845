"""What a run leaves on disk: results.csv, one row a replica; history.csv, one row a replica and check."""

from collections.abc import Sequence
from typing import Any

from src.population import Population
from src.rundir import INTERRUPTED, RUNNING, SOLVED


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
