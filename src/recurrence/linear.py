"""Layers without a recurrence: x W + b of every step, in sums whose order padding does not change."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.linalg import matmul, product
from src.recurrence import cpu
from tasks.draws import Stream, generator, normal, quantiles

Record = Callable[[Tensor, Tensor], None]
Key = tuple[int, Stream, int, int]
"""Seed, stream, index, part."""


class AddNoise(torch.autograd.Function):
    """x_RTBK and normal numbers of one standard deviation, each replica's from a stream of its own (tasks/draws.py)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, streams: list[Key], std: float, threads: int | None) -> Tensor:
        if threads is not None:
            words = np.array([[seed, stream, part, index] for seed, stream, index, part in streams], dtype=np.uint64)
            scaled = quantiles() * np.float32(std)
            return cpu.add_noise(x, torch.from_numpy(words.view(np.int64)), torch.from_numpy(scaled), threads)
        numbers = [normal(generator(*key), x[0].numel(), std) for key in streams]
        return x + torch.from_numpy(np.stack(numbers)).view(x.shape).to(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return *grads, None, None, None


class Linear(torch.autograd.Function):
    """y = x W + b for x_RTBK, W_RKM, b_RM, or its tanh: RTBM. With ``record`` W and b get no gradients, but that is
    called with x and dL/d(x W + b). ``threads``: of the compiled code; None: without it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, W: Tensor, b: Tensor, tanh: bool, threads: int | None, record: Record | None = None
    ) -> Tensor:
        ctx.tanh, ctx.record = tanh, record
        if threads is not None and record is None:
            ctx.run = cpu.Linear(x, W, b, tanh, threads)
            y, ctx.run.y = ctx.run.y, None  # an output kept here would be a cycle, freed late
            if tanh:
                ctx.save_for_backward(y)
            return y
        a = matmul(x.flatten(1, 2), W).add_(b[:, None]).view(*x.shape[:3], -1)
        y = a.tanh_() if tanh else a
        ctx.run = None
        ctx.save_for_backward(x, W, *((y,) if tanh else ()))
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (dy,) = grads
        wants_dx = ctx.needs_input_grad[0]
        if ctx.run is not None:
            dx, dW, db = ctx.run.backward(dy, wants_dx)
            return dx, dW, db, None, None, None
        x, W, *y = ctx.saved_tensors
        da = dy * (1 - y[0] * y[0]) if ctx.tanh else dy
        dx = matmul(da.flatten(1, 2), W.transpose(1, 2)).view(x.shape) if wants_dx else None
        if ctx.record is not None:
            ctx.record(x, da)
            return dx, None, None, None, None, None
        return dx, product(x, da), product(x.new_ones(1).expand(*x.shape[:3], 1), da)[:, 0], None, None, None
