"""Rows of a population's tables, as the columns of src/rundir.py say."""

from collections.abc import Sequence
from typing import Any

from src.population import Population
from src.rundir import INTERRUPTED, RUNNING, SOLVED, history_columns

OF_MEANS = ("loss", "omega", "grad_norm")
"""Columns of history.csv that are means over the updates since the last check."""


def results_rows(population: Population, config: dict[str, Any], graded: bool) -> list[list[Any]]:
    """One row per replica, as the columns RESULTS say; who still runs counts as interrupted.

    Args:
        graded: whether answers are right or wrong; else ``solved`` is empty.
    """
    return [_result(population, config, graded, replica) for replica in range(len(population.seeds))]


def _result(population: Population, config: dict[str, Any], graded: bool, replica: int) -> list[Any]:
    """The row of one replica."""
    task = config["task"]
    last = {column: float(values[replica]) for column, values in population.last.items()}
    status = population.status[replica]
    if status == RUNNING:
        status = INTERRUPTED
    return [
        task["name"],
        task["length"],
        task["max_length"],
        config["cell"]["name"],
        config["optimizer"]["name"],
        population.seeds[replica],
        status,
        status == SOLVED if graded else None,
        int(population.solved_at[replica]) if status == SOLVED else None,
        int(population.updates[replica]),
        last["error"],
        last["best_error"],
        float(population.means["check"]["loss"][replica]),
        last["spectral_radius"],
        round(last["seconds"], 3),
        last["test_loss"],
    ]


def history_rows(population: Population, replicas: Sequence[int]) -> list[list[Any]]:
    """One row for each of these replicas, as the columns of history.csv say."""
    return [_check(population, replica) for replica in replicas]


def _check(population: Population, replica: int) -> list[Any]:
    """The row of one replica and check."""
    means = population.means["check"]
    row = [
        population.seeds[replica],
        int(population.updates[replica]),
        int(population.epochs[replica]),
        round(population.seconds, 3),
        *(float(means[metric][replica]) for metric in OF_MEANS),
        float(population.last["error"][replica]),
    ]
    own = history_columns(population.extra)[len(row) :]
    return row + [float(means[metric][replica]) for metric in own]
