"""python -m bench.text: characters a second of learning text, beside the same on torch's nn.LSTM and nn.RNN.

Two layers, 32 streams, parts of 16 characters, state carried over, Adam, the norm clipped at 1, all through
Trainer.fit; torch's with an embedding of 128 numbers, denormals flushed and the same number of threads. Medians of
interleaved epochs of 64 000 characters.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import hydra
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from bench.bench import CORES, ROOT, refuse_if_loaded
from bench.price import Clock
from src.run import build, quiet, settle_recurrence, trainer

STREAMS, STEPS, PART = 32, 2000, 16


class Plain(pl.LightningModule):
    """What one would write: an update a part."""

    def __init__(self, kind: type[nn.RNNBase], units: int, symbols: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.embedding = nn.Embedding(symbols, 128)
        self.layers = kind(128, units, num_layers=2)
        self.readout = nn.Linear(units, symbols)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        optimizer = self.optimizers()
        state = None
        for x, target in zip(*(each.split(PART) for each in batch), strict=True):
            optimizer.zero_grad()
            h, state = self.layers(self.embedding(x), state)
            state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
            loss = nn.functional.cross_entropy(self.readout(h).flatten(0, 1), target.flatten())
            self.manual_backward(loss)
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            optimizer.step()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.003)


def plain(cell: str, units: int, data: tuple[Tensor, Tensor], symbols: int, threads: int, epochs: int) -> list[float]:
    """Seconds of each epoch of one network."""
    torch.set_num_threads(threads)
    clock = Clock()
    kind = nn.LSTM if cell == "lstm" else nn.RNN
    loader = torch.utils.data.DataLoader([data], batch_size=None)
    pl.Trainer(
        max_epochs=epochs + 1,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Plain(kind, units, symbols), loader)
    return clock.seconds[1:]


def configuration(cell: str, units: int, replicas: int, threads: int, epochs: int) -> Any:
    """That of a population."""
    keys = [f"setting=text_{cell}", f"cell.hidden_size={units}", f"task.length={STEPS}", f"replicas={replicas}"]
    keys += [f"threads={threads}", f"trainer.max_epochs={epochs + 1}", "trainer.accelerator=cpu", "logger=none"]
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("train", overrides=[*keys, "~callbacks.progress", "~callbacks.figure"])


def ours(cell: str, units: int, replicas: int, threads: int, epochs: int) -> list[float]:
    """Seconds of each epoch of a population."""
    cfg = configuration(cell, units, replicas, threads, epochs)
    settle_recurrence(cfg)
    experiment, clock = build(cfg), Clock()
    with tempfile.TemporaryDirectory() as folder:
        lightning = trainer(cfg, Path(folder), [*experiment.callbacks, clock])
        lightning.fit(experiment.module, datamodule=experiment.data)
    return clock.seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.text", description=__doc__)
    parser.add_argument("--threads", type=int, default=CORES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="in each repeat")
    parser.add_argument("--anyway", action="store_true", help="on a loaded machine too")
    arguments = parser.parse_args()
    if not arguments.anyway:
        refuse_if_loaded()
    quiet()
    torch.set_flush_denormal(True)
    threads, epochs = arguments.threads, arguments.epochs
    task = hydra.utils.instantiate(configuration("lstm", 128, 1, threads, 1).task)
    x, target = (torch.from_numpy(each).long() for each in task.epoch(0, None))
    seconds: dict[tuple[str, int, str], list[float]] = {}

    def note(cell: str, units: int, what: str, measured: Callable[[], list[float]]) -> None:
        seconds.setdefault((cell, units, what), []).extend(measured())

    for _ in range(arguments.repeats):
        for cell in ("lstm", "tanh"):
            for units in (128, 256):
                note(cell, units, "torch, 1", lambda: plain(cell, units, (x, target), task.inputs, threads, epochs))  # noqa: B023
                for replicas in (1, 4):
                    note(cell, units, f"ours, {replicas}", lambda: ours(cell, units, replicas, threads, epochs))  # noqa: B023
    table = Table("cell", "units", "what, replicas", "characters a second", "least", "largest", "x torch")
    for (cell, units, what), each in sorted(seconds.items()):
        learned = int(what.split()[-1]) * STREAMS * STEPS
        ratio = learned / median(each) * median(seconds[cell, units, "torch, 1"]) / (STREAMS * STEPS)
        rates = (f"{learned / f(each):,.0f}" for f in (median, max, min))
        table.add_row(cell, str(units), what, *rates, f"{ratio:.2f}")
    Console().print(f"{threads} thread{'s' * (threads > 1)}")
    Console().print(table)


if __name__ == "__main__":
    main()
