"""Pools replicas of one configuration: success rates with intervals, and losses where there is no yes or no."""

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import hydra
import numpy as np
import pandas as pd

from src.config.trusted import untrusted
from src.intervals import wilson
from src.results.bits import BIT, WITHOUT, in_bits
from src.results.collect import LOSSES as LOSS_COLUMNS
from src.results.collect import Config, Replica, by_config
from src.results.comparison import differing
from src.results.reach import growing
from src.rundir import DIVERGED, INTERRUPTED, PLATEAU, RESULTS
from tasks.task import MEMORYLESS

SUCCESS_RATE = (
    "task",
    "cell",
    "optimizer",
    "length",
    "max_length",
    "replicas",
    "solved",
    "rate",
    "ci_low",
    "ci_high",
    "median_solved_at",
    "interrupted",
)
"""First columns of success_rate.csv; those of every other key that differs follow."""

YARDSTICKS = ("constant", "linear", "oracle")
"""Losses on fresh sequences of what needs no network, see ``Task.yardsticks``; empty where a task has none."""

OF_TEXT = ("test_bits", *WITHOUT)
"""Further columns where there is text: the loss on the test part in bits, and the yardsticks, in nats as all losses."""

LOSSES = (
    "task",
    "cell",
    "optimizer",
    "length",
    "replicas",
    "epochs",
    "updates",
    "seconds",
    "loss",
    "loss_low",
    "loss_high",
    "test_loss",
    *YARDSTICKS,
    "spikes",
    "plateau",
    "diverged",
    "interrupted",
)
"""First columns of loss.csv; those of every other key that differs follow."""


def success_rates(replicas: Sequence[Replica]) -> pd.DataFrame:
    """One row per configuration: solved replicas of those that finished, with Wilson's 95 % interval.

    ``median_solved_at`` is over all. A replica that did not solve the task counts as later than any; the cell is empty
    where the median did not solve it. Where some were interrupted there is neither rate nor interval nor median: who is
    quick finishes first, so that those who finished would flatter. The configuration of each row is in
    ``attrs["configs"]``.
    """
    groups = by_config(replicas)
    keys = differing(groups)
    rows = []
    for config, alike in groups.items():
        values = dict(config)
        row = _names(values) | {"max_length": values["task.max_length"]} | success_rate(alike)
        rows.append([row[column] for column in SUCCESS_RATE] + [values.get(key) for key in keys])
    table = pd.DataFrame(rows, columns=[*SUCCESS_RATE, *keys])
    table["max_length"] = table["max_length"].astype("Int64")
    return _sorted(table, list(groups))


def success_rate(alike: Sequence[Replica]) -> dict[str, float]:
    """Success of replicas of one configuration, by column; NaN where there is no number."""
    done = [replica.outcome for replica in alike if replica.finished]
    counts = {"replicas": len(done), "interrupted": len(alike) - len(done)}
    solved_at = [int(outcome["solved_at"]) if outcome["solved"] else math.inf for outcome in done]
    solved = sum(math.isfinite(at) for at in solved_at)
    if not done or len(done) < len(alike):
        none = dict.fromkeys(("rate", "ci_low", "ci_high", "median_solved_at"), math.nan)
        return counts | none | {"solved": solved}
    low, high = wilson(solved, len(done))
    median = float(np.median(solved_at))
    return counts | {
        "solved": solved,
        "rate": solved / len(done),
        "ci_low": low,
        "ci_high": high,
        "median_solved_at": median if math.isfinite(median) else math.nan,
    }


def losses(replicas: Sequence[Replica]) -> pd.DataFrame:
    """One row per configuration of a task whose answers are neither right nor wrong.

    Medians are over its finished replicas: of the last epoch's loss (with its range), of the loss on fresh sequences,
    and of the spikes. The losses of a replica that diverged count as larger than any. The configuration of each row is
    in ``attrs["configs"]``.
    """
    groups = by_config(replicas)
    keys = differing(groups)
    rows = []
    for config, alike in groups.items():
        values = dict(config)
        row = _names(values) | middle_losses(alike) | yardsticks(alike[0].task)
        if in_bits(alike[0].task):
            row["test_bits"] = row["test_loss"] / BIT
        rows.append(row | {key: values.get(key) for key in keys})
    found = [column for column in OF_TEXT if any(column in row for row in rows)]
    return _sorted(pd.DataFrame(rows, columns=[*LOSSES, *found, *keys]), list(groups))


def yardsticks(task: dict[str, Any]) -> dict[str, float]:
    """Those of a task as it was saved; NaN where it has none, or can no longer be made."""
    try:
        found = _yardsticks(json.dumps(task, sort_keys=True))
    except hydra.errors.HydraException:
        found = {}
    return dict.fromkeys(YARDSTICKS, math.nan) | found


def memoryless(replica: Replica) -> float:
    """The loss of answers without memory on a replica's task; NaN where it is not known, or lengths grow."""
    if not replica.graded or growing([replica]):
        return math.nan
    return yardsticks(replica.task).get(MEMORYLESS, math.nan)


@lru_cache(maxsize=32)
def _yardsticks(task: str) -> dict[str, float]:
    """The same of the task's keys as text: configurations share their task."""
    keys = json.loads(task)
    return hydra.utils.instantiate(keys).yardsticks() if keys and not untrusted(keys) else {}


def middle_losses(alike: Sequence[Replica]) -> dict[str, float]:
    """Medians and counts of replicas of one configuration, by column of loss.csv."""
    done = [replica for replica in alike if replica.finished]
    table = pd.DataFrame([replica.outcome for replica in done], columns=[*RESULTS])
    table.loc[table["status"] == DIVERGED, [*LOSS_COLUMNS]] = math.inf
    table["loss"] = table["loss"].fillna(math.inf)  # whose epoch ended without a number would else be left out
    table["epochs"] = [replica.history["epoch"].max() for replica in done]
    table["spikes"] = [spikes(replica.history["loss"]) for replica in done]
    statuses = [replica.outcome["status"] for replica in alike]
    found: dict[str, float] = {"replicas": len(done)}
    found |= table[["epochs", "updates", "seconds", "loss", "test_loss", "spikes"]].median().to_dict()
    found |= {"loss_low": table["loss"].min(), "loss_high": table["loss"].max()}
    for status in (PLATEAU, DIVERGED, INTERRUPTED):
        found[status] = statuses.count(status)
    return found


def spikes(loss: pd.Series) -> int:
    """Epochs whose loss is more than twice the median of the ten before."""
    return int((loss > 2 * loss.rolling(10).median().shift()).sum())


def _names(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": values["task.name"],
        "cell": values["cell.name"],
        "optimizer": values["optimizer.name"],
        "length": values["task.length"],
    }


def _sorted(table: pd.DataFrame, configs: list[Config]) -> pd.DataFrame:
    """The rows in the order of a report, with the configuration of each in ``attrs``."""
    table = table.sort_values(["task", "cell", "optimizer", "length"], kind="stable")
    table.attrs["configs"] = [configs[row] for row in table.index]
    return table.reset_index(drop=True)
