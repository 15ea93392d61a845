"""python -m bench.simplex: an update with the simplex direction beside MSGD-C's, in one table and bench/simplex.json.

Bare updates (forward, backward, clipping, step) on mini-batches that are there, temporal order, 50 units, fused
recurrence, as many threads as there are cores. Medians of interleaved repeats, with their least and largest ratio.
"""

import argparse
import json
import subprocess
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.bench import CORES, ROOT, bare, processor_name, refuse_if_loaded, timed
from src.run import quiet

METHODS = ("msgd_c", "simplex")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 5, 15])
    parser.add_argument("--batches", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.1, help="of one measurement, about")
    parser.add_argument("--anyway", action="store_true", help="on a loaded machine too")
    args = parser.parse_args()
    if not args.anyway:
        refuse_if_loaded()
    quiet()
    shown = Table(title=f"microseconds an update, {CORES} threads", title_justify="left")
    columns = ("cell", "batch", "length", "replicas", "MSGD-C", "simplex", "ratio", "least", "largest")
    for column in columns:
        shown.add_column(column, justify="right")
    rows = []
    for cell in ("tanh", "lstm"):
        for batch in args.batches:
            for length in args.lengths:
                for replicas in args.replicas:
                    updates = [bare(cell, length, replicas, method, batch) for method in METHODS]
                    pairs = [[timed(once, args.seconds) for once in updates] for _ in range(args.repeats)]
                    plain, simplex = (median(each) for each in zip(*pairs, strict=True))
                    ratios = sorted(b / a for a, b in pairs)
                    numbers = plain, simplex, median(ratios), ratios[0], ratios[-1]
                    key = cell, batch, length, replicas
                    rows.append(dict(zip(columns, (*key, *numbers), strict=True)))
                    times = [f"{1e6 * seconds:.0f}" for seconds in numbers[:2]]
                    shown.add_row(*map(str, key), *times, *(f"{ratio:.2f}" for ratio in numbers[2:]))
    Console(width=110).print(shown)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    record = {
        "command": "python -m bench.simplex",
        "commit": commit.stdout.strip(),
        "machine": {"processor": processor_name(), "cores": CORES},
        "seconds_per_update": rows,
    }
    (ROOT / "bench" / "simplex.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
