"""One line that says how far a population is."""

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from src.packing import seat
from src.population import Population
from src.training.module import Training

REFRESH = 0.25
"""Seconds between two looks at the line."""

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def in_sweep() -> bool:
    """Whether this run is a job of a sweep."""
    return bool(HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN)


def in_parallel() -> bool:
    """Whether this run is a job of a sweep and others may be at work beside it, with the same terminal."""
    return in_sweep() and bool(HydraConfig.get().launcher._target_ != BASIC)


def summary(population: Population, graded: bool) -> str:
    """Says in one line how far a population is: updates, solved k/R, the best errors.

    Args:
        graded: whether answers are right or wrong; else losses are said, and epochs where there are any.
    """
    if not graded:
        losses = " ".join(f"{loss:.3g}" for loss in sorted(population.means["check"]["loss"])[:5])
        epochs = f"{population.epochs.max():>7,} epochs, " if population.epochs.any() else ""
        return f"{epochs}{population.step:,} updates  losses {losses}"
    solved = int(population.solved_R.sum())
    if "reached" in population.noted:
        return f"{population.step:>7,} updates  solved {solved}/{len(population.seeds)}  {lengths(population)}"
    errors = sorted(error for error in population.last["best_error"] if not np.isnan(error))
    best = " ".join(f"{100 * error:.2g}" for error in errors[:5]) or "-"
    return f"{population.step:>7,} updates  solved {solved}/{len(population.seeds)}  best errors {best} %"


def lengths(population: Population) -> str:
    """The longest lengths that were passed, the largest first."""
    reached = population.last["reached"]
    passed = sorted(reached[~np.isnan(reached)], reverse=True)
    return f"passed {' '.join(f'{length:.0f}' for length in passed[:10]) or '-'} steps"


class Progress(pl.Callback):
    """Shows updates, updates a second, solved k/R, the best errors.

    Without a terminal, or where jobs share one, a line at every check; those of jobs begin with their directory's name.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar: Bar | None = None
        self.name = ""  # of the directory, where there are several
        self.drawn = 0.0  # when the line was last drawn
        self.since = 0.0  # when this part of the run began
        self.first = 0  # and after how many updates
        self.said = -1  # updates in the last line
        self.packed = False  # whether others train with it, and one line is said for all

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        self.packed = seat() is not None
        self.since = perf_counter()
        self.first = module.population.step
        several = in_parallel()
        if several:
            self.name = f"{Path(trainer.default_root_dir).name}: "
        if self.first:
            self.say(f"goes on after {self.first:,} updates")
        if self.console.is_terminal and not several and not self.packed:
            columns = (TextColumn("{task.description}"), BarColumn(24), TimeRemainingColumn(compact=True))
            self.bar = Bar(*columns, console=self.console, transient=True)
            total = module.max_epochs if self.in_epochs(module) else module.max_steps
            self.task = self.bar.add_task("", total=total, completed=self.done(module))
            self.bar.start()

    def in_epochs(self, module: Training) -> bool:
        """Whether the budget is one of epochs."""
        return module.task.epochs and module.max_epochs is not None

    def done(self, module: Training) -> int:
        """How much of the budget is used up."""
        population = module.population
        return int(population.epochs.max()) if self.in_epochs(module) else population.step

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        if self.bar is not None and (perf_counter() - self.drawn > REFRESH):
            self.drawn = perf_counter()
            self.bar.update(self.task, completed=self.done(module), description=self.line(module))
        elif self.bar is None and (module.check_due or module.stopping) and module.population.step != self.said:
            self.said = module.population.step  # an interrupted run ends with a block without updates
            self.say(self.line(module))

    def say(self, line: str) -> None:
        """Prints a line, with the name of the directory in front where there are several; a pack speaks for all."""
        if self.packed:
            return
        self.console.print(self.name + line, markup=False, highlight=False, soft_wrap=True)

    def line(self, module: Training) -> str:
        """The line itself."""
        rate = (module.population.step - self.first) / max(perf_counter() - self.since, 1e-9)
        return f"{summary(module.population, module.task.graded)}  {rate:.0f} updates/s"

    def on_train_end(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        self.on_train_end()
