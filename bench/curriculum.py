"""python -m bench.curriculum: what it costs that replicas have lengths of their own.

Time steps a second of ten replicas, temporal order, 50 tanh units, 20 sequences, MSGD-CR. Once each replica is at
another stage of a curriculum from 50 to 1 000 steps, once all are at the same length and the sum is the same; by turns.
"""

from collections.abc import Callable
from statistics import median

import torch

from bench.bench import CORES, configuration, timed
from src import recurrence
from src.callbacks.curriculum import growing
from src.run import build, quiet
from src.training.update import update
from tasks.batch import collate
from tasks.data import TrainingData

REPLICAS = 10
TURNS = 7


def at(lengths: list[int]) -> Callable[[], object]:
    """One update of replicas at these lengths, on mini-batches that are there."""
    module = build(configuration("tanh", max(lengths), len(lengths), "msgd_cr", 50)).module
    data = TrainingData(module.task)
    batch = collate([data(seed, 0, module.task.at(length)) for seed, length in enumerate(lengths)])
    step = module.configure_optimizers().step
    population = module.population
    return lambda: update(population.stack, batch, module.task, module.method, step, population.draws())


def main() -> None:
    quiet()
    torch.set_num_threads(1)
    stages = growing(50, 1000, 1.05)
    own = [stages[round(number * (len(stages) - 1) / (REPLICAS - 1))] for number in range(REPLICAS)]
    same = [round(sum(own) / REPLICAS)] * REPLICAS
    for threads in sorted({1, CORES}):
        recurrence.use(recurrence.FUSED, threads)
        updates = {"own lengths": at(own), "one length": at(same)}
        rates: dict[str, list[float]] = {name: [] for name in updates}
        for _ in range(TURNS):
            for name, once in updates.items():
                steps = sum(own) if name == "own lengths" else sum(same)
                rates[name].append(steps / timed(once, 1.0))
        middle = {name: median(found) for name, found in rates.items()}
        ratio = middle["own lengths"] / middle["one length"]
        words = ", ".join(f"{name} {rate:,.0f} steps/s" for name, rate in middle.items())
        print(f"{threads} thread{'s' * (threads > 1)}: {words}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
