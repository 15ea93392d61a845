"""python tools/beside.py OLD NEW: how fast two checkouts train, side by side.

Both train the same small runs in turns, in two processes that wait for each other, so that a machine whose speed
wanders is as slow for the one as for the other. Printed are updates a second of both, and their ratio, new to old: the
median over repeats for each setting, and over all settings.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

CELLS = ("smart_tanh", "lstm")
LENGTHS = (50, 100, 200, 1000)
REPLICAS = (1, 5, 15)
METHODS = ("msgd_c", "msgd_cr")


def serve() -> None:
    """Trains whatever is asked for on standard input, and answers with updates a second."""
    sys.path.insert(0, os.getcwd())
    import hydra

    from src.run import run

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with (
        hydra.initialize_config_dir(str(Path("conf").resolve()), version_base="1.3"),
        tempfile.TemporaryDirectory() as folder,
    ):
        for line in sys.stdin:
            asked = json.loads(line)
            cfg = hydra.compose("train", asked["overrides"])
            started = time.perf_counter()
            population = run(cfg, Path(folder))
            seconds = time.perf_counter() - started
            print(json.dumps({"seconds": seconds, "updates": int(population.updates.max())}), file=answers)


class Checkout:
    """A process that trains in one checkout."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, overrides: list[str]) -> float:
        """How long one run takes."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"overrides": overrides}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["seconds"]


def overrides(cell: str, length: int, replicas: int, method: str, updates: int, threads: int) -> list[str]:
    """A run in which nobody is tested or leaves before its end."""
    return [
        f"cell={cell}",
        f"optimizer={method}",
        f"task.length={length}",
        f"replicas={replicas}",
        f"trainer.max_steps={updates}",
        f"threads={threads}",
        "success.check_every=1000000000",
        "success.sequences=1",
        "callbacks.diagnostics.every=null",
        "~callbacks.progress",
        "logger=none",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, nargs="*")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budget", type=float, default=4e6, help="replicas x steps x updates of a run")
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    old, new = (Checkout(folder) for folder in arguments.checkouts)
    ratios = []
    for cell, length, replicas, method in itertools.product(CELLS, LENGTHS, REPLICAS, METHODS):
        slower = 4 if cell == "lstm" else 1
        updates = max(20, int(arguments.budget / slower / length / replicas))
        wanted = overrides(cell, length, replicas, method, updates, arguments.threads)
        old.seconds(wanted[:4] + ["trainer.max_steps=5", *wanted[5:]])
        new.seconds(wanted[:4] + ["trainer.max_steps=5", *wanted[5:]])
        pairs = []
        for repeat in range(arguments.repeats):
            if repeat % 2:
                after = new.seconds(wanted)
                before = old.seconds(wanted)
            else:
                before = old.seconds(wanted)
                after = new.seconds(wanted)
            pairs.append((before, after))
        ratio = median(before / after for before, after in pairs)
        ratios.append(ratio)
        rates = [updates / median(pair[k] for pair in pairs) for k in (0, 1)]
        print(f"{cell:11} {length:5} {replicas:3} {method:8} {rates[0]:8.0f} {rates[1]:8.0f} {ratio:6.3f}", flush=True)
    print(f"median {median(ratios):.3f}, least {min(ratios):.3f}")


if __name__ == "__main__":
    main()
