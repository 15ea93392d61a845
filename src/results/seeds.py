"""Every replica of several runs in one table: what a rate was made of, seed by seed."""

from collections.abc import Sequence

import pandas as pd

from src.results.collect import Replica, by_config
from src.results.comparison import differing
from src.rundir import RESULTS


def replica_table(replicas: Sequence[Replica]) -> pd.DataFrame:
    """One row per replica: the columns of results.csv, and one for every other key that differs between the runs."""
    keys = differing(by_config(replicas))
    rows = []
    for replica in replicas:
        values = dict(replica.config)
        rows.append([replica.outcome.get(column) for column in RESULTS] + [values.get(key) for key in keys])
    table = pd.DataFrame(rows, columns=[*RESULTS, *keys])
    for column in ("max_length", "solved_at", "reached"):
        table[column] = table[column].astype("Int64")
    return table.sort_values(["task", "cell", "optimizer", "length"], kind="stable", ignore_index=True)
