"""The directory of a run: its files, the columns of its tables, and the outcomes that a replica can have.

Every path, column and status is typed in this folder and nowhere else.
"""

from src.rundir.directory import FIGURE, PREVIOUS, InUse, RunDirectory, failures_under, runs_under
from src.rundir.names import (
    CURVES,
    ERROR,
    EVALUATION,
    JOB_COLUMNS,
    JOBS,
    LEARNING,
    LOSS,
    PAGE,
    REACH,
    REPLICAS,
    SUCCESS_RATE,
    figure_files,
    table_file,
)
from src.rundir.outcomes import BUDGET, DIVERGED, ENDED, INTERRUPTED, PLATEAU, RUNNING, SOLVED
from src.rundir.tables import HISTORY, LATER, RESULTS, STAGED, history_columns, replaced, write_frame, write_table

__all__ = [
    "BUDGET",
    "CURVES",
    "DIVERGED",
    "ENDED",
    "ERROR",
    "EVALUATION",
    "FIGURE",
    "HISTORY",
    "INTERRUPTED",
    "JOBS",
    "JOB_COLUMNS",
    "LATER",
    "LEARNING",
    "LOSS",
    "PAGE",
    "PLATEAU",
    "PREVIOUS",
    "REACH",
    "REPLICAS",
    "RESULTS",
    "RUNNING",
    "SOLVED",
    "STAGED",
    "SUCCESS_RATE",
    "InUse",
    "RunDirectory",
    "failures_under",
    "figure_files",
    "history_columns",
    "replaced",
    "runs_under",
    "table_file",
    "write_frame",
    "write_table",
]
