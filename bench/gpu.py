"""python -m bench.gpu: an update on a GPU, beside the readable loop and torch's own cells. Prints a block to paste.

Microseconds an update of R networks, forward to step, temporal order, 50 units, 20 sequences, MSGD-CR (torch's own
cells: the plain gradient, R one after the other, no step). ``bound``: of the multiply-adds of the recurrence's own
products, two a step, three tensor-core products each, at the rate that the GPU's largest product reaches in TF32.
"""

import argparse
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from bench.bench import configuration
from src import recurrence
from src.recurrence import REFERENCE
from src.run import build
from src.training.update import update

TRITON = "triton"
SYMBOLS = 6
UNITS = 50
BATCH = 20
SLOW = 45
"""Replicas up to which the slow ones are timed too."""


def microseconds(once: Callable[[], object], repeats: int) -> float:
    """Of one call, by the GPU's own clock, after two that are not counted."""
    for _ in range(2):
        once()
    start = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        once()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / repeats * 1000


def ours(name: str, cell: str, length: int, replicas: int) -> Callable[[], object]:
    """One update by a backend, on a mini-batch that is there."""
    cfg = configuration(cell, length, replicas, "msgd_cr", 2000)
    cfg.trainer.accelerator = "gpu"
    cfg.block = 1
    experiment = build(cfg)
    recurrence.use(name)
    module = experiment.module
    module.network.to("cuda")
    step = module.configure_optimizers().step
    population = module.population
    population.begin()
    batch = experiment.data.next_block()[0].to(torch.device("cuda"))
    experiment.data.teardown("fit")
    return lambda: update(population.stack, batch, module.task, module.method, step, population.draws())


def torchs(cell: str, length: int) -> Callable[[], object]:
    """Forward and backward of one network of torch's own, which runs cuDNN's kernels."""
    own = (nn.LSTM if cell == "lstm" else nn.RNN)(SYMBOLS, UNITS).cuda()
    readout = nn.Linear(UNITS, 4).cuda()
    inputs = F.one_hot(torch.randint(SYMBOLS, (length, BATCH)), SYMBOLS).float().cuda()
    target = torch.randint(4, (BATCH,)).cuda()

    def once() -> None:
        states, _ = own(inputs)
        F.cross_entropy(readout(states[-1]), target).backward()

    return once


def product_rate() -> float:
    """Multiply-adds a second of a large product in TF32."""
    torch.set_float32_matmul_precision("high")
    size = 8192
    left = torch.randn(size, size, device="cuda")
    taken = microseconds(lambda: left @ left, 10)
    torch.set_float32_matmul_precision("highest")
    return size**3 / taken * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 5, 45, 405, 2048])
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--cells", nargs="+", default=["tanh", "lstm"])
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here")
    import triton

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}")
    rate = product_rate()
    print(f"TF32: {rate / 1e12:.0f} T multiply-adds/s")
    print("| cell | length | replicas | ours | a step | bound | loop | torch's, one by one | MB a replica |")
    print("|---|---|---|---|---|---|---|---|---|")
    for cell in arguments.cells:
        gates = 4 if cell == "lstm" else 1
        for length in arguments.lengths:
            alone = microseconds(torchs(cell, length), 10)
            for replicas in arguments.replicas:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                own = microseconds(ours(TRITON, cell, length, replicas), 20)
                memory = torch.cuda.max_memory_allocated() / replicas / 2**20
                bound = 2 * 3 * replicas * length * BATCH * UNITS * UNITS * gates / rate * 1e6
                loop = f"{microseconds(ours(REFERENCE, cell, length, replicas), 2):.0f}" if replicas <= SLOW else ""
                print(
                    f"| {cell} | {length} | {replicas} | {own:.0f} | {own / length:.2f} | {bound:.0f} | {loop} "
                    f"| {alone * replicas:.0f} | {memory:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
