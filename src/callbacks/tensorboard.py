"""TensorBoard: medians over all replicas and, in small populations, a curve for each."""

from typing import Any

import numpy as np
import pytorch_lightning as pl

from src.training.module import Training

OUTCOME = {
    "success rate": "val/success_rate",
    "error": "val/error",
    "loss on fresh sequences": "val/loss",
    "length": "val/length",
}
"""Charts of what a run is for, by title."""

TRAINING = {
    "loss": "train/loss",
    "norm of the gradient": "train/grad_norm",
    "clipped updates": "train/clipped",
    "Ω": "train/omega",
    "spectral radius": "diag/spectral_radius",
}
"""Charts of how it came about, by title."""


class TensorBoardLogger(pl.loggers.TensorBoardLogger):
    """Lightning's, without its hparams.yaml: config.yaml has the configuration."""

    def arrange(self) -> None:
        """Puts charts in order under CUSTOM SCALARS: success and error first. SCALARS is sorted by name."""
        layout = {
            "1. outcome (medians over replicas)": _charts(OUTCOME),
            "2. training (medians over replicas)": _charts(TRAINING),
        }
        self.experiment.add_custom_scalars(layout)

    def save(self) -> None:
        self.experiment.flush()


def _charts(tags: dict[str, str]) -> dict[str, list[Any]]:
    """Charts of one tag each, in TensorBoard's form. A tag is a regular expression there."""
    return {title: ["Multiline", [f"^{tag}$"]] for title, tag in tags.items()}


def medians(values: dict[str, np.ndarray], seeds: list[int], curves: int) -> dict[str, float]:
    """Scalars by tag: the median over all replicas whose value is known, and each replica's own if they are few.

    Args:
        values: R numbers per tag.
        curves: most replicas that get a tag of their own.
    """
    scalars = {}
    for tag, of_replica in values.items():
        known = of_replica[~np.isnan(of_replica)]
        if known.size:
            scalars[tag] = float(np.median(known))
        if len(seeds) <= curves:
            own = {f"{tag}/seed_{seed}": float(value) for seed, value in zip(seeds, of_replica, strict=True)}
            scalars |= {name: value for name, value in own.items() if not np.isnan(value)}
    return scalars


class Metrics(pl.Callback):
    """Logs ``train/*`` as means over the last ``every`` updates, ``val/*`` and ``diag/*`` at checks.

    Args:
        every: updates between two points.
        curves: most replicas that get a curve of their own.
    """

    def __init__(self, every: int, curves: int = 16) -> None:
        self.every = every
        self.curves = curves

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        if isinstance(trainer.logger, TensorBoardLogger):
            trainer.logger.arrange()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        population = module.population
        ended = module.stopping and population.interrupt is None  # an interrupted run's window goes on later
        due = population.step % self.every == 0 or module.check_due or ended
        if due and not population.windows["log"].empty:
            means = {f"train/{metric}": mean for metric, mean in population.read("log").items()}
            self.send(trainer, module, medians(means, population.seeds, self.curves))
        if module.check_due and not module.stopping:
            self.log_check(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        self.log_check(trainer, module)

    def log_check(self, trainer: pl.Trainer, module: Training) -> None:
        """Logs what is known since the last test."""
        population = module.population
        tags = {"val/error": "error", "val/loss": "test_loss", "diag/spectral_radius": "spectral_radius"}
        if "length" in population.noted:
            tags["val/length"] = "length"
        values = {tag: population.last[column] for tag, column in tags.items()}
        scalars = medians(values, population.seeds, self.curves)
        if module.task.graded:
            scalars["val/success_rate"] = float(population.solved_R.mean())
        self.send(trainer, module, scalars)

    def send(self, trainer: pl.Trainer, module: Training, scalars: dict[str, float]) -> None:
        """Hands scalars to the logger, if there is one."""
        if trainer.logger is not None:
            trainer.logger.log_metrics(scalars, step=module.population.step)
