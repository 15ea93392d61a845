"""The directory of a run: its files, the columns of its tables, and the outcomes that a replica can have.

Every path, column and status is typed here and nowhere else. Pandas is imported where a table is read: a refused
configuration need not wait for it.
"""

import csv
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    import pandas as pd

# -- what becomes of a replica -----------------------------------------------------------------------------------------

RUNNING = "running"
"""It still learns; no table holds this."""

SOLVED = "solved"
"""It passed the success test."""

BUDGET = "budget"
"""Its updates or epochs are used up."""

DIVERGED = "diverged"
"""Its parameters or its gradient are no longer finite."""

PLATEAU = "plateau"
"""Its schedule came to an end."""

INTERRUPTED = "interrupted"
"""It was stopped from outside; it says nothing about the method."""

ENDED = (SOLVED, DIVERGED, PLATEAU)
"""Outcomes that a larger budget would not change."""

# -- tables ------------------------------------------------------------------------------------------------------------

RESULTS = (
    "task",
    "length",
    "max_length",
    "cell",
    "optimizer",
    "seed",
    "status",
    "solved",
    "solved_at",
    "updates",
    "error",
    "best_error",
    "loss",
    "spectral_radius",
    "seconds",
    "test_loss",
    "reached",
)
"""Columns of results.csv, which has one row per replica."""

LATER = ("test_loss", "reached")
"""Those of them that came later than the others: older files do without."""

HISTORY = ("seed", "step", "epoch", "seconds", "loss", "omega", "grad_norm", "error")
"""First columns of history.csv, which has one row per replica and check."""

STAGED = ("length", "reached")
"""Further columns of history.csv where lengths grow: of the test, and the longest that was passed."""


def history_columns(metrics: Sequence[str] = ()) -> tuple[str, ...]:
    """All columns of history.csv for a method that measures something of its own.

    Args:
        metrics: the names that the method declares; those that HISTORY holds already are not repeated.
    """
    further = [metric for metric in metrics if metric not in HISTORY]
    return (*HISTORY, *further)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a whole csv file or leaves the former one. None and NaN become empty cells.

    Raises:
        OSError: it cannot be written.
    """
    with replaced(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(value) for value in row])


def write_frame(table: "pd.DataFrame", path: Path) -> None:
    """Writes a whole csv file or leaves the former one.

    Raises:
        OSError: it cannot be written.
    """
    with replaced(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Gives another path to write to; what is there at the end takes the place of the former file, whole or not at all.

    Raises:
        OSError: it cannot be written; the message names the file.
    """
    partial = path.with_name(path.name + ".part")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if not isinstance(value, float):
        return value
    return "" if isnan(value) else f"{value:.6g}"


# -- files of several runs ---------------------------------------------------------------------------------------------

SUCCESS_RATE = "success_rate"
"""Stem of the table and the figure of a sweep's success rates."""

REPLICAS = "replicas"
"""Stem of the table of a sweep that has one row per replica."""

JOBS = "jobs"
"""Stem of a sweep's list of its jobs, written before the first one begins."""

JOB_COLUMNS = ("directory", "overrides")
"""Columns of jobs.csv, which has one row per job, in their order."""

ERROR = "error"
"""Stem of the figure of errors against updates."""

LOSS = "loss"
"""Stem of the table and the figure of a sweep over tasks whose answers are neither right nor wrong."""

REACH = "reach"
"""Stem of the table and the figure of the lengths that were passed where lengths grow."""

EVALUATION = "evaluation"
"""Stem of the table and the figure of a trained population on other lengths."""

CURVES = "curves"
"""Folder of a sweep's figures for TensorBoard, and of tables that join several directories."""


def table_file(directory: Path, stem: str) -> Path:
    """Path of a table, by one of the stems above."""
    return directory / f"{stem}.csv"


def figure_files(directory: Path, stem: str) -> list[Path]:
    """Paths of a figure, one per format."""
    return [directory / f"{stem}.png", directory / f"{stem}.svg"]


# -- files of one run --------------------------------------------------------------------------------------------------

PREVIOUS = "previous.ckpt"
"""Name of the checkpoint before the last, beside it."""

RESULTS_FILE = "results.csv"
"""The file by which a run is found."""


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
