"""R networks side by side: input projection, recurrence, readout."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.cells import Cell
from src.directions import Direction
from src.linalg import matmul, product
from src.recurrence import NAMES, Tape, Weights, learn, recur
from tasks.datamodule import Batch
from tasks.draws import Stream, generator
from tasks.task import Task

CHUNK = 100
"""Steps taken at a time when no gradient is wanted: bounds the memory of tests on long sequences."""


class Network(nn.Module):
    """z = x W_in + b;  h, state = recurrence;  output = h W_out + b_out. Every parameter has a leading dimension R.

    Args:
        cell: the recurrence, see src/cells.
        stacks: W_in RIG, W RHG, b RG, W_out RHO, b_out RO, and those that only the cell knows.
    """

    W_in: nn.Parameter
    W: nn.Parameter
    b: nn.Parameter
    W_out: nn.Parameter
    b_out: nn.Parameter

    def __init__(self, cell: Cell, stacks: dict[str, Tensor]) -> None:
        super().__init__()
        self.cell = cell
        for name, stack in stacks.items():
            self.register_parameter(name, nn.Parameter(stack))

    @classmethod
    def start(cls, cell: Cell, task: Task, seeds: Sequence[int]) -> "Network":
        """Initial networks, one a seed."""
        starts = []
        for seed in seeds:
            draws = generator(seed, Stream.START, 0)
            starts.append(cell.start(task.inputs, task.outputs, draws)._asdict() | cell.start_own(draws))
        return cls(cell, {name: torch.from_numpy(np.stack([start[name] for start in starts])) for name in starts[0]})

    def select(self, rows: Sequence[int]) -> "Network":
        """A copy of some replicas, without gradients."""
        return Network(self.cell.select(rows), {name: p.detach()[list(rows)] for name, p in self.named_parameters()})

    def forward(self, inputs: Tensor, length_R: Tensor, tape: Tape | None = None, every_step: bool = False) -> Tensor:
        """Output at each replica's last step, or at every step.

        Args:
            inputs: symbols RTB, integers in [0, I), or vectors RTBI; padding may hold any of these.
            length_R: steps of each replica.
            tape: what the backward pass shall make besides the plain gradient, see src/directions.

        Returns:
            output_RBO or output_RTBO, before softmax.
        """
        h_RTBH, state = recur(self.cell, inputs, self.weights, None, length_R, tape, every_step)
        return self.readout(state[0]) if h_RTBH is None else self.readout(h_RTBH)

    @torch.no_grad()
    def wrong(self, batch: Batch, task: Task) -> Tensor:
        """Which sequences are answered wrongly, bool wrong_RB, in memory that does not grow with the length."""
        state, wrong_RB = None, torch.zeros(batch.inputs.shape[0], batch.inputs.shape[2], dtype=torch.bool)
        at_every = task.every_step and task.judged == "every"
        for first in range(0, batch.inputs.shape[1], CHUNK):
            steps = slice(first, first + CHUNK)
            inputs = batch.inputs[:, steps]
            length = (batch.length - first).clamp(0, inputs.shape[1])
            h_RTBH, state = recur(self.cell, inputs, self.weights, state, length, every_step=at_every)
            if h_RTBH is not None:
                inside = torch.arange(inputs.shape[1], device=length.device) < length[:, None]
                wrong = task.wrong(self.readout(h_RTBH), batch.target[:, steps]) & inside[..., None]
                wrong_RB = wrong_RB.to(wrong.device) | wrong.any(1)
        if at_every:
            return wrong_RB
        assert state is not None
        target = batch.target
        if task.every_step:
            target = target[torch.arange(len(target), device=target.device), batch.length - 1]
        return task.wrong(self.readout(state[0]), target)

    def learn(self, batch: Batch, task: Task, direction: Direction) -> Tensor:
        """Overwrites ``grad`` of every parameter with the direction's gradient; returns loss_R.

        Raises:
            ValueError: a parameter without ``grad``.
        """
        tape, loss_R = direction.tape(), None
        if task.loss_form is not None and type(self) is Network:
            bound = self._bound()
            loss_R = learn(self.cell, batch.inputs, batch.target, *bound, task.loss_form, batch.length, tape)
        if loss_R is None:
            self.zero_grad(set_to_none=False)
            output = self(batch.inputs, batch.length, tape, task.every_step)
            loss_R = task.loss(output, batch.target, batch.length)
            loss_R.sum().backward()
        return loss_R.detach()

    def _bound(self) -> tuple[Weights, Weights]:
        """Parameters and gradients as they lie now."""
        own = [self._parameters[name] for name in NAMES]
        gradients = [p.grad for p in own if p is not None]
        if any(grad is None for grad in gradients):
            raise ValueError("every parameter needs a grad, which learn() overwrites")
        return Weights(*own), Weights(*gradients)  # type: ignore[arg-type]

    @property
    def weights(self) -> Weights:
        """What the recurrence wants."""
        stacks: dict[str, Tensor] = dict(self.named_parameters())
        return Weights(**{name: stacks.pop(name) for name in NAMES}, own=stacks)  # type: ignore[arg-type]

    def readout(self, h: Tensor) -> Tensor:
        """h W_out + b_out, for h of one step, RBH, or of all, RTBH."""
        if h.ndim == 3:
            return matmul(h, self.W_out) + self.b_out[:, None]
        return _Readout.apply(h, self.W_out, self.b_out)


class _Readout(torch.autograd.Function):
    """Of all steps; its gradients are summed in an order that padding does not change."""

    @staticmethod
    def forward(ctx: Any, h_RTBH: Tensor, W_out: Tensor, b_out: Tensor) -> Tensor:
        ctx.save_for_backward(h_RTBH, W_out)
        output = matmul(h_RTBH.flatten(1, 2), W_out) + b_out[:, None]
        return output.view(*h_RTBH.shape[:3], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (e_RTBO,) = grads
        h_RTBH, W_out = ctx.saved_tensors
        dh = matmul(e_RTBO.flatten(1, 2), W_out.transpose(1, 2)).view(h_RTBH.shape)
        ones = h_RTBH.new_ones(1).expand(*h_RTBH.shape[:3], 1)
        return dh, product(h_RTBH, e_RTBO), product(ones, e_RTBO)[:, 0]
