"""Reads what runs left under directories: every replica once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from src.config import ConfigurationError, science
from src.rundir import INTERRUPTED, RESULTS, RunDirectory, runs_under

NOT_COMPARED = ("seconds", "spectral_radius", "loss", "test_loss")
"""Columns that two runs of the same configuration and seed may differ in."""

LOSSES = ("loss", "test_loss")
"""Columns that are the outcome where answers are neither right nor wrong."""

OUTCOME = tuple(column for column in RESULTS if column not in NOT_COMPARED)

Config = tuple[tuple[str, Any], ...]
"""The items of :func:`src.config.science`."""


@dataclass
class Replica:
    """One row of a results.csv, with the configuration it belongs to and its history.

    Args:
        config: what its result depends on besides its seed.
        outcome: the row, by column.
        history: its rows of history.csv.
        source: the results.csv.
        task: what its task is made from, as the run has saved it.
    """

    config: Config
    outcome: dict[str, Any]
    history: pd.DataFrame
    source: Path
    task: dict[str, Any] = field(default_factory=dict)

    @property
    def graded(self) -> bool:
        """Whether its task's answers are right or wrong."""
        return not pd.isna(self.outcome["solved"])

    @property
    def finished(self) -> bool:
        """Whether it came to an end by itself."""
        return bool(self.outcome["status"] != INTERRUPTED)

    @property
    def progress(self) -> tuple[bool, int]:
        """Of two records of one replica the larger one counts."""
        return self.finished, int(self.outcome["updates"])


def collect(directories: Iterable[str | Path]) -> list[Replica]:
    """Every replica under the directories, each configuration and seed once.

    Raises:
        ConfigurationError: two finished replicas of the same configuration and seed have different outcomes.
    """
    kept: dict[tuple[Config, int], Replica] = {}
    conflicts = []
    for run in runs_under(directories):
        for new in replicas_of(run):
            seed = new.outcome["seed"]
            old = kept.setdefault((new.config, seed), new)
            if old is new:
                continue
            if not (old.finished and new.finished):
                kept[new.config, seed] = max(old, new, key=lambda replica: replica.progress)
            elif contradict(old, new):
                conflicts.append(f"seed {seed} has different outcomes in {old.source} and {new.source}")
    if conflicts:
        raise ConfigurationError(conflicts)
    return list(kept.values())


def replicas_of(run: RunDirectory) -> Iterator[Replica]:
    """The replicas of one run, in the order of its table."""
    cfg = run.configuration()
    config = tuple(science(cfg).items())
    task = {str(key): value for key, value in OmegaConf.to_container(cfg.task).items()}  # type: ignore[union-attr]
    history = run.read_history()
    nothing = history.iloc[:0]
    by_seed = {int(seed): rows for seed, rows in history.groupby("seed")}  # type: ignore[call-overload]
    for row in run.read_results().to_dict("records"):
        outcome = {str(column): value for column, value in row.items()}
        yield Replica(config, outcome, by_seed.get(outcome["seed"], nothing), run.results_file, task)


def contradict(old: Replica, new: Replica) -> bool:
    """Whether two finished replicas of one configuration and seed have different outcomes."""
    columns = OUTCOME if new.graded else (*OUTCOME, *LOSSES)
    return any(not _equal(old.outcome[column], new.outcome[column]) for column in columns)


def _equal(a: Any, b: Any) -> bool:
    if pd.isna(a) or pd.isna(b):
        return bool(pd.isna(a) and pd.isna(b))
    return bool(a == b)


def by_config(replicas: Iterable[Replica]) -> dict[Config, list[Replica]]:
    """Replicas of each configuration, in the order in which configurations first come."""
    groups: dict[Config, list[Replica]] = {}
    for replica in replicas:
        groups.setdefault(replica.config, []).append(replica)
    return groups
