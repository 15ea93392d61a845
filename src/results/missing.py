"""What a sweep still lacks: jobs that run or wait, failed, or were interrupted."""

import csv
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from src.rundir import JOBS, RunDirectory

DONE = "ended"

MOST_NAMES = 3
"""Jobs of one state that are named; others are counted."""


def missing(directories: Iterable[str | Path]) -> list[str]:
    """One line for each sweep at any depth under the directories some of whose jobs have not come to their end."""
    files = {file for directory in directories for file in Path(directory).rglob(f"{JOBS}.csv")}
    lines = []
    for file in sorted(files):
        names = job_names(file)
        states: dict[str, list[str]] = {}
        for name in names:
            states.setdefault(state(RunDirectory(file.parent / name)), []).append(name)
        done = len(states.pop(DONE, []))
        if states:
            lines.append(_line(file.parent, done, len(names), states))
    return lines


def job_names(file: Path) -> list[str]:
    """Directories of a sweep's jobs, as its list has them; none where the list cannot be read."""
    try:
        with file.open(newline="") as text:
            return [row["directory"] for row in csv.DictReader(text)]
    except (OSError, KeyError, ValueError, csv.Error):
        return []


def state(job: RunDirectory) -> str:
    """How far a job is, in a word or two."""
    if job.is_closed:
        return DONE if job.results_file.is_file() else "without results"
    if job.is_locked():
        return "running"
    if job.failure_file.is_file():
        return "failed"
    return "interrupted" if job.has_checkpoint else "not begun"


def _line(sweep: Path, done: int, jobs: int, states: dict[str, list[str]]) -> str:
    parts = [f"{state}: {_some(names)}" for state, names in states.items()]
    line = f"{sweep}: {done} of {jobs} jobs have ended; {'; '.join(parts)}"
    directory = RunDirectory(sweep)
    if directory.is_locked() and not directory.is_ours:  # the report at its end is not what keeps it at work
        return f"{line}; the sweep is at work"
    return f"{line}; to go on: python -m src.train {shlex.quote(f'resume={sweep}')}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
