"""Products with the damped Gauss-Newton matrix of simple recurrent networks, by a sweep forward and one backward.

With J the Jacobian of the outputs by the parameters, H_L the second derivative of the loss by the outputs, and J_t the
Jacobian of a_t, all of them means over the sequences::

    G = Jᵀ H_L J                           the Gauss-Newton matrix (Schraudolph, 2002)
    S = Σ_t J_tᵀ diag(σ'(a_t)) J_t         structural damping (MS11, section 3.1)
    A = G + λ (I + μ S)

S is the second derivative, at the parameters as they are, of the distance between the hidden states before and after a
change. The distance is the matching loss of σ, whose second derivative by a_t is σ'(a_t). The product with V goes
forward by the R-operator (Pearlmutter, 1994), and back::

    Ra_t = x_t V_in + h_{t-1} V + v_b + Rh_{t-1} W,    Rh_t = σ'(a_t) ⊙ Ra_t
    δ_t = σ'(a_t) ⊙ (δ_{t+1} Wᵀ + e_t W_outᵀ) + λμ Rh_t,   e_t = H_L Ry_t

after which the parts of A V are the products of the plain gradient: Σ_t h_{t-1}ᵀ δ_t for W, and so on.

All that is multiplied with a parameter in step t stands side by side in x̂_t = (h_{t-1}, x_t, 1), and so do its
parameters, one above the other: K = H + I + 1 rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from src.cells import Vanilla
from src.linalg import matmul, product
from src.network import Network
from src.recurrence import Pass, recur
from tasks.batch import Batch
from tasks.task import CROSS_ENTROPY, Task

Parts = Callable[[Tensor], dict[str, Tensor]]
"""Views of rows of parameters, by name, in the order in which they lie in a row."""


@dataclass(frozen=True)
class Curvature:
    """A = G + λ (I + μ S) of R replicas at their parameters; call it with a vector of each, RP.

    Args:
        split: rows of parameters, or of vectors of as many numbers, by name.
        W: RHH.
        W_out: RHO.
        left: x̂_t, RTBK, contiguous step by step; anything in padding.
        slope: σ'(a_t), RTBH; 0 in padding, so that nothing flows there.
        read: (h, 1) where there is a target, RTBK with T = 1 if there is one target.
        softmax: probabilities there, RTBO; None: the loss is the squared error.
        share: of each target in the mean, RT11.
        end: index of the step of the one target, R; None: there is a target at every step.
        lam: λ, R.
        mu: μ, R.
    """

    split: Parts
    W: Tensor
    W_out: Tensor
    left: Tensor
    slope: Tensor
    read: Tensor
    softmax: Tensor | None
    share: Tensor
    end: Tensor | None
    lam: Tensor
    mu: Tensor

    @torch.no_grad()
    def __call__(self, vector_RP: Tensor) -> Tensor:
        """A v of each replica, RP."""
        v = self.split(vector_RP)
        rh_TRBH = self._forward(torch.cat([v["W"], v["W_in"], v["b"][:, None]], dim=1))
        error_RTBO = self._error(rh_TRBH, v["W_out"], v["b_out"])
        of_step_RKH = self._backward(rh_TRBH, error_RTBO)
        of_readout_RKO = product(self.read, error_RTBO)
        H = self.W.shape[1]
        found = {"W": of_step_RKH[:, :H], "W_in": of_step_RKH[:, H:-1], "b": of_step_RKH[:, -1]}
        found |= {"W_out": of_readout_RKO[:, :H], "b_out": of_readout_RKO[:, H]}
        flat_RP = torch.cat([found[name].flatten(1) for name in v], dim=1)
        return flat_RP + self.lam[:, None] * vector_RP

    def damped(self, lam: Tensor) -> "Curvature":
        """The same with another λ."""
        return replace(self, lam=lam)

    def select(self, rows: Sequence[int]) -> "Curvature":
        """The same of some replicas."""
        own: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in own.items():
            own[name] = of_rows(value, rows) if torch.is_tensor(value) else value
        return Curvature(**own)

    def _forward(self, v_RKH: Tensor) -> Tensor:
        """Rh of every step, TRBH."""
        R, T, B, H = self.slope.shape
        rh_TRBH = self.slope.new_empty(T, R, B, H)
        rh = self.slope.new_zeros(R, B, H)
        for t in range(T):
            rh = matmul(rh, self.W).add_(matmul(self.left[:, t], v_RKH)).mul_(self.slope[:, t])
            rh_TRBH[t] = rh
        return rh_TRBH

    def _error(self, rh_TRBH: Tensor, v_RHO: Tensor, v_RO: Tensor) -> Tensor:
        """e = H_L Ry where there is a target, RTBO."""
        rh_RTBH = rh_TRBH.transpose(0, 1)
        if self.end is not None:
            rh_RTBH = rh_TRBH[self.end, torch.arange(len(self.end))][:, None]
        v_RKO = torch.cat([v_RHO, v_RO[:, None]], dim=1)
        ry = matmul(rh_RTBH.flatten(1, 2), self.W_out) + matmul(self.read.flatten(1, 2), v_RKO)
        ry_RTBO = ry.view(*self.read.shape[:3], -1)
        if self.softmax is None:
            return 2 * ry_RTBO * self.share
        weighted = self.softmax * ry_RTBO
        return (weighted - self.softmax * weighted.sum(-1, keepdim=True)) * self.share

    def _backward(self, rh_TRBH: Tensor, error_RTBO: Tensor) -> Tensor:
        """Σ_t x̂_tᵀ δ_t, RKH."""
        T, R, B, H = rh_TRBH.shape
        W_RHH = self.W.transpose(1, 2)
        direct = matmul(error_RTBO.flatten(1, 2), self.W_out.transpose(1, 2)).view(R, -1, B, H)
        ends = range(T) if self.end is None else set(self.end.tolist())
        damping_R11 = (self.lam * self.mu / B)[:, None, None]
        delta = torch.zeros_like(rh_TRBH[0])
        total = delta.new_zeros(R, self.left.shape[-1], H)
        for t in reversed(range(T)):
            back = matmul(delta, W_RHH)
            if t in ends:
                back += direct[:, t] if self.end is None else direct[:, 0] * (self.end == t)[:, None, None]
            delta = back.mul_(self.slope[:, t]).add_(damping_R11 * rh_TRBH[t])
            total += matmul(self.left[:, t].transpose(1, 2), delta)
        return total


def of_rows(value_RT: Tensor, rows: Sequence[int]) -> Tensor:
    """Some replicas of a tensor; steps stay the outermost dimension in memory where there are any."""
    chosen = list(rows)
    return by_step(value_RT[chosen]) if value_RT.ndim == 4 else value_RT[chosen]


def by_step(value_RTBX: Tensor) -> Tensor:
    """The same tensor, contiguous step by step."""
    return value_RTBX.transpose(0, 1).contiguous().transpose(0, 1)


@torch.no_grad()
def curvature(network: Network, batch: Batch, task: Task, lam_R: Tensor, mu: float) -> Curvature:
    """The damped Gauss-Newton matrix of networks of one layer of simple cells, on a mini-batch for each.

    Args:
        task: with cross-entropy or squared error.
        lam_R: λ.
        mu: μ.
    """
    cell = network.architecture.cell
    assert isinstance(cell, Vanilla)
    weights = network.weights()
    h_RTBH, _ = recur(Pass(cell, batch.inputs, weights, None, batch.length))
    assert h_RTBH is not None and weights.W_in is not None
    R, T, B, _ = h_RTBH.shape
    inside_RT11 = (torch.arange(T) < batch.length[:, None])[..., None, None]
    ones = h_RTBH.new_ones(R, T, B, 1)
    before = torch.cat([torch.zeros_like(h_RTBH[:, :1]), h_RTBH[:, :-1]], dim=1)
    end = None if task.every_step else batch.length - 1
    read = torch.cat([h_RTBH, ones], dim=-1)
    share = inside_RT11.to(h_RTBH.dtype) / (batch.length * B)[:, None, None, None]
    if end is not None:
        read = read[torch.arange(R), end][:, None]
        share = torch.full_like(share[:, :1], 1 / B)
    output = network.readout(read[..., :-1])
    return Curvature(
        network.split,
        network.W.detach(),
        network.W_out.detach(),
        by_step(torch.cat([before, _vectors(batch.inputs, weights.W_in), ones], dim=-1)),
        by_step(torch.where(inside_RT11, cell.slopes(h_RTBH), 0.0)),
        read,
        output.softmax(-1) if task.loss_form == CROSS_ENTROPY else None,
        share,
        end,
        lam_R,
        torch.full_like(lam_R, mu),
    )


def _vectors(inputs: Tensor, W_in: Tensor) -> Tensor:
    """Inputs as vectors, symbols one-hot."""
    return inputs if inputs.is_floating_point() else one_hot(inputs.long(), W_in.shape[1]).to(W_in.dtype)
