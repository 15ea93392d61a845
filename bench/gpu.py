"""python -m bench.gpu: an update on a GPU, beside the readable loop and torch's own cells. Prints a block to paste.

Microseconds an update of R networks, temporal order, 50 units, 20 sequences.

ours, loop   forward to step of MSGD-CR, by the kernels and by the readable loop
a step       ours, of each time step
products     bound: multiply-adds of the recurrence's own products, two a step, three tensor-core products each, at the
             rate that the GPU's largest product reaches in TF32
bytes        bound: what lies between the loops, see docs/cuda.md, at the rate of a large copy
torch        nn.RNN or nn.LSTM, forward and backward without a step, R one after the other
Lightning    the same as a user would train it, in a LightningModule
compiled     a loop over steps of all R networks, torch.compile of a step, forward and backward
FlashRNN     replicas as heads, in bfloat16, 64 units, forward and backward, where it is installed: a second table
"""

import argparse
import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import baselines
from bench.bench import configuration
from src import recurrence
from src.recurrence import REFERENCE
from src.run import build
from src.training.replay import Replays
from src.training.update import update

TRITON = "triton"
SYMBOLS = 6
UNITS = 50
BATCH = 20
COLUMNS = [
    *("cell", "length", "replicas", "ours", "a step", "products", "bytes"),
    *("loop", "compiled", "torch", "Lightning", "MB a replica"),
]

READ_AND_WRITTEN = 9
"""How often each state, or what is as large, is read or written outside the chip in an update."""

FLASH_UNITS = 64
"""Units that FlashRNN is given: its kernels take whole tiles."""

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
    replays = Replays()
    given = (population.stack, batch, module.task, module.method)

    def once() -> None:
        if replays.update(*given, None) is None:
            update(*given, step, population.draws())

    return once


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


def tanh_step(z_RBG: Tensor, h_RBH: Tensor, c_RBH: Tensor, W_RHG: Tensor) -> tuple[Tensor, Tensor]:
    """A step of simple cells."""
    return torch.tanh(torch.baddbmm(z_RBG, h_RBH, W_RHG)), c_RBH


def lstm_step(z_RBG: Tensor, h_RBH: Tensor, c_RBH: Tensor, W_RHG: Tensor) -> tuple[Tensor, Tensor]:
    """A step of LSTMs."""
    i, f, g, o = torch.baddbmm(z_RBG, h_RBH, W_RHG).chunk(4, 2)
    c_RBH = torch.sigmoid(f) * c_RBH + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_RBH), c_RBH


def compiled(cell: str, length: int, replicas: int, device: str = "cuda") -> Callable[[], object]:
    """Forward and backward of all networks in a loop over steps, each of them compiled."""
    gates = 4 if cell == "lstm" else 1
    step = torch.compile(lstm_step if cell == "lstm" else tanh_step)
    W_RHG = torch.randn(replicas, UNITS, gates * UNITS, device=device).mul_(0.1).requires_grad_()
    z_TRBG = torch.randn(length, replicas, BATCH, gates * UNITS, device=device, requires_grad=True)

    def once() -> None:
        h_RBH = torch.zeros(replicas, BATCH, UNITS, device=device)
        c_RBH = h_RBH
        for z_RBG in z_TRBG.unbind():
            h_RBH, c_RBH = step(z_RBG, h_RBH, c_RBH, W_RHG)
        h_RBH.square().sum().backward()

    return once


def flash(cell: str, length: int, replicas: int) -> Callable[[], object]:
    """Forward and backward by FlashRNN's fused kernels, whose heads are our replicas.

    Raises:
        ImportError: it is not installed.
    """
    from flashrnn import flashrnn

    gates = 4 if cell == "lstm" else 1
    made = {"device": "cuda", "dtype": torch.bfloat16, "requires_grad": True}
    inputs = torch.randn(BATCH, length, gates, replicas, FLASH_UNITS, **made)
    W = torch.randn(gates, replicas, FLASH_UNITS, FLASH_UNITS, **made)
    b = torch.randn(gates, replicas, FLASH_UNITS, **made)
    function = "lstm" if cell == "lstm" else "elman"

    def once() -> None:
        states, _ = flashrnn(inputs, W, b, function=function, backend="cuda_fused")
        states[0].float().square().sum().backward()

    return once


def peer(make: Callable[[], Callable[[], object]], repeats: int) -> str:
    """Microseconds of one that may not be there, or may fail: then why, in a word."""
    try:
        return f"{microseconds(make(), repeats):.0f}"
    except ImportError:
        return "not installed"
    except Exception as error:  # whatever another's library raises
        return type(error).__name__


def product_rate() -> float:
    """Multiply-adds a second of a large product in TF32."""
    torch.set_float32_matmul_precision("high")
    size = 8192
    left = torch.randn(size, size, device="cuda")
    taken = microseconds(lambda: left @ left, 10)
    torch.set_float32_matmul_precision("highest")
    return size**3 / taken * 1e6


def copy_rate() -> float:
    """Bytes a second that are read and written by a large copy."""
    source = torch.empty(2**28, device="cuda")
    target = torch.empty_like(source)
    return 2 * 4 * source.numel() / microseconds(lambda: target.copy_(source), 10) * 1e6


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
    rates = Rates(product_rate(), copy_rate())
    print(f"TF32: {rates.products / 1e12:.0f} T multiply-adds/s; copy: {rates.bytes / 1e12:.2f} TB/s")
    settings = [
        (cell, length, replicas)
        for cell in arguments.cells
        for length in arguments.lengths
        for replicas in arguments.replicas
    ]
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for setting in settings:
        print(row(*setting, rates), flush=True)
    print("| cell | length | replicas | FlashRNN |")
    print("|---|---|---|---|")
    for cell, length, replicas in settings:  # last: an error of its kernels may take the GPU with it
        print(f"| {cell} | {length} | {replicas} | {peer(partial(flash, cell, length, replicas), 5)} |", flush=True)


@dataclass(frozen=True)
class Rates:
    """What the GPU can do at most: multiply-adds and bytes a second."""

    products: float
    bytes: float


@cache
def one_of_torch(cell: str, length: int) -> tuple[float, float]:
    """Microseconds of one network of torch's, alone and in Lightning."""
    task = build(configuration(cell, length, 1, "msgd_c", 100)).module.task
    alone = microseconds(torchs(cell, length), 10)
    return alone, baselines.lightning(task, cell == "lstm", UNITS, 100, None, False, "gpu") * 1e6


def row(cell: str, length: int, replicas: int, rates: Rates) -> str:
    """A line of the table."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    own = peer(partial(ours, TRITON, cell, length, replicas), 20)
    memory = torch.cuda.max_memory_allocated() / replicas / 2**20
    a_step = f"{float(own) / length:.2f}" if own.isdecimal() else ""
    gates = 4 if cell == "lstm" else 1
    states = replicas * length * BATCH * UNITS * gates
    products = 2 * 3 * states * UNITS / rates.products * 1e6
    memory_bound = READ_AND_WRITTEN * 4 * states / rates.bytes * 1e6
    alone, in_lightning = one_of_torch(cell, length)
    cells = [cell, str(length), str(replicas), own, a_step, f"{products:.0f}", f"{memory_bound:.0f}"]
    if replicas <= SLOW:
        cells.append(peer(partial(ours, REFERENCE, cell, length, replicas), 2))
        cells.append(peer(partial(compiled, cell, length, replicas), 2))
    else:
        cells += ["", ""]
    cells += [f"{alone * replicas:.0f}", f"{in_lightning * replicas:.0f}", f"{memory:.1f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
