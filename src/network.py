"""R networks side by side: input projection, recurrence, readout."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.cells import Cell, Parameters
from src.directions import Direction
from src.linalg import matmul, product
from src.recurrence import recur
from tasks.draws import Stream, generator
from tasks.task import Task

CHUNK = 100
"""Steps projected at a time when no gradient is wanted: bounds the memory of tests on long sequences."""


class Network(nn.Module):
    """z = x W_in + b;  h, state = recurrence;  output = h W_out + b_out. Every parameter has a leading dimension R.

    Args:
        cell: the recurrence, see src/cells.
        symbolic: inputs are integers, rows of W_in, and not real vectors.
        stacks: W_in RIG, W RHG, b RG, W_out RHO, b_out RO.
    """

    W_in: nn.Parameter
    W: nn.Parameter
    b: nn.Parameter
    W_out: nn.Parameter
    b_out: nn.Parameter

    def __init__(self, cell: Cell, symbolic: bool, stacks: dict[str, Tensor]) -> None:
        super().__init__()
        self.cell = cell
        self.symbolic = symbolic
        for name in Parameters._fields:
            self.register_parameter(name, nn.Parameter(stacks[name]))

    @classmethod
    def start(cls, cell: Cell, task: Task, seeds: Sequence[int]) -> "Network":
        """Initial networks, one a seed."""
        starts = [cell.start(task.inputs, task.outputs, generator(seed, Stream.START, 0)) for seed in seeds]
        return cls(
            cell,
            task.symbolic,
            {name: torch.from_numpy(np.stack([getattr(s, name) for s in starts])) for name in Parameters._fields},
        )

    def select(self, rows: Sequence[int]) -> "Network":
        """A copy of some replicas, without gradients."""
        return Network(self.cell, self.symbolic, {name: p.detach()[list(rows)] for name, p in self.named_parameters()})

    def forward(self, inputs: Tensor, length_R: Tensor, direction: Direction | None = None) -> Tensor:
        """Output at each replica's last step.

        Args:
            inputs: symbols RTB, integers in [0, I), or vectors RTBI; padding may hold any of these.
            length_R: steps of each replica.
            direction: whose gradient the backward pass shall make; the plain one if not given.

        Returns:
            output_RBO, before softmax.
        """
        tape = None if direction is None else direction.tape()
        _, state = recur(self.cell, self.project(inputs), self.W, length_R=length_R, tape=tape)
        return self.readout(state[0])

    @torch.no_grad()
    def predict(self, inputs: Tensor, length_R: Tensor) -> Tensor:
        """The same outputs without gradients, in memory that does not grow with the length."""
        state = None
        for first in range(0, inputs.shape[1], CHUNK):
            z = self.project(inputs[:, first : first + CHUNK])
            _, state = recur(self.cell, z, self.W, state, (length_R - first).clamp(0, z.shape[1]))
        assert state is not None
        return self.readout(state[0])

    def project(self, inputs: Tensor) -> Tensor:
        """z_RTBG of all steps at once; a symbol's is a row of W_in, plus b."""
        if not self.symbolic:
            return _Project.apply(inputs, self.W_in, self.b)
        R, symbols, _ = self.W_in.shape
        row_RTB = inputs + symbols * torch.arange(R, device=inputs.device)[:, None, None]
        return _Lookup.apply(row_RTB, self.W_in + self.b[:, None])

    def readout(self, h_RBH: Tensor) -> Tensor:
        """h W_out + b_out: RBO."""
        return matmul(h_RBH, self.W_out) + self.b_out[:, None]


class _Lookup(torch.autograd.Function):
    """Rows of a stacked table; F.embedding with a backward pass by index_add_, which is faster for few symbols."""

    @staticmethod
    def forward(ctx: Any, row_RTB: Tensor, table_RIG: Tensor) -> Tensor:
        ctx.save_for_backward(row_RTB)
        ctx.shape = table_RIG.shape
        return F.embedding(row_RTB, table_RIG.flatten(0, 1))

    @staticmethod
    def backward(ctx: Any, dz_RTBG: Tensor) -> Any:
        (row_RTB,) = ctx.saved_tensors
        rows = dz_RTBG.new_zeros(ctx.shape).flatten(0, 1)
        rows.index_add_(0, row_RTB.flatten(), dz_RTBG.flatten(0, 2))
        return None, rows.view(ctx.shape)


class _Project(torch.autograd.Function):
    """x W_in + b over all steps; its backward pass sums in an order that padding does not change."""

    @staticmethod
    def forward(ctx: Any, x_RTBI: Tensor, W_RIG: Tensor, b_RG: Tensor) -> Tensor:
        ctx.save_for_backward(x_RTBI)
        z = matmul(x_RTBI.flatten(1, 2), W_RIG).add_(b_RG[:, None])
        return z.view(*x_RTBI.shape[:3], -1)

    @staticmethod
    def backward(ctx: Any, dz_RTBG: Tensor) -> Any:
        (x_RTBI,) = ctx.saved_tensors
        ones = x_RTBI.new_ones(*x_RTBI.shape[:3], 1)
        return None, product(x_RTBI, dz_RTBG), product(ones, dz_RTBG)[:, 0]
