"""Names of the tables, figures and folders of several runs, and where they lie."""

from pathlib import Path

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

LEARNING = "learning"
"""Stem of the figure of training losses against updates, beside the loss of answers without memory."""

REACH = "reach"
"""Stem of the table and the figure of the lengths that were passed where lengths grow."""

PAGE = "report.html"
"""A page that shows tables and figures together."""

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
