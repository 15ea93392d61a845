"""How a sweep ends, well or not: its tables, the jobs that failed or have no end, and how to go on."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from src.config.errors import first_line
from src.rundir import RunDirectory, failures_under, runs_under


@dataclass
class Sweep:
    """A sweep whose jobs this process runs, or waits for.

    Args:
        directory: of the sweep.
        known: directories of its jobs; none if they are not known beforehand.
        in_slurm: whether the jobs are in a queue, where they go on without this process.
    """

    directory: Path
    known: list[Path]
    in_slurm: bool

    @property
    def unfinished(self) -> list[Path]:
        """Directories of jobs that have not come to an end, good or bad."""
        found = sorted(folder.parent for folder in self.directory.rglob(".hydra"))
        runs = [RunDirectory(directory) for directory in self.known or found]
        return [run.path for run in runs if not run.is_closed and not run.failure_file.is_file()]


def report_sweep(directory: Path) -> bool:
    """Writes tables and figures of a sweep. Whatever goes wrong is one line; returns whether nothing did."""
    from src.results.report import report

    try:
        skipped: list[str] = []
        report([directory], skipped=skipped)
    except Exception as error:  # Hydra would only warn, and go on with the next job
        print(f"error: {directory}: no tables: {first_line(error)}", file=sys.stderr)
        return False
    return not skipped


def name_jobs(sweep: Sweep) -> bool:
    """Names the jobs that failed and those without an end, and says how to go on; returns whether there are any."""
    failed = failures_under(sweep.directory)
    unfinished = sweep.unfinished
    if failed:
        print(f"{len(failed)} failed: {', '.join(map(str, failed))}", file=sys.stderr)
    if unfinished:
        print(f"{len(unfinished)} without an end: {', '.join(map(str, unfinished))}", file=sys.stderr)
    if failed or unfinished:
        words = "to go on" if unfinished else "to try them again"
        again = shlex.quote(f"resume={sweep.directory}")
        print(f"{words}: python -m src.train {again}", file=sys.stderr)
    return bool(failed or unfinished)


def report_stopped(sweep: Sweep) -> None:
    """Reports a sweep as far as it came when this process was told to stop."""
    if runs_under([sweep.directory]):
        report_sweep(sweep.directory)
    if sweep.in_slurm:
        print("jobs in the queue of Slurm go on; scancel ends them, squeue --me lists them", file=sys.stderr)
    name_jobs(sweep)


def report_lost(sweep: Sweep, error: BaseException) -> None:
    """Reports a sweep whose launcher has given up, when its other jobs have come to an end."""
    print(f"error: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
    if sweep.in_slurm:
        from src.slurm import wait_for_jobs

        wait_for_jobs(sweep.directory)
    if runs_under([sweep.directory]):
        report_sweep(sweep.directory)
    name_jobs(sweep)
