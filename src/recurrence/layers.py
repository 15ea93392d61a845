"""Layers without a recurrence, and noise: joins a backend's forward and backward to autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from src.directions import Product, Tape
from src.recurrence import process
from src.recurrence.backend import Backend, Key
from src.recurrence.reference import ReferenceLayer

Record = Callable[[Tensor, Tensor], None]


def linear(
    x_RTBK: Tensor,
    W_RKM: Tensor,
    b_RM: Tensor,
    tanh: bool = False,
    names: tuple[str, str] = ("W", "b"),
    tape: Tape | None = None,
    at_end: bool = False,
) -> Tensor:
    """x W + b of every step, RTBM, or its tanh; differentiable, in sums whose order padding does not change.

    Args:
        names: of W and b, for a tape that wants products.
        at_end: whether the one step is each replica's last, for such a tape.
    """
    if tape is None or tape.products is None:
        return _Linear.apply(x_RTBK, W_RKM, b_RM, tanh, process.backend_for(x_RTBK, W_RKM, b_RM))

    def record(x: Tensor, right: Tensor) -> None:
        tape.record(Product(*names, x, right, at_end))

    return _Recorded.apply(x_RTBK, W_RKM, b_RM, tanh, record)


def add_noise(x_RTBK: Tensor, keys: list[Key], std: float) -> Tensor:
    """x and normal noise, each replica's a function of its seed, stream, index and part; differentiable."""
    return _Noise.apply(x_RTBK, keys, std, process.backend_for(x_RTBK))


class _Linear(torch.autograd.Function):
    """A layer whose weights get gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor, tanh: bool, backend: Backend) -> Tensor:
        ctx.run = backend.linear(x, W, b, tanh)
        y = ctx.run.y
        ctx.run.y = None
        assert y is not None
        if tanh:
            ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (dy,) = grads
        y = ctx.saved_tensors[0] if ctx.saved_tensors else dy
        dx, dW, db = ctx.run.backward(dy, y, ctx.needs_input_grad[0])
        return dx, dW, db, None, None


class _Recorded(torch.autograd.Function):
    """A layer whose weights get none: their product goes to a tape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor, tanh: bool, record: Record) -> Tensor:
        ctx.run = ReferenceLayer(x, W, b, tanh)
        ctx.record = record
        y = ctx.run.y
        ctx.run.y = None
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (dy,) = grads
        da = ctx.run.pull_back(dy, *ctx.saved_tensors)
        ctx.record(ctx.run.x, da)
        dx = ctx.run.to_inputs(da) if ctx.needs_input_grad[0] else None
        return dx, None, None, None, None


class _Noise(torch.autograd.Function):
    """x and noise, through which gradients pass as they are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keys: list[Key], std: float, backend: Backend) -> Tensor:
        return backend.add_noise(x, keys, std)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return *grads, None, None, None
