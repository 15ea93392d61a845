"""Reads what runs left under directories: every replica once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.config import ConfigurationError, leaves, science
from src.config.errors import first_line
from src.population import checkpoint
from src.results.outcomes import UnreadableRun, read_outcomes
from src.rundir import HISTORY, INTERRUPTED, RESULTS, RunDirectory, runs_under
from src.storage import DamagedFile

NOT_COMPARED = ("seconds", "spectral_radius", "loss", "test_loss")
"""Columns that two runs of the same configuration and seed may differ in."""

LOSSES = ("loss", "test_loss")
"""Columns that are the outcome where answers are neither right nor wrong."""

KINDS = {"task.name": str, "task.length": int, "cell.name": str, "optimizer.name": str, "task.max_length": int | None}
"""Keys of a configuration that tables and figures are made by, and what they hold."""

COMMIT = "commit"
"""A column of kept tables that is no setting: what wrote their rows."""

FILE = "path"
"""Key of a task that learns from a file."""

CONTENTS = "task.contents"
"""The key under which a configuration says what was in it."""

NUMBERS = "iufb"
"""Kinds of columns that hold numbers, as NumPy calls them."""

OUTCOME = tuple(column for column in RESULTS if column not in NOT_COMPARED)


class Config(tuple[tuple[str, Any], ...]):
    """The items of :func:`src.config.science`. They never change, so that tables that carry them need no copies.

    A key without a value is as good as none: a run of before the key existed and one with ``null`` are alike.
    """

    @cached_property
    def told(self) -> tuple[tuple[str, Any], ...]:
        """The items that have a value."""
        return tuple(item for item in self if item[1] is not None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self.told == other.told

    def __ne__(self, other: object) -> bool:  # a tuple has its own
        return not self == other

    def __hash__(self) -> int:
        return hash(self.told)

    def __deepcopy__(self, _: Any) -> "Config":
        return self


@dataclass
class Replica:
    """One row of a results.csv, with the configuration it belongs to and its history.

    Args:
        config: what its result depends on besides its seed.
        outcome: the row, by column.
        together: history.csv, with the rows of all replicas of its run.
        source: the results.csv.
        task: what its task is made from, as the run has saved it.
    """

    config: Config
    outcome: dict[str, Any]
    together: pd.DataFrame
    source: Path
    task: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def history(self) -> pd.DataFrame:
        """Its rows of history.csv."""
        return self.together[self.together["seed"] == self.outcome["seed"]]

    def curve(self, *columns: str) -> np.ndarray:
        """Some columns of its rows of history.csv, side by side; quicker than all of them."""
        own = self.together["seed"].to_numpy() == self.outcome["seed"]
        return np.column_stack([self.together[column].to_numpy()[own] for column in columns])

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


def collect(directories: Iterable[str | Path], skipped: list[str] | None = None) -> list[Replica]:
    """Every replica under the directories, each configuration and seed once.

    Args:
        directories: searched for runs at any depth.
        skipped: gets one line for each run that cannot be read.

    Raises:
        ConfigurationError: two finished replicas of the same configuration and seed have different outcomes.
    """
    kept: dict[tuple[Config, int], Replica] = {}
    conflicts = []
    for run in runs_under(directories):
        try:
            found = list(replicas_of(run))
        except UnreadableRun as problem:
            if skipped is not None:
                skipped.append(str(problem))
            continue
        for new in found:
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
    """The replicas of one run, in the order of its table.

    Raises:
        UnreadableRun: a file of the run is not what a run leaves.
    """
    cfg = _read(run.config_file, run.plain_configuration)
    values = _read(run.config_file, lambda: dict(leaves(cfg)))
    for key, kind in KINDS.items():
        if not isinstance(values.get(key), kind):
            raise UnreadableRun(f"{run.config_file}: {key} is {values.get(key)}, so no configuration of a run")
    config = _read(run.config_file, lambda: _config(cfg, contents(run, cfg)))
    outcomes = _read(run.results_file, lambda: read_outcomes(run.results_file))
    history = _read(run.history_file, run.read_history)
    _demand_columns(run.history_file, history, HISTORY, ("seed", "step") if len(history) else ())
    if len(history):
        _demand_numbers(run.history_file, history, HISTORY)
    for outcome in outcomes:
        yield Replica(config, outcome, history, run.results_file, cfg["task"])


def replicas_of_table(file: Path) -> list[Replica]:
    """The replicas of a replicas.csv, where their runs are gone: of their configuration is known what it tells.

    Raises:
        UnreadableRun: it is no such table.
    """
    outcomes = _read(file, lambda: read_outcomes(file))
    table = _read(file, lambda: pd.read_csv(file))
    further = [column for column in table if column not in (*RESULTS, COMMIT)]
    settings = _read(file, lambda: table[further].astype(object).where(table[further].notna(), None).to_dict("records"))
    found = []
    for outcome, own in zip(outcomes, settings, strict=True):
        longest = outcome["max_length"]
        known = {
            "task.name": outcome["task"],
            "task.length": outcome["length"],
            "task.max_length": None if pd.isna(longest) else longest,
            "cell.name": outcome["cell"],
            "optimizer.name": outcome["optimizer"],
        }
        nothing = pd.DataFrame({name: [] for name in HISTORY})
        found.append(Replica(Config(sorted((known | own).items())), outcome, nothing, file))
    return found


def _read(file: Path, reader: Callable[[], Any]) -> Any:
    """What a reader finds in a file."""
    try:
        return reader()
    except UnreadableRun:
        raise
    except Exception as error:  # whatever a file that others wrote leads to
        raise UnreadableRun(f"{file}: cannot be read: {first_line(error)}") from error


def _config(cfg: dict[str, Any], contents: str | None) -> Config:
    """What a result depends on; values that cannot be compared, like empty dictionaries, count as text."""
    values = science(cfg)
    if contents is not None:
        values[CONTENTS] = contents
    return Config((key, str(value) if isinstance(value, dict) else value) for key, value in sorted(values.items()))


def contents(run: RunDirectory, cfg: dict[str, Any]) -> str | None:
    """A digest of the file that a run learned from, which may have changed since; None: of no file, or not known."""
    if FILE not in cfg["task"]:
        return None
    try:
        known = checkpoint.read(run.checkpoint_file).keepsake
    except DamagedFile:
        return None
    return hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:8]


def _demand_columns(file: Path, table: pd.DataFrame, columns: Sequence[str], whole: Sequence[str]) -> None:
    """Refuses a table without these columns, or with other than whole numbers in some of them."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise UnreadableRun(f"{file}: no column {', '.join(missing)}")
    odd = [column for column in whole if not pd.api.types.is_integer_dtype(table[column])]
    if odd:
        raise UnreadableRun(f"{file}: other than whole numbers in {', '.join(odd)}")


def _demand_numbers(file: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuses a table with words where numbers are."""
    odd = [name for name, kind in table.dtypes.items() if name in columns and kind.kind not in NUMBERS]
    if odd:
        raise UnreadableRun(f"{file}: other than numbers in {', '.join(odd)}")


def contradict(old: Replica, new: Replica) -> bool:
    """Whether two finished replicas of one configuration and seed have different outcomes."""
    columns = OUTCOME if new.graded else (*OUTCOME, *LOSSES)
    return any(not _equal(old.outcome.get(column), new.outcome.get(column)) for column in columns)


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
