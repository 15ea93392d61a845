"""python -m bench.price: an epoch of the price network beside the same on nn.LSTM, in one table and bench/price.json.

15 sequences, two dense and two LSTM layers, noise between them, SGD, full backpropagation through time, through
Trainer.fit; nn.LSTM with denormals flushed and as many threads as there are cores. Medians of interleaved repeats.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import hydra
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from bench.bench import CORES, ROOT, refuse_if_loaded
from src.run import build, quiet, settle_recurrence, trainer
from tasks.draws import Stream, generator


class Plain(pl.LightningModule):
    """What one would write."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(128, units), nn.Linear(units, units)
        self.lstm_1, self.lstm_2 = nn.LSTM(units, units), nn.LSTM(units, units)
        self.readout = nn.Linear(units, 2)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        def noisy(x: Tensor) -> Tensor:
            return x + 0.1 * torch.randn_like(x)

        x, target = batch
        x = noisy(self.one(x).tanh())
        x = noisy(self.two(x).tanh())
        x = noisy(self.lstm_1(x)[0])
        return nn.functional.mse_loss(self.readout(self.lstm_2(x)[0]), target)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Clock(pl.Callback):
    """Seconds of each epoch, the first left out."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.since = perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.seconds.append(perf_counter() - self.since)


def plain(units: int, data: tuple[Tensor, Tensor], epochs: int) -> list[float]:
    """Seconds of each epoch of one network."""
    torch.set_num_threads(CORES)
    clock = Clock()
    loader = torch.utils.data.DataLoader([data], batch_size=None)
    pl.Trainer(
        max_epochs=epochs + 1,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Plain(units), loader)
    return clock.seconds[1:]


def ours(units: int, length: int, replicas: int, epochs: int) -> list[float]:
    """Seconds of each epoch of a population."""
    keys = ["task=price", "cell=dense_lstm", "optimizer=msgd", f"task.length={length}", f"replicas={replicas}"]
    keys += [f"cell.hidden_size={units}", f"cell.dense_size={units}", f"trainer.max_epochs={epochs + 1}"]
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        cfg = hydra.compose("train", overrides=[*keys, "logger=none", "~callbacks.progress"])
    settle_recurrence(cfg)
    experiment, clock = build(cfg), Clock()
    with tempfile.TemporaryDirectory() as folder:
        lightning = trainer(cfg, Path(folder), [*experiment.callbacks, clock])
        lightning.fit(experiment.module, datamodule=experiment.data)
    return clock.seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.price", description=__doc__)
    parser.add_argument("--length", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="in each repeat")
    parser.add_argument("--anyway", action="store_true", help="on a loaded machine too")
    arguments = parser.parse_args()
    if not arguments.anyway:
        refuse_if_loaded()
    quiet()
    torch.set_flush_denormal(True)
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        task = hydra.utils.instantiate(hydra.compose("train", overrides=["task=price"]).task, length=arguments.length)
    x, target = (torch.from_numpy(part) for part in task.draw(task.length, 15, generator(0, Stream.DATA, 0)))
    seconds: dict[tuple[int, str], list[float]] = {}
    for _ in range(arguments.repeats):
        for units in (64, 128):
            seconds.setdefault((units, "nn.LSTM, 1"), []).extend(plain(units, (x, target), arguments.epochs))
            for replicas in (1, 5):
                of = seconds.setdefault((units, f"ours, {replicas}"), [])
                of.extend(ours(units, arguments.length, replicas, arguments.epochs))
    table, results = (
        Table("units", "what, replicas", "seconds an epoch", "least", "largest", "replicas x (nn.LSTM)"),
        [],
    )
    for (units, what), each in sorted(seconds.items()):
        ratio = int(what.split()[-1]) * median(seconds[units, "nn.LSTM, 1"]) / median(each)
        table.add_row(str(units), what, *(f"{f(each):.2f}" for f in (median, min, max)), f"{ratio:.1f}")
        results.append({"units": units, "what": what, "median": median(each), "least": min(each), "largest": max(each)})
    Console().print(table)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    saved: dict[str, Any] = {
        "command": "python -m bench.price",
        "length": arguments.length,
        "commit": commit.stdout.strip(),
    }
    saved["seconds_per_epoch"] = results
    (ROOT / "bench" / "price.json").write_text(json.dumps(saved, indent=1) + "\n")


if __name__ == "__main__":
    main()
