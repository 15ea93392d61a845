"""python -m bench.bench: our update beside what a user would write, in one table and bench/results.json.

Temporal order, 20 sequences, 50 units. Every number is the median of interleaved repeats, with their least and largest.

(a)  nn.RNN or nn.LSTM in a LightningModule, Trainer(gradient_clip_val=1), one network, torch's defaults
(b)  the same, denormals flushed, with the number of threads that serves it best
(b2) (b) as one process for each core, one thread each; the rates added
(c)  jax: lax.scan under vmap and jit, one update of R networks on the same batch (if jax is there)
(d)  our reference recurrence through Trainer.fit, with everything the program does besides
(e)  ours, fused: the bare update, and through Trainer.fit; a 2000th of a success test is in every fitted update

``share`` is that of (e) bare in the multiply-adds a second that the machine makes at all, from registers, and
``of product`` in those of the best matrix product. An update counts as 3 H² B T of them, LSTM's as 12.
"""

import argparse
import json
import logging
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table

from bench import baselines
from src import recurrence
from src.recurrence import cpu
from src.run import build, quiet, trainer
from src.training.pace import Pace
from src.training.update import advance, update
from tasks.draws import Stream, generator

ROOT = Path(__file__).resolve().parent.parent
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
CHECK_EVERY = 2000  # updates between success tests, as by default
FIT = 4  # times as many updates in a fit as alone: a run has tens of thousands, and what it begins with must not count
CELLS = {"tanh": "smart_tanh", "lstm": "lstm"}


def configuration(cell: str, length: int, replicas: int, method: str, updates: int, batch: int = 20) -> Any:
    overrides = [f"cell={CELLS[cell]}", f"task.length={length}", f"optimizer={method}", f"replicas={replicas}"]
    overrides += [f"trainer.max_steps={updates}", f"success.check_every={updates}", "~callbacks.progress"]
    overrides += [f"task.batch_size={batch}"]
    overrides += ["callbacks.diagnostics.every=null", "~callbacks.figure"]  # no part of training
    overrides += ["trainer.accelerator=cpu"]
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("train", overrides=[*overrides, "logger.save_dir=."])


class Clock(pl.Callback):
    """Seconds of blocks of updates alone, and of what happens at the check that ends them."""

    def on_train_batch_start(self, *_: Any) -> None:
        self.checked = perf_counter()

    def on_train_start(self, *_: Any) -> None:
        self.start = perf_counter()

    def on_train_batch_end(self, *args: Any) -> None:
        self.trained = perf_counter()  # before all other callbacks, for it is the first


class End(pl.Callback):
    """The last of all callbacks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, *_: Any) -> None:
        self.done = perf_counter()
        self.check = self.done - self.clock.trained


def fit(name: str, cell: str, length: int, replicas: int, method: str, updates: int) -> float:
    """Seconds an update through Trainer.fit: callbacks, logging, data, and CHECK_EVERY's share of a check.

    A check tests 1000 sequences of each replica, as many as one sees that has not solved the task; the reference, which
    would spend most of the time there, 20.
    """
    cfg = configuration(cell, length, replicas, method, updates)
    cfg.success.sequences = 1000 if name == recurrence.FUSED else 20
    threads = CORES
    recurrence.use(name, threads)
    torch.set_num_threads(1 if name == recurrence.FUSED else threads)
    experiment, clock = build(cfg), Clock()
    end = End(clock)
    with tempfile.TemporaryDirectory() as folder:
        cfg.logger.save_dir = folder
        lightning = trainer(cfg, Path(folder), [clock, *experiment.callbacks, end])
        lightning.fit(experiment.module, datamodule=experiment.data)
    return (end.done - clock.start - end.check) / updates + end.check / CHECK_EVERY


def bare(cell: str, length: int, replicas: int, method: str, batch: int = 20) -> Callable[[], int]:
    """Forward, loss, backward, clipping and step, on mini-batches that are there, without Lightning: as many updates in
    a call as in training. Returns how many."""
    experiment = build(configuration(cell, length, replicas, method, 200, batch))
    module = experiment.module
    step = module.configure_optimizers().step
    batches, pace = experiment.data.next_block(), Pace()

    def several() -> int:
        recurrence.use(recurrence.FUSED, CORES)
        torch.set_num_threads(1)
        population = module.population
        start = perf_counter()
        made = len(advance(population.stack, batches[: pace.count], module.task, module.method))
        pace.note(made, perf_counter() - start)
        if made == 0:
            update(population.stack, batches[0], module.task, module.method, step, population.draws())
        return max(1, made)

    return several


def timed(once: Callable[[], object], seconds: float) -> float:
    """Seconds an update, over about so many; a call makes one, or returns how many it has made."""
    once()
    once()
    start, calls, updates = perf_counter(), 0, 0
    while perf_counter() - start < seconds or calls < 3:
        made = once()
        updates += made if isinstance(made, int) else 1
        calls += 1
    return (perf_counter() - start) / updates


def product_rate() -> float:
    """Multiply-adds a second of the best float32 matrix product that torch or NumPy gives on all cores."""
    torch.set_num_threads(CORES)
    best = 0.0
    for n in (512, 1024, 2048):
        a, b, out = np.random.default_rng(0).random((3, n, n), dtype=np.float32)
        for product, arguments in ((torch.mm, tuple(map(torch.from_numpy, (a, b)))), (np.matmul, (a, b))):
            into = torch.from_numpy(out) if product is torch.mm else out
            product(*arguments, out=into)
            for _ in range(5):
                start = perf_counter()
                product(*arguments, out=into)
                best = max(best, n**3 / (perf_counter() - start))
    return best


def bound() -> dict[str, float]:
    """Multiply-adds a second in registers on all cores, by lanes of a vector. No product is faster."""
    library, found = cpu.library(), {}
    for lanes in sorted({library.lanes(), min(8, library.lanes())}):
        best = 0.0
        for _ in range(10):
            start = perf_counter()
            done = library.multiply_adds(CORES, lanes, 1_000_000)
            best = max(best, done / (perf_counter() - start))
        found[str(lanes)] = best
    return found


def one_thread(arguments: tuple[Any, ...]) -> float:
    return baselines.lightning(*arguments, threads=1, flush=True)


def refuse_if_loaded() -> None:
    """Other work on the machine spoils every ratio."""
    load = os.getloadavg()[0]
    if load > 0.35 * CORES:
        print(f"error: load {load:.2f}: something else runs here; wait for its end, or give --anyway", file=sys.stderr)
        raise SystemExit(2)


def cases(args: argparse.Namespace, pool: Any) -> dict[tuple[str, str, int, int, str], Callable[[], float]]:
    """What to measure, by (what, cell, length, replicas, method); each call gives seconds an update."""
    found: dict[tuple[str, str, int, int, str], Callable[[], float]] = {}
    for cell in CELLS:
        lstm = cell == "lstm"
        for length in args.lengths:
            made = build(configuration(cell, length, 1, "msgd_c", 50)).module
            task, start_of = made.task, made.network.architecture.cell.start
            guess = length * (45e-6 if not lstm else 60e-6) + 1e-3  # seconds an update of the plain baselines
            updates = max(12, int(args.seconds / guess))
            plain = task, lstm, 50, updates
            # in a process of its own, whose threads have not been told to flush denormals, nor how many to be
            found["a", cell, length, 1, "msgd_c"] = lambda p=plain: pool.apply(baselines.lightning, (*p, None, False))
            for threads in range(1, CORES + 1):
                key = f"b, {threads} thread{'s' * (threads > 1)}", cell, length, 1, "msgd_c"
                found[key] = lambda p=plain, t=threads: baselines.lightning(*p, threads=t, flush=True)
            found["b2", cell, length, 1, "msgd_c"] = lambda p=plain: (
                1 / sum(1 / seconds for seconds in pool.map(one_thread, [p] * CORES))
            )
            for replicas in args.replicas:
                if not args.no_jax:
                    try:
                        starts = [
                            start_of(task.inputs, task.outputs, generator(seed, Stream.START, 0))
                            for seed in range(replicas)
                        ]
                        (batch, *_) = build(configuration(cell, length, replicas, "msgd_c", 50)).data.next_block()
                        once = baselines.jax_update(starts, lstm, batch.inputs.numpy(), batch.target.numpy())
                        found["c", cell, length, replicas, "msgd_c"] = lambda o=once: timed(o, args.seconds)
                    except ImportError:
                        pass
                for method in ("msgd_c", "msgd_cr"):
                    own = cell, length, replicas, method
                    fused = length * replicas * (9e-6 if lstm else 2.5e-6) + 2e-5
                    loop = length * (4e-4 if lstm else 1e-4) * (1 + replicas / 10)
                    n, m = max(20, int(FIT * args.seconds / fused)), max(4, int(args.seconds / loop))
                    if method == "msgd_c":
                        found["d, fit", *own] = lambda o=own, m=m: fit(recurrence.REFERENCE, *o, m)
                    once = bare(*own)
                    found["e, bare", *own] = lambda o=once: timed(o, args.seconds)
                    found["e, fit", *own] = lambda o=own, n=n: fit(recurrence.FUSED, *o, n)
    return found


def table(results: dict[tuple[str, str, int, int, str], dict[str, float]], rate: float, most: float) -> Table:
    """One row for each cell, length, number of replicas and method."""
    shown = Table(title="updates x replicas a second; how many times (b), (b2), (c)", title_justify="left")
    columns = ["cell", "length", "replicas", "method", "(a)", "(b)", "(b2)", "(c)", "(d)", "(e) bare", "(e) fit"]
    for column in [*columns, "fit/b", "fit/b2", "bare/c", "share", "of product", "fit/bare"]:
        shown.add_column(column, justify="right")
    for what, cell, length, replicas, method in results:
        if what != "e, fit":
            continue

        def get(name: str, n: int = replicas, m: str = method, key: tuple[str, int] = (cell, length)) -> float:
            one = results.get((name, *key, n, m))
            return n / one["median"] if one else float("nan")

        a, b2, c = get("a", 1, "msgd_c"), get("b2", 1, "msgd_c"), get("c", replicas, "msgd_c")
        b = max(get(name, 1, "msgd_c") for name in {key[0] for key in results} if name.startswith("b, "))
        d, e, f = get("d, fit", replicas, "msgd_c"), get("e, bare"), get("e, fit")
        work = (3 if cell == "tanh" else 12) * 50**2 * 20 * length  # multiply-adds of a replica's update
        numbers = [f"{x:.0f}" for x in (a, b, b2, c, d, e, f)]
        shares = e * work / most, e * work / rate, f / e
        ratios = [f"{x:.1f}" for x in (f / b, f / b2, e / c)] + [f"{x:.0%}" for x in shares]
        shown.add_row(cell, str(length), str(replicas), method, *numbers, *ratios)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 100, 200, 1000])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 5, 15])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.4, help="of one measurement, about")
    parser.add_argument("--no-jax", action="store_true")
    parser.add_argument("--anyway", action="store_true", help="on a loaded machine too")
    args = parser.parse_args()
    if not args.anyway:
        refuse_if_loaded()
    if not cpu.available():
        print(f"error: {cpu.reason()}", file=sys.stderr)
        raise SystemExit(2)
    quiet()
    console = Console(width=170)
    with multiprocessing.get_context("spawn").Pool(CORES) as pool:
        found, seconds, rates, bounds = cases(args, pool), {}, [], []
        for _ in range(args.repeats):
            rates.append(product_rate())
            bounds.append(bound())
            for key, measure in found.items():
                seconds.setdefault(key, []).append(measure())
    rate = max(rates)
    most = {lanes: max(each[lanes] for each in bounds) for lanes in bounds[0]}
    results = {key: {"median": median(each), "least": min(each), "largest": max(each)} for key, each in seconds.items()}
    console.print(table(results, rate, max(most.values())))
    for lanes, each in most.items():
        console.print(f"bound, {lanes} lanes: {each / 1e9:.0f} thousand million a second on {CORES} cores")
    console.print(f"best matrix product: {rate / 1e9:.0f} thousand million multiply-adds a second on {CORES} cores")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    names = "torch", "numpy", "pytorch-lightning", *(["jax"] if any(key[0] == "c" for key in results) else [])
    record = {
        "command": " ".join(["python -m bench.bench", *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "machine": {"processor": processor_name(), "cores": CORES, "system": platform.system()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "multiply_adds_per_second": rate,
        "most_multiply_adds_per_second": most,
        "seconds_per_update": [
            dict(zip(("what", "cell", "length", "replicas", "method"), key, strict=True)) | value
            for key, value in results.items()
        ],
    }
    path = ROOT / "bench" / "results.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    console.print(f"all numbers: {path.relative_to(ROOT)}")


def processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    wide = [bits for bits in ("avx512f", "avx2") if any(bits in line for line in lines)]
    return " ".join(dict.fromkeys(names)) + (f" ({wide[0]})" if wide else "")


if __name__ == "__main__":
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    main()
