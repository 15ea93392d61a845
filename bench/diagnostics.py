"""python -m bench.diagnostics: seconds of one measurement of gradients through time, five replicas at their start."""

import torch

from bench.bench import CELLS, CORES, configuration, timed
from src import recurrence
from src.run import build, quiet
from src.training.measure import measure


def main() -> None:
    quiet()
    recurrence.use(recurrence.FUSED, CORES)
    torch.set_num_threads(1)
    for cell in CELLS:
        for length in (50, 200):
            experiment = build(configuration(cell, length, 5, "msgd_cr", 50))
            module = experiment.module
            batch, network = experiment.data.next_block()[0], module.network.select(range(5))
            seconds = timed(lambda n=network, m=module, b=batch: measure(n, m.task, b, sequences=4), 2.0)
            print(f"{cell}, length {length}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
