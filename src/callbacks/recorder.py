"""What a run leaves, written at its start, at every check and every minute: whatever ends it, it can go on."""

import logging
from time import perf_counter
from typing import Any

import pytorch_lightning as pl

from src.callbacks.progress import summary
from src.results.rows import history_rows, results_rows
from src.rundir import RunDirectory
from src.training.module import Training

log = logging.getLogger(__name__)

SECONDS = 10.0
"""Least time between two writes where every epoch is a check."""


class Recorder(pl.Callback):
    """Writes checkpoints/last.ckpt, results.csv and history.csv into the trainer's directory.

    The checkpoint comes first, so that no table says more than what a resumed run knows.

    Args:
        seconds: most time between two checkpoints, where no check comes before.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self.history: list[list[Any]] = []
        self.written = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        self.save(trainer)
        self.write(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        if module.check_due:
            self.report(module)
        fresh = not module.task.epochs or perf_counter() - self.written > SECONDS
        if (module.check_due and fresh) or module.stopping:
            self.save(trainer)
            self.write(trainer, module)
        elif perf_counter() - self.saved > self.seconds:
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        if module.population.unreported:
            module.population.read("check")
            self.report(module)
        module.population.close(module.max_steps)
        self.write(trainer, module)

    def report(self, module: Training) -> None:
        """Adds a row for every replica that was updated since its last one."""
        population = module.population
        self.history += history_rows(population, sorted(population.unreported))
        population.unreported.clear()
        log.info(summary(population, module.task.graded))

    def save(self, trainer: pl.Trainer) -> None:
        """Writes the checkpoint."""
        trainer.save_checkpoint(RunDirectory(trainer.default_root_dir).checkpoint_file)
        self.saved = perf_counter()

    def write(self, trainer: pl.Trainer, module: Training) -> None:
        """Writes both tables as they are now."""
        self.written = perf_counter()
        run = RunDirectory(trainer.default_root_dir)
        run.write_results(results_rows(module.population, module.config, module.task.graded))
        run.write_history(self.history, (*module.population.extra, *module.population.noted))

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = state["history"]
