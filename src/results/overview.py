"""Everything that has run: one entry for each run, each sweep, and each table of replicas whose runs are gone."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.intervals import wilson
from src.results.collect import Config, Replica, replicas_of, replicas_of_table
from src.results.missing import DONE, job_names, state
from src.results.outcomes import UnreadableRun
from src.rundir import INTERRUPTED, JOBS, REPLICAS, RunDirectory, runs_under, table_file

MULTIRUN = "multirun.yaml"
"""What Hydra leaves in the directory of every sweep."""

NAMED = ("task", "length", "cell", "optimizer")
"""Columns of an entry that a word may name."""


@dataclass
class Entry:
    """What one directory holds.

    Args:
        path: of the directory.
        when: its tables were last written.
        status: a state of a run, or how many jobs of a sweep have ended.
        replicas: outcomes, by column of results.csv.
        settings: configurations of the replicas, flat; as far as they are known.
        problem: why it cannot be read, if so.
    """

    path: Path
    when: datetime
    status: str
    replicas: list[dict[str, Any]] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None

    def add(self, replicas: Iterable[Replica]) -> None:
        """Notes replicas, each of which counts once."""
        for replica in replicas:
            self.replicas.append(replica.outcome)
            self.settings.append(dict(replica.config))

    def values(self, column: str) -> list[Any]:
        """The different values of a column, in order."""
        known = {outcome[column] for outcome in self.replicas}
        return sorted(known, key=lambda value: (isinstance(value, str), value))

    @property
    def graded(self) -> bool:
        """Whether answers are right or wrong."""
        return any(not pd.isna(outcome["solved"]) for outcome in self.replicas)

    @property
    def solved(self) -> int:
        """Replicas that have solved their task."""
        return sum(outcome["solved"] is True for outcome in self.replicas)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the success rate; None of several rates, or where replicas were interrupted."""
        kinds = {tuple(outcome[column] for column in NAMED) for outcome in self.replicas}
        stopped = any(outcome["status"] == INTERRUPTED for outcome in self.replicas)
        if not self.graded or stopped or len(kinds) > 1 or len(set(map(str, self.settings))) > 1:
            return None
        return wilson(self.solved, len(self.replicas))

    @property
    def median_updates(self) -> float:
        """Of all replicas."""
        return float(np.median([outcome["updates"] for outcome in self.replicas])) if self.replicas else math.nan

    @property
    def seconds(self) -> float:
        """Of training: those of the replica that learned longest."""
        known = [outcome["seconds"] for outcome in self.replicas if not math.isnan(outcome["seconds"])]
        return max(known, default=math.nan)

    def plain(self) -> dict[str, Any]:
        """What a program reads: plain numbers, words and lists; None where there is none."""
        found: dict[str, Any] = {"path": str(self.path), "when": self.when.isoformat(" "), "status": self.status}
        found |= {column: self.values(column) for column in NAMED}
        found |= {"replicas": len(self.replicas), "solved": self.solved if self.graded else None}
        found |= {"interval": self.interval, "median_updates": self.median_updates, "seconds": self.seconds}
        found["problem"] = self.problem
        return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in found.items()}

    def answers(self, words: Iterable[str]) -> bool:
        """Whether all of these words fit: a name, a part of the status or of the path, or ``key=value``."""
        return all(self._answers(word) for word in words)

    def _answers(self, word: str) -> bool:
        key, equals, value = word.partition("=")
        if not equals:
            names = [str(name) for column in NAMED for name in self.values(column)]
            return word in names or word in self.status or word in str(self.path)
        if key in NAMED and any(str(known) == value for known in self.values(key)):
            return True
        return any(_has(settings, key, value) for settings in self.settings)


def _has(settings: dict[str, Any], key: str, value: str) -> bool:
    """Whether a configuration has this value under this key, or under one whose last part it is."""
    for name, known in settings.items():
        if (name == key or name.rpartition(".")[2] == key) and _text(known) == value:
            return True
    return False


def _text(value: Any) -> str:
    """A value as one would type it."""
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def entries(directories: Iterable[Path]) -> list[Entry]:
    """All entries under these directories, the newest first."""
    roots = [directory for directory in directories if directory.is_dir()]
    runs = runs_under(roots)
    folders: dict[Path, list[RunDirectory]] = {}
    single = []
    for run in runs:
        parent = run.path.parent
        if table_file(parent, JOBS).is_file() or (parent / MULTIRUN).is_file():
            folders.setdefault(parent, []).append(run)
        else:
            single.append(run)
    for root in roots:
        for file in root.rglob(f"{JOBS}.csv"):
            folders.setdefault(file.parent.resolve(), [])  # none of its jobs has begun
    found = [_of_run(run) for run in single]
    found += [_of_sweep(folder, jobs) for folder, jobs in folders.items()]
    for root in roots:
        for file in root.rglob(f"{REPLICAS}.csv"):
            if not any(run.path.is_relative_to(file.parent.resolve()) for run in runs):
                found.append(_of_table(file))
    return sorted(found, key=lambda entry: entry.when, reverse=True)


def _of_run(run: RunDirectory) -> Entry:
    """The entry of a run."""
    entry = Entry(run.path, _written([run.results_file, run.config_file]), state(run))
    entry.add(_read(entry, lambda: replicas_of(run)))
    return entry


def _of_sweep(folder: Path, jobs: Sequence[RunDirectory]) -> Entry:
    """The entry of a sweep."""
    names = job_names(table_file(folder, JOBS)) or [run.path.name for run in jobs]
    states = [state(RunDirectory(folder / name)) for name in names]
    status = f"{states.count(DONE)} of {len(names)} jobs ended"
    if RunDirectory(folder).is_locked():
        status += ", at work"
    entry = Entry(folder, _written([run.results_file for run in jobs] or [folder]), status)
    kept: dict[tuple[Config, int], Replica] = {}
    for run in jobs:
        for replica in _read(entry, partial(replicas_of, run)):
            key = replica.config, replica.outcome["seed"]
            kept[key] = max(kept.get(key, replica), replica, key=lambda own: own.progress)
    entry.add(kept.values())
    return entry


def _read(entry: Entry, reader: Callable[[], Iterable[Replica]]) -> list[Replica]:
    """The replicas of a run or a table; none, and a note why, where they cannot be read."""
    try:
        return list(reader())
    except UnreadableRun as problem:
        entry.problem = str(problem)
        return []


def _of_table(file: Path) -> Entry:
    """The entry of a table of replicas whose runs are gone."""
    entry = Entry(file.parent, _written([file]), "table")
    entry.add(_read(entry, lambda: replicas_of_table(file)))
    return entry


def _written(files: Sequence[Path]) -> datetime:
    """When the last of these files was written."""
    times = [file.stat().st_mtime for file in files if file.exists()]
    return datetime.fromtimestamp(round(max(times, default=0)))
