"""python tools/passed.py COMMIT NAME=RUN_DIR ...: which length each replica of some runs passed after how many updates.

The rows of passed.csv in results/reach and its neighbours: a row per replica and length that it passed first, of runs
whose lengths grow. A replica that passed none has one row without a length. ``budget`` is how far its run has come.
"""

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from src.rundir import RunDirectory  # noqa: E402

COLUMNS = ["run", "optimizer", "cell", "seed", "length", "updates", "budget", "replicas", "commit"]


def rows(name: str, run: RunDirectory, commit: str) -> pd.DataFrame:
    """The rows of one run."""
    results = run.read_results()
    budget = int(results["updates"].max())
    history = run.read_history()
    found = []
    for replica in results.itertuples():
        own = history[history["seed"] == replica.seed].dropna(subset=["reached"])
        first = own.groupby("reached")["step"].min()
        steps = [(int(length), int(step)) for length, step in first.items()]
        if not pd.isna(replica.reached) and replica.reached not in first.index:
            steps.append((int(replica.reached), int(replica.updates)))  # in the test at the end
        for length, step in steps or [(None, None)]:
            place = [name, replica.optimizer, replica.cell, replica.seed, length, step]
            found.append([*place, budget, len(results), commit])
    table = pd.DataFrame(found, columns=COLUMNS)
    return table.astype({"length": "Int64", "updates": "Int64"})


def main() -> None:
    commit, *named = sys.argv[1:]
    tables = []
    for each in named:
        name, directory = each.split("=", 1)
        tables.append(rows(name, RunDirectory(directory), commit))
    pd.concat(tables).to_csv(sys.stdout, index=False)


if __name__ == "__main__":
    main()
