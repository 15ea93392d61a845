"""What gradients look like on their way back through time, and the recurrent matrix they pass through."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src.callbacks.tensorboard import medians
from src.cells import AutogradCell, Vanilla
from src.directions import Direction
from src.linalg import singular_value, spectral_radius
from src.module import Training
from src.network import Network
from src.recurrence import Copies, Factors, Rows, Tape
from src.recurrence.omega import omega
from src.recurrence.temporal import norms, whole
from src.results.run_plots import temporal_gradients
from src.rundir import RunDirectory
from tasks.datamodule import Batch, TrainingData, collate
from tasks.task import Task


class Recording(Direction):
    """Makes no update: keeps the factors of one."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.rows: list[Rows | Copies] = []
        self.tapes: list[Tape] = []

    def tape(self) -> Tape:
        self.tapes.append(Tape(keep=self.keep, rows=self.rows))
        return self.tapes[-1]


def jacobians(W_HH: Tensor, slope_kSH: Tensor) -> Tensor:
    """‖∂a_T/∂a_k‖₂ for k = 1 .. T, mean over S sequences, float64; 1 at k = T.

    With row vectors ∂a_{t+1}/∂a_t = diag(σ'(a_t)) W, so that ∂a_T/∂a_k is the product of T - k of them.

    Args:
        slope_kSH: σ'(a_k) for k = 1 .. T - 1.
    """
    _, S, H = slope_kSH.shape
    W, product, each = W_HH.double(), torch.eye(H, dtype=torch.float64).expand(S, H, H), []
    for slope_SH in slope_kSH.double().flip(0):
        product = slope_SH[..., None] * (W @ product)
        each.append(product)
    size_kS = torch.cat([torch.ones(1, S, dtype=torch.float64), *(singular_value(p)[None] for p in each)])
    return size_kS.mean(1).flip(0)


@torch.enable_grad()
def measure(network: Network, task: Task, batch: Batch, sequences: int) -> dict[str, np.ndarray]:
    """One measurement of R replicas on a mini-batch each, float64; NaN in padding, and where there is no such number.

    Returns:
        ``temporal_gradient``: ‖∇_t‖ of all parameters together, RT, and ``temporal_gradient.NAME`` of each;
        ``omega``: Ω, squared form, R; and of simple cells, in the first layer: ``jacobian``: ‖∂a_T/∂a_t‖₂, mean over
        the first ``sequences``, RT; ``bound``: (σ'_max μ_max)^(T - t), RT; ``singular_value``: μ_max of W, R;
        ``spectral_radius``: R; ``saturated``: share of steps before the last, sequences and units whose slope is below
        a tenth of σ'_max, R.
    """
    cell, length_R, (R, T) = network.cell, batch.length, batch.inputs.shape[:2]
    for p in network.parameters():
        p.requires_grad_().grad = torch.zeros_like(p)
    recording = Recording(keep=not isinstance(cell, AutogradCell))
    network.learn(batch, task, recording)
    squares = norms(recording.rows, length_R, T)
    inside_RT = torch.arange(T, device=length_R.device) < length_R[:, None]

    def by_step(square_RT: Tensor) -> np.ndarray:
        return torch.where(inside_RT, square_RT.double().sqrt(), torch.nan).cpu().numpy()

    found = {f"temporal_gradient.{name}": by_step(square_RT) for name, square_RT in squares.items()}
    found["temporal_gradient"] = by_step(whole(squares))
    layers = [tape.factors for tape in recording.tapes if tape.factors is not None]
    values = [omega(factors.d2_RTB, factors.v2_RTB)[0] for factors in layers]
    found["omega"] = sum(values).double().cpu().numpy() if values else np.full(R, np.nan)  # type: ignore[union-attr]
    found |= {name: np.full((R, T), np.nan) for name in ("jacobian", "bound")}
    found |= {name: np.full(R, np.nan) for name in ("singular_value", "spectral_radius", "saturated")}
    if isinstance(cell, Vanilla):
        for r in range(R):
            own = _of_simple(cell, r, network.weights().W[r].detach().cpu(), layers[0], int(length_R[r]), sequences)
            for name, value in own.items():
                if np.ndim(value):
                    found[name][r, : len(value)] = value
                else:
                    found[name][r] = value
    return found


def _of_simple(cell: Vanilla, r: int, W_HH: Tensor, factors: Factors, T: int, sequences: int) -> dict[str, Any]:
    h_kBH = factors.h_before_RTBH[r, 1:T].cpu()  # h_1 .. h_{T-1}
    slope_kBH, steepest = cell.slope(r, h_kBH), cell.steepest(r)
    largest = float(singular_value(W_HH.double()))
    with np.errstate(over="ignore"):  # no bound at all, then
        bound = (steepest * largest) ** np.arange(T - 1, -1, -1.0)
    return {
        "jacobian": jacobians(W_HH, slope_kBH[:, :sequences]).numpy(),
        "bound": bound,
        "singular_value": largest,
        "spectral_radius": spectral_radius(W_HH),
        "saturated": float((slope_kBH < 0.1 * steepest).double().mean()),
    }


class Diagnostics(pl.Callback):
    """Spectral radius of W at every check and at the end; at the start, every so many checks and at the end a whole
    measurement (:func:`measure`) of each replica that has been updated since its last one, on the mini-batch that it
    would learn from next.

    Measurements go to ``diagnostics.npz`` in the run's directory, one row of each array a measurement, and to
    TensorBoard. Looking changes nothing. LSTM's W is not square and has no spectral radius. Tasks with a fixed data set
    have none of the whole measurements.

    Args:
        every: checks between two whole measurements; None: none.
        sequences: of each mini-batch, for ‖∂a_T/∂a_k‖.
    """

    def __init__(self, every: int | None = None, sequences: int = 4) -> None:
        self.every, self.sequences = every, sequences
        self.measured: dict[int, int] = {}  # replica: its updates when its radius was last computed
        self.found: list[dict[str, np.ndarray]] = []  # by measurement

    def regular(self, module: Training, step: int) -> bool:
        """Whether it is time, by the updates alone."""
        return self.every is not None and step % (self.every * module.success.check_every) == 0

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        if trainer.ckpt_path is not None:  # what was measured until then, but for the end of the run
            before = RunDirectory.of_checkpoint(trainer.ckpt_path).diagnostics_file
            arrays = dict(np.load(before)) if before.exists() else {}
            for k, step in enumerate(arrays["updates"].max(1) if arrays else ()):
                if self.regular(module, step):
                    self.found.append({name: array[k] for name, array in arrays.items()})
        elif self.every is not None:
            self.look(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *_: Any) -> None:  # type: ignore[override]
        population = module.population
        if not (module.check_due or module.stopping):
            return
        for replica, W_HH in enumerate(population.parameters()["W"]):  # of the first layer
            updates = int(population.updates[replica])
            if module.network.cell.gates == 1 and self.measured.get(replica) != updates:
                population.last["spectral_radius"][replica] = spectral_radius(W_HH)
                self.measured[replica] = updates
        if module.check_due and self.regular(module, population.step):
            self.look(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        last = self.found[-1]["updates"] if self.found else -1
        if self.every is not None and (module.population.updates != last).any():
            self.look(trainer, module)

    def look(self, trainer: pl.Trainer, module: Training) -> None:
        """Measures, and writes what was found."""
        population, task = module.population, module.task
        if task.fixed_data:
            return
        before = self.found[-1] if self.found else None
        moved = [r for r, n in enumerate(population.updates) if before is None or before["updates"][r] != n]
        data = TrainingData(task)
        batch = collate([data(population.seeds[r], int(population.updates[r])) for r in moved])
        network = Network(module.cell, dict(population.parameters())).select(moved)
        batch = Batch(*(x.to(network.W.device) for x in (batch.inputs, batch.target, batch.length)))
        found = measure(network, task, batch, self.sequences)
        found |= {"updates": population.updates[moved], "length": batch.length.cpu().numpy()}
        found["seed"] = np.array(population.seeds)[moved]
        self.found.append(found if before is None else {k: _moved(before[k], found[k], moved) for k in found})
        arrays = {name: np.stack(_padded([own[name] for own in self.found])) for name in found}
        np.savez(RunDirectory(trainer.default_root_dir).diagnostics_file, **arrays)  # type: ignore[arg-type]
        logger: Any = trainer.logger
        if logger is None:
            return
        now = self.found[-1]
        scalars = {f"diag/{name}": now[name] for name in ("singular_value", "saturated", "omega")}
        logger.log_metrics(medians(scalars, population.seeds, curves=0), step=population.step)
        if hasattr(logger.experiment, "add_figure"):
            logger.experiment.add_figure(
                "diag/temporal_gradient", temporal_gradients(now, population.seeds), population.step
            )


def _moved(before: np.ndarray, found: np.ndarray, moved: list[int]) -> np.ndarray:
    """What was found of those who moved, and of all others what was known before."""
    both, new = _padded([before, found])
    both = both.copy()
    both[moved] = new
    return both


def _padded(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Filled up with NaN to the longest; those of one number a replica, R, have one length."""
    longest = max(array.shape[-1] for array in arrays)
    if arrays[0].ndim == 1:
        return arrays
    return [np.pad(a, [(0, 0), (0, longest - a.shape[-1])], constant_values=np.nan) for a in arrays]
