"""python -m bench.packed: how long sweeps take packed, and one job after the other; whether results are the same.

Then a table: into how many pieces of work an update of R replicas is cut, for so many threads.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from math import ceil
from pathlib import Path

import pandas as pd
import torch

from src.population import checkpoint
from src.rundir import RunDirectory

STARTS = "cell=smart_tanh,basic_tanh,sigmoid"
METHODS = "optimizer=msgd,msgd_c,msgd_cr"

SWEEPS = {
    "3 starts x 3 methods x 5 seeds, length 50": ([STARTS, METHODS, "replicas=5", "task.length=50"], 20_000),
    "3 x 3 x lengths 50 to 200 x 3 seeds": ([STARTS, METHODS, "replicas=3", "task.length=50,100,150,200"], 4_000),
}

BATCH = 20
"""Sequences of a mini-batch."""

ROWS = 6
"""Sequences whose products are computed at a time (BLOCK_ROWS in src/recurrence/cpu/native)."""


REPLICAS = (5, 45, 405)


def seconds(keys: list[str], launcher: str, folder: Path) -> float:
    """How long a sweep takes, from its command to its tables."""
    command = [
        sys.executable,
        "-m",
        "src.train",
        "-m",
        *keys,
        f"hydra/launcher={launcher}",
        f"hydra.sweep.dir={folder}",
    ]
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def same(one: Path, other: Path) -> bool:
    """Whether all jobs of two sweeps ended with the same parameters and the same tables, without seconds."""
    for file in sorted(one.glob("*/results.csv")):
        mine, theirs = RunDirectory(file.parent), RunDirectory(other / file.parent.name)
        parameters = [checkpoint.read(run.checkpoint_file).parameters for run in (mine, theirs)]
        if any(not torch.equal(value, parameters[1][name]) for name, value in parameters[0].items()):
            return False
        for table in ("results_file", "history_file"):
            read = [pd.read_csv(getattr(run, table), dtype=str).drop(columns="seconds") for run in (mine, theirs)]
            if not read[0].equals(read[1]):
                return False
    return True


def pieces(replicas: int, threads: int) -> tuple[int, int]:
    """Into how many pieces an update is cut on the way there and on the way back, as src/recurrence/cpu cuts it."""
    blocks = ceil(BATCH / ROWS)
    times = {n: ceil(replicas * n / threads) * ceil(blocks / n) for n in range(1, min(blocks, 4 * threads) + 1)}
    there = min(times, key=lambda n: times[n])
    back = min(8, ceil(BATCH / (2 * ROWS)))
    return replicas * there, replicas * back


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the budgets")
    parser.add_argument("--threads", type=int, default=None, help="of each command; default: all cores")
    arguments = parser.parse_args()
    for name, (keys, updates) in SWEEPS.items():
        budget = max(1, int(updates * arguments.share))
        own = [*keys, f"trainer.max_steps={budget}"]
        if arguments.threads is not None:
            own.append(f"threads={arguments.threads}")
        with tempfile.TemporaryDirectory() as folder:
            packed = seconds(own, "packed", Path(folder) / "packed")
            alone = seconds(own, "basic", Path(folder) / "alone")
            equal = same(Path(folder) / "alone", Path(folder) / "packed")
        words = "the same results" if equal else "OTHER RESULTS"
        print(f"{name}, {budget:,} updates: packed {packed:.0f} s, one after the other {alone:.0f} s, ", end="")
        print(f"{alone / packed:.2f} x, {words}", flush=True)
    print("\n| threads | " + " | ".join(f"R = {replicas}" for replicas in REPLICAS) + " |")
    print("|---" * (len(REPLICAS) + 1) + "|")
    for threads in (1, 2, 4, 8, 16, 32, 64):
        cells = ["{} there, {} back".format(*pieces(replicas, threads)) for replicas in REPLICAS]
        print(f"| {threads} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
