"""What gradients look like on their way back through time, and the recurrent matrix they pass through."""

from pathlib import Path
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
from src.plots import temporal_gradients
from src.recurrence import Copies, Factors, Rows, Tape
from src.recurrence.omega import omega
from src.recurrence.temporal import norms, whole
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
        ``spectral_radius``: R; ``saturated``: share of steps, sequences and units whose slope is below a tenth of
        σ'_max, R.
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
    return {
        "jacobian": jacobians(W_HH, slope_kBH[:, :sequences]).numpy(),
        "bound": (steepest * largest) ** np.arange(T - 1, -1, -1.0),
        "singular_value": largest,
        "spectral_radius": spectral_radius(W_HH),
        "saturated": float((slope_kBH < 0.1 * steepest).double().mean()),
    }


class Diagnostics(pl.Callback):
    """Spectral radius of W at every check and at the end; every so many checks, at the start and at the end a whole
    measurement of all R replicas (:func:`measure`), each on the mini-batch that it would learn from next.

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
        self.checks = 0
        self.found: list[dict[str, Tensor]] = []  # by measurement

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:  # type: ignore[override]
        if not self.found:
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
        self.checks += 1
        if module.stopping or (self.every is not None and self.checks % self.every == 0):
            self.look(trainer, module)

    def look(self, trainer: pl.Trainer, module: Training) -> None:
        """Measures, and writes what was found."""
        population, task = module.population, module.task
        if self.every is None or task.fixed_data:
            return
        data, updates = TrainingData(task), population.updates.tolist()
        batch = collate([data(seed, n) for seed, n in zip(population.seeds, updates, strict=True)])
        network = Network(module.cell, {name: p.detach().clone() for name, p in population.parameters().items()})
        batch = Batch(*(x.to(network.W.device) for x in (batch.inputs, batch.target, batch.length)))
        found = measure(network, task, batch, self.sequences)
        found |= {"updates": population.updates.copy(), "length": batch.length.cpu().numpy()}
        found["seed"] = np.array(population.seeds)
        self.found.append({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in found.items()})
        np.savez(Path(trainer.default_root_dir) / "diagnostics.npz", **self.stacked())  # type: ignore[arg-type]
        logger: Any = trainer.logger
        if logger is None:
            return
        scalars = {f"diag/{name}": found[name] for name in ("singular_value", "saturated", "omega")}
        logger.log_metrics(medians(scalars, population.seeds, curves=0), step=population.step)
        if hasattr(logger.experiment, "add_figure"):
            figure = temporal_gradients(found, population.seeds)
            logger.experiment.add_figure("diag/temporal_gradient", figure, population.step)

    def stacked(self) -> dict[str, np.ndarray]:
        """Every array with one row a measurement, shorter ones filled up with NaN."""
        arrays = {}
        for name in self.found[0]:
            rows = [own[name].numpy() for own in self.found]
            longest = max(row.shape[-1] for row in rows)
            pads = [[(0, 0)] * (row.ndim - 1) + [(0, longest - row.shape[-1])] for row in rows]
            arrays[name] = np.stack(
                [
                    row if not pad[-1][1] else np.pad(row, pad, constant_values=np.nan)
                    for row, pad in zip(rows, pads, strict=True)
                ]
            )
        return arrays

    def state_dict(self) -> dict[str, Any]:
        return {"checks": self.checks, "found": self.found}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.checks, self.found = state["checks"], state["found"]
