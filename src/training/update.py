"""One update of a population: forward, backward, direction, clipping, step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from src.directions import Direction, Draws
from src.network import Carry
from src.population import Optimizer, Stack
from src.training.clipping import Clipped
from tasks.batch import Batch
from tasks.task import Task


@dataclass(frozen=True)
class Method:
    """How a gradient becomes a step.

    Args:
        direction: what is made of the gradient.
        clipping: scales the gradients of a stack, and says who diverged; see src/training/clipping.py.
        optimizer: makes torch's optimizer, one learning rate for all; None: gradient descent with each replica's own
            (``settings["lr"]``).
    """

    direction: Direction
    clipping: Callable[[Stack], Clipped]
    optimizer: Optimizer | None = None

    def make_optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Makes the optimizer of a stack. Where replicas have their own rates its own is 1."""
        if self.optimizer is None:
            return torch.optim.SGD(parameters, lr=1.0)
        return self.optimizer(parameters)


@dataclass
class Updated:
    """What an update found."""

    metrics: dict[str, Tensor]  # one number per row each: loss, those of the direction, grad_norm, clipped
    diverged_A: Tensor | None  # rows to which the step was not applied; None: none


def update(
    stack: Stack,
    batch: Batch,
    task: Task,
    method: Method,
    step: Callable[[], object],
    draws: Draws = (),
    carry: Carry | None = None,
) -> Updated:
    """Makes one update of all rows of a stack.

    Args:
        batch: a mini-batch for each row.
        step: takes the optimizer's step from the gradients.
        draws: each row's seed and updates so far, for whatever is drawn.
        carry: the states to begin with, replaced by those at the end (truncated BPTT).
    """
    metrics = stack.network.learn(batch, task, method.direction, stack.settings, draws, carry)
    clipped = method.clipping(stack)
    if method.optimizer is None:
        stack.grad_AP.mul_(stack.settings["lr"][:, None])
    if clipped.diverged_A is None:
        step()
    else:
        before = stack.theta_AP[clipped.diverged_A]
        step()
        stack.theta_AP[clipped.diverged_A] = before  # an optimizer with a memory moves even without a gradient
    metrics |= {"grad_norm": clipped.norm_A, "clipped": clipped.clipped_A}
    return Updated(metrics, clipped.diverged_A)
