"""Patients and their visits, from a CSV file of one row per visit, and the windows in which they are looked at.

F features, V visits of a patient in their order.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MISSING = ("", "na", "nan")
"""What stands for a value that is missing, in small letters."""

LARGEST = 1e30
"""The largest value: its square and its sums are still numbers."""

DAMAGED = "damaged before the observation ends"
LOST = "lost from sight before the prediction ends"


@dataclass(frozen=True)
class Patient:
    """One patient's visits.

    Args:
        name: whose they are.
        time_V: when they were, ascending.
        value_VF: features; NaN where missing.
        damage_V: the outcome; above 0: there is damage.
    """

    name: str
    time_V: np.ndarray
    value_VF: np.ndarray
    damage_V: np.ndarray


@dataclass(frozen=True)
class Cohort:
    """All patients, in the order in which they first come, and the names of the features."""

    features: tuple[str, ...]
    patients: list[Patient]


@dataclass(frozen=True)
class Row:
    """One visit as it stands in a file; ``number`` is its line, that of the header being 1."""

    number: int
    patient: str
    time: float
    damage: float
    values: list[float]


def read_cohort(path: str | Path, patient: str, time: str, outcome: str) -> Cohort:
    """Reads a CSV file. All columns but the three that are named are features.

    Raises:
        ValueError: a file that cannot be read, or that is no table of visits. The message is one line and names the
            file, the row and the column.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            return _cohort(file, patient, time, outcome)
    except OSError as error:
        raise ValueError(f"path={path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"path={path}: is no text in UTF-8") from error
    except (csv.Error, ValueError) as error:
        raise ValueError(f"path={path}: {error}") from error


def window(patient: Patient, observation: float | None, prediction: float | None) -> tuple[int, bool] | str:
    """How many visits are read of a patient, and whether damage follows; or why the patient does not count.

    Args:
        observation: time from the first visit on in which visits are read. None: all before the first damage or,
            without damage, before the last visit.
        prediction: time after the observation in which damage counts. None: ever after.
    """
    damaged = np.flatnonzero(patient.damage_V > 0)
    first = int(damaged[0]) if len(damaged) else None
    if observation is None:
        seen = len(patient.time_V) - 1 if first is None else first
        return (seen, first is not None) if seen else DAMAGED
    end = patient.time_V[0] + observation
    horizon = math.inf if prediction is None else end + prediction
    seen = int(np.searchsorted(patient.time_V, end, side="right"))
    if first is not None and first < seen:
        return DAMAGED
    if first is not None and patient.time_V[first] <= horizon:
        return seen, True
    followed = len(patient.time_V) > seen if prediction is None else patient.time_V[-1] >= horizon
    return (seen, False) if followed else LOST


def _cohort(file: Iterator[str], patient: str, time: str, outcome: str) -> Cohort:
    """The patients of an open file."""
    lines = csv.reader(file, strict=True)
    header = [name.strip() for name in next(lines, [])]
    _check_header(header, (patient, time, outcome))
    features = [name for name in header if name not in (patient, time, outcome)]
    visits: dict[str, list[Row]] = {}
    for fields in lines:
        if fields:
            row = _row(lines.line_num, dict(_paired(lines.line_num, header, fields)), patient, time, outcome)
            visits.setdefault(row.patient, []).append(row)
    if not visits:
        raise ValueError("row 2: there are no visits")
    patients = [_patient(rows, patient, time) for rows in visits.values()]
    _check_outcome(patients, outcome)
    return Cohort(tuple(features), patients)


def _check_header(header: Sequence[str], needed: Sequence[str]) -> None:
    """Refuses a header in which a column is missing, has no name or comes twice."""
    for name in header:
        if not name:
            raise ValueError(f"row 1, column {header.index(name) + 1}: has no name")
        if header.count(name) > 1:
            raise ValueError(f"row 1, column {name}: comes {header.count(name)} times")
    for name in needed:
        if name not in header:
            raise ValueError(f"row 1, column {name}: is missing; there are {', '.join(header) or 'none'}")
    if len(header) == len(needed):
        raise ValueError(f"row 1: no features beside {', '.join(needed)}")


def _paired(number: int, header: Sequence[str], fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each column's name and its field."""
    if len(fields) < len(header):
        raise ValueError(f"row {number}, column {header[len(fields)]}: is missing, the row ends before")
    if len(fields) > len(header):
        raise ValueError(f"row {number}: {len(fields)} fields, and there are {len(header)} columns")
    return zip(header, (field.strip() for field in fields), strict=True)


def _row(number: int, fields: dict[str, str], patient: str, time: str, outcome: str) -> Row:
    """One visit, all of its fields read."""
    name = fields.pop(patient)
    if not name:
        raise ValueError(f"row {number}, column {patient}: is empty")
    when = _number(number, time, fields.pop(time))
    damage = _number(number, outcome, fields.pop(outcome))
    values = []
    for column, text in fields.items():
        missing = text.lower() in MISSING
        values.append(math.nan if missing else _number(number, column, text))
    return Row(number, name, when, damage, values)


def _number(number: int, column: str, text: str) -> float:
    """A field as a finite number."""
    if not text:
        raise ValueError(f"row {number}, column {column}: is empty")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise ValueError(f"row {number}, column {column}: {text!r} is no number, or too large")
    return value


def _patient(rows: list[Row], patient: str, time: str) -> Patient:
    """One patient's visits in the order of time."""
    if len(rows) == 1:
        raise ValueError(f"row {rows[0].number}, column {patient}: {rows[0].patient} has one visit; nothing follows it")
    known: dict[float, int] = {}
    for row in rows:
        if row.time in known:
            twice = f"{row.patient} has a visit at {row.time:g} already, in row {known[row.time]}"
            raise ValueError(f"row {row.number}, column {time}: {twice}")
        known[row.time] = row.number
    ordered = sorted(rows, key=lambda row: row.time)
    return Patient(
        rows[0].patient,
        np.array([row.time for row in ordered]),
        np.array([row.values for row in ordered]),
        np.array([row.damage for row in ordered]),
    )


def _check_outcome(patients: Sequence[Patient], outcome: str) -> None:
    """Refuses an outcome that is the same at every visit."""
    damage = np.concatenate([patient.damage_V for patient in patients])
    if (damage > 0).all() or (damage <= 0).all():
        rows = f"rows 2 to {len(damage) + 1}" if len(damage) > 1 else "row 2"
        never = "always" if damage[0] > 0 else "never"
        raise ValueError(f"{rows}, column {outcome}: is {never} above 0; there is nothing to foretell")
