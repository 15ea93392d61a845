"""Reads what runs left under directories, and pools replicas into success rates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from src.config import ConfigurationError, science
from src.rundir import RESULTS
from src.statistics import wilson

NAMED = ("task.name", "task.length", "task.max_length", "cell.name", "optimizer.name")
"""Keys that have a column of their own."""

SUCCESS_RATE = (
    *("task", "cell", "optimizer", "length", "max_length", "replicas", "solved", "rate", "ci_low", "ci_high"),
    *("median_solved_at", "interrupted"),
)

OUTCOME = [column for column in RESULTS if column not in ("seconds", "spectral_radius", "loss", "test_loss")]


LOSS = ("loss", "test_loss")

Config = tuple[tuple[str, Any], ...]
"""The items of :func:`src.config.science`."""


@dataclass
class Replica:
    """One row of a results.csv, with the configuration it belongs to and its history."""

    config: Config
    outcome: dict[str, Any]
    history: pd.DataFrame
    source: Path

    @property
    def graded(self) -> bool:
        """Whether its task's answers are right or wrong."""
        return not pd.isna(self.outcome["solved"])


def collect(directories: Sequence[Path]) -> list[Replica]:
    """Every replica under the directories, each (configuration, seed) once.

    Raises:
        ConfigurationError: two finished replicas of the same configuration and seed with different outcomes.
    """
    kept: dict[tuple[Config, int], Replica] = {}
    conflicts = []
    for path in sorted({p.resolve() for directory in directories for p in Path(directory).rglob("results.csv")}):
        if not (path.parent / "config.yaml").is_file():
            continue
        config = tuple(science(OmegaConf.load(path.parent / "config.yaml")).items())
        table = pd.read_csv(path, dtype={"max_length": "Int64", "solved_at": "Int64"})
        log = path.parent / "history.csv"
        history = pd.read_csv(log) if log.is_file() else pd.DataFrame({"seed": []})
        for row in table.to_dict("records"):
            outcome: dict[str, Any] = {str(column): value for column, value in row.items()}
            new = Replica(config, outcome, history[history["seed"] == outcome["seed"]], path)
            old = kept.setdefault((config, outcome["seed"]), new)
            if old is new:
                continue
            if "interrupted" in (old.outcome["status"], new.outcome["status"]):
                kept[config, outcome["seed"]] = max(old, new, key=_progress)
            elif any(not _equal(old.outcome[c], new.outcome[c]) for c in (*OUTCOME, *(() if new.graded else LOSS))):
                conflicts.append(f"seed {outcome['seed']} has different outcomes in {old.source} and {path}")
    if conflicts:
        raise ConfigurationError(conflicts)
    return list(kept.values())


def _progress(replica: Replica) -> tuple[bool, int]:
    return replica.outcome["status"] != "interrupted", int(replica.outcome["updates"])


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) if not (pd.isna(a) or pd.isna(b)) else bool(pd.isna(a) and pd.isna(b))


def differing(replicas: Sequence[Replica]) -> list[str]:
    """Keys that differ between the configurations and have no column of their own."""
    configs = [dict(config) for config in dict.fromkeys(r.config for r in replicas)]
    keys = sorted({key for config in configs for key in config} - set(NAMED))
    return [key for key in keys if len({config.get(key) for config in configs}) > 1]


def success_rates(replicas: Sequence[Replica]) -> pd.DataFrame:
    """One row a configuration: solved replicas of those that finished, with Wilson's 95 % interval.

    ``median_solved_at`` is over all that finished, one that did not solve the task counting as later than any; empty
    where the median did not solve it. Interrupted replicas are counted in their own column only. The configuration of
    each row is in ``attrs["configs"]``.
    """
    keys, rows = differing(replicas), []
    for config in dict.fromkeys(r.config for r in replicas):
        values = dict(config)
        outcomes = [r.outcome for r in replicas if r.config == config]
        done = [o for o in outcomes if o["status"] != "interrupted"]
        solved_at = [int(o["solved_at"]) if o["solved"] else math.inf for o in done]
        solved = sum(map(math.isfinite, solved_at))
        low, high = wilson(solved, len(done)) if done else (math.nan, math.nan)
        median = float(np.median(solved_at)) if done else math.nan
        rows.append(
            [values["task.name"], values["cell.name"], values["optimizer.name"], values["task.length"]]
            + [values["task.max_length"], len(done), solved, solved / len(done) if done else math.nan, low, high]
            + [median if math.isfinite(median) else math.nan, len(outcomes) - len(done)]
            + [values.get(key) for key in keys]
        )
    table = pd.DataFrame(rows, columns=[*SUCCESS_RATE, *keys])
    table["max_length"] = table["max_length"].astype("Int64")
    table = table.sort_values(["task", "cell", "optimizer", "length"], kind="stable")
    configs = list(dict.fromkeys(r.config for r in replicas))
    table.attrs["configs"] = [configs[row] for row in table.index]
    return table.reset_index(drop=True)


LOSSES = (
    *("task", "cell", "optimizer", "length", "replicas", "epochs", "updates", "seconds"),
    *("loss", "loss_low", "loss_high", "test_loss", "spikes", "plateau", "diverged", "interrupted"),
)


def spikes(loss: pd.Series) -> int:
    """Epochs whose loss is more than twice the median of the ten before."""
    return int((loss > 2 * loss.rolling(10).median().shift()).sum())


def losses(replicas: Sequence[Replica]) -> pd.DataFrame:
    """One row a configuration without right and wrong answers: medians over its finished replicas, of the last epoch's
    loss with its range, of the loss on fresh sequences, and of the spikes. A diverged replica's losses count as larger
    than any. ``attrs["configs"]`` as in success_rates."""
    keys, rows = differing(replicas), []
    configs = list(dict.fromkeys(r.config for r in replicas))
    for config in configs:
        values = dict(config)
        mine = [r for r in replicas if r.config == config]
        done = [r for r in mine if r.outcome["status"] != "interrupted"]
        own = pd.DataFrame([r.outcome for r in done], columns=[*RESULTS])
        own.loc[own["status"] == "diverged", [*LOSS]] = math.inf
        own["epochs"] = [r.history["epoch"].max() for r in done]
        own["spikes"] = [spikes(r.history["loss"]) for r in done]
        middle = own[["epochs", "updates", "seconds", "loss", "test_loss", "spikes"]].median()
        rows.append(
            [values["task.name"], values["cell.name"], values["optimizer.name"], values["task.length"], len(done)]
            + [middle["epochs"], middle["updates"], middle["seconds"], middle["loss"], own["loss"].min()]
            + [own["loss"].max(), middle["test_loss"], middle["spikes"]]
            + [sum(r.outcome["status"] == status for r in mine) for status in ("plateau", "diverged", "interrupted")]
            + [values.get(key) for key in keys]
        )
    table = pd.DataFrame(rows, columns=[*LOSSES, *keys])
    table = table.sort_values(["task", "cell", "optimizer", "length"], kind="stable")
    table.attrs["configs"] = [configs[row] for row in table.index]
    return table.reset_index(drop=True)


def labels(replicas: Sequence[Replica]) -> dict[Config, str]:
    """Name of the line of each configuration: its method, and what differs among runs of that method and cell."""
    configs = {r.config: r for r in replicas}
    groups: dict[tuple[Any, ...], list[Replica]] = {}
    for config, replica in configs.items():
        values = dict(config)
        groups.setdefault((values["task.name"], values["cell.name"], values["optimizer.name"]), []).append(replica)
    names = {}
    for (_, _, method), alike in groups.items():
        keys = differing(alike)
        for replica in alike:
            values = dict(replica.config)
            extra = [f"{key.split('.')[-1]}={_words(values.get(key))}" for key in keys]
            if values.get("task.max_length") is not None:
                extra.append(f"to {values['task.max_length']}")
            names[replica.config] = " ".join([method, *extra])
    return names


def _words(value: Any) -> str:
    """4 and 4.0 are one value."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def paired(replicas: Sequence[Replica]) -> str:
    """What may be said of comparisons: methods of one task, length and cell on the same seeds, or nothing."""
    settings: dict[Config, dict[Config, set[int]]] = {}
    for replica in replicas:
        same = tuple((key, value) for key, value in replica.config if key.startswith(("task.", "cell.")))
        settings.setdefault(same, {}).setdefault(replica.config, set()).add(replica.outcome["seed"])
    compared = [list(methods.values()) for methods in settings.values()]
    if all(len(methods) > 1 and all(seeds == methods[0] for seeds in methods) for methods in compared):
        return "paired: for each task, length and cell, all methods saw the same starts and data"
    return ""
