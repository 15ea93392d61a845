"""Hessian-free optimization with structural damping (MS11).

M10 is Martens, "Deep learning via Hessian-free optimization", ICML 2010; MS12 is Martens & Sutskever, "Training deep
and recurrent networks with Hessian-free optimization", 2012.

One update of a replica::

    g = ∇f(θ) on the whole mini-batch, A = G + λ (I + μ S) on its first sequences (src/training/curvature.py)
    conjugate gradients for A x = -g, from x_0 = ζ times the last solution
    δ = an earlier iterate, as long as the one before it has a smaller f(θ + x)
    ρ = (f(θ + δ) - f(θ)) / (gᵀδ + ½ δᵀGδ);   λ ← 3/2 λ if ρ < 1/4, 2/3 λ if ρ > 3/4
    θ ← θ + s δ, s = lr · .8^n with the first n for which f(θ + s δ) <= f(θ) + .01 s gᵀδ

Every replica has its own λ and ends its own iterations. There is no preconditioner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from src.directions import Direction, Draws
from src.network import Network
from src.population import Solver, Stack
from src.training.clipping import LIMIT, finite
from src.training.conjugate_gradients import Path, dot, solve
from src.training.curvature import Curvature, curvature
from tasks.batch import Batch
from tasks.task import Task

DAMPING, SOLUTION = "damping", "solution"
"""What is remembered of each replica: λ, and the last solution of the conjugate gradients."""

LOW, HIGH, DROP, BOOST = 0.25, 0.75, 2 / 3, 3 / 2
"""Levenberg-Marquardt: ρ below which λ is multiplied by 3/2, and above which by 2/3 (M10, section 4.1)."""

SHRINK, SUFFICIENT, TRIES = 0.8, 0.01, 60
"""Of the line search: factor of a step that is too long; share of the slope's promise that must be kept (Armijo);
after so many factors the step is 0 (MS12, section 8.8)."""


@dataclass
class Step:
    """What an update of a stack is about to do.

    Args:
        delta_AP: δ of each row.
        loss_A: f(θ + δ).
        iterations_A: steps of the conjugate gradients.
    """

    delta_AP: Tensor
    loss_A: Tensor
    iterations_A: Tensor


@dataclass
class Objective:
    """f of every row of a stack, on one mini-batch."""

    stack: Stack
    batch: Batch
    task: Task

    @torch.no_grad()
    def __call__(self, delta_AP: Tensor) -> Tensor:
        """f(θ + δ), A; infinity where it is no number."""
        network = self.stack.network
        moved = Network(network.architecture, network.split(self.stack.theta_AP + delta_AP))
        output = moved(self.batch.inputs, self.batch.length, every_step=self.task.every_step)
        return self.task.loss(output, self.batch.target, self.batch.length).nan_to_num(nan=float("inf"))


class HessianFree(Solver):
    """Makes whole updates of a stack of simple networks by Hessian-free optimization.

    Args:
        damping: λ at the start.
        structural: μ; 0: no structural damping.
        curvature: sequences of the mini-batch on which the curvature is measured, the first ones.
        iterations: most steps of the conjugate gradients in an update.
        progress: ε: less of it, and they end.
        decay: ζ.
    """

    metrics: ClassVar[tuple[str, ...]] = ("damping", "iterations")

    def __init__(
        self, damping: float, structural: float, curvature: int, iterations: int, progress: float, decay: float
    ) -> None:
        self.damping = damping
        self.structural = structural
        self.sequences = curvature
        self.iterations = iterations
        self.progress = progress
        self.decay = decay

    def update(
        self, stack: Stack, batch: Batch, task: Task, step: Callable[[], object], draws: Draws
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        loss_A = stack.network.learn(batch, task, Direction(), {}, draws)["loss"]
        norm_A = torch.linalg.vector_norm(stack.grad_AP, dim=1)
        usable_A = (norm_A <= LIMIT) & finite(stack.theta_AP)
        g_AP = torch.where(usable_A[:, None], stack.grad_AP, 0.0)
        lam_A = self.remembered(stack)
        matrix = curvature(stack.network, first(batch, self.sequences, task), task, lam_A, self.structural)
        objective = Objective(stack, batch, task)
        paths = solve(matrix, -g_AP, self.decay * stack.state[SOLUTION], self.iterations, self.progress)
        found = backtrack(paths, objective)
        after_A = adapted(lam_A, ratio(found, loss_A, g_AP, matrix))
        size_A = search(found.delta_AP, stack.settings["lr"], loss_A, dot(g_AP, found.delta_AP), objective)
        taken_A = usable_A & (size_A > 0)
        solution_AP = torch.stack([path.kept[-1] for path in paths])
        stack.state[SOLUTION] = torch.where(taken_A[:, None], solution_AP, 0.0)
        stack.state[DAMPING] = torch.where(usable_A, after_A, lam_A)
        stack.grad_AP.copy_(torch.where(taken_A[:, None], -size_A[:, None] * found.delta_AP, 0.0))
        step()
        metrics = {"loss": loss_A, "grad_norm": norm_A, "clipped": torch.zeros_like(norm_A)}
        metrics |= {"damping": lam_A, "iterations": found.iterations_A}
        return metrics, None if bool(usable_A.all()) else ~usable_A

    def remembered(self, stack: Stack) -> Tensor:
        """λ of each row; at the first update what is remembered begins."""
        if DAMPING not in stack.state:
            stack.state[DAMPING] = stack.theta_AP.new_full((len(stack.theta_AP),), self.damping)
            stack.state[SOLUTION] = torch.zeros_like(stack.theta_AP)
        found: Tensor = stack.state[DAMPING]
        return found


def first(batch: Batch, sequences: int, task: Task) -> Batch:
    """The first sequences of each mini-batch."""
    target = batch.target[:, :, :sequences] if task.every_step else batch.target[:, :sequences]
    return Batch(batch.inputs[:, :, :sequences].contiguous(), target, batch.length, batch.lengths)


def backtrack(paths: Sequence[Path], objective: Callable[[Tensor], Tensor]) -> Step:
    """Goes back over the iterates of each row as long as f becomes smaller (M10, section 4.6)."""
    place = [len(path.kept) - 1 for path in paths]
    best_AP = torch.stack([path.kept[-1] for path in paths])
    best_A = objective(best_AP)
    going = [at > 0 for at in place]
    while any(going):
        earlier_AP = torch.stack([path.kept[max(0, at - 1)] for path, at in zip(paths, place, strict=True)])
        loss_A = objective(earlier_AP)
        better_A = torch.tensor(going) & (loss_A < best_A)
        best_AP = torch.where(better_A[:, None], earlier_AP, best_AP)
        best_A = torch.where(better_A, loss_A, best_A)
        place = [at - better for at, better in zip(place, better_A.tolist(), strict=True)]
        going = [better and at > 0 for at, better in zip(place, better_A.tolist(), strict=True)]
    steps_A = best_A.new_tensor([path.steps for path in paths])
    return Step(best_AP, best_A, steps_A)


def ratio(found: Step, loss_A: Tensor, g_AP: Tensor, matrix: Curvature) -> Tensor:
    """ρ: what f has really lost, as a share of what its model without damping has; below 0 where that is nothing."""
    bent = dot(found.delta_AP, matrix.damped(torch.zeros_like(matrix.lam))(found.delta_AP))
    promised_A = dot(g_AP, found.delta_AP) + 0.5 * bent
    return torch.where(promised_A < 0, (found.loss_A - loss_A).double() / promised_A, -1.0)


def adapted(lam_A: Tensor, rho_A: Tensor) -> Tensor:
    """λ after a step that kept the share ρ of its promise."""
    factor_A = torch.where(rho_A > HIGH, DROP, torch.where(rho_A < LOW, BOOST, 1.0))
    return (lam_A * factor_A).to(lam_A.dtype)


def search(
    delta_AP: Tensor, first_A: Tensor, loss_A: Tensor, slope_A: Tensor, objective: Callable[[Tensor], Tensor]
) -> Tensor:
    """The length of each row's step, in units of δ: the first of its tries that lessens f enough, or 0.

    Args:
        first_A: what is tried first.
        slope_A: gᵀδ.
    """
    size_A = first_A.clone()
    for _ in range(TRIES):
        enough_A = loss_A + SUFFICIENT * size_A * slope_A.clamp(max=0)
        fails_A = ~(objective(size_A[:, None] * delta_AP) <= enough_A)
        if not bool(fails_A.any()):
            return size_A
        size_A = torch.where(fails_A, SHRINK * size_A, size_A)
    return torch.where(fails_A, 0.0, size_A)
