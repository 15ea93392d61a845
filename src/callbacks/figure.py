"""A picture of a single run, when it has ended."""

import logging

import pytorch_lightning as pl

from src.callbacks.progress import in_sweep
from src.config.errors import first_line
from src.results.collect import replicas_of
from src.results.plots import training
from src.rundir import RunDirectory, replaced
from src.training.module import Training

log = logging.getLogger(__name__)


class Figure(pl.Callback):
    """Draws errors and losses against updates into training.png; a sweep has figures of all its jobs instead.

    It reads the tables, so it comes after the :class:`~src.callbacks.Recorder`. Whatever goes wrong ends no run.
    """

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        if in_sweep():
            return
        run = RunDirectory(trainer.default_root_dir)
        try:
            figure = training(list(replicas_of(run)))
            with replaced(run.figure_file) as partial:
                figure.savefig(partial, dpi=120, format="png")
        except Exception as error:  # numbers that Matplotlib cannot draw, a full disk
            log.warning("no figure: %s", first_line(error))
