"""What gradients look like on their way back through time, and the recurrent matrix they pass through."""

import numpy as np
import torch
from torch import Tensor

from src.cells import AutogradCell, Vanilla
from src.directions import Copies, Factors, Product
from src.directions.omega import omega
from src.directions.temporal import norms, whole
from src.linalg import singular_value, spectral_radius
from src.network import Network
from tasks.batch import Batch
from tasks.task import Task


def jacobians(W_HH: Tensor, slope_kSH: Tensor) -> Tensor:
    """‖∂a_T/∂a_k‖₂ for k = 1 .. T, mean over S sequences, float64; 1 at k = T.

    With row vectors ∂a_{t+1}/∂a_t = diag(σ'(a_t)) W, so that ∂a_T/∂a_k is the product of T - k of them.

    Args:
        slope_kSH: σ'(a_k) for k = 1 .. T - 1.
    """
    _, S, H = slope_kSH.shape
    W = W_HH.double()
    product = torch.eye(H, dtype=torch.float64).expand(S, H, H)
    sizes_S = [torch.ones(S, dtype=torch.float64)]
    for slope_SH in slope_kSH.double().flip(0):
        product = slope_SH[..., None] * (W @ product)
        sizes_S.append(singular_value(product))
    return torch.stack(sizes_S).mean(1).flip(0)


@torch.enable_grad()
def measure(network: Network, task: Task, batch: Batch, sequences: int, spectrum: bool = True) -> dict[str, np.ndarray]:
    """Measures R replicas on a mini-batch each, float64; NaN in padding, and where there is no such number.

    Args:
        sequences: of each mini-batch whose Jacobians are multiplied; 0: none.
        spectrum: whether W's largest singular value and eigenvalue are wanted.

    Returns:
        ``temporal_gradient``: ‖∇_t‖ of all parameters together, RT, and ``temporal_gradient.NAME`` of each;
        ``omega``: Ω, squared form, R; and of simple cells, in the first layer: ``jacobian``: ‖∂a_T/∂a_t‖₂, mean over
        the first ``sequences``, RT; ``bound``: (σ'_max μ_max)^(T - t), RT; ``singular_value``: μ_max of W, R;
        ``spectral_radius``: R; ``saturated``: share of steps before the last, sequences and units whose slope is below
        a tenth of σ'_max, R.
    """
    R, T = batch.inputs.shape[:2]
    products: list[Product | Copies] = []
    keep = not isinstance(network.architecture.cell, AutogradCell)
    tapes = network.tapes(keep=keep, products=products)
    for p in network.parameters():
        p.requires_grad_().grad = torch.zeros_like(p)
    network.backward(batch, task, tapes)
    squares = norms(products, batch.length, T)
    found = {f"temporal_gradient.{name}": _by_step(square_RT, batch) for name, square_RT in squares.items()}
    found["temporal_gradient"] = _by_step(whole(squares), batch)
    layers = [tape.factors for tape in tapes if tape.factors is not None]
    found["omega"] = _omega(layers) if layers else np.full(R, np.nan)
    found |= {name: np.full((R, T), np.nan) for name in ("jacobian", "bound")}
    found |= {name: np.full(R, np.nan) for name in ("singular_value", "spectral_radius", "saturated")}
    if isinstance(network.architecture.cell, Vanilla):
        for replica in range(R):
            for name, value in _of_simple(network, layers[0], batch, replica, sequences, spectrum).items():
                if isinstance(value, np.ndarray):
                    found[name][replica, : len(value)] = value
                else:
                    found[name][replica] = value
    return found


def _by_step(square_RT: Tensor, batch: Batch) -> np.ndarray:
    """The roots of squared norms, NaN in padding."""
    inside_RT = torch.arange(square_RT.shape[1], device=square_RT.device) < batch.length[:, None]
    return torch.where(inside_RT, square_RT.double().sqrt(), torch.nan).cpu().numpy()


def _omega(layers: list[Factors]) -> np.ndarray:
    """Ω_R, the sum over layers."""
    total, *others = [omega(factors.d2_RTB, factors.v2_RTB)[0] for factors in layers]
    for value in others:
        total = total + value
    return total.double().cpu().numpy()


def _of_simple(
    network: Network, factors: Factors, batch: Batch, replica: int, sequences: int, spectrum: bool
) -> dict[str, np.ndarray | float]:
    """What is measured of one replica's simple cell."""
    cell = network.architecture.cell
    assert isinstance(cell, Vanilla)
    W_HH = network.weights().W[replica].detach().cpu()
    T = int(batch.length[replica])
    h_kBH = factors.h_before_RTBH[replica, 1:T].cpu()  # h_1 .. h_{T-1}
    slope_kBH = cell.slope(replica, h_kBH)
    steepest = cell.steepest(replica)
    found: dict[str, np.ndarray | float] = {"saturated": float((slope_kBH < 0.1 * steepest).double().mean())}
    if sequences:
        found["jacobian"] = jacobians(W_HH, slope_kBH[:, :sequences]).numpy()
    if spectrum:
        largest = float(singular_value(W_HH.double()))
        found["singular_value"] = largest
        found["spectral_radius"] = spectral_radius(W_HH)
        with np.errstate(over="ignore"):  # no bound at all, then
            found["bound"] = (steepest * largest) ** np.arange(T - 1, -1, -1.0)
    return found


def seconds(hidden: int, steps: int) -> tuple[float, float]:
    """About what one core takes for one sequence's Jacobians, and for the spectrum of W, by the number of units H.

    Fitted to 50 to 1024 units; the exponents are those of products and of singular values of small matrices.
    """
    wide = hidden / 512
    return steps * (5e-5 + 0.024 * wide**2.8), 0.2 * wide**2.8
