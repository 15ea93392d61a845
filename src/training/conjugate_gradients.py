"""Conjugate gradients (Hestenes & Stiefel, 1952) for many linear systems side by side, as M10 uses them.

M10 is Martens, "Deep learning via Hessian-free optimization", ICML 2010. A system ends by itself, when the last k steps
have lessened φ(x) = ½ xᵀAx - bᵀx too little (M10, section 4.4)::

    i > k,  φ(x_i) < 0,  (φ(x_i) - φ(x_{i-k})) / φ(x_i) < k ε,     k = max(10, i/10)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log
from typing import Protocol, Self

from torch import Tensor

from src.linalg import matmul

SHORTEST, SHARE = 10, 0.1
"""Of the steps over which progress is measured: k = max(10, i/10) (M10)."""

SPACING = 1.3
"""Iterates are kept at the steps ⌈1.3^j⌉ (M10, section 4.6)."""


class Operator(Protocol):
    """A positive definite matrix for each row."""

    def __call__(self, vector_RP: Tensor) -> Tensor:
        """A v of each row."""

    def select(self, rows: Sequence[int]) -> Self:
        """The same of some rows."""


@dataclass
class Path:
    """What is kept of the way to one solution.

    Args:
        phi: φ at the start and after each step.
        kept: some of the iterates, P each, the last one included.
    """

    phi: list[float] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.phi) - 1

    def is_flat(self, progress: float) -> bool:
        """Whether φ has come down too little lately."""
        k = max(SHORTEST, ceil(SHARE * self.steps))
        last = self.phi[-1]
        return self.steps > k and last < 0 and (last - self.phi[-1 - k]) / last < k * progress


def is_kept(step: int) -> bool:
    """Whether the iterate after this step is one of those at ⌈1.3^j⌉."""
    power = round(log(step) / log(SPACING))
    return any(ceil(round(SPACING**j, 9)) == step for j in (power - 1, power, power + 1))


def dot(left_RP: Tensor, right_RP: Tensor) -> Tensor:
    """Each row's product with another, in float64, in an order that the neighbours do not change."""
    return matmul(left_RP.double()[:, None], right_RP.double()[..., None])[:, 0, 0]


def solve(matrix: Operator, b_RP: Tensor, start_RP: Tensor, most: int, progress: float) -> list[Path]:
    """Goes towards the solution of A x = b for each row, which ends when its own progress does.

    Args:
        matrix: A.
        start_RP: x before the first step.
        most: steps.
        progress: ε.
    """
    paths = [Path() for _ in b_RP]
    rows = list(range(len(paths)))
    x = start_RP
    r = b_RP - matrix(x)
    p = r
    rr = dot(r, r)
    _note(paths, rows, x, r, b_RP)
    for step in range(1, most + 1):
        Ap = matrix(p)
        a = rr / dot(p, Ap)
        x = x + a.to(p)[:, None] * p
        r = r - a.to(p)[:, None] * Ap
        before = rr
        rr = dot(r, r)
        _note(paths, rows, x, r, b_RP)
        ended = [_is_through(paths[row], progress, left) for row, left in zip(rows, rr.tolist(), strict=True)]
        for at, row in enumerate(rows):
            if ended[at] or step == most or is_kept(step):
                paths[row].kept.append(x[at])
        stay = [at for at, through in enumerate(ended) if not through]
        if not stay:
            break
        p = r + (rr / before).to(p)[:, None] * p
        if len(stay) < len(rows):
            matrix = matrix.select(stay)
            rows = [rows[at] for at in stay]
            x, r, p, rr, b_RP = (each[stay] for each in (x, r, p, rr, b_RP))
    return paths


def _note(paths: list[Path], rows: list[int], x: Tensor, r: Tensor, b: Tensor) -> None:
    """Notes φ(x) = -½ (r + b)ᵀ x of these rows."""
    for row, phi in zip(rows, (-0.5 * dot(r + b, x)).tolist(), strict=True):
        paths[row].phi.append(phi)


def _is_through(path: Path, progress: float, left: float) -> bool:
    """Whether a system ends here: solved, no longer finite, or flat."""
    return not 0 < left < float("inf") or path.phi[-1] != path.phi[-1] or path.is_flat(progress)
