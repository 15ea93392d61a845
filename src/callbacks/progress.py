"""One line that says how far a population is."""

from time import perf_counter
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from src.module import Training

REFRESH = 0.25
"""Seconds between two looks at the line."""


class Progress(pl.Callback):
    """Updates, updates a second, solved k/R, the best errors. Without a terminal, a line at every check."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar: Bar | None = None
        self.drawn = self.since = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        self.since, self.first = perf_counter(), module.population.step
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(24), TimeRemainingColumn(compact=True))
            self.bar = Bar(*columns, console=self.console, transient=True)
            epochs = module.task.fixed_data and module.max_epochs is not None
            self.done = (lambda: int(module.population.epochs.max())) if epochs else (lambda: module.population.step)
            total = module.max_epochs if epochs else module.max_steps
            self.task = self.bar.add_task("", total=total, completed=self.done())
            self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        if self.bar is not None and (perf_counter() - self.drawn > REFRESH):
            self.drawn = perf_counter()
            self.bar.update(self.task, completed=self.done(), description=self.line(module))
        elif self.bar is None and (module.check_due or module.stopping):
            self.console.print(self.line(module), highlight=False, soft_wrap=True)

    def line(self, module: Training) -> str:
        rate = (module.population.step - self.first) / max(perf_counter() - self.since, 1e-9)
        return f"{module.population}  {rate:.0f} updates/s"

    def on_train_end(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        self.on_train_end()
