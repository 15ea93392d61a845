"""python -m bench.curriculum: what it costs that replicas have lengths of their own, and what a curriculum takes.

First, time steps a second of ten replicas, temporal order, 50 tanh units, 20 sequences. Once each replica is at another
stage of a curriculum from 50 to 1 000 steps, once all are at the same length and the sum is the same; by turns. (With
MSGD-CR untrained networks pay more where sequences are long: there some of their gradients vanish.)

Then a run, experiment=reach with a heavy Ω to update 40 000, where networks are at some 200 to 1 000 steps. Which part
of its seconds do success tests take, which any run has, and which the curriculum: searching for the next length, going
back, learning rates?
"""

import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import hydra
import torch

from bench.bench import CORES, ROOT, configuration, timed
from src import recurrence
from src.callbacks.curriculum import Curriculum, growing
from src.run import build, quiet, run
from src.training.module import Training
from src.training.update import advance
from tasks.block import Block
from tasks.data import TrainingData

REPLICAS = 10
TURNS = 7
UPDATES = 5

KEYS = ["experiment=reach", "optimizer.alpha=12", f"replicas={REPLICAS}", "trainer.max_steps=40000"]
KEYS += ["threads=1", "callbacks.diagnostics.every=null", "logger=none"]


def at(lengths: list[int], method: str) -> Callable[[], int]:
    """Updates of replicas at these lengths in one call, on mini-batches that are there. Returns how many."""
    module = build(configuration("tanh", max(lengths), len(lengths), method, 50)).module
    data = TrainingData(module.task)
    tasks = [module.task.at(length) for length in lengths]
    drawn = [data.pieces(seed, 0, UPDATES, task) for seed, task in enumerate(tasks)]
    block = Block.drawn(drawn, every_step=False)
    module.configure_optimizers()
    return lambda: len(advance(module.population.stack, block, module.task, module.method))


def clocked(owner: type, name: str) -> list[float]:
    """Seconds of each call of a method from now on."""
    method = getattr(owner, name)
    seconds: list[float] = []

    def measured(*arguments: Any, **keys: Any) -> Any:
        start = perf_counter()
        found = method(*arguments, **keys)
        seconds.append(perf_counter() - start)
        return found

    setattr(owner, name, measured)
    return seconds


def whole(directory: Path) -> None:
    """Trains in a directory, and tells the parts of its seconds."""
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        cfg = hydra.compose("train", overrides=KEYS)
    own = clocked(Curriculum, "judge")
    tests = clocked(Training, "test")
    start = perf_counter()
    run(cfg, directory)
    total = perf_counter() - start
    print(f"a whole run: {total:.0f} s, of which tests {sum(tests) / total:.1%}, the curriculum {sum(own) / total:.1%}")


def main() -> None:
    quiet()
    torch.set_num_threads(1)
    stages = growing(50, 1000, 1.05)
    own = [stages[round(number * (len(stages) - 1) / (REPLICAS - 1))] for number in range(REPLICAS)]
    same = [round(sum(own) / REPLICAS)] * REPLICAS
    for method, threads in product(("msgd_c", "msgd_cr"), sorted({1, CORES})):
        recurrence.use(recurrence.FUSED, threads)
        updates = {"own lengths": at(own, method), "one length": at(same, method)}
        rates: dict[str, list[float]] = {name: [] for name in updates}
        for _ in range(TURNS):
            for name, once in updates.items():
                steps = sum(own) if name == "own lengths" else sum(same)
                rates[name].append(steps / timed(once, 1.0))
        middle = {name: median(found) for name, found in rates.items()}
        ratio = middle["own lengths"] / middle["one length"]
        words = ", ".join(f"{name} {rate:,.0f} steps/s" for name, rate in middle.items())
        print(f"{method}, {threads} thread{'s' * (threads > 1)}: {words}, ratio {ratio:.3f}")
    with tempfile.TemporaryDirectory() as parent:
        whole(Path(parent) / "run")


if __name__ == "__main__":
    main()
