"""What a checkpoint holds: all R replicas, what became of them, and the configuration that they belong to.

Lightning writes the file, with what its loops and callbacks keep besides. All that is ours is put there, and read from
there, in this module.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src import storage
from src.population.population import Population
from src.rundir import ENDED, RUNNING

VERSION = 1
"""Of what is written here. Checkpoints of before had none; their parameters can be read all the same."""

PREFIX = "network."
"""Of the parameters' names in Lightning's ``state_dict``."""


class UnreadableCheckpoint(Exception):
    """A checkpoint of another version, or of other replicas. The message is one line."""


@dataclass
class Checkpoint:
    """What is read without training on: parameters by name, a leading dimension R, the configuration, the outcomes."""

    version: int
    config: dict[str, Any]
    parameters: dict[str, Tensor]
    outcomes: dict[str, Any]  # see :func:`outcomes`
    keepsake: dict[str, str]  # of the task, see tasks/task.py
    problems: list[str]  # one line for each file that could not be used


def read(file: Path) -> Checkpoint:
    """Reads a checkpoint, or the previous one where it is damaged, for whoever wants its networks.

    Raises:
        DamagedFile: neither can be read.
    """
    content, problems = storage.read(file)
    parameters = {name.removeprefix(PREFIX): stack for name, stack in content["state_dict"].items()}
    version = content.get("version", 0)
    keepsake = content.get("keepsake", {})
    return Checkpoint(version, content["config"], parameters, content["population"], keepsake, problems)


def save(
    checkpoint: dict[str, Any], population: Population, config: dict[str, Any], keepsake: dict[str, str] | None = None
) -> None:
    """Puts all R replicas into what Lightning is going to write.

    Args:
        keepsake: of the task.
    """
    checkpoint["version"] = VERSION
    checkpoint["config"] = config
    checkpoint["keepsake"] = keepsake or {}
    checkpoint["population"] = outcomes(population)
    checkpoint["state_dict"] = {PREFIX + name: p for name, p in population.parameters().items()}
    memory = population.memory()
    for state in checkpoint["optimizer_states"]:
        # not in place: these are the optimizer's own dictionaries
        state["state"] = {key: {**own, **memory} for key, own in state["state"].items()}


def restore(checkpoint: dict[str, Any], population: Population, keepsake: dict[str, str] | None = None) -> None:
    """Takes the outcomes from what Lightning has read; ``population.begin()`` then takes out who had left.

    Args:
        keepsake: of the task as it is now.

    Raises:
        UnreadableCheckpoint: one of another version, of other seeds, or of something else that was learned.
    """
    version = checkpoint.get("version", 0)
    if version != VERSION:
        raise UnreadableCheckpoint(f"the checkpoint has version {version}; this program goes on with {VERSION} only")
    state = checkpoint["population"]
    if state["seeds"] != population.seeds:
        raise UnreadableCheckpoint(f"the checkpoint holds the seeds {state['seeds']}, not {population.seeds}")
    known = checkpoint.get("keepsake", {})
    changed = [name for name, value in (keepsake or {}).items() if known.get(name, value) != value]
    if changed:
        raise UnreadableCheckpoint(f"what is learned has changed since the checkpoint was written: its {changed[-1]}")
    take_up(population, state)


def outcomes(population: Population) -> dict[str, Any]:
    """What is known of all R replicas, as plain numbers and strings."""
    return {
        "seeds": population.seeds,
        "status": population.status,
        "updates": population.updates.tolist(),
        "epochs": population.epochs.tolist(),
        "solved_at": population.solved_at.tolist(),
        "unreported": sorted(population.unreported),
        "last": _lists(population.last),
        "means": {name: _lists(means) for name, means in population.means.items()},
        "windows": {name: (w.sum().tolist(), w.updates_R.tolist()) for name, w in population.windows.items()},
        "counts": {name: count.tolist() for name, count in population.counts.items()},
        "seconds": population.seconds,
    }


def take_up(population: Population, state: dict[str, Any]) -> None:
    """Sets a population to these outcomes."""
    population.status = [status if status in ENDED else RUNNING for status in state["status"]]
    population.updates = np.array(state["updates"])
    population.epochs = np.array(state["epochs"])
    population.solved_at = np.array(state["solved_at"])
    population.unreported = set(state["unreported"])
    population.last |= _arrays(state["last"])
    population.means = {name: _arrays(means) for name, means in state["means"].items()}
    for name, (sums, updates) in state["windows"].items():
        population.windows[name].sum_MR = torch.tensor(sums, dtype=torch.float64)
        population.windows[name].updates_R = torch.tensor(updates)
    population.counts = {name: torch.tensor(count) for name, count in state["counts"].items()}
    population.seconds_before = state["seconds"]


def _lists(arrays: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in arrays.items()}


def _arrays(lists: dict[str, list[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in lists.items()}
