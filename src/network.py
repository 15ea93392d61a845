"""R networks side by side: input projection, recurrence, readout."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor, nn

from src.cells import Cell, Parameters
from src.directions import Direction
from src.linalg import matmul
from src.recurrence import Tape, Weights, learn, recur
from tasks.datamodule import Batch
from tasks.draws import Stream, generator
from tasks.task import Task

WEIGHTS = [field.name for field in fields(Weights)]

CHUNK = 100
"""Steps taken at a time when no gradient is wanted: bounds the memory of tests on long sequences."""


class Network(nn.Module):
    """z = x W_in + b;  h, state = recurrence;  output = h W_out + b_out. Every parameter has a leading dimension R.

    Args:
        cell: the recurrence, see src/cells.
        stacks: W_in RIG, W RHG, b RG, W_out RHO, b_out RO.
    """

    W_in: nn.Parameter
    W: nn.Parameter
    b: nn.Parameter
    W_out: nn.Parameter
    b_out: nn.Parameter

    def __init__(self, cell: Cell, stacks: dict[str, Tensor]) -> None:
        super().__init__()
        self.cell = cell
        for name in Parameters._fields:
            self.register_parameter(name, nn.Parameter(stacks[name]))

    @classmethod
    def start(cls, cell: Cell, task: Task, seeds: Sequence[int]) -> "Network":
        """Initial networks, one a seed."""
        starts = [cell.start(task.inputs, task.outputs, generator(seed, Stream.START, 0)) for seed in seeds]
        return cls(
            cell, {name: torch.from_numpy(np.stack([getattr(s, name) for s in starts])) for name in Parameters._fields}
        )

    def select(self, rows: Sequence[int]) -> "Network":
        """A copy of some replicas, without gradients."""
        return Network(self.cell.select(rows), {name: p.detach()[list(rows)] for name, p in self.named_parameters()})

    def forward(self, inputs: Tensor, length_R: Tensor, tape: Tape | None = None) -> Tensor:
        """Output at each replica's last step.

        Args:
            inputs: symbols RTB, integers in [0, I), or vectors RTBI; padding may hold any of these.
            length_R: steps of each replica.
            tape: what the backward pass shall make besides the plain gradient, see src/directions.

        Returns:
            output_RBO, before softmax.
        """
        _, state = recur(self.cell, inputs, self.weights, length_R=length_R, tape=tape, every_step=False)
        return self.readout(state[0])

    @torch.no_grad()
    def predict(self, inputs: Tensor, length_R: Tensor) -> Tensor:
        """The same outputs without gradients, in memory that does not grow with the length."""
        state = None
        for first in range(0, inputs.shape[1], CHUNK):
            steps = inputs[:, first : first + CHUNK]
            length = (length_R - first).clamp(0, steps.shape[1])
            _, state = recur(self.cell, steps, self.weights, state, length, every_step=False)
        assert state is not None
        return self.readout(state[0])

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
            loss_R = task.loss(self(batch.inputs, batch.length, tape), batch.target)
            loss_R.sum().backward()
        return loss_R.detach()

    def _bound(self) -> tuple[Weights, Weights]:
        """Parameters and gradients as they lie now."""
        own = [self._parameters[name] for name in WEIGHTS]
        gradients = [p.grad for p in own if p is not None]
        if any(grad is None for grad in gradients):
            raise ValueError("every parameter needs a grad, which learn() overwrites")
        return Weights(*own), Weights(*gradients)  # type: ignore[arg-type]

    @property
    def weights(self) -> Weights:
        """What the recurrence wants."""
        return Weights(*(getattr(self, name) for name in WEIGHTS))

    def readout(self, h_RBH: Tensor) -> Tensor:
        """h W_out + b_out: RBO."""
        return matmul(h_RBH, self.W_out) + self.b_out[:, None]
