"""One update of a population: forward, backward, direction, penalties, clipping, step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from src.directions import Direction, Draws, Omega
from src.linalg import known, sent, works_ahead
from src.network import Carry
from src.population import Optimizer, Solver, Stack
from src.recurrence import Descent
from src.training.clipping import Clipped, clip_stack
from src.training.penalty import RECURRENT, penalise
from tasks.batch import Batch
from tasks.block import Block
from tasks.task import Task

VELOCITY = "momentum_buffer"
"""Name that torch's optimizer has for v."""


@dataclass(frozen=True)
class Method:
    """How a gradient becomes a step.

    Args:
        direction: what is made of the gradient.
        clipping: scales the gradients of a stack, and says who diverged; see src/training/clipping.py.
        optimizer: makes torch's optimizer, one learning rate for all; None: gradient descent with each replica's own
            (``settings["lr"]``).
        penalised: which weights L1 and L2 act on; see src/training/penalty.py.
        solver: makes the whole update instead; None: there is none.
        momentum: of gradient descent with each replica's own learning rate: v <- momentum v + lr g, θ <- θ - v.
    """

    direction: Direction
    clipping: Callable[[Stack], Clipped]
    optimizer: Optimizer | None = None
    penalised: str = RECURRENT
    solver: Solver | None = None
    momentum: float = 0.0

    def make_optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Makes the optimizer of a stack. Where replicas have their own rates its own is 1."""
        if self.optimizer is None:
            return torch.optim.SGD(parameters, lr=1.0, momentum=self.momentum)
        return self.optimizer(parameters)


@dataclass
class Updated:
    """What an update found."""

    metrics: dict[str, Tensor]  # one number per row each: loss, those of the direction, grad_norm, clipped
    diverged_A: Tensor | None  # rows to which the step was not applied; None: none


@dataclass
class Several:
    """What several updates found; none of them has diverged."""

    count: int
    metrics: dict[str, Tensor]  # as of one, NA each

    def __len__(self) -> int:
        return self.count

    def of(self, rows: slice) -> "Several":
        """What they found of some rows."""
        return Several(self.count, {name: value_NA[:, rows] for name, value_NA in self.metrics.items()})


def update(
    stack: Stack,
    batch: Batch,
    task: Task,
    method: Method,
    step: Callable[[], object],
    draws: Draws = (),
    carry: Carry | None = None,
    borders: Sequence[Sequence[int]] | None = None,
    lost_A: Tensor | None = None,
) -> Updated:
    """Makes one update of all rows of a stack.

    Parameters that are not learned have no gradient, so that they do not count in its norm, and stay as they are.

    Args:
        batch: a mini-batch for each row.
        step: takes the optimizer's step from the gradients.
        draws: each row's seed and updates so far, for whatever is drawn.
        carry: the states to begin with, replaced by those at the end.
        borders: of each row's sequences, from 0 to their length: the gradient does not cross them, see
            :func:`learn_in_parts`; None: it goes back to the first step.
        lost_A: rows that have diverged before, and are still there because nobody has asked the device: they stay as
            they are.
    """
    if method.solver is not None:
        return Updated(*method.solver.update(stack, batch, task, step, draws))
    settings = weighted(stack.settings, draws)
    if borders is None:
        metrics = stack.network.learn(batch, task, method.direction, settings, draws, carry)
    else:
        metrics = learn_in_parts(stack, batch, task, method.direction, draws, borders, settings)
    penalise(stack, method.penalised)
    frozen = stack.network.frozen()
    for p in frozen:
        p.grad.zero_()  # type: ignore[union-attr]
    clipped = method.clipping(stack)
    if method.optimizer is None:
        stack.grad_AP.mul_(rates(stack.settings, draws)[:, None])
    started = [p.detach().clone() for p in frozen]
    diverged_A = clipped.diverged_A
    if diverged_A is None:
        step()
    else:
        if lost_A is not None:
            diverged_A = diverged_A | lost_A
        before = stack.theta_AP.clone()
        step()
        # an optimizer with a memory moves even without a gradient
        stack.theta_AP.copy_(torch.where(diverged_A[:, None], before, stack.theta_AP))
    for p, value in zip(frozen, started, strict=True):
        p.data.copy_(value)  # a shrink, or a decay of an optimizer's own, needs no gradient
    metrics |= {"grad_norm": clipped.norm_A, "clipped": clipped.clipped_A}
    return Updated(metrics, diverged_A)


def advance(stack: Stack, block: Block, task: Task, method: Method) -> Several:
    """Makes updates of all rows in one call, as :func:`update` makes them one after the other, to the last bit.

    It does so in the plain case: gradient descent on whole sequences, with constant rates, no penalty, everything
    learned. Whatever else is wanted, and an update that is not as usual, is left to :func:`update`.

    Args:
        block: the next updates' mini-batches, one for each row.

    Returns:
        what the updates found, from the first on; fewer than there are, or none, where the next is not of this kind.
    """
    if not len(block) or works_ahead(stack.theta_AP) or not is_plain(stack, method):
        return Several(0, {})
    momentum = stack.optimizer.param_groups[0]["momentum"]
    velocity_AP = stack.state.setdefault(VELOCITY, torch.zeros_like(stack.theta_AP)) if momentum else None
    moving = [stack.theta_AP] if velocity_AP is None else [stack.theta_AP, velocity_AP]
    before = [each.clone() for each in moving]
    settings = stack.settings
    descent = Descent(stack.theta_AP, stack.grad_AP, settings["lr"], settings["clip"], velocity_AP, momentum)
    made = None
    try:
        answer = stack.network.descend(block, task, method.direction, stack.settings, descent)
        if answer is None:
            return Several(0, {})
        made, metrics = answer
    finally:
        if made != len(block):  # some rows may be further than others
            for each, value in zip(moving, before, strict=True):
                each.copy_(value)
    if made < len(block):
        return advance(stack, block[:made], task, method)
    metrics["clipped"] = metrics["grad_norm"] > descent.most_R
    return Several(made, {name: value_NA[:made] for name, value_NA in metrics.items()})


def is_plain(stack: Stack, method: Method) -> bool:
    """Whether an update is the gradient of L or of L + αΩ, clipped, times a constant rate, for all parameters."""
    settings = stack.settings
    direction = type(method.direction)
    half_life_A = settings.get("half_life")
    return (
        method.optimizer is None
        and method.solver is None
        and method.clipping is clip_stack
        and direction.combination is Direction.combination
        and direction.terms in (Direction.terms, Omega.terms)
        and subtracts(stack.optimizer)
        and (half_life_A is None or known(half_life_A.isinf().all()) is True)
        and not {"alpha_decay", "l1", "l2"} & settings.keys()
        and not stack.network.frozen()
    )


def subtracts(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step subtracts the gradient, with momentum or without, and does nothing else: nobody has changed the
    optimizer or hooked into it."""
    group = optimizer.param_groups[0]
    hooked = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    plain = group["lr"] == 1 and not any(group[name] for name in ("dampening", "nesterov", "weight_decay", "maximize"))
    return type(optimizer) is torch.optim.SGD and plain and not hooked


def rates(settings: dict[str, Tensor], draws: Draws) -> Tensor:
    """Each row's learning rate now: lr · 2^(-n / half_life) after n updates of its own.

    Args:
        settings: ``lr`` and, where rates fall, ``half_life`` in updates; infinity: constant.
        draws: each row's seed and updates so far; on the CPU not asked for where all rates are constant.
    """
    lr_A = settings["lr"]
    half_life_A = settings.get("half_life")
    if half_life_A is None or known(half_life_A.isinf().all()):
        return lr_A
    return lr_A * torch.exp2(-_updates(draws, lr_A.device) / half_life_A).to(lr_A.dtype)


def weighted(settings: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
    """The settings with each row's α as it is now: α / (1 + alpha_decay · n) after n updates of its own.

    P13 lets α fall as 1/t on natural data. For large n this does, and it begins with α.

    Args:
        settings: ``alpha`` and, where it falls, ``alpha_decay``; 0: constant.
        draws: each row's seed and updates so far.
    """
    decay_A = settings.get("alpha_decay")
    if decay_A is None:
        return settings
    alpha_A = settings["alpha"]
    shrinking_A = 1 + decay_A * _updates(draws, alpha_A.device)
    return settings | {"alpha": (alpha_A / shrinking_A).to(alpha_A.dtype)}


def _updates(draws: Draws, device: torch.device) -> Tensor:
    """Each row's updates so far, float64."""
    return sent(torch.tensor([updates for _, updates in draws], dtype=torch.float64), device)


def learn_in_parts(
    stack: Stack,
    batch: Batch,
    task: Task,
    direction: Direction,
    draws: Draws,
    borders: Sequence[Sequence[int]],
    settings: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Overwrites the gradients with those of sequences in parts: truncated backpropagation through time, one update.

    The state is carried over from part to part, and the gradient is cut there. What a direction makes of each part
    counts by the part's share of the steps. Where the only target is at the last step the last part teaches alone.

    Args:
        borders: of each row's sequences, from 0 to their length.
        settings: of the method; None: those of the stack.
    """
    settings = stack.settings if settings is None else settings
    carry = Carry()
    if not task.every_step:
        last_A = sent(torch.tensor([own[-2] for own in borders]), batch.length.device)
        before = batch.between(torch.zeros_like(last_A), last_A, every_step=False)
        if before.inputs.shape[1]:
            with torch.no_grad():
                stack.network(before.inputs, before.length, carry=carry)
        after = batch.between(last_A, batch.length, every_step=False)
        return stack.network.learn(after, task, direction, settings, draws, carry)
    total_AP = torch.zeros_like(stack.grad_AP)
    metrics: dict[str, Tensor] = {}
    for first_A, end_A in _parts(borders, batch.length.device):
        part = batch.between(first_A, end_A, every_step=True)
        share_A = part.length / batch.length
        found = stack.network.learn(part, task, direction, settings, draws, carry)
        total_AP += _shared(stack.grad_AP, share_A)
        for name, value_A in found.items():
            shared = _shared(value_A, share_A)
            metrics[name] = metrics[name] + shared if name in metrics else shared
    stack.grad_AP.copy_(total_AP)
    return metrics


def _parts(borders: Sequence[Sequence[int]], device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """First step and end of each row's first part, second part, and so on; empty ones after a row's last."""
    most = max(len(own) for own in borders)
    each = [[*own, *[own[-1]] * (most - len(own))] for own in borders]
    return list(pairwise(sent(torch.tensor(each), device).unbind(1)))


def _shared(value: Tensor, share_A: Tensor) -> Tensor:
    """A value's share; 0 where there is no step, whatever the value is."""
    share = share_A.view(-1, *[1] * (value.ndim - 1))
    return torch.where(share > 0, share * value, 0.0)
