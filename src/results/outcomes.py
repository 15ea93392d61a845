"""Reads results.csv row by row, and refuses what no run has written: many times quicker than a general reader."""

import csv
from collections.abc import Callable
from math import isnan, nan
from pathlib import Path
from typing import Any

from src.rundir import BUDGET, DIVERGED, INTERRUPTED, LATER, PLATEAU, RESULTS, SOLVED

STATUSES = (SOLVED, BUDGET, DIVERGED, PLATEAU, INTERRUPTED)

YES_OR_NO = {"True": True, "False": False, "": nan}

WORDS = ("task", "cell", "optimizer", "status")
WHOLE = ("length", "seed", "updates")
WHOLE_IF_ANY = ("max_length", "solved_at", "reached")


class UnreadableRun(Exception):
    """A run directory with a file that is not what a run leaves. The message is one line and names the file."""


def read_outcomes(file: Path) -> list[dict[str, Any]]:
    """The rows of a results.csv by column; an empty cell is NaN.

    Raises:
        UnreadableRun: a column is missing, a cell holds something else than its column, or cells contradict each other.
        OSError, ValueError, csv.Error: it is no table at all.
    """
    with file.open(newline="") as text:
        reader = csv.DictReader(text, restval="")
        rows = list(reader)
    columns = [column for column in RESULTS if column in (reader.fieldnames or ())]
    missing = [column for column in RESULTS if column not in (*columns, *LATER)]
    if missing:
        raise UnreadableRun(f"{file}: no column {', '.join(missing)}")
    if any(None in row for row in rows):
        raise UnreadableRun(f"{file}: cannot be read: more cells than columns")
    found = {column: _column(file, column, [row[column] for row in rows]) for column in columns}
    _demand_sense(file, found)
    return [dict(zip(columns, values, strict=True)) for values in zip(*found.values(), strict=True)]


def _column(file: Path, column: str, cells: list[str]) -> list[Any]:
    """The values of one column."""
    if column in WORDS:
        return cells
    if column == "solved":
        if not all(cell in YES_OR_NO for cell in cells):
            raise UnreadableRun(f"{file}: solved must be True or False, or empty everywhere")
        return [YES_OR_NO[cell] for cell in cells]
    kinds: dict[str, Callable[[str], float]] = dict.fromkeys(WHOLE, int) | dict.fromkeys(WHOLE_IF_ANY, _whole_if_any)
    try:
        return [kinds.get(column, _number)(cell) for cell in cells]
    except ValueError:
        kind = "whole numbers" if column in kinds else "numbers"
        raise UnreadableRun(f"{file}: other than {kind} in {column}") from None


def _whole_if_any(cell: str) -> float:
    return int(cell) if cell else nan


def _number(cell: str) -> float:
    return float(cell) if cell else nan


def _demand_sense(file: Path, found: dict[str, list[Any]]) -> None:
    """Refuses statuses that there are not, negative updates, and replicas that solved the task at no time."""
    if not set(found["status"]) <= set(STATUSES):
        raise UnreadableRun(f"{file}: a status is none of {', '.join(STATUSES)}")
    solved = found["solved"]
    kinds = {(task, isinstance(value, bool)) for task, value in zip(found["task"], solved, strict=True)}
    if len(kinds) > len(set(found["task"])):
        raise UnreadableRun(f"{file}: solved must be True or False, or empty everywhere")
    timed = [not isnan(at) for at in found["solved_at"]]
    if timed != [value is True for value in solved] or any(count < 0 for count in found["updates"]):
        raise UnreadableRun(f"{file}: solved, solved_at and updates do not fit each other")
