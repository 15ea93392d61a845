"""Measurements of gradients through time, and of the recurrent matrix, while a population is trained."""

import logging
import math
from typing import Any

import numpy as np
import pytorch_lightning as pl

from src.callbacks.tensorboard import medians
from src.cells import Vanilla
from src.config.errors import first_line
from src.linalg import spectral_radius
from src.network import Network
from src.packing import say
from src.results.run_plots import temporal_gradients
from src.rundir import RunDirectory
from src.training import measure
from src.training.module import Training
from tasks.batch import collate
from tasks.data import TrainingData
from tasks.task import Task

log = logging.getLogger(__name__)

KEPT = 4_000_000
"""Units, times steps, times sequences, that are measured at a time: some ten numbers are kept of each."""


class Diagnostics(pl.Callback):
    """Computes the spectral radius of W at every check and at the end. At the start, every so many checks and at the
    end it makes a whole measurement (:func:`~src.training.measure.measure`) of each replica that has been updated since
    its last one, on the mini-batch that it would learn from next.

    Measurements go to ``diagnostics.npz`` in the run's directory, one row of each array a measurement, and to
    TensorBoard. Looking changes nothing. LSTM's W is not square and has no spectral radius. Tasks that are learned in
    epochs have none of the whole measurements.

    Args:
        every: checks between two whole measurements; None: none.
        sequences: of each mini-batch, for ‖∂a_T/∂a_k‖.
        seconds: that a measurement may take, about. Of wide networks, long sequences and many replicas fewer sequences
            are taken; what would take longer all the same is left out.
    """

    def __init__(self, every: int | None = None, sequences: int = 4, seconds: float = 1.0) -> None:
        self.every = every
        self.sequences = sequences
        self.spectrum = True
        self.seconds = seconds
        self.measured: dict[int, int] = {}  # replica: its updates when its radius was last computed
        self.found: list[dict[str, np.ndarray]] = []  # by measurement

    def regular(self, module: Training, step: int) -> bool:
        """Whether it is time for a whole measurement, by the updates alone."""
        return self.every is not None and step % (self.every * module.success.check_every) == 0

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        if self.every is not None and isinstance(module.network.architecture.cell, Vanilla) and not module.task.epochs:
            self.economize(module)
        if trainer.ckpt_path is not None:
            self.recall(RunDirectory.of_checkpoint(trainer.ckpt_path), module)
        elif self.every is not None:
            self.look(trainer, module)

    def economize(self, module: Training) -> None:
        """Leaves out what would take too long, and says so. An estimate decides: it is the same on every machine."""
        population = module.population
        steps = module.task.max_length or module.task.length
        jacobian, spectrum = measure.seconds(module.network.architecture.cell.hidden_size, steps)
        replicas = len(population.seeds)
        self.spectrum = replicas * spectrum <= self.seconds
        fitting = int(self.seconds / (replicas * jacobian))
        if self.spectrum and fitting >= self.sequences:
            return
        whole = replicas * (self.sequences * jacobian + spectrum)
        say(
            f"diagnostics: all of them would take about {math.ceil(whole)} s each time; "
            f"Jacobians of {min(fitting, self.sequences)} instead of {self.sequences} sequences"
            f"{'' if self.spectrum else ', no singular values'} "
            f"(callbacks.diagnostics.seconds={math.ceil(whole)} makes them all)"
        )
        self.sequences = min(fitting, self.sequences)

    def recall(self, run: RunDirectory, module: Training) -> None:
        """Takes up what was measured before a run was resumed, but for the end of that run."""
        if not run.diagnostics_file.exists():
            return
        try:
            with np.load(run.diagnostics_file) as file:
                arrays = dict(file)
            steps = arrays["updates"].max(1)
        except Exception as error:  # whatever a damaged file leads to: measurements are no results
            log.warning("%s cannot be read, and is begun anew: %s", run.diagnostics_file, first_line(error))
            return
        for number, step in enumerate(steps):
            if self.regular(module, step) and step <= module.population.step:
                self.found.append({name: array[number] for name, array in arrays.items()})

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        population = module.population
        if not (module.check_due or module.stopping):
            return
        if module.network.architecture.cell.gates == 1:
            self.measure_radius(module)
        if module.check_due and self.regular(module, population.step):
            self.look(trainer, module)

    def measure_radius(self, module: Training) -> None:
        """Computes the spectral radius of W, of the first layer, where it has moved."""
        population = module.population
        for replica, W_HH in enumerate(population.parameters()["W"]):
            updates = int(population.updates[replica])
            if self.measured.get(replica) != updates:
                population.last["spectral_radius"][replica] = spectral_radius(W_HH)
                self.measured[replica] = updates

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        last = self.found[-1]["updates"] if self.found else -1
        if self.every is not None and (module.population.updates != last).any():
            self.look(trainer, module)

    def look(self, trainer: pl.Trainer, module: Training) -> None:
        """Measures those who have moved, and writes what was found."""
        population = module.population
        if module.task.epochs:
            return
        before = self.found[-1] if self.found else None
        moved = [r for r, n in enumerate(population.updates) if before is None or before["updates"][r] != n]
        if not moved:  # all diverged in their first update
            return
        found = self.measure(module, moved)
        if before is not None:
            found = {name: _joined(before[name], array, moved) for name, array in found.items()}
        self.found.append(found)
        arrays = {name: np.stack(_padded([own[name] for own in self.found])) for name in found}
        RunDirectory(trainer.default_root_dir).write_diagnostics(arrays)
        self.send(trainer.logger, module)

    def measure(self, module: Training, moved: list[int]) -> dict[str, np.ndarray]:
        """Measures some replicas on their next mini-batch."""
        population = module.population
        data = TrainingData(module.task)
        pairs = [data(population.seeds[r], int(population.updates[r]), module.stages.learned(r)) for r in moved]
        network = population.everyone()
        size = together(network, module.task)
        parts = []
        for first in range(0, len(moved), size):
            some = slice(first, first + size)
            batch = collate(pairs[some]).to(network.W.device)
            part = network.select(moved[some])
            parts.append(measure.measure(part, module.task, batch, self.sequences, self.spectrum))
        found = {name: np.concatenate(_padded([part[name] for part in parts])) for name in parts[0]}
        found["updates"] = population.updates[moved]
        found["length"] = np.array([len(inputs) for inputs, _ in pairs])
        found["seed"] = np.array(population.seeds)[moved]
        return found

    def send(self, logger: Any, module: Training) -> None:
        """Hands the last measurement to a logger, if there is one."""
        if logger is None:
            return
        population = module.population
        now = self.found[-1]
        scalars = {f"diag/{name}": now[name] for name in ("singular_value", "saturated", "omega")}
        logger.log_metrics(medians(scalars, population.seeds, curves=0), step=population.step)
        if hasattr(logger.experiment, "add_figure"):
            try:
                figure = temporal_gradients(now, population.seeds)
                logger.experiment.add_figure("diag/temporal_gradient", figure, population.step)
            except Exception as error:  # numbers that Matplotlib cannot draw end no run
                log.warning("no figure at %d updates: %s", population.step, first_line(error))


def together(network: Network, task: Task) -> int:
    """How many replicas are measured at a time: their memory is bounded, and no number depends on it."""
    cell = network.architecture.cell
    layers = network.architecture.layers + network.architecture.dense
    numbers = (task.max_length or task.length) * task.batch_size * cell.hidden_size * cell.gates * layers
    return max(1, KEPT // numbers)


def _joined(before: np.ndarray, found: np.ndarray, moved: list[int]) -> np.ndarray:
    """What was found of those who moved, beside what was known before of all others."""
    known, new = _padded([before, found])
    joined = known.copy()
    joined[moved] = new
    return joined


def _padded(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Fills arrays up with NaN to the longest; those of one number per replica have one length."""
    longest = max(array.shape[-1] for array in arrays)
    if arrays[0].ndim == 1:
        return arrays
    return [np.pad(a, [(0, 0), (0, longest - a.shape[-1])], constant_values=np.nan) for a in arrays]
