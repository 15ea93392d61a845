"""python -m bench.curriculum: what it costs that replicas have lengths of their own.

Time steps a second of ten replicas, temporal order, 50 tanh units, 20 sequences. Once each replica is at another stage
of a curriculum from 50 to 1 000 steps, once all are at the same length and the sum is the same; by turns. (With MSGD-CR
untrained networks pay more where sequences are long: there some of their gradients vanish.)
"""

from collections.abc import Callable
from itertools import product
from statistics import median

import torch

from bench.bench import CORES, configuration, timed
from src import recurrence
from src.callbacks.curriculum import growing
from src.run import build, quiet
from src.training.update import advance
from tasks.block import Block
from tasks.data import TrainingData

REPLICAS = 10
TURNS = 7
UPDATES = 5


def at(lengths: list[int], method: str) -> Callable[[], int]:
    """Updates of replicas at these lengths in one call, on mini-batches that are there. Returns how many."""
    module = build(configuration("tanh", max(lengths), len(lengths), method, 50)).module
    data = TrainingData(module.task)
    tasks = [module.task.at(length) for length in lengths]
    drawn = [data.pieces(seed, 0, UPDATES, task) for seed, task in enumerate(tasks)]
    block = Block.drawn(drawn, every_step=False)
    module.configure_optimizers()
    return lambda: len(advance(module.population.stack, block, module.task, module.method))


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
        print(f"{method}, {threads} thread{'s' * (threads > 1)}: {words}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
