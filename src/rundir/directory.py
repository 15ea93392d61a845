"""The directory of one run: its files, who is at work there, and how they are read and written.

Pandas is imported where a table is read: a refused configuration need not wait for it.
"""

import fcntl
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from src.rundir.tables import HISTORY, RESULTS, history_columns, replaced, write_table

if TYPE_CHECKING:
    import pandas as pd

PREVIOUS = "previous.ckpt"
"""Name of the checkpoint before the last, beside it."""

RESULTS_FILE = "results.csv"
"""The file by which a run is found."""


FIGURE = "training.png"
"""Errors and losses of a single run against its updates."""

FAILURE_FILE = "error.txt"
"""What ended a job of a sweep that failed."""

_held: set[Path] = set()
"""Directories that this process has locked."""

LEFT_BY_A_RUN = (
    "checkpoints/last.ckpt",
    "checkpoints/previous.ckpt",
    "results.csv",
    "history.csv",
    "diagnostics.npz",
    "evaluation.csv",
    "evaluation.png",
    "evaluation.svg",
    FIGURE,
    "events.out.tfevents.*",
    ".closed",
    FAILURE_FILE,
)
"""Files of a run by their names: what else lies in its directory is not ours to remove."""


class QuickLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML by libyaml where PyYAML has it, and 1e-3 as a number, as OmegaConf does."""


QuickLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), "-+0123456789"
)


class InUse(Exception):
    """A directory in which another run is at work. The message is one line."""


class RunDirectory:
    """Where one run writes, and what can be read there.

    Args:
        path: ``runs/...``, or ``sweeps/.../3_msgd_c_length=100``. It need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.results_file = self.path / RESULTS_FILE
        self.history_file = self.path / "history.csv"
        self.checkpoint_file = self.path / "checkpoints" / "last.ckpt"
        self.previous_checkpoint_file = self.path / "checkpoints" / PREVIOUS
        self.diagnostics_file = self.path / "diagnostics.npz"
        self.figure_file = self.path / FIGURE
        self.failure_file = self.path / FAILURE_FILE
        self.command_file = self.path / "command.yaml"
        self.lock_file = self.path / ".lock"
        self.closed_file = self.path / ".closed"

    @classmethod
    def of_checkpoint(cls, file: str | Path) -> "RunDirectory":
        """The run that wrote this checkpoint."""
        return cls(Path(file).parents[1])

    def __str__(self) -> str:
        return str(self.path)

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to go on with: the last checkpoint, or the one before."""
        return self.checkpoint_file.is_file() or self.previous_checkpoint_file.is_file()

    # -- whose it is -----------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out of the directory while this one is at work; a lock ends with its process, which may ask
        for it again.

        Raises:
            InUse: another run is at work there.
        """
        place = self.path.resolve()
        if place in _held:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock_file.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InUse(f"{self}: a run is at work there") from error
            _held.add(place)
            try:
                yield
            finally:
                _held.discard(place)

    def is_locked(self) -> bool:
        """Whether a run is at work there."""
        try:
            with self.lock_file.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no lock, or a folder that nobody could work in
            return False
        return False

    @property
    def is_ours(self) -> bool:
        """Whether it is this process that is at work there."""
        return self.path.resolve() in _held

    def clear(self) -> None:
        """Removes what a former run left: it would be taken for the new one's."""
        for pattern in LEFT_BY_A_RUN:
            for file in self.path.glob(pattern):
                file.unlink()

    @property
    def is_closed(self) -> bool:
        """Whether the run came to its end by itself, last tests included."""
        return self.closed_file.is_file()

    def close(self) -> None:
        """Notes that the run has come to its end."""
        self.failure_file.unlink(missing_ok=True)
        self.closed_file.touch()

    def open(self) -> None:
        """Notes that a run begins or goes on."""
        self.closed_file.unlink(missing_ok=True)
        self.checkpoint_file.parent.mkdir(exist_ok=True)

    # -- writing -------------------------------------------------------------------------------------------------------

    def write_configuration(self, cfg: DictConfig) -> None:
        """Writes config.yaml, the configuration that counts; makes the directory if there is none."""
        self.path.mkdir(parents=True, exist_ok=True)
        with replaced(self.config_file) as partial:
            partial.write_text(OmegaConf.to_yaml(cfg, resolve=False))

    def write_command(self, command: dict[str, Any]) -> None:
        """Writes command.yaml, what ``resume`` repeats, of a run or of a sweep. Hydra's own files may be torn."""
        with replaced(self.command_file) as partial:
            partial.write_text(OmegaConf.to_yaml(command))

    def write_results(self, rows: Iterable[Sequence[Any]]) -> None:
        """Writes results.csv; rows are as RESULTS says."""
        write_table(self.results_file, RESULTS, rows)

    def write_history(self, rows: Iterable[Sequence[Any]], metrics: Sequence[str] = ()) -> None:
        """Writes history.csv; rows are as :func:`history_columns` says for these metrics."""
        write_table(self.history_file, history_columns(metrics), rows)

    def write_diagnostics(self, arrays: dict[str, Any]) -> None:
        """Writes diagnostics.npz whole, or leaves the former one."""
        import numpy as np

        with replaced(self.diagnostics_file) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    # -- reading -------------------------------------------------------------------------------------------------------

    def configuration(self) -> DictConfig:
        """The configuration of the run.

        Raises:
            FileNotFoundError: there is no config.yaml.
        """
        cfg = OmegaConf.load(self.config_file)
        assert isinstance(cfg, DictConfig)
        return cfg

    def plain_configuration(self) -> dict[str, Any]:
        """The same as plain dictionaries, interpolations as they are written; quicker, where there are many runs.

        Raises:
            FileNotFoundError: there is no config.yaml.
            ValueError: what is there is no configuration.
        """
        with self.config_file.open() as file:
            found = yaml.load(file, Loader=QuickLoader)
        if not isinstance(found, dict):
            raise ValueError("no keys")
        return found

    def read_results(self) -> "pd.DataFrame":
        """One row per replica, the columns as RESULTS says; lengths and updates that may be empty are ``Int64``.

        Raises:
            FileNotFoundError: there is no results.csv.
        """
        import pandas as pd

        return pd.read_csv(self.results_file, dtype=dict.fromkeys(("max_length", "solved_at", "reached"), "Int64"))

    def read_history(self) -> "pd.DataFrame":
        """One row per replica and check, the columns as HISTORY says and further metrics; without a file, no rows."""
        import pandas as pd

        if not self.history_file.is_file():
            return pd.DataFrame({name: [] for name in HISTORY})
        return pd.read_csv(self.history_file)


def runs_under(directories: Iterable[str | Path]) -> list[RunDirectory]:
    """Every run at any depth that left results, each once, in the order of their paths."""
    files: set[Path] = set()
    for directory in directories:
        for file in Path(directory).rglob(RESULTS_FILE):
            files.add(file.resolve())
    runs = [RunDirectory(file.parent) for file in sorted(files)]
    return [run for run in runs if run.config_file.is_file() or run.has_checkpoint]


def failures_under(directory: str | Path) -> list[Path]:
    """Directories of jobs that failed, in the order of their paths."""
    return sorted(file.parent for file in Path(directory).rglob(FAILURE_FILE))
