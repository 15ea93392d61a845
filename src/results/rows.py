"""From a population to the rows of its tables; src/rundir.py names their columns."""

from collections.abc import Sequence
from math import isnan
from typing import Any

from src.population import Population
from src.rundir import INTERRUPTED, RUNNING


def results_rows(population: Population, config: dict[str, Any], graded: bool) -> list[list[Any]]:
    """One row per replica, as RESULTS says. A replica that still runs counts as interrupted.

    Args:
        population: R replicas.
        config: the run's, as plain dictionaries.
        graded: whether answers are right or wrong; else ``solved`` is empty.
    """
    task = config["task"]
    names = [task["name"], task["length"], task["max_length"], config["cell"]["name"], config["optimizer"]["name"]]
    return [[*names, *_outcome(population, replica, graded)] for replica in range(len(population.seeds))]


def _outcome(population: Population, replica: int, graded: bool) -> list[Any]:
    """One replica's row without the names: from ``seed`` on."""
    status = population.status[replica]
    if status == RUNNING:
        status = INTERRUPTED
    solved = bool(population.solved_R[replica])
    last = {name: float(values[replica]) for name, values in population.last.items()}
    return [
        population.seeds[replica],
        status,
        solved if graded else None,
        int(population.solved_at[replica]) if solved else None,
        int(population.updates[replica]),
        last["error"],
        last["best_error"],
        float(population.means["check"]["loss"][replica]),
        last["spectral_radius"],
        round(last["seconds"], 3),
        last["test_loss"],
        whole(last["reached"]),
    ]


def whole(value: float) -> float:
    """A whole number as such; NaN stays."""
    return value if isnan(value) else int(value)


def history_rows(population: Population, replicas: Sequence[int]) -> list[list[Any]]:
    """One row for each of these replicas, as the columns of history.csv say; metrics are means since the last check.

    Args:
        population: R replicas.
        replicas: indices from 0 to R - 1.
    """
    means = population.means["check"]
    rows = []
    for replica in replicas:
        row = [
            population.seeds[replica],
            int(population.updates[replica]),
            int(population.epochs[replica]),
            round(population.seconds, 3),
            float(means["loss"][replica]),
            float(means["omega"][replica]),
            float(means["grad_norm"][replica]),
            float(population.last["error"][replica]),
        ]
        for metric in population.extra:
            row.append(float(means[metric][replica]))
        for name in population.noted:
            row.append(whole(float(population.last[name][replica])))
        rows.append(row)
    return rows
